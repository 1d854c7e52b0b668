"""What the two sides of a proof say of a packet, and how a difference is told.

Comes in: decisions of the policies, a `Trace`. Goes out: `Outcome` values, which can be compared,
and `Counterexample`, which people read. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netpolc.backends.nft.names import denied_set
from netpolc.backends.nft.readback.tracer import Link, Trace
from netpolc.core.errors import printable
from netpolc.core.nets import family
from netpolc.core.semantics import Decision, Flow, Reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a packet: whether it passes, and how it is counted (see `Trace`)."""

    passed: bool
    audits: int = 0
    counted: frozenset[str] = frozenset()
    lost: bool = False

    @property
    def verdict(self) -> str:
        """`allow` or `deny`."""
        return "allow" if self.passed else "deny"

    def __str__(self) -> str:
        counted = ", ".join(sorted(self.counted)) or "no pod"
        lost = ", as of no connection" if self.lost else ""
        return f"{self.verdict} (audits: {self.audits}, counted by: {counted}{lost})"


PASSES = Outcome(True)


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A packet that the two sides treat differently; `why` is what the policies' answer rests on.

    `details` tells connection state, hop limit and ICMPv6 type where they are not a new flow's.
    """

    flow: Flow
    details: str
    expected: Outcome
    why: str
    trace: Trace

    def __str__(self) -> str:
        details = f" ({self.details})" if self.details else ""
        expected, found = str(self.expected), str(outcome_of(self.trace))
        if self.expected.passed is not self.trace.passed:
            expected, found = self.expected.verdict, outcome_of(self.trace).verdict
        return (
            f"{self.flow}{details}\n"
            f"  policies  {expected:<5}  {printable(self.why)}\n"
            f"  ruleset   {found:<5}  {self.trace}"
        )


@dataclass(frozen=True, slots=True)
class AddressPair:
    """Two addresses; `local` when the node itself sends."""

    source: int
    destination: int
    local: bool


@dataclass(frozen=True, slots=True)
class JudgedFlow:
    """A flow, and by link the decisions on it that count (None: no local pod is at that end)."""

    ends: AddressPair
    flow: Flow
    scope: str
    decisions: Mapping[Link, tuple[Decision | None, ...]]

    def outcome(self, link: Link, audit: bool) -> Outcome:
        """What the policies say; with `audit` nothing is denied, and every denial counted."""
        audits, counted = 0, frozenset[str]()
        version = family(self.flow.source)
        for own in self.decisions[link]:
            if own is None or (own.allowed and not own.would_deny):
                continue
            reasons = {own.reason, own.tried.reason if own.tried else own.reason}
            if reasons.isdisjoint((Reason.UNKNOWN, Reason.PENDING)):
                counted |= {denied_set(own.direction, version)}
            if not own.allowed and not audit:
                return Outcome(False, audits, counted)
            audits += 1
        return Outcome(True, audits, counted)

    def why(self, link: Link) -> str:
        """What their answer rests on."""
        words = [_reason(own) for own in self.decisions[link] if own is not None]
        return "; ".join(words) or "no local pod"


def _reason(decision: Decision) -> str:
    by = f" {decision.rule.origin}" if decision.rule is not None else ""
    isolating = ""
    if decision.rule is None and decision.tier is not None:
        isolating = f" ({', '.join(map(str, decision.tier.policies))})"
    tried = f", with audited policies {_reason(decision.tried)}" if decision.tried else ""
    return f"{decision.direction}: {decision.reason.value}{by}{isolating}{tried}"


def outcome_of(trace: Trace) -> Outcome:
    """What became of a packet."""
    return Outcome(trace.passed, trace.audits, trace.counted, trace.lost)
