"""Commands that look at what a node enforces, and change nothing."""
