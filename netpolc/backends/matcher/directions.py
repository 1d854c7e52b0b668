"""One direction's judgement as a table: which ports each subject opens to each viewpoint.

In: the combinations of one direction, the endpoints, the port atoms. Out: a `DirectionTable` whose
sparse rows hold, for each distinct subject, a default port set and the columns that differ from it.
Equal rows and equal columns are merged. Refused: nothing.

A row costs what its peers are, not what the cluster is: 16,000 combinations over 20,000 viewpoints
have a few million entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from netpolc.backends.matcher._core import Viewpoints, ViewSet, merge_columns
from netpolc.backends.matcher.atoms import PortAtoms
from netpolc.backends.matcher.endpoints import Endpoints
from netpolc.backends.matcher.unions import united
from netpolc.core.ir import ANY, Action, Direction
from netpolc.core.nets import as_key
from netpolc.core.program import Combination, Match, Program, Run

Indices = NDArray[np.int64]
Numbers = NDArray[np.int32]
SPLITS = 64
"""Up to so many peers of a row are told apart one after the other, which is fastest for a few."""
OPEN = 0
"""The row of subjects that nothing isolates."""


def as_numbers(numbers: bytes) -> Numbers:
    """Bytes of the compiled loops as an array."""
    return np.frombuffer(numbers, dtype=np.int32)


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
class DirectionTable:
    """A direction: its distinct rows over its distinct columns.

    A row is one default and the cells that differ from it, which are in the order of rows and in
    each of columns.
    """

    defaults: Numbers
    """The port set of each row outside of its cells."""
    owners: Indices
    """The row of each cell."""
    cells: Numbers
    """(cells, 2): column and port set."""
    row_of: Indices
    """The row of each viewpoint as the subject."""
    column_of: Indices
    """The column of each viewpoint as the peer."""
    columns: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.defaults)

    def dense(self) -> Numbers:
        """Every row as an array of port sets."""
        table = self.defaults[:, None].repeat(self.columns, axis=1)
        table[self.owners, self.cells[:, 0]] = self.cells[:, 1]
        return table


class Directions:
    """What makes the tables of both directions."""

    def __init__(
        self, program: Program, endpoints: Endpoints, atoms: PortAtoms, sets: PortSets
    ) -> None:
        self._program, self._sets = program, sets
        self._open = sets.number(atoms.everything)
        self._peers = _Peers(endpoints)
        self._builder = _RowBuilder(self._peers, atoms, sets)
        alone = endpoints.views.alone
        self._exempt = {
            view: [alone[address] for address in addresses]
            for view, addresses in endpoints.views.exempt.items()
        }
        """By the view of subjects that live beside addresses standing alone: those of these."""

    def table(self, direction: Direction) -> DirectionTable:
        """The table of a direction."""
        known = {np.array([-1, self._open], dtype=np.int32).tobytes(): OPEN}
        row_of = np.zeros(self._peers.count, dtype=np.int64)
        for combination in self._program.combinations:
            if combination.direction is not direction:
                continue
            row = self._builder.row(combination)
            number = known.setdefault(row, len(known))
            views = self._peers.views_of(combination.subjects)
            row_of[views] = number
            for view in filter(self._exempt.__contains__, views if self._exempt else ()):
                row_of[view] = known.setdefault(self._open_to(row, view), len(known))
        return _merge_columns(known, row_of)

    def _open_to(self, row: bytes, view: int) -> bytes:
        """The row with all ports open to those that the subjects of a view may always talk to."""
        cells = as_numbers(row).reshape(-1, 2)
        default = cells[0, 1]
        full = np.full(self._peers.count + 1, default)  # the last is column -1 of the row's head
        full[cells[:, 0]] = cells[:, 1]
        full[self._exempt[view]] = self._open
        columns = np.flatnonzero(full != default).astype(np.int32)
        return cells[:1].tobytes() + np.stack((columns, full[columns]), axis=1).tobytes()


class _Peers:
    """The viewpoints behind identities and networks; sets of them are bytes (`ext/rows.pxi`)."""

    def __init__(self, endpoints: Endpoints) -> None:
        views = endpoints.views
        self.count = len(views.families)
        self.pattern_of: Numbers = np.zeros(self.count, dtype=np.int32)
        self.told_apart = Viewpoints(self.pattern_of)
        self._set = ViewSet(self.count)
        self._of_identity = _grouped(views.identities, endpoints.identities)
        self._of_combination = _grouped(views.combinations, len(endpoints.members))
        width = -(-len(endpoints.networks) // 8)
        packed = b"".join(members.to_bytes(width, "little") for members in endpoints.members)
        self._holding = np.frombuffer(packed, dtype=np.uint8).reshape(len(endpoints.members), width)
        self._number_of = {ranges: number for number, ranges in enumerate(endpoints.networks)}
        self._known: dict[tuple[int, int], tuple[Match, bytes]] = {}

    def views_of(self, identities: Iterable[int]) -> Numbers:
        """The viewpoints of identities that have an address, in any order."""
        return as_numbers(b"".join(map(self._of_identity.__getitem__, identities)))

    def _inside(self, network: int) -> Iterator[bytes]:
        """The viewpoints of addresses in a network, by combination."""
        held = self._holding[:, network >> 3] >> (network & 7) & 1
        return map(self._of_combination.__getitem__, np.flatnonzero(held).tolist())

    def matching(self, match: Match) -> bytes:
        """The viewpoints that a match with particular peers takes in."""
        assert match.identities is not ANY
        assert match.networks is not ANY
        key = id(match.identities), id(match.networks)
        known = self._known.get(key)
        if known is None:
            several = list(map(self._of_identity.__getitem__, match.identities))
            if match.networks:
                several.extend(self._inside(self._number_of[match.networks]))
            # The match is kept with the answer, so that its parts' ids stay theirs.
            known = self._known[key] = match, self._set.union(several)
        return known[1]


def _grouped(numbers: Indices, count: int) -> list[bytes]:
    """The viewpoints that have each number from 0 on, of fewer than `count`."""
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    ends = np.searchsorted(numbers[order], np.arange(count + 1)) * order.itemsize
    data = order.tobytes()
    return [data[start:end] for start, end in pairwise(ends.tolist())]


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


class _RowBuilder:
    """Rows of combinations, one at a time, over the scratch of `peers`."""

    def __init__(self, peers: _Peers, atoms: PortAtoms, sets: PortSets) -> None:
        self._peers, self._atoms, self._sets = peers, atoms, sets
        self._known: dict[int, tuple[Match, int, bytes | None]] = {}
        """By the `id` of a match, which is kept with what it comes to: its ports, and the
        viewpoints that it takes in, None for all.
        """

    def _views(self, match: Match) -> bytes | None:
        return None if match.identities is ANY else self._peers.matching(match)

    def row(self, combination: Combination) -> bytes:
        """The port set of every viewpoint as the peer of the combination's subjects."""
        found: list[_State] = [(self._atoms.everything, 0, 0)]
        for stage in combination.tiers:
            for run in stage.runs:
                everybody, matching = self._matching(run)
                if len(found) > 1:
                    before = self._peers.pattern_of.copy()
                    touched = self._peers.told_apart.clear()
                masks = self._told_apart(everybody, matching)
                if len(found) == 1:
                    found = [_met(found[0], run.action, mask) for mask in masks]
                else:
                    self._peers.told_apart.visit(touched)
                    pairs = _pairs(before, self._peers.pattern_of, len(masks))
                    found = [_met(found[one], run.action, masks[other]) for one, other in pairs]
            found = [_ended(state, stage.default) for state in found]
        number = self._sets.number
        return self._peers.told_apart.row([number(own | left) for left, own, _ in found])

    def _matching(self, run: Run) -> tuple[int, list[tuple[bytes, int]]]:
        """The ports on which a run matches everybody, and sets of viewpoints with those on which it
        matches them as well.
        """
        everybody, peers, known = 0, dict[int, tuple[bytes, int]](), self._known
        for rule in run.rules:
            match = rule.match
            found = known.get(id(match))
            if found is None:
                found = known[id(match)] = match, self._atoms.mask(match.ports), self._views(match)
            _, ports, views = found
            if views is None:
                everybody |= ports
            elif views:
                before = peers.get(id(views))
                peers[id(views)] = views, ports if before is None else before[1] | ports
        return everybody, [own for own in peers.values() if own[1] & ~everybody]

    def _told_apart(self, everybody: int, matching: list[tuple[bytes, int]]) -> list[int]:
        """The ports on which a run matches each viewpoint, as a pattern for each."""
        told_apart = self._peers.told_apart
        if len(matching) > SPLITS:
            for views, _ in matching:
                told_apart.visit(views)
            admitted = [(as_numbers(views), ports) for views, ports in matching]
            return united(self._peers.pattern_of, admitted, everybody, self._atoms.count)
        masks = [everybody]
        told_apart.split(masks, matching)
        return masks


def _pairs(before: Numbers, pattern_of: Numbers, count: int) -> Iterator[tuple[int, int]]:
    """The pairs of patterns that viewpoints have in two arrays; the second then has their numbers.

    `count` is the number of patterns of the second array.
    """
    both = before.astype(np.int64) * count + pattern_of
    known, pattern_of[:] = np.unique(both, return_inverse=True)
    return (divmod(int(pair), count) for pair in known)


def _merge_columns(rows: Iterable[bytes], row_of: Indices) -> DirectionTable:
    """Viewpoints that every row treats alike become one column."""
    cells = as_numbers(b"".join(rows)).reshape(-1, 2)
    merged, first = merge_columns(cells, len(row_of))
    column_of = as_numbers(merged)
    heads = cells[:, 0] < 0
    owners = np.cumsum(heads) - 1
    defaults = cells[heads, 1]
    kept = np.zeros(len(row_of) + 1, dtype=bool)  # heads are cells of column -1
    kept[first] = True
    own = kept[cells[:, 0]]
    owners, cells = owners[own], cells[own]
    cells[:, 0] = column_of[cells[:, 0]]
    return DirectionTable(defaults, owners, cells, row_of, column_of.astype(np.int64), len(first))
