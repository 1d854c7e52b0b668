"""Talks to libnftables, in a process of its own."""
