"""The matcher backend: compiled tables that answer one address, or a column of them.

In: prefixes with values. Out: longest-prefix lookups. Refused: text that is not strictly a prefix
or an address (see `RadixTree`).
"""

from netpolc.backends.matcher._core import RadixTree

__all__ = ["RadixTree"]
