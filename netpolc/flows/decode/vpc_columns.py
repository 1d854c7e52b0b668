"""Flow logs of AWS VPC as Parquet: columns of the same names and meanings as in text (`vpc`).

Comes in: a batch of a file. Goes out: a batch of `schema.SCHEMA`. Names have `_` or `-`, in any
case; columns are found by name, and one that is not there is null. Intervals without traffic and
those whose records were lost are told. Refused (`ValueError`): words and numbers that have no
meaning, as in text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from netpolc.flows.notes import LogNotes
from netpolc.flows.schema import EGRESS, INGRESS, SCHEMA
from netpolc.flows.values import NOTHING, WITH_PORTS, moment, verdict_of

_SYN, _SYN_ACK = 2, 18
_DIRECTIONS: Mapping[str, str | None] = {"ingress": INGRESS, "egress": EGRESS}
_LARGEST = {"protocol": 255, "srcport": 65_535, "dstport": 65_535}
NEEDED = ("srcaddr", "dstaddr", "protocol", "dstport")


def plain_name(name: str) -> str:
    """A column's name as text has it."""
    return name.lower().replace("_", "-")


def are_vpc(names: Sequence[str]) -> bool:
    """Whether columns are those of a flow log of VPC."""
    own = {plain_name(name) for name in names}
    return all(name in own or f"pkt-{name}" in own for name in NEEDED)


def vpc_batch(batch: pa.RecordBatch, place: str, notes: LogNotes) -> pa.RecordBatch:
    """The records of a batch; `place` is where it is."""
    batch = _with_traffic(batch, place, notes)
    given = _Given(batch)
    protocol = given.number("protocol")
    ported = pc.is_in(protocol, pa.array(sorted(WITH_PORTS), pa.int64()))
    flags = given.number("tcp-flags")
    began = pc.equal(pc.bit_wise_and(flags, _SYN), _SYN)
    replies = pc.equal(pc.bit_wise_and(flags, _SYN_ACK), _SYN_ACK)
    nothing = pa.scalar(None, pa.bool_())
    columns = {
        "ts": given.each("start", moment, pa.int64()),
        "src": pc.coalesce(given.text("pkt-srcaddr"), given.text("srcaddr")),
        "dst": pc.coalesce(given.text("pkt-dstaddr"), given.text("dstaddr")),
        "src_port": pc.if_else(ported, given.number("srcport"), None),
        "protocol": protocol,
        "port": pc.if_else(ported, given.number("dstport"), None),
        "direction": given.word("flow-direction", _DIRECTIONS.get),
        "is_reply": pc.if_else(pc.fill_null(began, False), replies, nothing),
        "verdict": given.word("action", verdict_of),
        "reporter": given.text("interface-id"),
        "packets": given.number("packets"),
        "bytes": given.number("bytes"),
    }
    return pa.RecordBatch.from_arrays(
        [_as(field, columns.get(field.name), len(batch)) for field in SCHEMA], schema=SCHEMA
    )


def _as(field: pa.Field, column: pa.Array | None, rows: int) -> pa.Array:
    if column is None:
        return pa.nulls(rows, field.type)
    if pa.types.is_dictionary(field.type):
        return column.dictionary_encode()
    return column.cast(field.type)


class _Given:
    """The columns of a batch by their plain names."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._rows = len(batch)
        names = [plain_name(name) for name in batch.schema.names]
        if len(set(names)) != len(names):
            raise ValueError("two columns have one name")
        self._columns = dict(zip(names, batch.columns, strict=True))

    def text(self, name: str) -> pa.Array:
        """Text; what stands for nothing is null."""
        column = self._columns.get(name)
        if column is None:
            return pa.nulls(self._rows, pa.string())
        text = column.cast(pa.string())
        return pc.if_else(pc.is_in(text, pa.array(NOTHING)), None, text)

    def number(self, name: str) -> pa.Array:
        """Whole numbers, also as text."""
        column = self._columns.get(name)
        if column is None:
            return pa.nulls(self._rows, pa.int64())
        found = (column if pa.types.is_integer(column.type) else self.text(name)).cast(pa.int64())
        least, most = pc.min_max(found).values()
        if least.is_valid and (least.as_py() < 0 or most.as_py() > _LARGEST.get(name, 1 << 62)):
            raise ValueError(f"column {name}: a number is out of range")
        return found

    def each(self, name: str, value: Callable[[str], object], kind: pa.DataType) -> pa.Array:
        """What becomes of each distinct text."""
        coded = self.text(name).dictionary_encode()
        return pa.array([value(own) for own in coded.dictionary.to_pylist()], kind).take(
            coded.indices
        )

    def word(self, name: str, value: Callable[[str], str | None]) -> pa.Array:
        """Words of our own for those of the log."""
        return self.each(name, value, pa.string())


def _with_traffic(batch: pa.RecordBatch, place: str, notes: LogNotes) -> pa.RecordBatch:
    """The rows whose log-status is OK; the others are told."""
    status = pc.fill_null(_Given(batch).text("log-status"), "OK")
    for row in pc.value_counts(status).to_pylist():
        word, count = row["values"], row["counts"]
        if word == "NODATA":
            notes.note("NODATA, an interval without traffic", place, count)
        elif word == "SKIPDATA":
            notes.lose("SKIPDATA, an interval whose records were lost", place, count)
        elif word != "OK":
            raise ValueError(f"unknown log-status {word[:40]!r}")
    return batch.filter(pc.equal(status, "OK"))
