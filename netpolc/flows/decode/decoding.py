"""A log of any format to record batches of `schema.SCHEMA`.

Comes in: a source. Goes out: batches; what is no flow goes to the notes. Refused (`LogError`): what
`telling` refuses, and damage unless reading shall go on.

Verdicts do not depend on the order of records, and exports have none: what a service delivers or an
engine, a query or a tool writes (VPC, GKE, Parquet, Arrow, CSV, JSON lines) is rows as they came,
of several files and nodes one behind the other. That they are not in order is told. A log that a
program appends to as packets pass is another matter: records of one reporter are late by as long as
they are collected, and one that is more than an hour older than one before it says that a clock was
set back, or that logs of different times were put together, so that the span of time that an audit
tells of is not what was observed. That is damage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from netpolc.flows._columns import late_rows
from netpolc.flows.columns import Rows, indices
from netpolc.flows.decode import calico, hubble, vpc
from netpolc.flows.decode.columnar import arrow_batches, parquet_batches
from netpolc.flows.decode.lines import HAS_SCANNERS, Told, keep_memory, numbered_lines
from netpolc.flows.decode.netfilter import conntrack, kernel, ulogd
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
_APPENDED = frozenset({hubble.NAME, calico.NAME, conntrack.NAME, ulogd.NAME, kernel.NAME})
"""Formats of logs whose records are in the order in which they were written."""
_MOST_BACK = 3_600_000_000
"""Microseconds: an hour, the longest time over which such logs are collected in no order."""
_MANY = 1 << 18
"""Reporters whose latest time is remembered."""
_NEVER = int(np.iinfo(np.int64).min)


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
    """The same of a source that is opened already, and whose format is known.

    From then on malloc (glibc's) of this process keeps up to 64 MiB that are free, for the next
    block: to give pages back and take them again can cost as much as scanning does.
    """
    keep_memory()
    order = _TimeOrder(source.name, notes, form in _APPENDED)
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

    def __init__(self, name: str, notes: LogNotes, is_appended: bool) -> None:
        self._name, self._notes, self._is_appended = name, notes, is_appended
        self._records, self._before = 0, _NEVER
        self._latest: dict[str | None, int] = {}

    def look(self, batch: pa.RecordBatch) -> None:
        """At the times of a batch; `LogError` as of damage."""
        given = batch["ts"].cast(pa.int64())
        if given.null_count < len(batch):
            rows = np.flatnonzero(given.is_valid()) if given.null_count else None
            times = given.drop_null().to_numpy()
            is_back = times[1:] < times[:-1]
            if times[0] < self._before or is_back.any():
                back = np.flatnonzero(np.append(times[0] < self._before, is_back))
                kind = "a record is older than the one before it"
                self._notes.note(kind, self._place(back[0], rows), len(back))
            self._before = int(times[-1])
            if self._is_appended:
                self._look_for_late(times, batch["reporter"], rows)
        self._records += len(batch)

    def _look_for_late(self, times: Rows, given: pa.DictionaryArray, rows: Rows | None) -> None:
        if len(self._latest) >= _MANY:
            self._latest.clear()
        words = [*given.dictionary.to_pylist(), None]
        places = {word: place for place, word in enumerate(words)}  # of words that come twice: one
        reporters = np.array([places[word] for word in words], dtype=np.int64)[indices(given)]
        latest = np.array([self._latest.get(word, _NEVER) for word in words], dtype=np.int64)
        first, count = late_rows(
            times, reporters if rows is None else reporters[rows], latest, _MOST_BACK
        )
        self._latest.update(zip(words, latest.tolist(), strict=True))
        if count:
            kind = "a record is more than an hour older than one before it of the same reporter"
            self._notes.damage(kind, self._place(first, rows), count=count)

    def _place(self, at: int, rows: Rows | None) -> str:
        row = int(at if rows is None else rows[at])
        return f"{self._name}: record {self._records + row + 1}"
