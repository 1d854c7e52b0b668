"""Which rules of a combination can cover a part of another: an index by port and by address.

Comes in: the matches of a combination, by rule. Goes out: for one match those that may have a port
in common with it and, unless it has pods, an address. To ask every rule about every other would
cost their number squared. Nothing is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from operator import or_

from netpolc.core.ir import ANY, Origin
from netpolc.core.labels import Members
from netpolc.core.nets import EVERY_PORT, EVERYWHERE, Ranges, numbers
from netpolc.core.program import Match

FEW = 32
"""Up to so many matches are all handed out."""


def ports_of(match: Match) -> Ranges:
    """The ports of a match as a set."""
    return EVERY_PORT if match.ports is ANY else match.ports


class Meetings:
    """The matches of one combination."""

    def __init__(self, rules: Mapping[Origin, Sequence[Match]]) -> None:
        self._all = [(origin, match) for origin, own in rules.items() for match in own]
        self._is_small = len(self._all) <= FEW

    @cached_property
    def _ports(self) -> _Index:
        return _Index([ports_of(match) for _, match in self._all])

    @cached_property
    def _addresses(self) -> _Index:
        return _Index([EVERYWHERE if own.networks is ANY else own.networks for _, own in self._all])

    @cached_property
    def _of_identity(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for number, (_, match) in enumerate(self._all):
            for identity in () if match.identities is ANY else match.identities:
                found[identity] = found.get(identity, 0) | 1 << number
        return found

    @cached_property
    def _with_addresses(self) -> int:
        """Those that could have every address, whoever has it."""
        bits = (1 << number for number, (_, own) in enumerate(self._all) if own.networks)
        return sum(bits)

    def of(self, match: Match) -> list[tuple[Origin, Match]]:
        """Those that meet a match, itself included, in order; none or only itself where one of its
        pods is in no other.
        """
        if self._is_small:
            return self._all
        found = self._ports.meeting(ports_of(match))
        if match.identities is ANY or match.networks is ANY:
            found &= self._addresses.meeting(EVERYWHERE)
        elif match.networks and not match.identities:
            found &= self._addresses.meeting(match.networks)
        elif found.bit_count() > 1:
            found &= self._having(match.identities, found)
        return [self._all[number] for number in numbers(found)]

    def _having(self, identities: Members, among: int) -> int:
        """Those that have some of the pods or could have every address."""
        found = self._with_addresses
        for identity in identities:
            own = self._of_identity[identity]
            if ((own | self._with_addresses) & among).bit_count() <= 1:
                return own
            found |= own
        return found


class _Index:
    """Which of some sets may hold a part of another, told by where they begin and end."""

    def __init__(self, sets: Sequence[Ranges]) -> None:
        spans = [(own.spans[0][0], own.spans[-1][1], 1 << at) for at, own in enumerate(sets) if own]
        begins = sorted((first, bit) for first, _, bit in spans)
        ends = sorted(((last, bit) for _, last, bit in spans), reverse=True)
        self._begins, self._begun = [at for at, _ in begins], _unions(bit for _, bit in begins)
        self._ends, self._not_ended = [-at for at, _ in ends], _unions(bit for _, bit in ends)

    def meeting(self, ranges: Ranges) -> int:
        """A bit for each set that begins before the end of another and ends after its beginning."""
        if not ranges:
            return 0
        begun = self._begun[bisect_right(self._begins, ranges.spans[-1][1])]
        return begun & self._not_ended[bisect_right(self._ends, -ranges.spans[0][0])]


def _unions(bits: Iterable[int]) -> list[int]:
    """The union of the first none, one, two, ..."""
    return list(accumulate(bits, or_, initial=0))
