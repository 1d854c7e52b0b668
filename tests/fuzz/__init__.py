"""Damaged input for every reader of netpolc: `make fuzz` (CONTRIBUTING.md).

`readers.py` says what may come of an input, `inputs.py` makes inputs, `__main__.py` runs both.
"""
