"""Columns of batches as numbers that numpy computes with; what is null has a number of its own.

Comes in: columns of `schema.SCHEMA`. Goes out: arrays as long. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from netpolc.flows._columns import number_keys, read_ipv4

Rows = NDArray[np.int64]


def filled(column: pa.Array, value: int) -> Any:
    """Integers of any width, as they lie if none is null."""
    if column.null_count:
        column = column.cast(pa.int64()).fill_null(value)
    return column.to_numpy(zero_copy_only=False)


def indices(column: pa.DictionaryArray) -> Any:
    """The number of each row's word; nulls have the number after the last."""
    return filled(column.indices, len(column.dictionary))


def which(column: pa.DictionaryArray, words: Sequence[str]) -> Any:
    """The place of each row's word in a list; what is null, or none of them, has 0."""
    kind = np.min_scalar_type(len(words))
    if column.null_count == len(column):
        return np.zeros(len(column), kind)
    places = {word: place for place, word in enumerate(words)}
    numbers = [places.get(word, 0) for word in column.dictionary.to_pylist()]
    return np.array([*numbers, 0], kind)[indices(column)]


class Numbered(NamedTuple):
    """Keys as numbers without gaps, in the order in which they come: the number of each row, and
    of each number the first row and how many there are.
    """

    of_row: Rows
    first: Rows
    counts: Rows


def without_gaps(keys: Rows, size: int) -> Numbered:
    """Keys from 0 on, all below a size."""
    of_row, first, counts = (np.empty(len(keys), np.int64) for _ in range(3))
    count = number_keys(keys, size, of_row, first, counts)
    return Numbered(of_row, first[:count].copy(), counts[:count].copy())


def ipv4_numbers(words: pa.StringArray) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """The numbers of dotted addresses, and which words are some (none that is null)."""
    count = len(words)
    numbers, are_read = np.zeros(count, np.uint32), np.zeros(count, np.uint8)
    _, offsets, text = words.buffers()
    if count:
        places = np.frombuffer(offsets, np.int32)[words.offset : words.offset + count + 1]
        read_ipv4(places, np.frombuffer(text or b"", np.uint8), numbers, are_read)
    return numbers, are_read > 0
