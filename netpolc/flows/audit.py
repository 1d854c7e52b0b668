"""What policies say of the traffic that a log shows: summed up by workloads, port and verdicts.

Comes in: record batches, and a Program (with another one: what a change would make of the same
traffic). Goes out: `FlowGroup`s with counts and an example each, and how many records there were of
what kind. Memory is flat in the length of the log: beyond `MOST_GROUPS` ports are summed up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from netpolc.core.program import Program
from netpolc.core.semantics import Flow
from netpolc.flows.columns import filled, which
from netpolc.flows.distinct import DistinctFlows, distinct_flows, distinct_rows
from netpolc.flows.ends import EndNames
from netpolc.flows.judging import Judged, RecordJudge, RecordOutcome
from netpolc.flows.schema import DROPPED, FATES, FORWARDED, SIDES
from netpolc.flows.unplaced import example_flow

MOST_GROUPS = 200_000
NO_TIME = "no time, where a span of time is asked for"
_OTHER_PORTS = -2
_NO_PORT = _NO_PROTOCOL = -1
_UNGROUPED = (RecordOutcome.UNJUDGED, RecordOutcome.REPLY, RecordOutcome.NO_POD)
"""Outcomes that are counted, and belong to no group."""
_NEVER = 99
"""The outcome by another program, where there is none."""


class _Key(NamedTuple):
    """What tells groups apart, as numbers."""

    source: int
    destination: int
    protocol: int
    port: int
    outcome: int
    other: int
    verdict: int
    side: int


class _Sums(NamedTuple):
    """What the records of a group in a batch come to; `row` is that of the first."""

    row: int
    records: int
    packets: int | Decimal | None
    bytes: int | Decimal | None
    first: int | None
    last: int | None


class Disagreement(StrEnum):
    """Where the log and the policies disagree."""

    LEAK = "denied, yet forwarded"
    LOSS = "allowed, yet dropped"


class Shift(StrEnum):
    """What becomes of an observed flow when policies change."""

    CUT = "cut"
    OPENED = "opened"
    UNCLEAR = "unclear"
    """One of its two readings, as a request and as a reply, changes."""


_DENIED = {RecordOutcome.FAR: RecordOutcome.DENY}
_CHANGES = {
    (RecordOutcome.ALLOW, RecordOutcome.DENY): Shift.CUT,
    (RecordOutcome.UNCLEAR, RecordOutcome.DENY): Shift.CUT,
    (RecordOutcome.DENY, RecordOutcome.ALLOW): Shift.OPENED,
    (RecordOutcome.ALLOW, RecordOutcome.UNCLEAR): Shift.UNCLEAR,
    (RecordOutcome.DENY, RecordOutcome.UNCLEAR): Shift.UNCLEAR,
}


class Sample(NamedTuple):
    """One flow of a group; an end is an address, or the name of a pod without any."""

    source: str
    destination: str
    protocol: int
    port: int | None

    def flow(self, program: Program) -> Flow:
        """As a program judges it."""
        return example_flow(program, *self)


@dataclass(slots=True)
class FlowGroup:
    """The records between two parties on one port that came out alike.

    `verdict` is what the log says (forwarded, dropped, or nothing), `side` at whose end the records
    were made (egress: the source's), `other` the outcome by the other policies. Times are
    microseconds since 1970, None where the log has none. `port` is None where there are none, and
    where there were too many to tell them apart (`is_summed`).
    """

    source: str
    destination: str
    protocol: int
    port: int | None
    outcome: RecordOutcome
    other: RecordOutcome | None
    verdict: str
    side: str
    sample: Sample
    is_summed: bool = False
    records: int = 0
    packets: int | None = None
    bytes: int | None = None
    first: int | None = None
    last: int | None = None

    @property
    def disagreement(self) -> Disagreement | None:
        """Whether log and policies disagree."""
        if self.outcome is RecordOutcome.DENY and self.verdict == FORWARDED:
            return Disagreement.LEAK
        if self.outcome is RecordOutcome.ALLOW and self.verdict == DROPPED:
            return Disagreement.LOSS
        return None

    @property
    def shift(self) -> Shift | None:
        """What the other policies would make of it."""
        if self.other is None or self.verdict == DROPPED:  # it did not get through before
            return None
        return _CHANGES.get((_DENIED.get(self.outcome, self.outcome), self.other))


@dataclass(slots=True)
class Totals:
    """How many records there were of what kind; `first` and `last` are the times of the log."""

    records: int = 0
    outside_span: int = 0
    outcomes: Counter[RecordOutcome] = field(default_factory=Counter)
    sides: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None


class AuditedBatch(NamedTuple):
    """A batch, its flows, their rows, and what was judged of each of them."""

    batch: pa.RecordBatch
    flows: DistinctFlows
    rows: pa.RecordBatch
    judged: Judged

    def by_row(self) -> Judged:
        """What was judged, for each row of the batch."""
        return self.judged.of_rows(self.flows)


class Audit:
    """Takes in batches, and has their sums."""

    def __init__(
        self,
        program: Program,
        other: Program | None = None,
        since: int | None = None,
        until: int | None = None,
        names: EndNames | None = None,
    ) -> None:
        """Records from `since` on and before `until` (microseconds since 1970) are judged; `names`
        are those of the parties, workloads if there are none.
        """
        self._judge = RecordJudge(program, other, names)
        self._has_other = other is not None
        self._since, self._until = since, until
        self._groups: dict[_Key, FlowGroup] = {}
        self.totals = Totals()

    def add(self, batch: pa.RecordBatch) -> AuditedBatch | None:
        """Judge a batch and add it to the sums; what of it lies in the span, None if nothing."""
        self.totals.records += len(batch)
        self._watch_times(batch)
        batch = self._in_span(batch)
        if not len(batch):
            return None
        flows = distinct_flows(batch)
        rows = flows.taken(batch)
        judged = self._judge.judged_flows(rows, flows.counts)
        found = AuditedBatch(batch, flows, rows, judged)
        self._count(found)
        self._fold(found)
        return found

    def groups(self) -> list[FlowGroup]:
        """Findings first, then what is denied, then the rest; of each the most records first."""

        def rank(group: FlowGroup) -> tuple[Any, ...]:
            finding = [Disagreement.LEAK, Disagreement.LOSS, None].index(group.disagreement)
            denied = group.outcome not in (RecordOutcome.DENY, RecordOutcome.FAR)
            ends = group.source, group.destination, group.protocol, group.port or 0
            return finding, denied, -group.records, *ends, group.outcome, group.verdict, group.side

        return sorted(self._groups.values(), key=rank)

    def _watch_times(self, batch: pa.RecordBatch) -> None:
        limits = pc.min_max(batch["ts"].cast(pa.int64())).as_py()
        self.totals.first = _least(self.totals.first, limits["min"])
        self.totals.last = _most(self.totals.last, limits["max"])

    def _in_span(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self._since is None and self._until is None:
            return batch
        times = batch["ts"].cast(pa.int64())
        inside = pa.array([True] * len(batch))
        if self._since is not None:
            inside = pc.and_kleene(inside, pc.greater_equal(times, self._since))
        if self._until is not None:
            inside = pc.and_kleene(inside, pc.less(times, self._until))
        kept = batch.filter(pc.fill_null(inside, False))
        untimed = times.null_count
        self.totals.outside_span += len(batch) - len(kept) - untimed
        if untimed:
            self.totals.problems[NO_TIME] += untimed
            self.totals.outcomes[RecordOutcome.UNJUDGED] += untimed
        return kept

    def _count(self, found: AuditedBatch) -> None:
        totals, counts = self.totals, found.flows.counts
        totals.problems.update(found.judged.problems)
        records = np.zeros(len(RecordOutcome), dtype=np.int64)
        np.add.at(records, found.judged.outcomes, counts)
        for outcome in RecordOutcome:
            if records[outcome]:
                totals.outcomes[outcome] += int(records[outcome])
        made = np.zeros(len(SIDES), dtype=np.int64)
        np.add.at(made, which(found.rows["direction"], SIDES), counts)
        for number, side in enumerate(SIDES):
            if side:
                totals.sides[side] += int(made[number])

    def _fold(self, found: AuditedBatch) -> None:
        """The flows to groups; several of them may come out alike."""
        batch, flows, rows, judged = found
        others = judged.others
        keys = (
            judged.source.party,
            judged.destination.party,
            filled(rows["protocol"], _NO_PROTOCOL),
            filled(rows["port"], _NO_PORT),
            judged.outcomes,
            np.full(len(flows.first), _NEVER) if others is None else others,
            which(rows["verdict"], FATES),
            which(rows["direction"], SIDES),
        )
        alike = distinct_rows(keys, len(flows.first))
        groups = flows.merged(alike)
        columns = (
            groups.first.tolist(),
            groups.counts.tolist(),
            groups.sums(batch["packets"]).to_pylist(),
            groups.sums(batch["bytes"]).to_pylist(),
            *(own.to_pylist() for own in groups.span(batch["ts"].cast(pa.int64()))),
        )
        found_keys = map(_Key, *(own[alike.first].tolist() for own in keys))
        for sums, key in sorted(zip(map(_Sums, *columns), found_keys, strict=True)):
            if key.outcome not in _UNGROUPED:
                self._add(key, sums, found)

    def _add(self, key: _Key, sums: _Sums, found: AuditedBatch) -> None:
        if key not in self._groups and len(self._groups) >= MOST_GROUPS:
            key = key._replace(port=_OTHER_PORTS)
        if (group := self._groups.get(key)) is None:
            group = self._groups[key] = self._begun(key, sums.row, found)
        group.records += sums.records
        group.packets = _sum(group.packets, sums.packets)
        group.bytes = _sum(group.bytes, sums.bytes)
        group.first = _least(group.first, sums.first)
        group.last = _most(group.last, sums.last)

    def _begun(self, key: _Key, row: int, found: AuditedBatch) -> FlowGroup:
        flow = found.flows.of_row[row]  # the sample is the first record
        ends = [
            side.end(side.of_row[flow]).examples
            for side in (found.judged.source, found.judged.destination)
        ]
        pair = next(
            (a, b)
            for a in ends[0]
            for b in ends[1]
            if "/" in a or "/" in b or (":" in a) == (":" in b)
        )
        names = self._judge.ends.parties
        return FlowGroup(
            names[key.source],
            names[key.destination],
            key.protocol,
            key.port if key.port >= 0 else None,
            RecordOutcome(key.outcome),
            RecordOutcome(key.other) if self._has_other else None,
            FATES[key.verdict],
            SIDES[key.side],
            Sample(*pair, key.protocol, found.batch["port"][row].as_py()),
            is_summed=key.port == _OTHER_PORTS,
        )


def _sum(one: int | None, other: int | Decimal | None) -> int | None:
    return one if other is None else (one or 0) + int(other)


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _most(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
