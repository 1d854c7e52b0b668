"""One direction's judgement as a table: which ports each subject opens to each viewpoint.

In: the combinations of one direction, the endpoints, the port atoms. Out: a `DirectionTable` whose
sparse rows hold, for each distinct subject, a default port set and the columns that differ from it.
Equal rows and equal columns are merged. Refused: nothing.

A row costs what its peers are, not what the cluster is: 16,000 combinations over 20,000 viewpoints
have a few million entries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from netpolc.backends.matcher.atoms import PortAtoms
from netpolc.backends.matcher.endpoints import Endpoints
from netpolc.backends.matcher.unions import united
from netpolc.core.ir import ANY, Action, Direction
from netpolc.core.nets import as_key
from netpolc.core.program import Combination, Match, Program, Run

Indices = NDArray[np.int64]
NOBODY: Indices = np.empty(0, dtype=np.int64)
SPLITS = 64
"""Up to so many peers of a row are told apart one after the other, which is fastest for a few."""
OPEN = 0
"""The row of subjects that nothing isolates."""


class PortSets:
    """Port sets by number; equal sets share one."""

    def __init__(self, everything: int) -> None:
        self._numbers = {as_key(everything): 0, as_key(0): 1}
        self.masks = [everything, 0]

    def number(self, mask: int) -> int:
        """The number of a set of atoms; 0 is all of them, 1 none."""
        key = as_key(mask)
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = len(self.masks)
            self.masks.append(mask)
        return known


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What subjects open: `default` to every column but `columns`, which get `sets`."""

    default: int
    columns: Indices
    """In order."""
    sets: Indices

    def key(self) -> tuple[int, bytes, bytes]:
        """Equal for equal rows."""
        return self.default, self.columns.tobytes(), self.sets.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class DirectionTable:
    """A direction: its distinct rows over its distinct columns."""

    rows: list[Row]
    row_of: Indices
    """The row of each viewpoint as the subject."""
    column_of: Indices
    """The column of each viewpoint as the peer."""
    columns: int

    def dense(self) -> NDArray[np.int32]:
        """Every row as an array of port sets."""
        table = np.empty((len(self.rows), self.columns), dtype=np.int32)
        for number, row in enumerate(self.rows):
            table[number] = row.default
            table[number, row.columns] = row.sets
        return table


def judge(
    program: Program, direction: Direction, endpoints: Endpoints, atoms: PortAtoms, sets: PortSets
) -> DirectionTable:
    """The table of a direction."""
    peers = _Peers(endpoints)
    builder = _RowBuilder(peers, atoms, sets)
    known: dict[tuple[int, bytes, bytes], int] = {}
    rows: list[Row] = []

    def number(row: Row) -> int:
        found = known.setdefault(row.key(), len(rows))
        if found == len(rows):
            rows.append(row)
        return found

    nothing = np.empty(0, dtype=np.int64)
    number(Row(sets.number(atoms.everything), nothing, nothing))
    row_of = np.zeros(len(endpoints.views), dtype=np.int64)
    exempt = _exempt_columns(endpoints)
    for combination in program.combinations:
        if combination.direction is not direction:
            continue
        row = builder.row(combination)
        plain = number(row)
        views = peers.views_of(combination.subjects)
        row_of[views] = plain
        for view in filter(exempt.__contains__, views if exempt else ()):
            row_of[view] = number(_open_to(row, exempt[view], len(row_of), sets))
    return _merge_columns(rows, row_of)


def _exempt_columns(endpoints: Endpoints) -> dict[int, Indices]:
    """By the view of subjects that live beside addresses standing alone: the views let through."""
    alone = {key.alone: view for view, key in enumerate(endpoints.views) if key.alone is not None}
    return {
        view: np.array(sorted(alone[address] for address in key.exempt), dtype=np.int64)
        for view, key in enumerate(endpoints.views)
        if key.exempt
    }


def _open_to(row: Row, views: Indices, count: int, sets: PortSets) -> Row:
    full = np.full(count, row.default, dtype=np.int64)
    full[row.columns] = row.sets
    full[views] = sets.number(sets.masks[0])
    columns = np.flatnonzero(full != row.default)
    return Row(row.default, columns, full[columns])


class _Peers:
    """The viewpoints behind identities and networks."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.count = len(endpoints.views)
        self._of_identity: defaultdict[int, list[int]] = defaultdict(list)
        for view, key in enumerate(endpoints.views):
            if key.identity is not None:
                self._of_identity[key.identity].append(view)
        combination_of = [key.combination for key in endpoints.views]
        self._combination_of = np.array(combination_of, dtype=np.int64)
        width = -(-len(endpoints.networks) // 8)
        packed = b"".join(members.to_bytes(width, "little") for members in endpoints.members)
        self._holding = np.frombuffer(packed, dtype=np.uint8).reshape(len(endpoints.members), width)
        self._number_of = {ranges: number for number, ranges in enumerate(endpoints.networks)}
        self._known: dict[tuple[int, int], tuple[Match, Indices]] = {}

    def views_of(self, identities: Iterable[int]) -> list[int]:
        """The viewpoints of identities that have an address."""
        return list(chain.from_iterable(map(self._of_identity.__getitem__, identities)))

    def _inside(self, network: int) -> Indices:
        """The viewpoints of addresses in a network, sorted."""
        held = self._holding[:, network >> 3] >> (network & 7) & 1
        return np.flatnonzero(held[self._combination_of])

    def matching(self, match: Match) -> Indices:
        """The viewpoints that a match with particular peers takes in, sorted."""
        assert match.identities is not ANY
        assert match.networks is not ANY
        key = id(match.identities), id(match.networks)
        known = self._known.get(key)
        if known is None:
            views = np.array(self.views_of(match.identities), dtype=np.int64)
            views.sort()
            inside = self._inside(self._number_of[match.networks]) if match.networks else NOBODY
            # The match is kept with the answer, so that its parts' ids stay theirs.
            known = self._known[key] = match, _distinct([views, inside])
        return known[1]


_State = tuple[int, int, int]
"""What has become of the ports of a peer so far, as masks: undecided ones meet the next run, then
those that are allowed, and those that pass to the next stage. All others are denied."""


def _met(state: _State, action: Action, ports: int) -> _State:
    """After a run whose rules match on these ports."""
    undecided, allowed, passed = state
    taken = undecided & ports
    match action:
        case Action.ACCEPT:
            allowed |= taken
        case Action.PASS:
            passed |= taken
    return undecided ^ taken, allowed, passed


def _ended(state: _State, default: Action) -> _State:
    """After the last run of a stage."""
    undecided, _, _ = state
    _, allowed, passed = _met(state, default, undecided)
    return passed, allowed, 0


def _distinct(several: Sequence[Indices]) -> Indices:
    """The members of some sorted arrays, sorted; none is made of one."""
    filled = [own for own in several if len(own)]
    if len(filled) < 2:
        return filled[0] if filled else NOBODY
    members = np.concatenate(filled)
    members.sort()
    first = np.empty(len(members), dtype=bool)
    first[0] = True
    np.not_equal(members[1:], members[:-1], out=first[1:])
    return members[first]


class _RowBuilder:
    """Rows of combinations, one at a time, over one scratch array.

    It is all zeros between two rows, and only what a row has touched is looked at and cleared: a
    row is not as long as the cluster.
    """

    def __init__(self, peers: _Peers, atoms: PortAtoms, sets: PortSets) -> None:
        self._peers, self._atoms, self._sets = peers, atoms, sets
        self._pattern_of: NDArray[np.int32] = np.zeros(peers.count, dtype=np.int32)
        self._touched: list[Indices] = []
        self._known: dict[int, tuple[Match, int, Indices | None]] = {}
        """By the `id` of a match, which is kept with what it comes to: its ports, and the
        viewpoints that it takes in, None for all.
        """

    def _views(self, match: Match) -> Indices | None:
        return None if match.identities is ANY else self._peers.matching(match)

    def row(self, combination: Combination) -> Row:
        """The port set of every viewpoint as the peer of the combination's subjects."""
        made = self._made(combination)
        for views in self._touched:
            self._pattern_of[views] = 0
        self._touched.clear()
        return made

    def _made(self, combination: Combination) -> Row:
        pattern_of = self._pattern_of
        found: list[_State] = [(self._atoms.everything, 0, 0)]
        for stage in combination.tiers:
            for run in stage.runs:
                if len(found) == 1:
                    masks = self._union(run, pattern_of)
                    found = [_met(found[0], run.action, mask) for mask in masks]
                else:
                    own = np.zeros_like(pattern_of)
                    masks = self._union(run, own)
                    pairs = _pairs(pattern_of, own, len(masks))
                    found = [_met(found[one], run.action, masks[other]) for one, other in pairs]
            found = [_ended(state, stage.default) for state in found]
        return self._row(
            [self._sets.number(allowed | undecided) for undecided, allowed, _ in found]
        )

    def _union(self, run: Run, pattern_of: NDArray[np.int32]) -> list[int]:
        """The ports on which a run matches each viewpoint, as a pattern for each; `pattern_of` is
        all zeros and gets their patterns, and the viewpoints are noted as touched.
        """
        everybody, peers, known = 0, dict[int, tuple[Indices, int]](), self._known
        for rule in run.rules:
            match = rule.match
            found = known.get(id(match))
            if found is None:
                found = known[id(match)] = match, self._atoms.mask(match.ports), self._views(match)
            _, ports, views = found
            if views is None:
                everybody |= ports
            elif len(views):
                before = peers.get(id(views))
                peers[id(views)] = views, ports if before is None else before[1] | ports
        matching = [own for own in peers.values() if own[1] & ~everybody]
        self._touched += [views for views, _ in matching]
        if len(matching) > SPLITS:
            return united(pattern_of, matching, everybody, self._atoms.count)
        masks = [everybody]
        for views, ports in matching[:1]:  # all are in the first pattern
            masks.append(everybody | ports)
            pattern_of[views] = 1
        for views, ports in matching[1:]:
            _split(pattern_of, views, masks, ports)
        return masks

    def _row(self, sets: list[int]) -> Row:
        """The row of viewpoints whose patterns have these port sets."""
        pattern_of = self._pattern_of
        lookup = np.array(sets, dtype=np.int64)
        if 2 * sum(map(len, self._touched)) <= self._peers.count:
            touched = _distinct(self._touched)
            if len(sets) == 2 and len(self._touched) == 1 and sets[0] != sets[1]:
                return Row(sets[0], touched, np.full(len(touched), sets[1]))
            own = lookup[pattern_of[touched]]
            changed = own != sets[0]
            return Row(sets[0], touched[changed], own[changed])
        full = lookup[pattern_of]
        changed = full != sets[0]
        if 2 * np.count_nonzero(changed) <= self._peers.count:
            return Row(sets[0], changed.nonzero()[0], full[changed])
        default = int(np.bincount(full).argmax())
        columns = np.flatnonzero(full != default)
        return Row(default, columns, full[columns])


def _pairs(
    pattern_of: NDArray[np.int32], own: NDArray[np.int32], count: int
) -> Iterator[tuple[int, int]]:
    """The pairs of patterns that viewpoints have in two arrays; the first then has their numbers.

    `count` is the number of patterns of the second array.
    """
    both = pattern_of.astype(np.int64) * count + own
    known, pattern_of[:] = np.unique(both, return_inverse=True)
    return (divmod(int(pair), count) for pair in known)


def _split(pattern_of: NDArray[np.int32], views: Indices, patterns: list[int], bits: int) -> None:
    """Move viewpoints that match one more rule from their pattern to the one that adds it."""
    before = pattern_of[views]
    present = np.bincount(before).nonzero()[0]
    if len(present) == 1:
        patterns.append(patterns[int(present[0])] | bits)
        pattern_of[views] = len(patterns) - 1
        return
    moved = np.zeros(int(present[-1]) + 1, dtype=np.int32)
    moved[present] = np.arange(len(patterns), len(patterns) + len(present))
    patterns.extend(patterns[int(number)] | bits for number in present)
    pattern_of[views] = moved[before]


def _merge_columns(rows: list[Row], row_of: Indices) -> DirectionTable:
    """Viewpoints that every row treats alike become one column."""
    count = len(row_of)
    columns = np.concatenate([row.columns for row in rows])
    sets = np.concatenate([row.sets for row in rows])
    owner = np.repeat(np.arange(len(rows)), [len(row.columns) for row in rows])
    cells = np.empty((len(columns), 2), dtype=np.int32)
    cells[:, 0] = owner
    cells[:, 1] = sets
    # Numbers of 16 bits are sorted by radix.
    cells = cells[np.argsort(columns.astype(np.min_scalar_type(count)), kind="stable")]
    ends = np.cumsum(np.bincount(columns, minlength=count)).tolist()
    known: dict[bytes, int] = {}
    numbers: list[int] = []
    kept: list[int] = []
    data, size = cells.tobytes(), cells.dtype.itemsize * 2
    start = 0
    for view, end in enumerate(ends):
        number = known.setdefault(data[start * size : end * size], len(known))
        if number == len(kept):
            kept.append(view)
        numbers.append(number)
        start = end
    column_of = np.array(numbers, dtype=np.int64)
    chosen = np.zeros(count, dtype=bool)
    chosen[kept] = True
    own = chosen[columns]
    columns, sets = column_of[columns[own]], sets[own]
    ends = np.cumsum(np.bincount(owner[own], minlength=len(rows))).tolist()
    merged = [
        Row(row.default, columns[start:end], sets[start:end])
        for row, start, end in zip(rows, [0, *ends], ends, strict=False)
    ]
    return DirectionTable(merged, row_of, column_of, len(kept))
