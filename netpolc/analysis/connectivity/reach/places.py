"""Places: ends that no rule tells apart, by what rules see of them.

Comes in: a Program; ends, as an identity and an address. Goes out: a number for each place. Nothing
is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property

from netpolc.core.ir import ANY
from netpolc.core.nets import EVERYWHERE, Family, Ranges, Span, as_key, family, split
from netpolc.core.program import Program

Place = int
"""A number that `Places` gives to ends no rule tells apart."""


class Places:
    """The places of one program, each with its number from the time it is asked for.

    `seen` has by number the identity at a place, and a number for the blocks that hold its address.
    """

    def __init__(self, program: Program) -> None:
        self.networks = list(_networks(program))
        self.blocks = Blocks(self.networks)
        self._numbers: dict[tuple[int | None, bytes], Place] = {}
        self.seen: list[tuple[int | None, int]] = []

    def at(self, identity: int | None, address: int) -> Place:
        """The place of an end: of a pod or (None) of another, at an address."""
        return self._placed(identity, self.blocks.holding(address))

    def somewhere(self, identity: int, version: Family) -> Place:
        """The place of a pod that has no address yet: in the blocks of the whole family."""
        return self._placed(identity, self.blocks.everywhere[version])

    def outside(self) -> Iterator[tuple[Place, Ranges]]:
        """All addresses that are no pod's, split where a rule splits them."""
        for own, addresses in self.blocks.classes():
            yield self._placed(None, own), addresses

    def _placed(self, identity: int | None, own: int) -> Place:
        place = self._numbers.setdefault((identity, as_key(own)), len(self.seen))
        if place == len(self.seen):
            self.seen.append((identity, own))
        return place


def _networks(program: Program) -> Iterator[Ranges]:
    for combination in program.combinations:
        for tier in combination.tiers:
            for rule in tier.rules:
                if rule.match.networks is not ANY and rule.match.networks:
                    yield rule.match.networks


class Blocks:
    """The address line, cut where any of some networks begins or ends.

    A set of networks is an integer with a bit for each.
    """

    def __init__(self, networks: Iterable[Ranges]) -> None:
        by_id = {id(own): own for own in networks}
        distinct = {own: 2 << number for number, own in enumerate(dict.fromkeys(by_id.values()))}
        self._bits = {number: distinct[own] for number, own in by_id.items()}
        # By `id`: the program keeps them, and they are long. Bit 0 is held by every address.
        self._spans = list(split([EVERYWHERE, *distinct]))

    def bit(self, networks: Ranges) -> int:
        """The bit of one of the networks."""
        return self._bits[id(networks)]

    def number(self, networks: Ranges) -> int:
        """Which bit that is."""
        return self.bit(networks).bit_length() - 1

    def holding(self, address: int) -> int:
        """The networks that hold an address."""
        return self._spans[bisect_right(self._spans, address, key=_start) - 1][1]

    @cached_property
    def everywhere(self) -> dict[Family, int]:
        """The networks that hold every address of a family."""
        found = dict.fromkeys(Family, -1)
        for held, addresses in self.classes():
            found[family(addresses.spans[0][0])] &= held
        return found

    def classes(self) -> Iterator[tuple[int, Ranges]]:
        """Sets of networks with the addresses in exactly those, each family by itself."""
        found: dict[tuple[Family, bytes], tuple[int, list[Span]]] = {}
        for span, holding in self._spans:
            key = family(span[0]), as_key(holding)
            found.setdefault(key, (holding, []))[1].append(span)
        for holding, spans in found.values():
            yield holding, Ranges.of(spans)


def _start(entry: tuple[Span, int]) -> int:
    return entry[0][0]
