"""Findings: what is allowed by the API and most likely not what its author meant.

Comes in: a `Snapshot` and its `Program`, or the diagnostics of one that was refused. Goes out:
`Finding` values in order of place. Adding a check is one module with `CODES` and `check`, and one
entry here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from netpolc.analysis.findings import (
    blocks,
    coverage,
    directions,
    isolation,
    legacy,
    ordered,
    ports,
    reading,
    selectors,
    services,
)
from netpolc.analysis.findings.model import MANIFEST_ERROR, Check, Code, Finding, Level
from netpolc.analysis.findings.reading import unlisted
from netpolc.analysis.findings.view import Scope, View, guessed
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import Diagnostic
from netpolc.core.program import Program

__all__ = [
    "CATALOGUE",
    "MANIFEST_ERROR",
    "SCOPED",
    "Code",
    "Finding",
    "Level",
    "Scope",
    "check",
    "guessed",
    "refused",
    "unlisted",
]

_FAMILIES = (selectors, ports, coverage, directions, isolation, legacy, blocks, ordered, services)
CHECKS: tuple[Check, ...] = tuple(family.check for family in _FAMILIES)
CATALOGUE: dict[str, Code] = {
    code.code: code
    for code in sorted(
        (code for family in (reading, *_FAMILIES) for code in family.CODES),
        key=lambda code: code.code,
    )
}
"""Every code, in order."""
SCOPED = frozenset(("NP101", "NP102", "NP103"))
"""Codes that say that something is not there."""
_NUMBERS = re.compile(r"(\d+)")


def check(snapshot: Snapshot, program: Program, scope: Scope | None = None) -> list[Finding]:
    """Every finding that is not waived by the object it is about, in order of place; without a
    scope it is guessed.
    """
    view = View(snapshot, program, guessed(snapshot) if scope is None else scope)
    remarks = [remark for look in CHECKS for remark in look(view)]
    remarks.extend(reading.waivers(snapshot, CATALOGUE))
    remarks.extend(reading.without_namespace(snapshot))
    warnings = (own for own in snapshot.warnings if not reading.is_of_nodes(own, snapshot))
    findings = [reading.found(warning, CATALOGUE) for warning in warnings]
    findings.extend(r.finding(CATALOGUE[r.code].level) for r in remarks if r.code not in r.waived)
    return _ordered(findings)


def refused(diagnostics: Iterable[Diagnostic]) -> list[Finding]:
    """The same form for a snapshot that cannot be used."""
    return _ordered(reading.found(diagnostic, CATALOGUE) for diagnostic in diagnostics)


def _ordered(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda found: (_natural(found.place), found.code, found.message))


def _natural(place: str) -> list[tuple[bool, int, str]]:
    """Lines in order of their numbers: 9 before 10."""
    parts = _NUMBERS.split(place)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
