"""Flow logs of every format, decoded to record batches of one schema (`schema.SCHEMA`).

Comes in: a source. Goes out: batches; what is no flow goes to the notes. The format is told by the
content of the log, unless it is named. Refused (`LogError`): a log of no known format, an empty
one, damage unless reading shall go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
import pyarrow as pa

from netpolc.flows.decode import calico, csv, gke, hubble, jsonlines, vpc
from netpolc.flows.decode.columnar import ARROW, MAGIC, PARQUET, arrow_batches, parquet_batches
from netpolc.flows.decode.lines import HAS_SCANNERS, Records, Told, numbered_lines
from netpolc.flows.decode.netfilter import conntrack, kernel, ulogd
from netpolc.flows.notes import LogError, LogNotes
from netpolc.flows.schema import SCHEMA, batches
from netpolc.flows.sources import LogSource, Stream, beginning, blocks

_OF_JSON = (hubble, gke, calico, ulogd, jsonlines)
_OF_TEXT = (vpc, conntrack, kernel, csv)
LINES: dict[str, Records] = {own.NAME: own.records for own in (*_OF_JSON, *_OF_TEXT)}
SCANNED: dict[str, Callable[[Iterable[bytes], Told], Iterator[pa.RecordBatch]]] = {
    hubble.NAME: hubble.hubble_batches,
    vpc.NAME: vpc.vpc_batches,
}
"""Formats of lines that are also read faster, where the scanners are built."""
COLUMNAR: dict[str, Callable[[Stream, str, LogNotes], Iterator[pa.RecordBatch]]] = {
    PARQUET: parquet_batches,
    ARROW: arrow_batches,
}
FORMATS = (*LINES, *COLUMNAR)
"""Their names, as `--format` takes them."""
_HEAD = 1 << 16
_TRIED = 20
"""Lines at the beginning that are looked at: the first ones may be of a rare kind."""
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decoded_batches(
    source: LogSource, notes: LogNotes, form: str | None = None
) -> Iterator[pa.RecordBatch]:
    """The records of a log as batches; `form` is one of `FORMATS`, None where its content tells."""
    try:
        with source.opened() as stream:
            try:
                head = beginning(stream, _HEAD)
            except OSError as error:
                raise LogError(f"{source.name}: it cannot be read to its end: {error}") from None
            if not head.strip():
                raise LogError(f"{source.name}: the log is empty")
            for batch in _batches(stream, source.name, notes, form or _told(head, source.name)):
                yield _partitioned(batch, source)
    except LogError as error:
        notes.give_up(error, source.name)


def _batches(stream: Stream, name: str, notes: LogNotes, form: str) -> Iterator[pa.RecordBatch]:
    if form in COLUMNAR:
        return COLUMNAR[form](stream, name, notes)
    told = Told(name, notes)
    if HAS_SCANNERS and form in SCANNED:
        return SCANNED[form](blocks(stream), told)
    return batches(LINES[form](numbered_lines(blocks(stream), told), told))


def _told(head: bytes, name: str) -> str:
    """The format of a log that begins so."""
    if (found := MAGIC.get(head[:4])) is not None:
        return found
    if b"\0" not in head:
        for line in head.split(b"\n")[:_TRIED]:
            if (named := _told_by_line(line.strip())) is not None:
                return named
    raise LogError(
        f"{name}: a log of no format that is known: --format names one of {', '.join(FORMATS)}"
    )


def _told_by_line(line: bytes) -> str | None:
    if line.startswith(b"{"):
        try:
            keys = _keys(line).keys()
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        return next((own.NAME for own in _OF_JSON for wanted in own.KEYS if wanted <= keys), None)
    text = line.decode("utf-8", "replace")
    try:
        return next((own.NAME for own in _OF_TEXT if own.detects(text)), None)
    except ValueError:
        return None


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
