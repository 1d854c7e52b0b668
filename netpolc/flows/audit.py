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
from numpy.typing import NDArray

from netpolc.core.program import Program
from netpolc.flows.distinct import DistinctFlows, distinct_flows
from netpolc.flows.ends import EndNames
from netpolc.flows.judging import Judged, RecordJudge, RecordOutcome
from netpolc.flows.schema import DROPPED, EGRESS, FORWARDED, INGRESS

MOST_GROUPS = 200_000
NO_TIME = "no time, where a span of time is asked for"
_OTHER_PORTS = -2
_NO_PORT = -1
_VERDICTS = ("", FORWARDED, DROPPED)
_SIDES = ("", EGRESS, INGRESS)
_KEYS = ("source", "destination", "protocol", "port", "outcome", "other", "verdict", "side")
_SUMS = [
    ("row", "min"),
    ("records", "sum"),
    ("packets", "sum"),
    ("bytes", "sum"),
    ("first", "min"),
    ("last", "max"),
]
_UNGROUPED = (RecordOutcome.UNJUDGED, RecordOutcome.REPLY, RecordOutcome.NO_POD)
"""Outcomes that are counted, and belong to no group."""
_NEVER = 99
"""The outcome by another program, where there is none."""


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
    """One flow of a group."""

    source: str
    destination: str
    protocol: int
    port: int | None


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
    """A batch, its flows, and what was judged of each of them."""

    batch: pa.RecordBatch
    flows: DistinctFlows
    judged: Judged

    def of_flows(self, column: str) -> pa.Array:
        """What a column that tells flows apart has for each of them."""
        return self.batch[column].take(pa.array(self.flows.first))

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
        self._groups: dict[tuple[int, ...], FlowGroup] = {}
        self.totals = Totals()

    def add(self, batch: pa.RecordBatch) -> AuditedBatch | None:
        """Judge a batch and add it to the sums; what of it lies in the span, None if nothing."""
        self.totals.records += len(batch)
        self._watch_times(batch)
        batch = self._in_span(batch)
        if not len(batch):
            return None
        flows = distinct_flows(batch)
        found = AuditedBatch(batch, flows, self._judge.judged_flows(batch, flows))
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
        times = batch["ts"].drop_null().cast(pa.int64()).to_numpy()
        if not len(times):
            return
        self.totals.first = _least(self.totals.first, int(times.min()))
        self.totals.last = _most(self.totals.last, int(times.max()))

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
        totals = self.totals
        totals.problems.update(found.judged.problems)
        records = np.zeros(len(RecordOutcome), dtype=np.int64)
        np.add.at(records, found.judged.outcomes, found.flows.counts)
        for outcome in RecordOutcome:
            if records[outcome]:
                totals.outcomes[outcome] += int(records[outcome])
        made = np.zeros(len(_SIDES), dtype=np.int64)
        np.add.at(made, _numbered(found.of_flows("direction"), _SIDES), found.flows.counts)
        for number, side in enumerate(_SIDES):
            if side:
                totals.sides[side] += int(made[number])

    def _fold(self, found_batch: AuditedBatch) -> None:
        batch, flows, judged = found_batch
        kept = np.flatnonzero(~np.isin(judged.outcomes, _UNGROUPED))
        others = judged.others
        first, last = flows.span(batch["ts"].cast(pa.int64()))
        none = np.full(len(flows.first), _NEVER, np.uint8)
        table = pa.table(
            {
                "source": judged.source.party(),
                "destination": judged.destination.party(),
                "protocol": found_batch.of_flows("protocol"),
                "port": pc.fill_null(found_batch.of_flows("port"), _NO_PORT),
                "outcome": judged.outcomes,
                "other": none if others is None else others,
                "verdict": _numbered(found_batch.of_flows("verdict"), _VERDICTS),
                "side": _numbered(found_batch.of_flows("direction"), _SIDES),
                "records": flows.counts,
                "packets": flows.sums(batch["packets"]),
                "bytes": flows.sums(batch["bytes"]),
                "first": first,
                "last": last,
                "row": flows.first,
            }
        )
        found = table.take(pa.array(kept)).group_by(list(_KEYS), use_threads=False).aggregate(_SUMS)
        for row in found.to_pylist():
            self._add(row, found_batch)

    def _add(self, row: dict[str, Any], found: AuditedBatch) -> None:
        key = tuple(row[name] for name in _KEYS)
        if key not in self._groups and len(self._groups) >= MOST_GROUPS:
            row["port"] = _OTHER_PORTS
            key = tuple(row[name] for name in _KEYS)
        if (group := self._groups.get(key)) is None:
            group = self._groups[key] = self._begun(row, found)
        group.records += row["records_sum"]
        group.packets = _sum(group.packets, row["packets_sum"])
        group.bytes = _sum(group.bytes, row["bytes_sum"])
        group.first = _least(group.first, row["first_min"])
        group.last = _most(group.last, row["last_max"])

    def _begun(self, row: dict[str, Any], found: AuditedBatch) -> FlowGroup:
        at = row["row_min"]  # the sample is the first record
        flow = found.flows.of_row[at]
        ends = [
            side.ends[int(side.of_row[flow])].addresses
            for side in (found.judged.source, found.judged.destination)
        ]
        pair = next((a, b) for a in ends[0] for b in ends[1] if (":" in a) == (":" in b))
        port = found.batch["port"][at].as_py()
        names = self._judge.ends.parties
        return FlowGroup(
            names[row["source"]],
            names[row["destination"]],
            row["protocol"],
            row["port"] if row["port"] >= 0 else None,
            RecordOutcome(row["outcome"]),
            RecordOutcome(row["other"]) if self._has_other else None,
            _VERDICTS[row["verdict"]],
            _SIDES[row["side"]],
            Sample(*pair, row["protocol"], port),
            is_summed=row["port"] == _OTHER_PORTS,
        )


def _numbered(column: pa.DictionaryArray, words: tuple[str, ...]) -> NDArray[np.int64]:
    """The number of each word; what is null, or none of them, has 0."""
    found = pc.index_in(column.dictionary, pa.array(words)).take(column.indices)
    numbers: NDArray[np.int64] = pc.fill_null(found, 0).to_numpy().astype(np.int64)
    return numbers


def _sum(one: int | None, other: int | Decimal | None) -> int | None:
    return one if other is None else (one or 0) + int(other)


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _most(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
