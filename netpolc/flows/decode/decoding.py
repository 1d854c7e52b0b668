"""A log of any format to record batches of `schema.SCHEMA`.

Comes in: a source. Goes out: batches; what is no flow goes to the notes. Refused (`LogError`): what
`telling` refuses, and damage unless reading shall go on.

Verdicts do not depend on the order of records, and records of several nodes, of intervals that
overlap and of files that are collected by the hour are seldom in order: that is told. A record that
is more than an hour older than one before it of the same reporter is another matter: a clock was
set back, or logs of different times were put together, and the span of time that an audit tells of
is not what was observed. That is damage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from netpolc.flows.decode import hubble, vpc
from netpolc.flows.decode.columnar import arrow_batches, parquet_batches
from netpolc.flows.decode.lines import HAS_SCANNERS, Told, numbered_lines
from netpolc.flows.decode.telling import ARROW, LINES, PARQUET, opened_log
from netpolc.flows.notes import LogError, LogNotes
from netpolc.flows.schema import SCHEMA, batches
from netpolc.flows.sources import LogSource, Stream, blocks

_SCANNED: dict[str, Callable[[Iterable[bytes], Told], Iterator[pa.RecordBatch]]] = {
    hubble.NAME: hubble.hubble_batches,
    vpc.NAME: vpc.vpc_batches,
}
"""Formats of lines that are also read faster, where the scanners are built."""
_COLUMNAR: dict[str, Callable[[Stream, str, LogNotes], Iterator[pa.RecordBatch]]] = {
    PARQUET: parquet_batches,
    ARROW: arrow_batches,
}
_MOST_BACK = 3_600_000_000
"""Microseconds: an hour, the longest time over which logs are collected in no order."""
_MANY = 1 << 18
"""Reporters whose latest time is remembered."""
_NEVER = int(np.iinfo(np.int64).min)

_Times = NDArray[np.int64]


def decoded_batches(
    source: LogSource, notes: LogNotes, form: str | None = None
) -> Iterator[pa.RecordBatch]:
    """The records of a log as batches; `form` is one of `FORMATS`, None where its content tells."""
    try:
        with opened_log(source, form) as (stream, found):
            yield from stream_batches(stream, source, notes, found)
    except LogError as error:
        notes.give_up(error, source.name)


def stream_batches(
    stream: Stream, source: LogSource, notes: LogNotes, form: str
) -> Iterator[pa.RecordBatch]:
    """The same of a source that is opened already, and whose format is known."""
    order = _TimeOrder(source.name, notes)
    for batch in _batches(stream, source.name, notes, form):
        order.look(batch)
        yield _partitioned(batch, source)


def _batches(stream: Stream, name: str, notes: LogNotes, form: str) -> Iterator[pa.RecordBatch]:
    if form in _COLUMNAR:
        return _COLUMNAR[form](stream, name, notes)
    told = Told(name, notes)
    if HAS_SCANNERS and form in _SCANNED:
        return _SCANNED[form](blocks(stream), told)
    return batches(LINES[form](numbered_lines(blocks(stream), told), told))


def _partitioned(batch: pa.RecordBatch, source: LogSource) -> pa.RecordBatch:
    """What the folders of a source are called, in columns that the log itself leaves empty."""
    for name, value in source.partition.items():
        if name in SCHEMA.names and batch.column(name).null_count == len(batch):
            kind = SCHEMA.field(name).type
            try:
                column = pa.array([value] * len(batch), pa.string()).cast(kind)
            except pa.ArrowException as error:
                raise LogError(f"{source.name}: folder {name}={value}: {error}") from None
            batch = batch.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)
    return batch


class _TimeOrder:
    """Looks at the batches of one log."""

    def __init__(self, name: str, notes: LogNotes) -> None:
        self._name, self._notes = name, notes
        self._records, self._before = 0, _NEVER
        self._latest: dict[str | None, int] = {}

    def look(self, batch: pa.RecordBatch) -> None:
        """At the times of a batch; `LogError` as of damage."""
        given = batch["ts"]
        if given.null_count < len(batch):
            rows = np.flatnonzero(given.is_valid().to_numpy(zero_copy_only=False))
            times = given.drop_null().cast(pa.int64()).to_numpy()
            back = np.flatnonzero(times < np.append(self._before, times[:-1]))
            self._before = int(times[-1])
            if len(back):
                kind = "a record is older than the one before it"
                self._notes.note(kind, self._place(rows[back[0]]), len(back))
            late = self._late(times, batch["reporter"].take(pa.array(rows)))
            if len(late):
                kind = "a record is more than an hour older than one before it of the same reporter"
                self._notes.damage(kind, self._place(rows[late[0]]), count=len(late))
        self._records += len(batch)

    def _place(self, row: int) -> str:
        return f"{self._name}: record {self._records + int(row) + 1}"

    def _late(self, times: _Times, reporters: pa.DictionaryArray) -> _Times:
        """The rows that are too old, in order."""
        if len(self._latest) >= _MANY:
            self._latest.clear()
        words = [*reporters.dictionary.to_pylist(), None]
        of_row = reporters.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)
        latest = np.array([self._latest.get(word, _NEVER) for word in words], dtype=np.int64)
        newest = np.maximum(np.maximum.accumulate(times), latest.max())
        found = np.flatnonzero(newest - times > _MOST_BACK)
        if len(found):
            found = _late_of_each(times, of_row, latest)
        np.maximum.at(latest, of_row, times)
        self._latest.update(zip(words, latest.tolist(), strict=True))
        return found


def _late_of_each(times: _Times, of_row: _Times, latest: _Times) -> _Times:
    """All reporters at once, however many there are: the newest time so far of each as its rank
    among the times, counted on from that of the reporter before.
    """
    order = np.argsort(of_row, kind="stable")
    reporters = of_row[order].astype(np.int64)
    distinct, rank = np.unique(times[order], return_inverse=True)
    newest = np.maximum.accumulate(reporters * len(distinct) + rank) % len(distinct)
    newest = np.maximum(distinct[newest], latest[reporters])
    return np.sort(order[newest - times[order] > _MOST_BACK])
