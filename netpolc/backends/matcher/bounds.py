"""Whether tables that came from elsewhere stay inside themselves.

In: numbers and buffers as `store` reads them. Out: nothing. Refused (`ValueError`, which names the
field): every number that the compiled code would take for an index and that leads outside of its
table, and tables in which a lookup would not end. What the tables say may still be wrong: whoever
can write the file decides what it answers, but not what memory is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHILD = 1 << 31
"""From here on a cell is no leaf: the rest is the number of a block or of a node."""
_ROOT_BLOCKS = 256
_PORT_CELLS = (3 << 16) + 1
_SINGLE = 16
"""The depth of a node without cells."""
_BLOCK = 64
_HOST = np.dtype([("hi", "=u8"), ("lo", "=u8"), ("entry", "=u4"), ("_", "=u4")])
_NODE = np.dtype(
    [
        *((name, "=u8") for name in ("hi", "lo", "mask_hi", "mask_lo")),
        ("outside", "=u4"),
        ("inside", "=u4"),
        ("depth", "u1"),
        ("_", "V7"),
    ]
)
_TYPES: dict[str, np.dtype[Any]] = {
    **dict.fromkeys(
        ("cells4", "cells6", "roles", "egress_index", "ingress_index"), np.dtype("=u4")
    ),
    **dict.fromkeys(("pairs", "egress_blocks", "ingress_blocks", "atoms"), np.dtype("=u2")),
    "bits": np.dtype("=u4"),
    "hosts6": _HOST,
    "nodes6": _NODE,
}
Cells = NDArray[np.uint32]


def check_bounds(numbers: Mapping[str, object], buffers: Mapping[str, Any]) -> None:
    """`ValueError` for tables that would be read outside of themselves."""
    for name, number in numbers.items():
        _require(type(number) is int and 0 <= number < 1 << 32, name)
    _Bounds({name: int(str(number)) for name, number in numbers.items()}, buffers).check()


def _require(holds: object, name: str) -> None:
    if not holds:
        raise ValueError(f"{name} is out of bounds")


class _Bounds:
    def __init__(self, numbers: Mapping[str, int], buffers: Mapping[str, Any]) -> None:
        self._numbers = numbers
        self._tables: dict[str, NDArray[Any]] = {}
        for name, kind in _TYPES.items():
            data = memoryview(buffers[name]).cast("B")
            _require(len(data) % kind.itemsize == 0, name)
            self._tables[name] = np.frombuffer(data, dtype=kind)

    def check(self) -> None:
        bits = self._numbers["class_bits"]
        _require(1 <= bits <= 31, "class_bits")
        for version in (4, 6):
            _require(1 <= self._numbers[f"classes{version}"] < 1 << bits, f"classes{version}")
        self._check_ports()
        if len(self._tables["roles"]) > 1:
            self._check_factored()
        else:
            squares = sum(self._numbers[name] ** 2 for name in ("classes4", "classes6"))
            _require(len(self._tables["pairs"]) == squares, "pairs")
            self._check_sets("pairs")
        self._check_radix4()
        self._check_radix6()

    def _check_ports(self) -> None:
        words = self._numbers["words"]
        atoms, bits = self._tables["atoms"], self._tables["bits"]
        _require(words >= 1, "words")
        _require(len(bits) and len(bits) % words == 0, "bits")
        _require(len(atoms) == _PORT_CELLS and atoms.max() < 32 * words, "atoms")

    def _check_sets(self, name: str) -> None:
        """Cells are numbers of port sets."""
        sets = len(self._tables["bits"]) // self._numbers["words"]
        _require(self._tables[name].max(initial=0) < sets, name)

    def _check_factored(self) -> None:
        roles = self._tables["roles"].astype(np.int64)
        classes = max(self._numbers["classes4"], self._numbers["classes6"])
        _require(len(roles) == 4 * (classes + 1), "roles")
        rows = roles.reshape(-1, 4)
        for name, row, column in (("egress", 0, 1), ("ingress", 2, 3)):
            index, blocks = self._tables[f"{name}_index"], self._tables[f"{name}_blocks"]
            last = rows[:, row].max() + rows[:, column].max() // _BLOCK
            _require(last < len(index), f"{name}_index")
            _require(len(blocks) % _BLOCK == 0, f"{name}_blocks")
            _require(index.max() < len(blocks) // _BLOCK, f"{name}_index")
            self._check_sets(f"{name}_blocks")

    def _check_leaves(self, leaves: Cells, version: int, name: str) -> None:
        """No cell leads on, and each has a class of its family; IPv4 may have none (0)."""
        classes = leaves & np.uint32((1 << self._numbers["class_bits"]) - 1)
        known = (classes >= 1) & (classes <= self._numbers[f"classes{version}"])
        if version == 4:
            known |= leaves == 0
        _require((leaves < _CHILD).all() and known.all(), name)

    def _check_radix4(self) -> None:
        """Blocks of three levels: the root, below it, and leaves alone."""
        cells = self._tables["cells4"]
        _require(len(cells) % 256 == 0 and len(cells) >= 256 * _ROOT_BLOCKS, "cells4")
        blocks = cells.reshape(-1, 256)
        level = blocks[:_ROOT_BLOCKS]
        for _ in range(2):
            below = np.unique(level[level >= _CHILD]) - np.uint32(_CHILD)
            inside = (below >= _ROOT_BLOCKS) & (below < len(blocks))
            _require(inside.all(), "cells4")
            self._check_leaves(level[level < _CHILD], 4, "cells4")
            level = blocks[below]
        self._check_leaves(level, 4, "cells4")

    def _check_radix6(self) -> None:
        """A hash with a free cell, and nodes of which each is deeper than the one above."""
        hosts, nodes, cells = (self._tables[name] for name in ("hosts6", "nodes6", "cells6"))
        if len(hosts):
            mask = self._numbers["host_mask6"]
            _require(len(hosts) == mask + 1 and not mask & (mask + 1), "host_mask6")
            entries = hosts["entry"]
            _require(not entries.all(), "hosts6")
            self._check_leaves(entries[entries != 0], 6, "hosts6")
        _require(len(cells) % 256 == 0, "cells6")
        blocks = cells.reshape(-1, 256)
        root = np.array([self._numbers["root6"]], dtype=np.uint32)
        self._check_nodes(root, np.int64(-1), "root6")
        used = nodes[1:]  # the first one is never asked
        misses = (used["mask_hi"] | used["mask_lo"]) != 0  # else there is nothing outside
        self._check_leaves(used["outside"][misses], 6, "nodes6")
        single = used["depth"] == _SINGLE
        self._check_leaves(used["inside"][single], 6, "nodes6")
        branches = used[~single]
        fits = (branches["depth"] < _SINGLE) & (branches["inside"] < len(blocks))
        _require(fits.all(), "nodes6")
        for branch in branches:
            self._check_nodes(blocks[branch["inside"]], branch["depth"], "cells6")

    def _check_nodes(self, cells: Cells, depth: Any, name: str) -> None:
        """Cells are leaves, or nodes deeper than the one they belong to."""
        nodes = self._tables["nodes6"]
        self._check_leaves(cells[cells < _CHILD], 6, name)
        below = cells[cells >= _CHILD] - np.uint32(_CHILD)
        _require(((below >= 1) & (below < len(nodes))).all(), name)
        _require((nodes["depth"][below].astype(np.int64) > int(depth)).all(), name)
