"""What it took to keep a ruleset up to date, counted: for tests, for a bench, for who watches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Work:
    """Counts since a `Live` was made.

    `events` changed an object, `touched` are the sets, counts and notes that pods changed one by
    one, `classes` the kinds of pods whose answers were looked up, `asked` policies that were asked
    whether they select pods of a kind that is new on the node. `lowered` says how often the
    chains of the node were put together again without a compilation, `edited` how often the same
    because of policies, `met` because of pods that nobody had chains for, `compiled` how often the
    node was compiled, by the reason.
    """

    events: int = 0
    touched: int = 0
    classes: int = 0
    asked: int = 0
    lowered: int = 0
    edited: int = 0
    met: int = 0
    compiled: Counter[str] = field(default_factory=Counter)
