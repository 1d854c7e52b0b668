"""Rows that name their ends in any way, judged a block at a time.

Comes in: rows with the fields of a flow. Goes out: a verdict each, with the reason of an INVALID
one. What `flows_between` refuses is such a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from netpolc.backends.matcher import Matcher
from netpolc.core.ends import flows_between
from netpolc.core.errors import UsageError
from netpolc.core.nets import format_address
from netpolc.core.program import Program
from netpolc.core.semantics import evaluate
from netpolc.flows.rowwise.copying import CopiedRow, Fields
from netpolc.flows.rowwise.counts import ALLOWED, BAD, DENIED

_MANY_NAMES = 100_000
"""Flows between names of which the verdict is kept."""


class FieldsJudge:
    """Rows to verdicts, a block at a time."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._matcher = Matcher(program)
        self._pods: Mapping[str, tuple[str, ...]] = {
            pod.key: tuple(map(format_address, pod.addresses))
            for identity in program.identities
            for pod in identity.pods
            if pod.addresses
        }
        self._named: dict[tuple[object, ...], tuple[str, str]] = {}

    def verdicts(self, rows: list[CopiedRow]) -> Iterator[tuple[str, str]]:
        """The verdict of each row, with the reason of an INVALID one."""
        flows: list[Fields] = []
        ends, named = [], []
        for row in rows:
            is_named = row.fields is not None and self._is_named(row.fields)
            if row.fields is not None and not is_named:
                flows.extend(self._flows(row.fields))
            named.append(is_named)
            ends.append(len(flows))
        columns = [list(column) for column in zip(*flows, strict=True)] or [[], [], [], []]
        codes = self._matcher.verdicts(*columns).tolist()
        first = 0
        for row, end, is_named in zip(rows, ends, named, strict=True):
            own = codes[first:end]
            if row.fields is None:
                yield BAD, row.problem
            elif is_named:
                yield self._between_names(row.fields)
            elif not own:
                yield BAD, "the two pods have no address family in common"
            elif 2 in own:
                yield BAD, self._problem(flows[first + own.index(2)])
            else:
                yield (ALLOWED if all(own) else DENIED), ""
            first = end

    def _is_named(self, fields: Fields) -> bool:
        """Whether an end is neither an address nor a pod that has one."""
        return self._is_name(fields[0]) or self._is_name(fields[1])

    def _is_name(self, end: object) -> bool:
        if not isinstance(end, str) or not ("/" in end or end[:5] == "node:"):
            return False
        return end not in self._pods

    def _between_names(self, fields: Fields) -> tuple[str, str]:
        """The verdict between workloads, pods without address, Services and nodes."""
        source, destination, protocol, port = fields
        if not isinstance(protocol, str | int) or not isinstance(port, int | float | str | None):
            return BAD, f"protocol {protocol!r} or port {port!r} is none"
        asked = str(source), str(destination), protocol, port
        known = self._named.get(asked)
        if known is None:
            if len(self._named) >= _MANY_NAMES:
                self._named.clear()
            known = self._named[asked] = self._judged(*asked)
        return known

    def _judged(
        self, source: str, destination: str, protocol: str | int, port: float | str | None
    ) -> tuple[str, str]:
        number = int(port) if isinstance(port, float) and port.is_integer() else port
        if isinstance(number, float):
            return BAD, f"port {port!r} is no whole number"
        try:
            ends = self._program, source, destination
            flows = flows_between(*ends, protocol, number, hints=False)
        except (UsageError, ValueError) as error:
            return BAD, str(error)
        allowed = all(evaluate(self._program, flow).allowed for flow in flows)
        return (ALLOWED if allowed else DENIED), ""

    def _flows(self, fields: Fields) -> Iterable[Fields]:
        """A row between addresses is one flow, with a pod one for each pair of a family."""
        source, destination, protocol, port = fields
        sources = self._pods.get(source) if isinstance(source, str) else None
        destinations = self._pods.get(destination) if isinstance(destination, str) else None
        if sources is None and destinations is None:
            return (fields,)
        return [
            (start, end, protocol, port)
            for start in (sources if sources is not None else (source,))
            for end in (destinations if destinations is not None else (destination,))
            if (":" in str(start)) == (":" in str(end))
        ]

    def _problem(self, fields: Fields) -> str:
        """What the matcher says of it when it is asked alone."""
        source, destination, protocol, port = fields
        try:
            self._matcher.verdict(source, destination, protocol, port)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError) as error:
            return str(error)
        raise AssertionError(f"{fields} is invalid in a column and not alone")
