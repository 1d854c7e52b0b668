"""Explanations: why a flow gets through or does not, and what one policy says in plain sentences.

Comes in: a `Snapshot`, its `Program`, flows or a policy. Goes out: typed explanations; `formats`
and `policy` turn them into text and JSON. Nothing here decides: the Program does.
"""

from __future__ import annotations

from netpolc.analysis.explain.flow import explain, explain_all
from netpolc.analysis.explain.model import Explanation, Side

__all__ = ["Explanation", "Side", "explain", "explain_all"]
