"""A log of any format to record batches of `schema.SCHEMA`.

Comes in: a source. Goes out: batches; what is no flow goes to the notes. Refused (`LogError`): what
`telling` refuses, and damage unless reading shall go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

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
    for batch in _batches(stream, source.name, notes, form):
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
