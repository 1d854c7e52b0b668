"""What each rule of the ordered tiers does that no other would do: the first that matches decides.

Comes in: pieces (seats.py). Goes out: for each rule what was found about it anywhere: whether it
is ever the first, who is before it, whether what it passes would be judged otherwise, and the pods
that it denies for their addresses; and which policies of one priority contradict each other.
Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby

from netpolc.analysis.findings.ordered.seats import Piece, Seat, Sitting
from netpolc.core.ir import Action, Origin, Policy, Tier


@dataclass(slots=True, eq=False)
class Standing:
    """Where one rule stands; `before` are those that decide whatever it hits.

    `hits` says whether it hits anybody at all, `unreached` whether a NetworkPolicy isolates its
    subjects everywhere, `matters`, of a rule that passes, whether a later rule of its tier would do
    something else. `pods` are bits of identities that it denies for their addresses alone.
    """

    policy: Policy
    hits: bool = False
    needed: bool = False
    unreached: bool = True
    matters: bool = False
    pods: int = 0
    before: dict[Origin, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Tie:
    """Two rules of one priority and different policies that hit the same and do not do the same."""

    first: Seat
    second: Seat
    piece: Piece
    peers: int


class Order:
    """All rules of the ordered tiers, and the ties between policies."""

    def __init__(self, sitting: Sitting) -> None:
        self._pods = sitting.peers.pods
        self.rules: dict[Origin, Standing] = {}
        self.ties: dict[tuple[Policy, Policy], Tie] = {}
        for piece in sitting.pieces:
            self._ask(piece)

    def _ask(self, piece: Piece) -> None:
        """Everybody asks the rules of one piece, in order."""
        final = 0  # who was accepted or denied already
        earlier: list[Seat] = []
        for seats in piece.tiers:
            if seats[0].policy.tier is Tier.BASELINE and piece.isolated:
                for seat in seats:
                    self._of(seat).hits |= bool(seat.hit.here)
                break
            decided = final
            passed: list[tuple[Standing, int]] = []
            for _, group in groupby(seats, key=lambda seat: seat.policy.priority):
                tied = list(group)
                self._look_for_ties(piece, tied, ~decided)
                for seat in tied:
                    self._ask_one(seat, decided, earlier, passed)
                    decided |= seat.hit.surely
                    if seat.rule.action is not Action.PASS:
                        final |= seat.hit.surely & ~_all(hit for _, hit in passed)
                    earlier.append(seat)
            earlier = [seat for seat in earlier if seat.rule.action is not Action.PASS]

    def _ask_one(
        self, seat: Seat, decided: int, earlier: Sequence[Seat], passed: list[tuple[Standing, int]]
    ) -> None:
        own, hit = self._of(seat), seat.hit
        own.unreached = False
        own.hits |= bool(hit.here)
        if hit.surely & ~decided:
            own.needed = True
        elif not own.needed:
            own.before.update((e.rule.origin, None) for e in earlier if e.hit.surely & hit.here)
        left = hit.here & ~decided
        if seat.rule.action is Action.PASS:
            passed.append((own, left))
            return
        for before, bits in passed:
            before.matters |= bool(bits & hit.here)
        if seat.rule.action is Action.DENY:
            own.pods |= (hit.by_address & ~_all(e.hit.here for e in earlier)) & self._pods

    def _of(self, seat: Seat) -> Standing:
        return self.rules.setdefault(seat.rule.origin, Standing(seat.policy))

    def _look_for_ties(self, piece: Piece, seats: Sequence[Seat], undecided: int) -> None:
        by_policy = [list(group) for _, group in groupby(seats, key=lambda seat: seat.policy)]
        for one, other in combinations(by_policy, 2):
            key = one[0].policy, other[0].policy
            if key not in self.ties:
                found = next(_contradictions(one, other, undecided), None)
                if found is not None:
                    self.ties[key] = Tie(found[0], found[1], piece, found[2])


def _contradictions(
    one: Sequence[Seat], other: Sequence[Seat], undecided: int
) -> Iterator[tuple[Seat, Seat, int]]:
    """Rules of two policies, each the first of its own for some peers, that do not do the same."""
    for first, bits in _firsts(one, undecided):
        for second, others in _firsts(other, undecided):
            if first.rule.action is not second.rule.action and bits & others:
                yield first, second, bits & others


def _firsts(seats: Iterable[Seat], undecided: int) -> Iterator[tuple[Seat, int]]:
    """Each rule with the peers of which it is the first of its policy."""
    for seat in seats:
        yield seat, seat.hit.here & undecided
        undecided &= ~seat.hit.surely


def _all(several: Iterable[int]) -> int:
    found = 0
    for bits in several:
        found |= bits
    return found
