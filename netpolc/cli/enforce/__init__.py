"""Commands that make rulesets, and change what a node enforces."""
