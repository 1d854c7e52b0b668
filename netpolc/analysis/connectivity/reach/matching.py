"""Which rules of a stage have a peer, and the ports of some of them.

Comes in: the stages of a Program, with the `Blocks` of its rules; a peer as its identity and the
number of the blocks that hold it. Goes out: a bit for each rule of the stage. Nothing is refused.
"""

from __future__ import annotations

from functools import cached_property

from netpolc.analysis.connectivity.reach.places import Blocks
from netpolc.analysis.connectivity.reach.rulings import match_ports, rules_of
from netpolc.core.ir import ANY
from netpolc.core.nets import Ranges, numbers
from netpolc.core.program import Match, Stage
from netpolc.core.unions import Union

MANY_RULES = 64
"""From so many on the rules of a stage are indexed by their peers."""


class Matching:
    """The rules of all stages by their peers; an index is made of long stages only."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._by_peer: dict[int, _RuleIndex] = {}

    def rules(self, stage: Stage, identity: int | None, own: int) -> int:
        """A bit for each rule of a stage that has a peer."""
        if len(stage.rules) >= MANY_RULES:
            return self._index(stage).matching(identity, own)
        return sum(
            1 << number
            for number, rule in enumerate(stage.rules)
            if self._has(rule.match, identity, own)
        )

    def ports(self, stage: Stage, matching: int) -> Ranges:
        """The ports of some rules of a stage."""
        if matching.bit_count() < MANY_RULES:
            return Ranges.union(match_ports(rule.match) for rule in rules_of(stage, matching))
        return self._index(stage).ports.of(matching)

    def _index(self, stage: Stage) -> _RuleIndex:
        index = self._by_peer.get(id(stage))
        if index is None:
            index = self._by_peer[id(stage)] = _RuleIndex(stage, self._blocks)
        return index

    def _has(self, match: Match, identity: int | None, own: int) -> bool:
        if match.identities is ANY or match.networks is ANY or identity in match.identities:
            return True
        return bool(match.networks and own & self._blocks.bit(match.networks))


class _RuleIndex:
    """The rules of a stage by the peers they have, as a bit for each rule."""

    def __init__(self, stage: Stage, blocks: Blocks) -> None:
        self._stage = stage
        self._anybody = 0
        self._of_identity: dict[int, int] = {}
        self._of_block: dict[int, int] = {}
        for number, match in enumerate(rule.match for rule in stage.rules):
            if match.identities is ANY or match.networks is ANY:
                self._anybody |= 1 << number
                continue
            for identity in match.identities:
                self._of_identity[identity] = self._of_identity.get(identity, 0) | 1 << number
            if match.networks:
                bit = blocks.number(match.networks)
                self._of_block[bit] = self._of_block.get(bit, 0) | 1 << number
        self._blocks = sum(1 << bit for bit in self._of_block)
        self._held = self._holding = 0

    @cached_property
    def ports(self) -> Union:
        """The ports of some of the rules."""
        return Union([match_ports(rule.match) for rule in self._stage.rules])

    def matching(self, identity: int | None, own: int) -> int:
        """The rules that have an identity, or the blocks of a number."""
        own &= self._blocks
        for bit in numbers(self._held ^ own):  # a rule has one set of blocks: others stay
            self._holding ^= self._of_block[bit]
        self._held = own
        of_identity = 0 if identity is None else self._of_identity.get(identity, 0)
        return self._anybody | of_identity | self._holding
