"""The distinct flows of a batch, so that each is judged once, and what its records sum up to.

Comes in: a batch of `schema.SCHEMA`. Goes out: `DistinctFlows`. Two records are of one flow here
when no column that judging looks at tells them apart: of the source's port only what may be a reply
depends. Nothing is refused.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Rows = NDArray[np.int64]
_COLUMNS = ("src", "dst", "src_pod", "dst_pod", "protocol", "port", "direction", "is_reply",
            "verdict", "problem")  # fmt: skip
JUDGED = (*_COLUMNS, "src_port")
"""Columns that judging looks at."""
_LARGEST = (1 << 63) - 1
_DIGITS = 38
"""Of decimal128."""
_MOST = 1 << 62
"""Keys stay below, and are numbered anew before they would not."""
_TABLE = 8
"""Up to so many keys a row are numbered by a table of them, more by hashing."""
_FEW = 256
"""Values of a column that may have gaps."""


class DistinctFlows(NamedTuple):
    """The first row of each flow, the number of the flow of each row, the records of each flow."""

    first: Rows
    of_row: Rows
    counts: Rows

    def sums(self, column: pa.Array) -> pa.Array:
        """The sum of each in a column of int64, as decimals where it may not fit; null where all
        its records are.
        """
        if column.null_count == len(column):
            return pa.nulls(len(self.first), pa.int64())
        fits = pc.max(column).as_py() * len(column) <= _LARGEST
        totals = np.zeros(len(self.first), dtype=np.int64 if fits else object)
        np.add.at(totals, self.of_row, _filled(column, 0))
        kind = pa.int64() if fits else pa.decimal128(_DIGITS)
        return pa.array(totals, kind, mask=self._absent(column))

    def span(self, column: pa.Array) -> tuple[pa.Array, pa.Array]:
        """The least and the largest of each in a column of int64; null where all records are."""
        if column.null_count == len(column):
            return (pa.nulls(len(self.first), pa.int64()),) * 2
        limits = np.iinfo(np.int64)
        least = np.full(len(self.first), limits.max)
        largest = np.full(len(self.first), limits.min)
        np.minimum.at(least, self.of_row, _filled(column, limits.max))
        np.maximum.at(largest, self.of_row, _filled(column, limits.min))
        absent = self._absent(column)
        return pa.array(least, mask=absent), pa.array(largest, mask=absent)

    def _absent(self, column: pa.Array) -> NDArray[np.bool_] | None:
        if not column.null_count:
            return None
        absent = np.ones(len(self.first), dtype=bool)
        absent[self.of_row[column.is_valid().to_numpy(zero_copy_only=False)]] = False
        return absent


def distinct_flows(batch: pa.RecordBatch) -> DistinctFlows:
    """The flows of a batch."""
    key, size = np.zeros(len(batch), dtype=np.int64), 1
    digits = [_digits(batch[name]) for name in _COLUMNS]
    for own, radix in [*digits, _reply_ports(batch)]:
        if radix == 1:
            continue
        if size * radix >= _MOST:
            key, size = without_gaps(key, size)
        key *= radix
        key += own
        size *= radix
    of_row, count = without_gaps(key, size)
    first = np.empty(count, dtype=np.int64)
    first[of_row[::-1]] = np.arange(len(batch) - 1, -1, -1)  # of several the last is kept
    return DistinctFlows(first, of_row, np.bincount(of_row, minlength=count))


def _digits(column: pa.Array) -> tuple[Any, int]:
    """A column as numbers from 0 on, and how many there are; null is one of them."""
    if column.null_count == len(column):
        return np.zeros(0, dtype=np.int64), 1
    if pa.types.is_dictionary(column.type):
        words = len(column.dictionary)
        return _filled(column.indices, words), words + bool(column.null_count)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    limits = pc.min_max(column).as_py()
    least, radix = limits["min"], limits["max"] - limits["min"] + 1
    radix += bool(column.null_count)
    if radix == 1:
        return np.zeros(0, dtype=np.int64), 1
    found = np.subtract(_filled(column, limits["max"] + 1), least, dtype=np.int64)
    return without_gaps(found, radix) if radix > _FEW else (found, radix)


def _reply_ports(batch: pa.RecordBatch) -> tuple[Any, int]:
    """The source's port of records that may be replies."""
    is_request = pc.equal(batch["is_reply"], False)
    if is_request.true_count == len(batch):
        return np.zeros(0, dtype=np.int64), 1
    return _digits(pc.if_else(pc.fill_null(is_request, False), None, batch["src_port"]))


def _filled(column: pa.Array, value: int) -> Any:
    """Integers of any width, as they lie if none is null."""
    if column.null_count:
        column = column.cast(pa.int64()).fill_null(value)
    return column.to_numpy(zero_copy_only=False)


def without_gaps(key: Rows, size: int) -> tuple[Rows, int]:
    """Keys below a size as numbers without gaps, and how many they are."""
    if size > _TABLE * len(key):
        coded = pa.array(key).dictionary_encode()
        return _filled(coded.indices, 0).astype(np.int64), len(coded.dictionary)
    used = np.zeros(size, dtype=bool)
    used[key] = True
    numbers = np.cumsum(used) - 1
    return numbers[key], int(numbers[-1]) + 1
