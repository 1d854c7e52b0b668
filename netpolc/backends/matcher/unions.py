"""Unions of port sets for many peers that overlap: which viewpoints match the same ones.

In: viewpoints with a set of ports each. Out: a pattern for each viewpoint, and by pattern the ports
of all it matches. To tell one after the other apart would make a pattern for each viewpoint and
rule. Refused: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netpolc.core.nets import numbers

Indices = NDArray[np.int64]
Numbers = NDArray[np.int32]


def united(
    pattern_of: Numbers,
    admitted: Sequence[tuple[Numbers, int]],
    everybody: int,
    atoms: int,
) -> list[int]:
    """Fills in the pattern of every viewpoint; the ports of each pattern, as masks of atoms."""
    alike = _alike(len(pattern_of), [views for views, _ in admitted])
    touched = np.flatnonzero(alike.any(axis=1))
    rows = np.ascontiguousarray(alike[touched]).view("V16").reshape(-1)
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    # In the order of the first viewpoint: the numbers of random keys are in none.
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    pattern_of[:] = 0
    pattern_of[touched] = rank[inverse.reshape(-1)] + 1
    row_of = np.full(len(pattern_of), -1, dtype=np.int64)
    row_of[touched[first]] = rank
    masks = _masks(row_of, len(first), admitted, atoms)
    return [everybody, *(everybody | mask for mask in masks)]


def _alike(count: int, several: Sequence[Numbers]) -> NDArray[np.uint64]:
    """A key for every viewpoint, equal for those in the same of several sets.

    Each set has 128 random bits, chosen anew in every run: nobody can make sets that collide.
    """
    keys = np.zeros((count, 2), dtype=np.uint64)
    own = np.random.default_rng().integers(1 << 64, size=(len(several), 2), dtype=np.uint64)
    for views, key in zip(several, own, strict=True):
        keys[views] ^= key
    return keys


def _masks(
    row_of: Indices, count: int, admitted: Sequence[tuple[Numbers, int]], atoms: int
) -> list[int]:
    """The ports of one viewpoint of each pattern; `row_of` is -1 for all others."""
    width = -(-atoms // 8)
    packed = np.zeros((count, width), dtype=np.uint8)
    for views, ports in admitted:
        rows = row_of[views]
        rows = rows[rows >= 0]
        if ports.bit_count() * 8 < width:
            for atom in numbers(ports):
                packed[rows, atom >> 3] |= np.uint8(1 << (atom & 7))
        else:
            packed[rows] |= np.frombuffer(ports.to_bytes(width, "little"), dtype=np.uint8)
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
