"""Backends: each reads a Program and emits its form. Adding one is one folder and one line in
`compiler.py`.
"""
