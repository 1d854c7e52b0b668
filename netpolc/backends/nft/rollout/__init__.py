"""Brings a ruleset into the kernel, and keeps it there."""
