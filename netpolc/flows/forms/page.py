"""An audit as the HTML page of `list` and `diff`, with the traffic that was seen over the matrix.

Comes in: programs, before the log is read, as they say who is listed; then findings. Goes out: a
page. Where rules tell pods of a workload or addresses outside apart, each part has its own row, so
records are counted for these parties. Traffic of ends that are not listed is told, not shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from netpolc.analysis.connectivity import Table
from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.connectivity.parties import Party
from netpolc.analysis.report import SeenFlow, SeenTraffic, comparison, report
from netpolc.core.cluster import Pod
from netpolc.core.foreign import inert
from netpolc.core.program import Program
from netpolc.flows.audit import Disagreement, FlowGroup, Shift
from netpolc.flows.ends import EndNames
from netpolc.flows.forms.text import WORDS, Findings, connection_of, told

_ALARMS = (Disagreement.LEAK, Shift.CUT)


class ListedParties(EndNames):
    """Names of ends as the page lists them, and the page."""

    def __init__(self, program: Program, changed: Program | None = None) -> None:
        super().__init__(program)
        self._write: Callable[..., str]
        if changed is None:
            table = Table(program)
            sides: list[Sequence[Party]] = [table.parties]
            self._write = lambda title, seen: report(table, title, observed=seen)
        else:
            change = Difference(program, changed)
            sides = [[getattr(own, side) for own in change.pairs] for side in ("old", "new")]
            self._write = lambda title, seen: comparison(change, title, observed=seen)
        self._pods = {
            pod.key: party.name for parties in sides for party in parties for pod in party.pods
        }
        spans = sorted((*span, party.name) for party in sides[-1] for span in party.addresses)
        self._starts = [first for first, _, _ in spans]
        self._spans = spans
        self._numbers = {party.name: number for number, party in enumerate(sides[-1])}

    def of_pod(self, pod: Pod) -> str:
        """The part of a workload that it is in."""
        return self._pods.get(pod.key, super().of_pod(pod))

    def of_address(self, address: int) -> str:
        """The range that holds it."""
        at = bisect_right(self._starts, address) - 1
        if at >= 0 and address <= self._spans[at][1]:
            return self._spans[at][2]
        return super().of_address(address)

    def page(self, found: Findings, title: str) -> str:
        """The page, with what was seen."""
        listed = [group for group in found.groups if self._is_listed(group)]
        others = sum(group.records for group in found.groups) - sum(own.records for own in listed)
        about = list(told(found))
        if others:
            about.append(f"{others} records are of ends that are not listed here")
        flows = tuple(map(self._seen, listed))
        return self._write(title, SeenTraffic(tuple(map(inert, about)), flows))

    def _is_listed(self, group: FlowGroup) -> bool:
        return group.source in self._numbers and group.destination in self._numbers

    def _seen(self, group: FlowGroup) -> SeenFlow:
        finding = group.shift or group.disagreement
        return SeenFlow(
            self._numbers[group.source],
            self._numbers[group.destination],
            connection_of(group),
            group.records,
            WORDS[group.outcome],
            group.verdict,
            finding or "",
            finding in _ALARMS,
        )
