"""Backends: each reads a Program and emits its form; one folder each."""
