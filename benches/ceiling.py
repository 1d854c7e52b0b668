"""Nine independent loads a row: the fastest that table lookups can be on a machine.

In: a matcher in the pair form and columns of IPv4 flows, TCP and UDP. Out: a callable to time; it
loads the very cells that the matcher loads for these rows, from the matcher's own memory, and
stores a byte a row in a new array. The addresses are worked out beforehand, so no load waits for
another: what that costs is 36 bytes a row to read instead of 11. Refused: a matcher in the factored
form (`ValueError`), a machine without a C compiler (`OSError`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benches.built import library
from netpolc.backends.matcher import Matcher

_LEAF_MAX = np.uint32(1 << 31)
Cells = NDArray[Any]


def ceiling(matcher: Matcher, columns: tuple[NDArray[Any], ...]) -> Callable[[], object]:
    """The loads of one pass over source, destination, protocol and port."""
    if matcher.factored:
        raise ValueError("nine loads a row are those of the pair form")
    types = (("cells4", np.uint32), ("pairs", np.uint16), ("atoms", np.uint16), ("bits", np.uint32))
    views = matcher.tables()
    tables = [np.frombuffer(views[name], dtype=dtype) for name, dtype in types]
    at = np.ascontiguousarray(_cells(matcher, tables, columns), dtype=np.uint32)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (*tables, at)]
    loads = library(Path(__file__).with_name("ceiling.c")).nine_loads

    def run() -> object:
        out = np.empty(len(at), dtype=np.uint8)
        loads(*pointers, out.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(at)))
        return tables, at, out

    return run


def _cells(
    matcher: Matcher, tables: list[NDArray[Any]], columns: tuple[NDArray[Any], ...]
) -> NDArray[Any]:
    """(rows, 9): three cells of either end, then pair, atom and port set."""
    cells, pairs, atoms, _ = tables
    source, destination, protocol, port = columns
    class_mask = (1 << max(matcher.classes).bit_length()) - 1
    words = int(atoms.max()) // 32 + 1
    from_, to = _descent(cells, source), _descent(cells, destination)
    # Classes count from 1.
    row, column = ((cells[end[-1]] & class_mask).astype(np.int64) - 1 for end in (from_, to))
    pair = row * matcher.classes[0] + column
    at = port + (protocol == 17) * np.int64(1 << 16)
    allowed = pairs[pair].astype(np.int64) * words + atoms[at] // 32
    return np.stack([*from_, *to, pair, at, allowed], axis=1)


def _descent(cells: Cells, column: Cells) -> list[Cells]:
    """The cell on every level of the radix; the last one again where a leaf came early."""
    path: list[Cells] = [column >> 16]
    for shift in (8, 0):
        cell = cells[path[-1]]
        below = ((cell & ~_LEAF_MAX) << 8) + (column >> shift & 255)
        path.append(np.where(cell > _LEAF_MAX, below, path[-1]))
    return path
