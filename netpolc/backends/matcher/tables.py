"""Tables: a Program as flat arrays that the compiled matcher reads.

In: a `Program`. Out: `Tables`, nothing but numbers, text and NumPy arrays, which a file or another
process can hold. Refused (`UnsupportedError`): more than 65,536 groups of ports or distinct
port sets, or more classes and nodes than a leaf has bits for.

    address --radix--> leaf: | host | class |             hosts, classes: below
    (protocol, port) --> atom                             ports that no rule tells apart
    pair form:      pairs[source class][destination class] --> port set
    factored form:  egress blocks [row of the source][column of the destination] --> port set
                    ingress blocks[row of the destination][column of the source] --> port set
    bits[port set][atom] --> verdict

A **class** is a set of addresses of one family that no verdict tells apart. The pair form holds
egress and ingress in one cell and costs classes squared; past `PAIR_BYTES`, or far above what the
factored form costs, that one takes over: distinct rows times distinct columns / 64 plus the blocks
of 64 cells that differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from netpolc.backends.matcher._core import address_text, cut_blocks
from netpolc.backends.matcher.atoms import PortAtoms
from netpolc.backends.matcher.directions import Directions, DirectionTable, Indices, PortSets
from netpolc.backends.matcher.endpoints import Endpoints, endpoints_of, first_seen
from netpolc.core.errors import UnsupportedError
from netpolc.core.ir import Direction
from netpolc.core.nets import Family
from netpolc.core.program import Program

PAIR_BYTES = 64 << 20
"""The pair form is chosen up to here: larger tables leave the L3 cache of most machines."""
BLOCK = 64
"""Columns in a block of the factored form."""
LEAF_BITS = 31
_FEW = 1 << 18
_DENSE = 64
"""Above so many cells, and so many for each that the factored form has, the pair form costs out of
proportion: blocks of a few policies would be squared."""
_SETS = 1 << 16
_JOINED = 1 << 16
"""Pairs of an egress and an ingress port set that are joined at most; beyond, each has a table."""
_EMPTY16: NDArray[np.uint16] = np.zeros(1, dtype=np.uint16)
_EMPTY32: NDArray[np.uint32] = np.zeros(1, dtype=np.uint32)


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """The arrays; what their cells hold is in the module's text."""

    class_bits: int
    classes: tuple[int, int]
    """Pair form: classes of IPv4 and of IPv6. Factored form: both are all classes."""
    pairs: NDArray[np.uint16]
    """Pair form: the IPv4 square, then the IPv6 square. Empty in the factored form."""
    roles: NDArray[np.uint32]
    """Factored form, by class: first index of the egress row, egress column, first index of the
    ingress row, ingress column."""
    egress_index: NDArray[np.uint32]
    egress_blocks: NDArray[np.uint16]
    ingress_index: NDArray[np.uint32]
    ingress_blocks: NDArray[np.uint16]
    atoms: NDArray[np.uint16]
    bits: NDArray[np.uint32]
    """(port sets, words)."""
    starts: NDArray[np.uint64]
    """(blocks, 3): family, high and low half of the first address."""
    start_leaves: NDArray[np.uint32]
    hosts: NDArray[np.uint64]
    """(addresses, 3): single addresses, pods and nodes."""
    host_leaves: NDArray[np.uint32]
    pod_addresses: bytes
    """Text, a line each, in the order of `hosts`."""
    pod_names: bytes
    """The same: `namespace/name` behind each of these addresses."""

    @property
    def factored(self) -> bool:
        """Whether egress and ingress have tables of their own."""
        return len(self.roles) > 1


@dataclass(frozen=True, slots=True, eq=False)
class _Classes:
    """Viewpoints as classes, from 1 on (0 is no leaf), and the tables over them."""

    class_of: Indices
    counts: tuple[int, int]
    sets: list[int]
    pairs: NDArray[np.uint16]
    roles: NDArray[np.uint32]


def build_tables(program: Program, pair_bytes: int = PAIR_BYTES) -> Tables:
    """The tables of a program; with `pair_bytes=0` always in the factored form."""
    endpoints = endpoints_of(program)
    atoms = PortAtoms(match.ports for match in program.matches)
    sets = PortSets(atoms.everything)
    directions = Directions(program, endpoints, atoms, sets)
    egress, ingress = directions.table(Direction.EGRESS), directions.table(Direction.INGRESS)
    classes = _pair_form(endpoints, egress, ingress, sets, pair_bytes)
    blocks = (_EMPTY32, _EMPTY16, _EMPTY32, _EMPTY16)
    if classes is None:
        if len(sets.masks) > _SETS:
            raise UnsupportedError(f"{len(sets.masks)} distinct sets of ports: at most {_SETS}")
        classes = _factored_form(egress, ingress, sets)
        blocks = (*_blocks(egress), *_blocks(ingress))
    class_bits, start_leaves, host_leaves = _leaves(endpoints, classes)
    return Tables(
        class_bits,
        classes.counts,
        classes.pairs,
        classes.roles,
        *blocks,
        atoms.table,
        _bits(classes.sets, atoms.count),
        endpoints.starts,
        start_leaves,
        endpoints.addresses,
        host_leaves,
        address_text(endpoints.addresses[endpoints.owned]),
        "\n".join([pod.key for pod in endpoints.pods]).encode(),
    )


def _quadruples(egress: DirectionTable, ingress: DirectionTable) -> Indices:
    """What a viewpoint is to both directions, as source and as destination."""
    return np.stack((egress.row_of, egress.column_of, ingress.row_of, ingress.column_of), axis=1)


def _codes(quadruples: Indices) -> Indices:
    """A number for each, equal for equal ones."""
    codes = quadruples[:, 0]
    for column in quadruples.T[1:]:
        codes = first_seen(codes * (int(column.max()) + 1) + column)[0]
    return codes


def _factored_form(egress: DirectionTable, ingress: DirectionTable, sets: PortSets) -> _Classes:
    quadruples = _quadruples(egress, ingress)
    class_of, first = first_seen(_codes(quadruples))
    chosen = quadruples[first]
    # Rows are stored as the index of their first block.
    chosen[:, 0] *= _width(egress)
    chosen[:, 2] *= _width(ingress)
    if chosen.max() >= 1 << 32:
        raise UnsupportedError(f"{egress.rows} x {egress.columns} cells are too many")
    roles = np.zeros((len(chosen) + 1, 4), dtype=np.uint32)
    roles[1:] = chosen
    return _Classes(class_of + 1, (len(chosen), len(chosen)), sets.masks, _EMPTY16, roles)


def _width(judgement: DirectionTable) -> int:
    return -(-judgement.columns // BLOCK)


def _blocks(judgement: DirectionTable) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """Rows cut into blocks of columns; equal blocks are stored once."""
    index = np.empty((judgement.rows, _width(judgement)), dtype=np.uint32)
    ends = np.searchsorted(judgement.owners, np.arange(judgement.rows), side="right")
    blocks = cut_blocks(judgement.defaults, ends, judgement.cells, index)
    return index.reshape(-1), np.frombuffer(blocks, dtype=np.uint16)


def _pair_form(
    endpoints: Endpoints,
    egress: DirectionTable,
    ingress: DirectionTable,
    sets: PortSets,
    pair_bytes: int,
) -> _Classes | None:
    """The squares of both families, or None when they would be too large."""
    quadruples = _quadruples(egress, ingress)
    codes, families = _codes(quadruples), endpoints.views.families
    members = [np.flatnonzero(families == version) for version in Family]
    unmerged = [first_seen(codes[views]) for views in members]
    cells = sum(len(first) ** 2 for _, first in unmerged)
    # Merging has always been seen to take off less than half: do not try what is hopeless.
    if 2 * cells > 4 * pair_bytes or cells > max(_FEW, _DENSE * _factored_cells(egress, ingress)):
        return None
    # The factored form keeps to the sets of one direction if it has to take over.
    both = PortSets(sets.masks[0])
    squares = []
    class_of = np.zeros(len(families), dtype=np.int64)
    dense = egress.dense(), ingress.dense()
    for views, (classes, first) in zip(members, unmerged, strict=True):
        chosen = quadruples[views][first]
        joined = _square(dense, chosen, sets, both)
        if joined is None:
            return None
        if len(both.masks) > _SETS:
            return None
        square, merged = _merged(np.ascontiguousarray(joined, dtype=np.uint16))
        squares.append(square)
        class_of[views] = merged[classes] + 1
    if sum(square.nbytes for square in squares) > pair_bytes or len(both.masks) > _SETS:
        return None
    pairs = np.concatenate([square.reshape(-1) for square in squares])
    counts = len(squares[0]), len(squares[1])
    return _Classes(class_of, counts, both.masks, pairs, _EMPTY32)


def _factored_cells(egress: DirectionTable, ingress: DirectionTable) -> int:
    return sum(own.rows * own.columns for own in (egress, ingress))


def _square(
    dense: tuple[NDArray[np.int32], NDArray[np.int32]],
    quadruples: Indices,
    sets: PortSets,
    both: PortSets,
) -> NDArray[np.int32] | None:
    """For every pair of classes the ports that both directions allow; None if too many differ."""
    egress_row, egress_column, ingress_row, ingress_column = quadruples.T
    out = dense[0][egress_row][:, egress_column]
    into = dense[1][ingress_row][:, ingress_column].T
    count = len(sets.masks)
    wide = np.int32 if count * count < 1 << 31 else np.int64
    codes = out.astype(wide)
    codes *= count
    codes += into
    numbers: NDArray[np.int32]
    if count * count <= 1 << 26:
        present = np.zeros(count * count, dtype=bool)
        present[codes] = True
        distinct = np.flatnonzero(present)
        if len(distinct) > _JOINED:
            return None
        numbers = np.zeros(count * count, dtype=np.int32)
        numbers[distinct] = _intersections(distinct, sets, both)
        numbers = numbers[codes]
    else:
        distinct, inverse = np.unique(codes, return_inverse=True)
        if len(distinct) > _JOINED:
            return None
        numbers = _intersections(distinct, sets, both)[inverse.reshape(codes.shape)]
    return numbers


def _intersections(codes: Indices, sets: PortSets, both: PortSets) -> NDArray[np.int32]:
    masks, count = sets.masks, len(sets.masks)
    numbers = [both.number(masks[code // count] & masks[code % count]) for code in codes.tolist()]
    return np.array(numbers, dtype=np.int32)


def _merged(square: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], Indices]:
    """Classes with equal rows and equal columns become one."""
    turned = np.ascontiguousarray(square.T)
    numbers: dict[bytes, int] = {}
    kept: list[int] = []
    merged: list[int] = []
    for at, (row, column) in enumerate(zip(square, turned, strict=True)):
        # A digest stands for the row: rows of a large square would not fit memory as keys.
        key = blake2b(row, digest_size=32)
        key.update(column)
        number = numbers.setdefault(key.digest(), len(numbers))
        merged.append(number)
        if number == len(kept):
            kept.append(at)
    return square[np.ix_(kept, kept)], np.array(merged, dtype=np.int64)


def _leaves(
    endpoints: Endpoints, classes: _Classes
) -> tuple[int, NDArray[np.uint32], NDArray[np.uint32]]:
    """How wide a class is in a leaf, and the leaves of blocks and single addresses."""
    class_bits = max(classes.counts).bit_length()
    hosts = endpoints.hosts
    host_bits = int(hosts.max(initial=0)).bit_length()
    if class_bits + host_bits > LEAF_BITS:
        raise UnsupportedError(
            f"{max(classes.counts)} classes and {int(hosts.max()) // 2} nodes: a leaf of the "
            f"matcher has {LEAF_BITS} bits for both"
        )
    start_leaves = classes.class_of[endpoints.block_views]
    host_leaves = hosts << class_bits | classes.class_of[endpoints.address_views]
    return class_bits, start_leaves.astype(np.uint32), host_leaves.astype(np.uint32)


def _bits(masks: list[int], atoms: int) -> NDArray[np.uint32]:
    words = -(-atoms // 32)
    packed = b"".join(mask.to_bytes(words * 4, "little") for mask in masks)
    return np.frombuffer(packed, dtype="<u4").astype(np.uint32).reshape(len(masks), words)
