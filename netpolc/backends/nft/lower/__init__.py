"""From a Program to the typed table of one node."""
