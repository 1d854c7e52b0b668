"""The forms in which `explain` writes for programs: one line each.

Lines for people are drawn by the terminal, which knows its colours (`formats.text`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netpolc.analysis.explain import formats, policy
from netpolc.analysis.explain.model import Explanation
from netpolc.core.foreign import to_json


def _flows(found: Sequence[Explanation], most: int | None) -> str:
    documents = [formats.document(explanation, most) for explanation in found]
    return f"{to_json({'flows': documents}, indent=2)}\n"


def _policies(found: Sequence[policy.Description]) -> str:
    documents = [policy.document(description) for description in found]
    return f"{to_json({'policies': documents}, indent=2)}\n"


FLOWS: dict[str, Callable[[Sequence[Explanation], int | None], str]] = {
    "json": _flows,
}
"""Of flows, with the `most` closest misses of each direction."""
POLICIES: dict[str, Callable[[Sequence[policy.Description]], str]] = {
    "json": _policies,
}
"""Of what a policy means."""
