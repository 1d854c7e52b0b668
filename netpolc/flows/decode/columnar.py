"""Parquet and Arrow IPC (files and streams) with columns of our own names (`schema.SCHEMA`).

Columns are found by name and cast to the types of the schema; a column that is not there is null,
one of another name is counted. `protocol` may be a name, `src` and `dst` may be `namespace/pod`.
Refused: files without the columns that a flow has, values that do not fit their type (with the row
group or batch), and files that are cut.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from netpolc.flows.decode.jsonlines import unknown_names
from netpolc.flows.decode.telling import ARROW, PARQUET
from netpolc.flows.decode.vpc import NAME as VPC
from netpolc.flows.decode.vpc import ROLES
from netpolc.flows.decode.vpc_columns import are_vpc, plain_name, vpc_batch
from netpolc.flows.notes import LogError, LogNotes
from netpolc.flows.schema import SCHEMA
from netpolc.flows.sources import Stream, Tailed
from netpolc.flows.values import VERDICTS, protocol_number

ROWS = 1 << 17
"""Of a batch: what a batch costs is spread over more than where records are read one by one."""
_FILE = b"ARROW1"
_END = b"\xff\xff\xff\xff\0\0\0\0"
_BROKEN = (pa.ArrowException, OSError, ValueError, MemoryError)
"""What Arrow makes of damaged files: of names that are no text, of sizes that nobody has."""
_NEEDED = (("src", "src_pod"), ("dst", "dst_pod"), ("protocol",), ("port",))


def parquet_batches(source: Stream, name: str, notes: LogNotes) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, a row group after the other."""
    if not source.seekable():
        raise LogError(f"{name}: Parquet has its index at its end: give a file that is not packed")
    try:
        schema = pq.ParquetFile(source).schema_arrow
        if are_vpc(schema.names):
            meant = {plain_name(own) for own in schema.names} & set(ROLES)
            notes.check_columns(VPC, meant, name)
            yield from _vpc_batches(source, name, notes)
            return
        names = _checked(schema, name, PARQUET, notes)
        texts = (own for own in names if _is_text(schema.field(own).type))
        coded = [own for own in texts if _is_coded(SCHEMA.field(own))]
        source.seek(0)
        file = pq.ParquetFile(source, read_dictionary=coded)
        for group in range(file.num_row_groups):
            place = f"{name}: row group {group}"
            for batch in file.iter_batches(ROWS, row_groups=[group], columns=names):
                yield _in_schema(batch, place, notes)
    except _BROKEN as error:
        raise LogError(f"{name}: no Parquet file, or one that is cut: {_first(error)}") from None


def _vpc_batches(source: Stream, name: str, notes: LogNotes) -> Iterator[pa.RecordBatch]:
    source.seek(0)
    file = pq.ParquetFile(source)
    for group in range(file.num_row_groups):
        place = f"{name}: row group {group}"
        for batch in file.iter_batches(ROWS, row_groups=[group]):
            batch.validate(full=True)
            try:
                yield vpc_batch(batch, place, notes)
            except (pa.ArrowException, ValueError) as error:
                raise LogError(f"{place}: {_first(error)}") from None


def arrow_batches(source: Stream, name: str, notes: LogNotes) -> Iterator[pa.RecordBatch]:
    """The rows of an Arrow IPC file or stream, a record batch after the other."""
    try:
        for number, batch in enumerate(_opened(source)):
            if number == 0:
                _checked(batch.schema, name, ARROW, notes)
            for first in range(0, len(batch), ROWS):
                yield _in_schema(batch.slice(first, ROWS), f"{name}: batch {number}", notes)
    except _BROKEN as error:
        raise LogError(f"{name}: no Arrow IPC, or one that is cut: {_first(error)}") from None


def _opened(source: Stream) -> Iterator[pa.RecordBatch]:
    if source.seekable():
        begin = source.read(len(_FILE))
        source.seek(0)
        if begin == _FILE:
            file = pa.ipc.open_file(source)
            return (file.get_batch(number) for number in range(file.num_record_batches))
    return _to_its_end(Tailed(source, len(_END)))


def _to_its_end(source: Tailed) -> Iterator[pa.RecordBatch]:
    """Arrow takes a stream that is cut between two batches for one that has ended."""
    yield from pa.ipc.open_stream(pa.PythonFile(source, mode="r"))
    if source.last != _END:
        raise OSError("the stream has no mark at its end")


def _checked(schema: pa.Schema, name: str, form: str, notes: LogNotes) -> list[str]:
    """The columns that have a meaning."""
    missing = [own[0] for own in _NEEDED if not set(own) & set(schema.names)]
    if missing:
        raise LogError(f"{name}: no column {', '.join(missing)} (names in lower case)")
    if len(set(schema.names)) != len(schema.names):
        raise LogError(f"{name}: two columns have one name")
    for unknown in unknown_names(schema.names):
        notes.note(f"column {unknown} has no meaning here", name)
    meant = [column for column in schema.names if column in SCHEMA.names]
    notes.check_columns(form, meant, name)
    return meant


def _in_schema(batch: pa.RecordBatch, place: str, notes: LogNotes) -> pa.RecordBatch:
    batch.validate(full=True)  # offsets and indices that lead elsewhere, text that is no UTF-8
    columns = {}
    for field in SCHEMA:
        given = batch.column(field.name) if field.name in batch.schema.names else None
        try:
            columns[field.name] = _cast(given, field, len(batch))
        except (pa.ArrowException, ValueError) as error:
            raise LogError(f"{place}: column {field.name}: {_first(error)}") from None
    for end in ("src", "dst"):
        columns[end], columns[f"{end}_pod"] = _split(columns[end], columns[f"{end}_pod"])
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=SCHEMA)


def _cast(given: pa.Array | None, field: pa.Field, rows: int) -> pa.Array:
    if given is None:
        return pa.nulls(rows, field.type)
    if _is_coded(field):
        if given.type == field.type and not given.dictionary.null_count:
            return _canonical(given) if field.name == "verdict" else given
        text = _text(given)
        if field.name == "verdict":
            text = _mapped(text, lambda word: VERDICTS[word.lower()], pa.string())
        return text.dictionary_encode()
    if field.name == "protocol" and _is_text(given.type):
        return _mapped(_text(given), protocol_number, pa.int16())
    return given.cast(field.type)


def _canonical(given: pa.DictionaryArray) -> pa.DictionaryArray:
    """Our own words for those of the log."""
    words = _mapped(given.dictionary, lambda word: VERDICTS[word.lower()], pa.string())
    return pa.DictionaryArray.from_arrays(given.indices, words)


def _is_coded(field: pa.Field) -> bool:
    return bool(pa.types.is_dictionary(field.type))


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _text(given: pa.Array) -> pa.Array:
    if not _is_text(given.type) and not pa.types.is_null(given.type):
        raise ValueError(f"text is expected and no {given.type}")
    return given.cast(pa.string())


def _mapped(text: pa.Array, value: object, kind: pa.DataType) -> pa.Array:
    """Each distinct word once."""
    coded = text.dictionary_encode()
    try:
        values = [value(word) for word in coded.dictionary.to_pylist()]  # type: ignore[operator]
    except KeyError as error:
        raise ValueError(f"unknown word {error}") from None
    return pa.array(values, kind).take(coded.indices)


def _split(end: pa.Array, pod: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Names of pods that stand where addresses are expected go where names are."""
    if not pc.any(pc.match_substring(end.dictionary, "/")).as_py():
        return end, pod
    text = end.cast(pa.string())
    is_name = pc.fill_null(pc.match_substring(text, "/"), False)
    nothing = pa.nulls(len(text), pa.string())
    return (
        pc.if_else(is_name, nothing, text).dictionary_encode(),
        pc.if_else(is_name, text, pod.cast(pa.string())).dictionary_encode(),
    )


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
