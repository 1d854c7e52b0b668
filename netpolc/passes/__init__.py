"""Passes: pure functions from IR to IR, called in the order `compiler.py` lists."""
