"""Judges expectations: every flow they are about goes through the matcher.

Comes in: a snapshot and its expectations. Goes out: a `Result` for each, with some of the flows
that came out otherwise and why. Refused: what `flows` refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from netpolc.analysis.expectations.flows import Expander, addressed
from netpolc.analysis.explain import explain
from netpolc.analysis.explain.bridged import on_a_bridge
from netpolc.analysis.explain.formats import brief
from netpolc.backends.matcher import ALLOW, Matcher
from netpolc.compiler import compile
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import UsageError
from netpolc.core.expectation import Demand, Expectation
from netpolc.core.nets import format_address, format_service
from netpolc.core.semantics import Flow

_BLOCK = 1 << 16
_SHOWN = 3
"""Failures of one expectation that are kept, one between two ends."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A flow that came out otherwise than expected, in words, and a line a direction of why."""

    flow: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an expectation: how many flows were judged, how many failed, and some."""

    expectation: Expectation
    judged: int
    failed: int
    failures: tuple[Failure, ...]
    notes: tuple[str, ...] = ()
    """What the kernel does otherwise on some networks, for the first such flows."""

    @property
    def passed(self) -> bool:
        """Whether every flow came out as expected."""
        return not self.failed


class ExpectationRunner:
    """The program and the matcher of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = addressed(snapshot)
        self._program = compile(self._snapshot)
        self._matcher = Matcher(self._program)
        self._expander = Expander(self._program)

    def result(self, expectation: Expectation) -> Result:
        """The result of one expectation; `UsageError` when it is about nobody."""
        wanted = expectation.demand is Demand.ALLOW
        judged = failed = 0
        failures: dict[str, Failure] = {}
        notes: dict[str, None] = {}
        flows = self._expander.flows(expectation)
        while block := list(islice(flows, _BLOCK)):
            judged += len(block)
            codes = self._codes([flow for _, _, flow in block])
            for (source, destination, flow), code in zip(block, codes, strict=True):
                if code == ALLOW and len(notes) < _SHOWN:
                    note = on_a_bridge(self._program, flow)
                    notes.update({note: None} if note is not None else {})
                if (code == ALLOW) is not wanted:
                    failed += 1
                    name = f"{source.name} -> {destination.name}"
                    if len(failures) < _SHOWN and name not in failures:
                        failures[name] = self._failure(name, flow)
        if not judged and expectation.demand in (Demand.ALLOW, Demand.DENY):
            text = "is about no flow: its ends are one pod, or have no address family in common"
            raise UsageError(f"{expectation.origin.place()}: {expectation.title}: {text}")
        return Result(expectation, judged, failed, tuple(failures.values()), tuple(notes))

    def _codes(self, flows: list[Flow]) -> list[int]:
        codes = self._matcher.verdicts(
            [format_address(flow.source) for flow in flows],
            [format_address(flow.destination) for flow in flows],
            [flow.protocol for flow in flows],
            [flow.port or 0 for flow in flows],
        )
        return [int(code) for code in codes]

    def _failure(self, ends: str, flow: Flow) -> Failure:
        explanation = explain(self._program, self._snapshot, flow)
        state = "allowed" if explanation.verdict.allowed else "denied"
        reasons = brief(explanation)
        text = f"{state}: {ends} {format_service(flow.protocol, flow.port)}"
        return Failure(text, tuple(reason.strip() for reason in reasons))
