"""The forms in which `explain` writes for programs: one line each.

Lines for people are drawn by the terminal, which knows its colours (`formats.text`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from netpolc.analysis.explain import formats, policy
from netpolc.analysis.explain.model import Explanation
from netpolc.core.cluster import Unread, unread_kinds
from netpolc.core.foreign import to_json


def _flows(found: Sequence[Explanation], most: int | None, unread: Sequence[Unread] = ()) -> str:
    return _document("flows", [formats.document(own, most) for own in found], unread)


def _policies(found: Sequence[policy.Description], unread: Sequence[Unread] = ()) -> str:
    return _document("policies", [policy.document(own) for own in found], unread)


def _document(name: str, found: list[dict[str, Any]], unread: Sequence[Unread]) -> str:
    told = {"unread": unread_kinds(unread)} if unread else {}
    return f"{to_json({name: found, **told}, indent=2)}\n"


FLOWS: dict[str, Callable[[Sequence[Explanation], int | None, Sequence[Unread]], str]] = {
    "json": _flows,
}
"""Of flows, with the `most` closest misses of each direction, and what is not judged."""
POLICIES: dict[str, Callable[[Sequence[policy.Description], Sequence[Unread]], str]] = {
    "json": _policies,
}
"""Of what a policy means."""
