"""Which parties are worth asking about: most pairs of a cluster have no rule in common.

Comes in: parties and their `Reach`. Goes out: for each source the destinations that some rule on
both sides speaks of, or that nothing isolates: every pair that has a connection, and few others.
Sets of parties are integers with a bit for each, so the work follows the rules and not the square
of the parties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netpolc.connectivity.parties import Party
from netpolc.connectivity.reach import Reach
from netpolc.ir import ANY, Action, Direction
from netpolc.program import Combination, Match


class Candidates:
    """The pairs of some parties that may have a connection."""

    def __init__(self, reach: Reach, parties: Sequence[Party]) -> None:
        self._reach = reach
        self._everyone = (1 << len(parties)) - 1
        self._with_identity: dict[int | None, int] = {}
        self._held: dict[int, int] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._judged: dict[Direction, dict[Combination | None, int]] = {d: {} for d in Direction}
        for number, party in enumerate(parties):
            self._enter(party, 1 << number)
        self._admits_me = [0] * len(parties)
        for judge, subjects in self._judged[Direction.INGRESS].items():
            for number in members(self._peers(judge)):
                self._admits_me[number] |= subjects
        self._egress = [0] * len(parties)
        for judge, subjects in self._judged[Direction.EGRESS].items():
            peers = self._peers(judge)
            for number in members(subjects):
                self._egress[number] = peers

    def destinations(self, source: int) -> Iterator[int]:
        """The numbers of the parties a source may reach, in order."""
        return members(self._egress[source] & self._admits_me[source])

    def _enter(self, party: Party, bit: int) -> None:
        for place in dict.fromkeys(party.places.values()):
            identity, own = self._reach.seen(place)
            self._with_identity[identity] = self._with_identity.get(identity, 0) | bit
            self._held[own] = self._held.get(own, 0) | bit
            for direction, judged in self._judged.items():
                judge = self._reach.judge(direction, place)
                judged[judge] = judged.get(judge, 0) | bit

    def _peers(self, judge: Combination | None) -> int:
        """The parties that some rule admits, in part at least."""
        if judge is None or judge.tiers[-1].default is not Action.DENY:
            return self._everyone
        found = 0
        for tier in judge.tiers:
            for rule in tier.rules:
                if rule.action is not Action.DENY:
                    found |= self._matching(rule.match)
        return found

    def _matching(self, match: Match) -> int:
        if match.identities is ANY or match.networks is ANY:
            return self._everyone
        key = id(match.identities), id(match.networks)
        known = self._known.get(key)
        if known is None:
            known = 0
            for identity in match.identities:
                known |= self._with_identity.get(identity, 0)
            for own, bits in self._held.items():
                if self._reach.holds(match, own):
                    known |= bits
            self._known[key] = known
        return known


def members(bits: int) -> Iterator[int]:
    """The numbers of the bits that are set, in order."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
