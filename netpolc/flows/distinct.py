"""The distinct flows of a batch, so that each is judged once, and what its records sum up to.

Comes in: a batch of `schema.SCHEMA`. Goes out: `DistinctFlows`. Two records are of one flow here
when no column that judging looks at tells them apart: of the source's port only what may be a reply
depends. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from netpolc.flows.columns import Rows, filled, indices, without_gaps

_COLUMNS = ("src", "dst", "src_pod", "dst_pod", "protocol", "port", "direction", "is_reply",
            "verdict", "problem")  # fmt: skip
JUDGED = (*_COLUMNS, "src_port")
"""Columns that judging looks at."""
_LARGEST = (1 << 63) - 1
_DIGITS = 38
"""Of decimal128."""
_MOST = 1 << 62
"""Keys stay below, and are numbered anew before they would not."""
_FEW = 256
"""Values of a column that may have gaps."""


class DistinctFlows(NamedTuple):
    """The first row of each flow, the number of the flow of each row, the records of each flow."""

    first: Rows
    of_row: Rows
    counts: Rows

    def taken(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The flows, a row each: the columns of a batch that judging looks at."""
        rows = pa.array(self.first)
        columns = [
            own.slice(0, len(rows)) if own.null_count == len(own) else own.take(rows)
            for own in map(batch.column, JUDGED)
        ]
        return pa.RecordBatch.from_arrays(columns, list(JUDGED))

    def merged(self, groups: DistinctFlows) -> DistinctFlows:
        """The same of groups of flows: a row of `groups` is a flow here."""
        count = len(groups.first)
        first = np.full(count, len(self.of_row))
        np.minimum.at(first, groups.of_row, self.first)
        counts = np.zeros(count, dtype=np.int64)
        np.add.at(counts, groups.of_row, self.counts)
        return DistinctFlows(first, groups.of_row[self.of_row], counts)

    def sums(self, column: pa.Array) -> pa.Array:
        """The sum of each in a column of int64, as decimals where it may not fit; null where all
        its records are.
        """
        if column.null_count == len(column):
            return pa.nulls(len(self.first), pa.int64())
        fits = pc.max(column).as_py() * len(column) <= _LARGEST
        totals = np.zeros(len(self.first), dtype=np.int64 if fits else object)
        np.add.at(totals, self.of_row, filled(column, 0))
        kind = pa.int64() if fits else pa.decimal128(_DIGITS)
        return pa.array(totals, kind, mask=self._absent(column))

    def span(self, column: pa.Array) -> tuple[pa.Array, pa.Array]:
        """The least and the largest of each in a column of int64; null where all records are."""
        if column.null_count == len(column):
            return (pa.nulls(len(self.first), pa.int64()),) * 2
        limits = np.iinfo(np.int64)
        least = np.full(len(self.first), limits.max)
        largest = np.full(len(self.first), limits.min)
        np.minimum.at(least, self.of_row, filled(column, limits.max))
        np.maximum.at(largest, self.of_row, filled(column, limits.min))
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
    digits = [_digits(batch[name]) for name in _COLUMNS]
    return _distinct([*digits, _reply_ports(batch)], len(batch))


def distinct_rows(columns: Iterable[NDArray[Any]], rows: int) -> DistinctFlows:
    """Rows that no column of integers tells apart, of which there is one at least."""
    return _distinct((_spread(own, int(own.min()), int(own.max())) for own in columns), rows)


def _distinct(digits: Iterable[tuple[Any, int]], rows: int) -> DistinctFlows:
    """Each column is a digit of a number: those of equal rows are equal."""
    key, size = np.zeros(rows, dtype=np.int64), 1
    for own, radix in digits:
        if radix == 1:
            continue
        if size * radix >= _MOST:
            key, size = _renumbered(key, size)
        key *= radix
        key += own
        size *= radix
    found = without_gaps(key, size)
    return DistinctFlows(found.first, found.of_row, found.counts)


def _renumbered(key: Rows, size: int) -> tuple[Rows, int]:
    found = without_gaps(key, size)
    return found.of_row, len(found.first)


def _digits(column: pa.Array) -> tuple[Any, int]:
    """A column as numbers from 0 on, and how many there are; null is one of them."""
    if column.null_count == len(column):
        return np.zeros(0, dtype=np.int64), 1
    if pa.types.is_dictionary(column.type):
        words = len(column.dictionary)
        return indices(column), words + bool(column.null_count)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    limits = pc.min_max(column).as_py()
    most = limits["max"] + bool(column.null_count)
    return _spread(filled(column, most), limits["min"], most)


def _spread(values: Any, least: int, most: int) -> tuple[Any, int]:
    """Integers from the least to the most one as numbers from 0 on, without large gaps."""
    radix = most - least + 1
    if radix == 1:
        return np.zeros(0, dtype=np.int64), 1
    found = np.subtract(values, least, dtype=np.int64)
    return _renumbered(found, radix) if radix > _FEW else (found, radix)


def _reply_ports(batch: pa.RecordBatch) -> tuple[Any, int]:
    """The source's port of records that may be replies."""
    is_request = pc.equal(batch["is_reply"], False)
    if is_request.true_count == len(batch):
        return np.zeros(0, dtype=np.int64), 1
    return _digits(pc.if_else(pc.fill_null(is_request, False), None, batch["src_port"]))
