"""Arrow columns as engines hand them out, brought to what the compiled half of the matcher reads.

Comes in: batches whose addresses, protocols and ports are of types that it does not read itself:
fields inside of structs, run-end-encoded and binary columns, integers of any width for addresses,
text, floats, decimals and nulls for numbers. Goes out: batches of four plain columns, and for rows
without a verdict the reason. Each distinct value is looked at once. Needs pyarrow, which whoever
has such columns has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import IntEnum
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from netpolc.backends.matcher.columns import NUMBERS

NAMES: tuple[str, str, str, str] = ("src", "dst", "protocol", "port")
"""What the four columns are called here."""
_WITH_PORTS = frozenset(NUMBERS.values())
_PROTOCOLS = {**NUMBERS, "ICMP": 1, "ICMPV4": 1, "ICMP4": 1, "ICMPV6": 58, "ICMP6": 58}
_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_INVALID = 2
_NOTHING = pa.schema(zip(NAMES, (pa.string(), pa.string(), pa.int16(), pa.int32()), strict=True))


class InvalidReason(IntEnum):
    """Why a row has no verdict."""

    NONE = 0
    """It has one."""
    NULL = 1
    """An end, the protocol, or the port of a protocol that has ports is null."""
    ADDRESS = 2
    """What stands for an end is no address."""
    PROTOCOL = 3
    """An unknown name, or a number outside of 0 to 255."""
    PORT = 4
    """No whole number from 0 to 65535."""
    FAMILIES = 5
    """The ends are of two address families."""


def reader_of(source: Any) -> pa.RecordBatchReader:
    """The batches of anything in Arrow's form."""
    if hasattr(source, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(source)
    batch = pa.record_batch(source)
    return pa.RecordBatchReader.from_batches(batch.schema, [batch])


def plain_reader(source: Any, columns: tuple[str, ...]) -> pa.RecordBatchReader:
    """The batches of a source, each with four plain columns."""
    batches = (plain_batch(own, columns) for own in reader_of(source))
    first = next(batches, None)
    if first is None:
        return pa.RecordBatchReader.from_batches(_NOTHING, [])
    return pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))


def plain_batch(batch: pa.RecordBatch, columns: tuple[str, ...]) -> pa.RecordBatch:
    """One batch with four plain columns; `ValueError` for what pyarrow cannot read itself."""
    try:
        src, dst, protocol, port = (column_at(batch, name) for name in columns)
        arrays = [_addresses(src), _addresses(dst)]
        arrays.append(_numbers(protocol, _protocol, pa.int16()))
        arrays.append(_numbers(port, _port, pa.int32()))
    except NotImplementedError as error:
        raise ValueError(f"columns {', '.join(columns)}: {error}") from None
    return pa.RecordBatch.from_arrays(arrays, names=list(NAMES))


def column_at(batch: pa.RecordBatch, path: str) -> pa.Array:
    """A column by its name, or a field of a struct by its path, `l4.TCP.port`; `ValueError` where
    there is none, or more than one.
    """
    names = batch.schema.names
    if names.count(path) == 1:
        return _decoded(batch.column(names.index(path)))
    first, *inner = path.split(".")
    if names.count(first) != 1 or not inner:
        raise ValueError(f"{names.count(path)} columns are named {path!r}: {', '.join(names)}")
    found = _decoded(batch.column(names.index(first)))
    for name in inner:
        if not pa.types.is_struct(found.type) or found.type.get_field_index(name) < 0:
            raise ValueError(f"column {path!r}: there is no field {name!r} in {found.type}")
        found = _decoded(pc.struct_field(found, name))
    return found


def _decoded(column: pa.Array) -> pa.Array:
    return pc.run_end_decode(column) if pa.types.is_run_end_encoded(column.type) else column


def _is(kind: pa.DataType, checks: tuple[Callable[[pa.DataType], bool], ...]) -> bool:
    return any(check(kind) for check in checks)


def _addresses(column: pa.Array) -> pa.Array:
    """Text, dictionaries of it, uint32 and packed bytes as they are; integers as uint32."""
    kind = column.type
    if pa.types.is_dictionary(kind) and not _is(kind.value_type, _TEXT):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if _is(kind, _BINARY):  # text whose type does not say so; it need not be UTF-8
        options = pc.CastOptions(pa.string(), allow_invalid_utf8=True)
        return column.cast(pa.binary()).cast(options=options)
    if pa.types.is_integer(kind) and not pa.types.is_uint32(kind):
        return _mapped(column, _ipv4, pa.uint32())
    return column


def _numbers(column: pa.Array, number: Callable[[Any], int | None], kind: pa.DataType) -> pa.Array:
    given = column.type
    if pa.types.is_dictionary(given):
        column, given = column.dictionary_decode(), given.value_type
    if pa.types.is_null(given):
        return pa.nulls(len(column), kind)
    is_number = pa.types.is_integer(given) or pa.types.is_floating(given)
    if not (is_number or pa.types.is_decimal(given) or _is(given, _TEXT + _BINARY)):
        return column  # whoever reads it refuses the type by name
    if pa.types.is_float16(given):
        column = column.cast(pa.float32())
    elif _is(given, _BINARY + _TEXT):
        column = column.cast(pa.binary())
    return _mapped(column, number, kind)


def _mapped(column: pa.Array, value: Callable[[Any], int | None], kind: pa.DataType) -> pa.Array:
    coded = column.dictionary_encode()
    values = [None if own is None else value(own) for own in coded.dictionary.to_pylist()]
    return pa.array(values, kind).take(coded.indices)


def _ipv4(number: int) -> int | None:
    return number if 0 <= number < 1 << 32 else None


def _protocol(given: Any) -> int | None:
    name = given.decode("ascii", "replace").upper() if isinstance(given, bytes) else None
    return _PROTOCOLS[name] if name in _PROTOCOLS else _whole(given, 255)


def _port(given: Any) -> int | None:
    return _whole(given, 65_535)


def _whole(given: bytes | float | Decimal, most: int) -> int | None:
    if isinstance(given, bytes):
        if not given.isdigit() or len(given) > len(str(most)):
            return None
        given = int(given)
    if not 0 <= given <= most or given != int(given):  # NaN is in no range
        return None
    return int(given)


def reasons_of(
    matcher: Any, batch: pa.RecordBatch, columns: tuple[str, ...], codes: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """An `InvalidReason` for each row of a batch that has these codes."""
    found = np.zeros(len(batch), dtype=np.uint8)
    rows = np.flatnonzero(codes == _INVALID).tolist()
    if rows:
        given = [column_at(batch, name) for name in columns]
        read = plain_batch(batch, columns).columns
        for row in rows:
            values, numbers = (tuple(own[row].as_py() for own in side) for side in (given, read))
            found[row] = _reason(matcher, values, numbers)
    return found


def _reason(matcher: Any, given: tuple[Any, ...], read: tuple[Any, ...]) -> InvalidReason:
    src, dst, protocol, port = read
    if any(own is None for own in given[:3]):
        return InvalidReason.NULL
    if protocol is None:
        return InvalidReason.PROTOCOL
    if any(_family(matcher, own) is None for own in (src, dst)):
        return InvalidReason.ADDRESS
    if protocol in _WITH_PORTS and port is None:
        return InvalidReason.NULL if given[3] is None else InvalidReason.PORT
    return InvalidReason.FAMILIES


def _family(matcher: Any, address: Any) -> int | None:
    try:
        family: int = matcher.resolve(address)[0]
    except (TypeError, ValueError):
        return None
    return family


def with_reasons(
    matcher: Any, source: Any, columns: tuple[str, ...], judge: Callable[[pa.RecordBatch], Any]
) -> Iterator[NDArray[np.uint8]]:
    """Codes and reasons of each batch, as two columns; `judge` gives the codes of a plain one."""
    for batch in reader_of(source):
        codes = judge(plain_batch(batch, columns))
        yield np.stack([codes, reasons_of(matcher, batch, columns, codes)], axis=1)
