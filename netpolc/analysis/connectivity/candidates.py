"""Which parties are worth asking about: most pairs of a cluster have no rule in common.

Comes in: parties and their `Reach`. Goes out: for each source the destinations that some rule on
both sides speaks of, or that nothing isolates: every pair that has a connection, and few others.
Sets of parties are integers with a bit for each, so the work follows the rules and not the square
of the parties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netpolc.analysis.connectivity.parties import Party
from netpolc.analysis.connectivity.reach import Reach
from netpolc.core.ir import ANY, Action, Direction
from netpolc.core.nets import Family, as_key, numbers
from netpolc.core.program import Combination, Match


class Candidates:
    """The pairs of some parties that may have a connection."""

    def __init__(self, reach: Reach, parties: Sequence[Party]) -> None:
        self._reach = reach
        self._everyone = (1 << len(parties)) - 1
        self._with_identity: dict[int | None, int] = {}
        self._held: dict[tuple[Family, bytes], tuple[int, int]] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._judged: dict[Direction, dict[Combination | None, int]] = {d: {} for d in Direction}
        for number, party in enumerate(parties):
            self._enter(party, 1 << number)
        self._inside = self._by_block()
        self._admits_me = [0] * len(parties)
        for judge, subjects in self._judged[Direction.INGRESS].items():
            for number in numbers(self._peers(judge)):
                self._admits_me[number] |= subjects
        self._egress = [0] * len(parties)
        for judge, subjects in self._judged[Direction.EGRESS].items():
            peers = self._peers(judge)
            for number in numbers(subjects):
                self._egress[number] = peers

    def destinations(self, source: int, among: int = -1) -> Iterator[int]:
        """The numbers of the parties a source may reach, in order; `among` has a bit for each."""
        return numbers(self._egress[source] & self._admits_me[source] & among)

    def _enter(self, party: Party, bit: int) -> None:
        for version, place in party.places.items():
            identity, own = self._reach.places.seen[place]
            self._with_identity[identity] = self._with_identity.get(identity, 0) | bit
            key = version, as_key(own)
            self._held[key] = own, self._held.get(key, (own, 0))[1] | bit
            for direction, judged in self._judged.items():
                judge = self._reach.judge(direction, place)
                judged[judge] = judged.get(judge, 0) | bit

    def _by_block(self) -> dict[int, int]:
        """The parties inside each block.

        Places follow each other as their addresses do, so few blocks begin or end between two of
        them: a block has all parties up to where it ends but for those up to where it began.
        """
        found: dict[int, int] = {}
        for version in Family:
            inside: dict[int, int] = {}
            before = passed = 0
            held = [own for (found_in, _), own in self._held.items() if found_in is version]
            for own, bits in (*held, (0, 0)):
                for block in numbers(own ^ before):
                    inside[block] = inside.get(block, 0) ^ passed
                before = own
                passed |= bits
            for block, bits in inside.items():
                found[block] = found.get(block, 0) | bits
        return found

    def _peers(self, judge: Combination | None) -> int:
        """The parties that some rule admits, in part at least."""
        found = 0
        for stage in judge.tiers if judge is not None else ():
            for run in stage.runs:
                if run.action is Action.ACCEPT:
                    for rule in run.rules:
                        found |= self._matching(rule.match)
            passes = any(run.action is Action.PASS for run in stage.runs)
            if stage.default is Action.DENY and not passes:
                return found
        return self._everyone

    def _matching(self, match: Match) -> int:
        if match.identities is ANY or match.networks is ANY:
            return self._everyone
        key = id(match.identities), id(match.networks)
        known = self._known.get(key)
        if known is None:
            known = 0
            for identity in match.identities:
                known |= self._with_identity.get(identity, 0)
            if match.networks:
                known |= self._inside.get(self._reach.places.blocks.number(match.networks), 0)
            self._known[key] = known
        return known
