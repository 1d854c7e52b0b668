"""Columns that a program has, brought to what the compiled half of the matcher reads.

Comes in: lists, NumPy arrays, columns of pandas, polars and Arrow, one value for all rows. Goes
out: addresses as a list or a buffer, protocols and ports as numbers with which of them are some.
Refused (`ValueError`): one value where a column is meant, tables, mappings. A row that holds
nothing (null, NaN, masked) is no flow; nothing is taken from what lies below a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
Column = NDArray[Any] | list[Any] | tuple[Any, ...] | memoryview | bytearray

NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
"""Protocols that have ports, by name."""
_TABLE = "a table and no column of it: verdicts_arrow takes tables"


def address_column(given: object, name: str) -> Column:
    """A column of addresses as the core takes it; arrays of objects and text become lists."""
    column = _column(given, name)
    if isinstance(column, np.ndarray):
        return column.tolist() if column.dtype.kind in "OUS" else np.ascontiguousarray(column)
    return column


def protocol_numbers(given: object, rows: int) -> tuple[Codes, NDArray[np.bool_] | None]:
    """Numbers, and which rows have one; None when all do."""
    given = _value(given)
    if isinstance(given, str | int | np.integer):
        number = _protocol_number(given)
        if number < 0:
            raise ValueError(f"unknown protocol {given!r}: TCP, UDP, SCTP or 0 to 255")
        return np.full(rows, number, dtype=np.uint8), None
    column = _numbers(_column(given, "protocol"), "OU", _protocol_number)
    return _narrow(column, np.dtype(np.uint8), rows)


def port_numbers(given: object, rows: int) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The same of ports; None is a flow without one."""
    given = _value(given)
    if given is None:
        return np.zeros(rows, dtype=np.uint16), np.zeros(rows, dtype=bool)
    if isinstance(given, int | np.integer):
        column = np.full(rows, _port_number(given))
    else:
        column = _numbers(_column(given, "port"), "O", _port_number)
    return _narrow(column, np.dtype(np.uint16), rows)


def column_names(given: object) -> tuple[str, ...]:
    """The names of four columns of a table."""
    if not isinstance(given, list | tuple):
        raise ValueError(f"columns: {given!r} is no list of names")
    if len(given) != 4 or not all(isinstance(name, str) for name in given):
        raise ValueError(f"columns: {given!r}: name the source, destination, protocol and port")
    return tuple(given)


def _value(given: object) -> object:
    """What an array without dimensions holds; anything else as it is."""
    return given[()] if isinstance(given, np.ndarray) and given.ndim == 0 else given


def _column(given: object, name: str) -> Column:
    """What is a column, as an array, a list or a buffer."""
    given = _value(given)
    if isinstance(given, np.ma.MaskedArray):
        return _array(given.tolist())  # None where it is masked
    if isinstance(given, np.ndarray):
        return _array(_whole(given)) if (given.dtype.kind, given.ndim) == ("f", 1) else given
    if isinstance(given, list | tuple | memoryview | bytearray):
        return given
    if isinstance(given, str | bytes):
        raise ValueError(f"{name}: one value and no column of them: give [{given!r}]")
    if not isinstance(given, Mapping | np.generic):
        if hasattr(given, "__array__"):
            column = np.asarray(given)
            if column.ndim != 1:
                raise ValueError(f"{name}: {_TABLE}")
            return _column(column, name)
        if isinstance(given, Sequence | Iterator):
            return list(given)
        if hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__"):
            raise ValueError(f"{name}: {_TABLE}")
    raise ValueError(f"{name}: {type(given).__name__} is no column: give a list or an array")


def _whole(column: NDArray[Any]) -> list[int | None]:
    """Numbers of a data frame, which become floats in a column where some are missing."""
    return [int(own) if own.is_integer() else None for own in column.tolist()]


def _array(items: Sequence[object]) -> NDArray[Any]:
    """Each item as it is: NumPy would turn a list of names and numbers into text."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _numbers(column: Column, kinds: str, number: Callable[[object], int]) -> NDArray[Any]:
    array = _array(column) if isinstance(column, list | tuple) else np.asarray(column)
    if array.dtype.kind not in kinds:
        return array
    return np.array([number(own) for own in array.tolist()], dtype=np.int32)


def _protocol_number(item: object) -> int:
    """-1 for what is no protocol."""
    if isinstance(item, str):
        return NUMBERS.get(item.upper(), -1)
    return _within(item, 255)


def _port_number(item: object) -> int:
    return _within(item, 65535)


def _within(item: object, most: int) -> int:
    """-1 for what is no number from 0 to `most`."""
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    if isinstance(item, bool) or not isinstance(item, int | np.integer):
        return -1
    return int(item) if 0 <= item <= most else -1


def _narrow(
    column: NDArray[Any], dtype: np.dtype[Any], rows: int
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """A column in a narrow type, and which rows fit it; None when all do."""
    if column.shape != (rows,):
        raise ValueError(f"columns of different lengths: {column.shape} and {rows} rows")
    if column.dtype == dtype:
        return np.ascontiguousarray(column), None
    if column.dtype.kind not in "iu":
        raise ValueError(f"a column of integers is expected, not of {column.dtype}")
    fits = (column >= 0) & (column <= np.iinfo(dtype).max)
    return column.astype(dtype), None if fits.all() else fits
