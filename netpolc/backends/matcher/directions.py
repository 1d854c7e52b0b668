"""One direction's judgement as a table: which ports each subject opens to each viewpoint.

In: the combinations of one direction, the endpoints, the port atoms. Out: a `Direction_` whose
sparse rows hold, for each distinct subject, a default port set and the columns that differ from it.
Equal rows and equal columns are merged. Refused: nothing.

A row costs what its peers are, not what the cluster is: 16,000 combinations over 20,000 viewpoints
have a few million entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netpolc.backends.matcher.atoms import PortAtoms
from netpolc.backends.matcher.endpoints import Endpoints
from netpolc.ir import ANY, Action, Direction, Tier
from netpolc.program import Combination, Match, Program, TierRules

Indices = NDArray[np.int64]
OPEN = 0
"""The row of subjects that nothing isolates."""


class PortSets:
    """Port sets by number; equal sets share one."""

    def __init__(self, everything: int) -> None:
        self._numbers = {everything: 0, 0: 1}
        self.masks = [everything, 0]

    def number(self, mask: int) -> int:
        """The number of a set of atoms; 0 is all of them, 1 none."""
        known = self._numbers.get(mask)
        if known is None:
            known = self._numbers[mask] = len(self.masks)
            self.masks.append(mask)
        return known


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What subjects open: `default` to every column but `columns`, which get `sets`."""

    default: int
    columns: Indices
    sets: Indices

    def key(self) -> tuple[int, bytes, bytes]:
        """Equal for equal rows."""
        return self.default, self.columns.tobytes(), self.sets.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
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
) -> Judgement:
    """The table of a direction."""
    peers = _Peers(endpoints)
    builder = _RowBuilder(peers, atoms, sets)
    numbers: dict[tuple[int, bytes, bytes], int] = {}
    rows: list[Row] = []

    def number(row: Row) -> int:
        found = numbers.setdefault(row.key(), len(rows))
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
        for view in peers.views_of(combination.subjects):
            own = exempt.get(view)
            row_of[view] = plain if own is None else number(_open_to(row, own, len(row_of), sets))
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
        self._of_identity: dict[int, list[int]] = {}
        by_combination: list[list[int]] = [[] for _ in endpoints.members]
        for view, key in enumerate(endpoints.views):
            by_combination[key.combination].append(view)
            if key.identity is not None:
                self._of_identity.setdefault(key.identity, []).append(view)
        self._networks = endpoints.networks
        self._of_network: dict[int, list[int]] = {}
        for combination, members in enumerate(endpoints.members):
            while members:
                lowest = members & -members
                own = self._of_network.setdefault(lowest.bit_length() - 1, [])
                own.extend(by_combination[combination])
                members ^= lowest
        self._number_of = {ranges: number for number, ranges in enumerate(endpoints.networks)}
        self._known: dict[tuple[int, int], tuple[Match, Indices]] = {}

    def views_of(self, identities: Iterable[int]) -> Iterator[int]:
        """The viewpoints of identities that have an address."""
        for identity in identities:
            yield from self._of_identity.get(identity, ())

    def matching(self, match: Match) -> Indices:
        """The viewpoints that a match with particular peers takes in, sorted."""
        assert match.identities is not ANY
        assert match.networks is not ANY
        key = id(match.identities), id(match.networks)
        known = self._known.get(key)
        if known is None:
            views = list(self.views_of(match.identities))
            views.extend(self._of_network.get(self._number_of[match.networks], ()))
            # The match is kept with the answer, so that its parts' ids stay theirs.
            known = self._known[key] = match, np.unique(np.array(views, dtype=np.int64))
        return known[1]


class _RowBuilder:
    """Rows of combinations, one at a time, over one scratch array."""

    def __init__(self, peers: _Peers, atoms: PortAtoms, sets: PortSets) -> None:
        self._peers, self._atoms, self._sets = peers, atoms, sets
        self._pattern_of: NDArray[np.int32] = np.zeros(peers.count, dtype=np.int32)

    def row(self, combination: Combination) -> Row:
        """The port set of every viewpoint as the peer of the combination's subjects."""
        patterns = [0]
        pattern_of = self._pattern_of
        pattern_of[:] = 0
        bit = 1
        for match in (rule.match for tier in combination.tiers for rule in tier.rules):
            if match.identities is not ANY:
                views = self._peers.matching(match)
                if len(views):
                    _split(pattern_of, views, patterns, bit)
                bit <<= 1
        numbers = [self._sets.number(self._allowed(combination, p)) for p in patterns]
        lookup = np.array(numbers, dtype=np.int64)
        touched = np.flatnonzero(lookup[pattern_of] != lookup[0])
        if 2 * len(touched) <= self._peers.count:
            return Row(numbers[0], touched, lookup[pattern_of[touched]])
        full = lookup[pattern_of]
        default = int(np.bincount(full).argmax())
        columns = np.flatnonzero(full != default)
        return Row(default, columns, full[columns])

    def _allowed(self, combination: Combination, pattern: int) -> int:
        """The atoms a peer may use that matches just the rules in `pattern`."""
        allowed, undecided = 0, self._atoms.everything
        for tier in combination.tiers:
            matching = []
            for rule in tier.rules:
                if rule.match.identities is ANY:
                    matching.append(rule)
                else:
                    if pattern & 1:
                        matching.append(rule)
                    pattern >>= 1
            chosen = TierRules(tier.tier, tuple(matching), tier.default, tier.policies)
            accepted, decided = self._tier(chosen, undecided)
            allowed |= accepted
            undecided &= ~decided
        return allowed | undecided

    def _tier(self, tier: TierRules, undecided: int) -> tuple[int, int]:
        """What rules that all match accept, and what they decide at all."""
        accepted = decided = passed = 0
        for rule in tier.rules:
            ports = self._atoms.mask(rule.match.ports) & undecided & ~decided & ~passed
            match rule.action:
                case Action.PASS:
                    passed |= ports
                case Action.ACCEPT:
                    accepted |= ports
                    decided |= ports
                case Action.DENY:
                    decided |= ports
        if tier.default is not Action.PASS:
            rest = undecided & ~decided & ~passed
            decided |= rest
            if tier.default is Action.ACCEPT:
                accepted |= rest
        assert tier.tier is not Tier.NETWORK_POLICY or not passed
        return accepted, decided


def _split(pattern_of: NDArray[np.int32], views: Indices, patterns: list[int], bit: int) -> None:
    """Move viewpoints that match one more rule from their pattern to the one that adds it."""
    before = pattern_of[views]
    present = np.flatnonzero(np.bincount(before))
    moved = np.zeros(int(present[-1]) + 1, dtype=np.int32)
    moved[present] = np.arange(len(patterns), len(patterns) + len(present))
    patterns.extend(patterns[int(number)] | bit for number in present)
    pattern_of[views] = moved[before]


def _merge_columns(rows: list[Row], row_of: Indices) -> Judgement:
    """Viewpoints that every row treats alike become one column."""
    count = len(row_of)
    lengths = [len(row.columns) for row in rows]
    columns = np.concatenate([row.columns for row in rows])
    cells = np.empty((len(columns), 2), dtype=np.int32)
    cells[:, 0] = np.repeat(np.arange(len(rows)), lengths)
    cells[:, 1] = np.concatenate([row.sets for row in rows])
    cells = cells[np.argsort(columns, kind="stable")]
    ends = np.cumsum(np.bincount(columns, minlength=count))
    numbers: dict[bytes, int] = {}
    column_of = np.empty(count, dtype=np.int64)
    kept: list[int] = []
    start = 0
    for view in range(count):
        end = int(ends[view])
        number = numbers.setdefault(cells[start:end].tobytes(), len(numbers))
        if number == len(kept):
            kept.append(view)
        column_of[view] = number
        start = end
    chosen = np.zeros(count, dtype=bool)
    chosen[kept] = True
    merged = []
    for row in rows:
        own = chosen[row.columns]
        merged.append(Row(row.default, column_of[row.columns[own]], row.sets[own]))
    return Judgement(merged, row_of, column_of, len(kept))
