"""The matcher backend: compiled tables that answer one flow or address, or a column of them.

In: a Program (`Matcher`), or prefixes with values (`RadixTree`). Out: verdicts, longest-prefix
lookups. Refused: text that is not strictly a prefix or an address.

`RadixTree` needs nothing but netpolc; `Matcher` needs NumPy (`pip install netpolc[matcher]`), which
is why it is imported when it is first asked for: nodes that only apply rulesets do without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netpolc.backends.matcher._core import RadixTree

if TYPE_CHECKING:
    from netpolc.backends.matcher.matcher import (
        ALLOW,
        DENY,
        INVALID,
        Endpoint,
        Matcher,
        VerdictCode,
    )

__all__ = ["ALLOW", "DENY", "INVALID", "Endpoint", "Matcher", "RadixTree", "VerdictCode"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from netpolc.backends.matcher import matcher
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise ImportError("Matcher needs NumPy: pip install netpolc[matcher]") from error
    return getattr(matcher, name)
