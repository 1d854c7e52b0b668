"""Patterns for names: `*` is any text, `?` any character, and everything else is itself.

Brackets are themselves, too: they are part of the names of workloads.
"""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache
def like(pattern: str) -> re.Pattern[str]:
    """What matches a whole name, by `fullmatch`."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))
