"""What a layout may know of answers: facts that stay the same while most pods come and go.

Comes in: a Program, and the questions of the chains of one node. Goes out: for an answer the class
of its size, and the class of how many chains of the node ask for it. Nothing is refused.

A layout that asks for anything else would change with pods that do not matter to it, or with
policies of other nodes. A chain is written again only when one of these facts flips, and then it
alone, with the sets and maps that only it uses. Classes end where the kernel's `size` of a set
does (`model.room`), so a set that flips is made anew anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Protocol

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.questions import PodQuestion, everyone
from netpolc.backends.nft.lower.sets import Addresses
from netpolc.core.nets import IPV6, Family, Ranges

Families = frozenset[Family]


class Sizes:
    """How many addresses answer the questions of a Program, in classes."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._known: dict[tuple[PodQuestion, ...], int] = {}

    def of(self, several: tuple[PodQuestion, ...]) -> int:
        """The class of the addresses that answer any of some questions, in the family that has
        more: about the middle of it, and nothing for the first.
        """
        known = self._known.get(several)
        if known is None:
            room = nft.room(self._count(several))
            known = self._known[several] = room // 2 if room > nft.room(0) else 0
        return known

    def _count(self, several: tuple[PodQuestion, ...]) -> int:
        v4 = v6 = 0
        for first, later in map(self._addresses.of, everyone(several)):
            v4 += len(first)
            v6 += len(later)
        # Of pods that are peers by their address alone there is one question at most.
        for start, end in Ranges.union([own.addresses for own in several]):
            if start >= IPV6:
                v6 += end - start + 1
            else:
                v4 += end - start + 1
        return max(v4, v6)


class Asks(Protocol):
    """What a chain admits, as far as others have to know it."""

    @property
    def asked(self) -> tuple[PodQuestion, ...]:
        """Every question, once."""


class NodeFacts:
    """The facts of one node; `families` are those that its pods have addresses of."""

    def __init__(self, sizes: Sizes, chains: Sequence[Asks], families: Families) -> None:
        self.size, self._chains, self.families = sizes.of, chains, families

    @cached_property
    def _uses(self) -> Counter[PodQuestion]:
        return Counter(asked for own in self._chains for asked in own.asked)

    def uses(self, several: Iterable[PodQuestion]) -> int:
        """How many chains ask some questions, in classes: 1, 2 or 3, 4 to 7, ...: the least of the
        class.
        """
        return 1 << min(self._uses[own] for own in several).bit_length() - 1
