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
from functools import cached_property
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
from netpolc.flows.distinct import DistinctFlows, distinct_flows, distinct_rows
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
from netpolc.flows.unplaced import UnplacedFlows
from netpolc.flows.values import WITH_PORTS

Codes = NDArray[np.uint8]
NO_PROTOCOL, NO_PORT = "no protocol", "no port"
TWO_FAMILIES = "ends of two address families"
NO_FLOW = "no flow that a packet could be"
BY_ADDRESS = "a pod without an address in the snapshot, where its name does not decide"
_UNKNOWN = 7
"""Beside the codes of the matcher and the outcomes: the snapshot does not tell."""
_NONE = -1
"""No protocol, or no port."""


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
        source, destination = (own.of_rows(flows.of_row) for own in (self.source, self.destination))
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
    """A program as it answers for addresses, and for pods that have several of them or none."""

    def __init__(self, program: Program) -> None:
        self.matcher, self._unplaced = Matcher(program), UnplacedFlows(program)

    @cached_property
    def _edges(self) -> Rows:
        return np.array(self._unplaced.port_edges, dtype=np.int64)

    def alike_ports(self, protocols: Rows, ports: Rows) -> Rows:
        """For each port the first of those that policies do not tell from it; -1 where there is no
        such port, or none at all.
        """
        found = np.full(len(ports), _NONE, dtype=np.int64)
        valid = np.isin(protocols, list(WITH_PORTS)) & (ports >= 0) & (ports < 1 << 16)
        line = protocols[valid] << 16 | ports[valid]
        found[valid] = self._edges[np.searchsorted(self._edges, line, "right") - 1] & 0xFFFF
        return found

    def code(self, source: LoggedEnd, destination: LoggedEnd, protocol: int, port: int) -> int:
        """The code of a flow between pods that are known by name: between all pairs of addresses,
        where they have some. -1 is no protocol, or no port.
        """
        service = protocol, None if port == _NONE else port
        if protocol == _NONE or (port == _NONE and protocol in WITH_PORTS):
            return int(INVALID)
        try:
            if source.pod or destination.pod:
                allowed = self._unplaced.answer(source.meant, destination.meant, *service)
                return _UNKNOWN if allowed is None else int(allowed)
            pairs = product(source.addresses, destination.addresses)
            alike = [own for own in pairs if (":" in own[0]) == (":" in own[1])]
            codes = [self.matcher.verdict(*own, *service) for own in alike]
        except ValueError:  # no such protocol
            return int(INVALID)
        return int(all(codes)) if codes else int(INVALID)


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
        self._is_named: NDArray[np.bool_] = (marks & (SEVERAL | UNPLACED) > 0) & is_known

    def codes(self, policies: _Policies) -> Codes:
        """The code of each row, as a request."""
        found: Codes = policies.matcher.verdicts_arrow(pa.table(self._columns))
        rows = np.flatnonzero(self._is_named)
        found[rows] = self._named(policies, rows, (self._source, self._destination), "port")
        return found

    def reversed_codes(self, policies: _Policies, rows: NDArray[np.int64]) -> Codes:
        """The codes of some rows as replies: of the flows that they would be replies to."""
        table = pa.table(self._columns).take(pa.array(rows))
        columns = ("dst", "src", "protocol", "src_port")
        found: Codes = policies.matcher.verdicts_arrow(table, columns)
        named = np.flatnonzero(self._is_named[rows])
        ends = self._destination, self._source
        found[named] = self._named(policies, rows[named], ends, "src_port")
        return found

    def _named(
        self, policies: _Policies, rows: Rows, ends: tuple[EndColumn, EndColumn], port: str
    ) -> Codes:
        """The codes of rows between pods that are known by name: each combination once, and of
        ports one for all that policies do not tell apart.
        """
        if not len(rows):
            return np.zeros(0, dtype=np.uint8)
        source, destination = ends
        protocols, ports = (
            filled(self._batch[own], _NONE)[rows].astype(np.int64) for own in ("protocol", port)
        )
        ports = policies.alike_ports(protocols, ports)
        keys = (source.of_row[rows], destination.of_row[rows], protocols, ports)
        alike = distinct_rows(keys, len(rows))
        asked = zip(*(own[alike.first].tolist() for own in keys), strict=True)
        codes = [
            policies.code(source.end(start), destination.end(end), protocol, own)
            for start, end, protocol, own in asked
        ]
        return np.array(codes, dtype=np.uint8)[alike.of_row]


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
    protocol = filled(batch["protocol"], _NONE)
    add(NO_PROTOCOL, protocol == _NONE)
    if batch["port"].null_count:
        no_port = batch["port"].is_null().to_numpy(zero_copy_only=False)
        add(NO_PORT, no_port & np.isin(protocol, list(WITH_PORTS)))
    add(TWO_FAMILIES, source.marks & destination.marks & (IPV4 | IPV6) == 0)
    return found, names
