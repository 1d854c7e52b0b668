"""Record batches to what policies say of each record.

Comes in: batches of `schema.SCHEMA`. Goes out: a `RecordOutcome` a row. Both ends are judged, as
`netpolc.evaluate` does. A record that is known to be a reply is not judged: policies are asked for
the first packet of a connection. Of one that may be a reply both readings are tried, and nothing is
guessed. A pod that the snapshot has no address of is judged by what policies know of it by name. A
record that cannot be judged says why.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from itertools import product
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from netpolc.backends.matcher import ALLOW, INVALID, Matcher
from netpolc.core.ir import Direction
from netpolc.core.program import Program
from netpolc.flows.columns import Rows, filled, which
from netpolc.flows.distinct import DistinctFlows, distinct_flows
from netpolc.flows.ends import (
    IPV4,
    IPV6,
    POD,
    SEVERAL,
    UNPLACED,
    EndColumn,
    EndNames,
    EndReader,
    LoggedEnd,
)
from netpolc.flows.schema import FATES, SIDES
from netpolc.flows.unplaced import MeantEnd, UnplacedFlows
from netpolc.flows.values import WITH_PORTS

Codes = NDArray[np.uint8]
NO_PROTOCOL, NO_PORT = "no protocol", "no port"
TWO_FAMILIES = "ends of two address families"
NO_FLOW = "no flow that a packet could be"
BY_ADDRESS = "a pod without an address in the snapshot, where its name does not decide"


_UNKNOWN = 7
"""Beside the codes of the matcher and the outcomes: the snapshot does not tell."""


class RecordOutcome(IntEnum):
    """What policies say of a record."""

    DENY = 0
    ALLOW = 1
    FAR = 2
    """Denied, and by the other end than the one where the record was made: that it was forwarded
    there is no contradiction."""
    REPLY = 3
    """A reply, which belongs to a connection: not judged."""
    UNCLEAR = 4
    """Denied as a request and allowed as a reply, and the log does not say which it is."""
    UNJUDGED = 5
    """What names no flow, or no end that is known: `problem` says why."""
    NO_POD = 6
    """Neither end is a pod: no policy is about it."""


class Judged(NamedTuple):
    """The ends of rows or flows, an outcome each, the same for other policies if there are some."""

    source: EndColumn
    destination: EndColumn
    outcomes: Codes
    others: Codes | None
    problems: dict[str, int]
    """Why records are UNJUDGED: how many of each."""

    def of_rows(self, flows: DistinctFlows) -> Judged:
        """What was judged of each flow, for each row."""
        source, destination = (
            EndColumn(side.ends, side.of_row[flows.of_row])
            for side in (self.source, self.destination)
        )
        others = None if self.others is None else self.others[flows.of_row]
        return Judged(source, destination, self.outcomes[flows.of_row], others, self.problems)


class RecordJudge:
    """Batches to outcomes by one program, and by another one with the same pods if it is given."""

    def __init__(
        self, program: Program, other: Program | None = None, names: EndNames | None = None
    ) -> None:
        self._program = program
        self.ends = EndReader(program, names)
        self._policies = _Policies(program)
        self._other = None if other is None else _Policies(other)
        self._ends: dict[Direction, _Policies] = {}

    def judged(self, batch: pa.RecordBatch) -> Judged:
        """The outcomes of a batch, a row after the other."""
        flows = distinct_flows(batch)
        return self.judged_flows(flows.taken(batch), flows.counts).of_rows(flows)

    def judged_flows(self, batch: pa.RecordBatch, records: Rows) -> Judged:
        """The outcomes of distinct flows, each of which so many records have."""
        source = self.ends.column(batch["src"], batch["src_pod"])
        destination = self.ends.column(batch["dst"], batch["dst_pod"])
        problem, names = _problems(batch, source, destination)
        flows = _Flows(batch, source, destination)
        is_reply = pc.fill_null(batch["is_reply"], False).to_numpy(zero_copy_only=False)
        problem[is_reply] = 0
        may_reply = batch["is_reply"].is_null().to_numpy(zero_copy_only=False)

        no_pod = (source.marks | destination.marks) & POD == 0

        def outcomes(policies: _Policies) -> Codes:
            found: Codes = flows.codes(policies)
            found[(found == INVALID) & (problem == 0)] = RecordOutcome.UNJUDGED
            denied = np.flatnonzero((found == RecordOutcome.DENY) & may_reply & (problem == 0))
            replies = flows.reversed_codes(policies, denied)
            found[denied[replies == ALLOW]] = RecordOutcome.UNCLEAR
            found[denied[replies == _UNKNOWN]] = _UNKNOWN
            found[no_pod] = RecordOutcome.NO_POD
            found[problem > 0] = RecordOutcome.UNJUDGED
            found[is_reply] = RecordOutcome.REPLY
            return found

        own = outcomes(self._policies)
        self._tell_far_ends(batch, flows, own)
        others = None if self._other is None else outcomes(self._other)
        unknown = own == _UNKNOWN
        if others is not None:
            unknown |= others == _UNKNOWN  # nobody knows what the change makes of it
            others[unknown] = RecordOutcome.UNJUDGED
        own[unknown] = RecordOutcome.UNJUDGED
        counts = {name: int(records[problem == at].sum()) for at, name in enumerate(names, start=1)}
        counts |= {BY_ADDRESS: int(records[unknown].sum())}
        strange = int(records[own == RecordOutcome.UNJUDGED].sum()) - sum(counts.values())
        counts |= {NO_FLOW: strange}
        problems = {name: count for name, count in counts.items() if count}
        return Judged(source, destination, own, others, problems)

    def _tell_far_ends(self, batch: pa.RecordBatch, flows: _Flows, outcomes: Codes) -> None:
        """DENY becomes FAR where the end that saw the packet forwarded allows it."""
        forwarded = (outcomes == RecordOutcome.DENY) & (which(batch["verdict"], FATES) == 1)
        side = which(batch["direction"], SIDES)
        for number, direction in enumerate((Direction.EGRESS, Direction.INGRESS), start=1):
            seen = forwarded & (side == number)
            if seen.any():
                allowed = flows.codes(self._of_one_end(direction)) == ALLOW
                outcomes[seen & allowed] = RecordOutcome.FAR

    def _of_one_end(self, direction: Direction) -> _Policies:
        """What the policies of one end alone say."""
        if direction not in self._ends:
            own = [one for one in self._program.combinations if one.direction is direction]
            program = replace(self._program, combinations=tuple(own), tried=())
            self._ends[direction] = _Policies(program)
        return self._ends[direction]


class _Policies:
    """A program as it answers for addresses, and for pods that have none."""

    def __init__(self, program: Program) -> None:
        self.matcher, self._unplaced = Matcher(program), UnplacedFlows(program)

    def by_name(
        self, source: MeantEnd, destination: MeantEnd, protocol: int | None, port: int | None
    ) -> int:
        """The code of a flow with a pod without address."""
        if protocol is None or (port is None and protocol in WITH_PORTS):
            return int(INVALID)
        port = port if protocol in WITH_PORTS else None
        try:
            allowed = self._unplaced.answer(source, destination, protocol, port)
        except ValueError:  # no such protocol or port
            return int(INVALID)
        return _UNKNOWN if allowed is None else int(allowed)


class _Flows:
    """The rows of a batch as flows between addresses."""

    def __init__(self, batch: pa.RecordBatch, source: EndColumn, destination: EndColumn) -> None:
        self._batch, self._source, self._destination = batch, source, destination
        self._columns = {
            "src": source.addresses(),
            "dst": destination.addresses(),
            "protocol": batch["protocol"],
            "port": batch["port"],
            "src_port": batch["src_port"],
        }
        marks = source.marks | destination.marks
        is_known = (source.marks > 0) & (destination.marks > 0)
        self._unplaced: NDArray[np.bool_] = (marks & UNPLACED > 0) & is_known
        self._several: NDArray[np.bool_] = (marks & (SEVERAL | UNPLACED)) == SEVERAL

    def codes(self, policies: _Policies) -> Codes:
        """The code of each row, as a request."""
        found = policies.matcher.verdicts_arrow(pa.table(self._columns))
        for row in np.flatnonzero(self._several).tolist():
            found[row] = self._code(policies.matcher, self.of(row))
        for row in np.flatnonzero(self._unplaced).tolist():
            found[row] = policies.by_name(*self._meant(row), *self._service(row, "port"))
        return found

    def reversed_codes(self, policies: _Policies, rows: NDArray[np.int64]) -> Codes:
        """The codes of some rows as replies: of the flows that they would be replies to."""
        matcher = policies.matcher
        table = pa.table(self._columns).take(pa.array(rows))
        found = matcher.verdicts_arrow(table, ("dst", "src", "protocol", "src_port"))
        for at in np.flatnonzero(self._unplaced[rows]).tolist():
            row = int(rows[at])
            ends = self._meant(row)[::-1]
            found[at] = policies.by_name(*ends, *self._service(row, "src_port"))
        for at in np.flatnonzero(self._several[rows]).tolist():
            row = int(rows[at])
            port = self._batch["src_port"][row].as_py()
            flows = [(end, start, protocol, port) for start, end, protocol, _ in self.of(row)]
            found[at] = self._code(matcher, flows)
        return found

    def of(self, row: int) -> list[tuple[str, str, int, int | None]]:
        """One flow for each pair of addresses of one family."""
        ends = (self._end(side, row).addresses for side in (self._source, self._destination))
        protocol, port = self._batch["protocol"][row].as_py(), self._batch["port"][row].as_py()
        return [
            (start, end, protocol, port)
            for start, end in product(*ends)
            if (":" in start) == (":" in end)
        ]

    def _meant(self, row: int) -> tuple[MeantEnd, MeantEnd]:
        return self._end(self._source, row).meant, self._end(self._destination, row).meant

    def _service(self, row: int, port: str) -> tuple[int | None, int | None]:
        return self._batch["protocol"][row].as_py(), self._batch[port][row].as_py()

    @staticmethod
    def _code(matcher: Matcher, flows: list[tuple[str, str, int, int | None]]) -> int:
        """Between pods that are known by name: allowed if it is between all pairs of addresses."""
        if not flows:
            return int(INVALID)
        _, _, protocol, port = flows[0]
        if protocol is None or (port is None and protocol in WITH_PORTS):
            return int(INVALID)
        return int(all(matcher.verdict(*flow) for flow in flows))

    @staticmethod
    def _end(side: EndColumn, row: int) -> LoggedEnd:
        return side.ends[int(side.of_row[row])]


def _problems(
    batch: pa.RecordBatch, source: EndColumn, destination: EndColumn
) -> tuple[NDArray[np.int64], list[str]]:
    """For each row 0, or the number (from 1 on) of the reason why it cannot be judged."""
    found = np.zeros(len(batch), dtype=np.int64)
    names: list[str] = []

    def add(name: str, rows: NDArray[np.bool_]) -> None:
        rows = rows & (found == 0)
        if rows.any():
            if name not in names:
                names.append(name)
            found[rows] = names.index(name) + 1

    given = batch["problem"]
    words = tuple(word for word in given.dictionary.to_pylist() if word is not None)
    told = which(given, ("", *words))
    for number, word in enumerate(words, start=1):
        add(word, told == number)
    for side in (source, destination):
        for problem, rows in side.problems():
            add(problem, rows)
    protocol = filled(batch["protocol"], -1)
    add(NO_PROTOCOL, protocol == -1)
    if batch["port"].null_count:
        no_port = batch["port"].is_null().to_numpy(zero_copy_only=False)
        add(NO_PORT, no_port & np.isin(protocol, list(WITH_PORTS)))
    add(TWO_FAMILIES, source.marks & destination.marks & (IPV4 | IPV6) == 0)
    return found, names
