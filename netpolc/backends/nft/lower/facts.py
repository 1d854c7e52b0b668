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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.questions import PodQuestion, everyone
from netpolc.backends.nft.lower.sets import Addresses
from netpolc.core.nets import IPV6, Family, Ranges
from netpolc.core.program import Question

Families = frozenset[Family]


class Sizes:
    """How many addresses answer the questions of a Program, in classes."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._known: dict[tuple[PodQuestion, ...], int] = {}
        self.counted: dict[tuple[PodQuestion, ...], tuple[int, int]] = {}
        """How many addresses answer what was asked so far, IPv4 and IPv6."""

    def of(self, several: tuple[PodQuestion, ...]) -> int:
        """The class of the addresses that answer any of some questions, in the family that has
        more: about the middle of it, and nothing for the first.
        """
        known = self._known.get(several)
        if known is None:
            counts = self.counted[several] = self._count(several)
            known = self._known[several] = size_class(max(counts))
        return known

    def _count(self, several: tuple[PodQuestion, ...]) -> tuple[int, int]:
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
        return v4, v6


def size_class(count: int) -> int:
    """The class of some number of addresses: about the middle of it, nothing for the first."""
    room = nft.room(count)
    return room // 2 if room > nft.room(0) else 0


@dataclass(frozen=True, slots=True, eq=False)
class PodMap:
    """Maps from the addresses of pods to where their packets go, one for each family.

    What a pod meets is a number of bits, and follows from what it answers and from its address.
    """

    names: Mapping[Family, str]
    """What the maps are called."""
    asked: Sequence[Sequence[Question]]
    """The questions behind each bit of what a pod answers."""
    met: Callable[[int, int], int | None]
    """What a pod meets, by what it answers and one of its addresses; None if that is not there."""
    verdicts: Mapping[int, nft.Verdict]
    """Where packets go, by what their peer meets."""
    counted: Mapping[Family, Mapping[int, int]] = field(default_factory=dict)
    """How many addresses meet what, where somebody may be the first or the last who does."""
    remade: Callable[[Mapping[Family, Mapping[int, int]]], PodMap] | None = None
    """The same for pods that meet just this: from then on the table is one for them, with maps that
    have no pods. None where that decides more than what the maps lead to.
    """


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What of the answers is in the tables that were made so far, or decided how they look.

    As long as no count leaves its class (`size_class`), a pod that answers is an element of sets
    and nothing else, or of `maps`, unless it is the first or the last that answers just these of
    what is `grouped`. `judges` is how many chains were made: whoever asks for more of them has
    asked more.
    """

    questions: Mapping[PodQuestion, Question]
    sets: Mapping[str, tuple[PodQuestion, ...]]
    """The names of sets, with the questions whose answers are in each."""
    counted: Mapping[tuple[PodQuestion, ...], tuple[int, int]]
    """How many addresses answer, IPv4 and IPv6."""
    maps: Collection[PodMap]
    """The maps of pods."""
    grouped: Collection[tuple[tuple[PodQuestion, ...], ...]]
    """Rows of questions, where it decides a layout which of a row some pod answers together."""
    judges: int


class Asks(Protocol):
    """What a chain admits, as far as others have to know it."""

    @property
    def asked(self) -> tuple[PodQuestion, ...]:
        """Every question, once."""


class NodeFacts:
    """The facts of one node; `families` are those that its pods have addresses of, `lists` is how
    many lists of ordered tiers it asks, in classes: 1, 2, 3 or 4, 5 to 8, ...: the most of the
    class.
    """

    def __init__(
        self, sizes: Sizes, chains: Sequence[Asks], families: Families, lists: int = 0
    ) -> None:
        self.size, self._chains, self.families = sizes.of, chains, families
        self.lists = 1 << (lists - 1).bit_length() if lists else 0

    @cached_property
    def _uses(self) -> Counter[PodQuestion]:
        return Counter(asked for own in self._chains for asked in own.asked)

    def uses(self, several: Iterable[PodQuestion]) -> int:
        """How many chains ask some questions, in classes: 1, 2 or 3, 4 to 7, ...: the least of the
        class.
        """
        return 1 << min(self._uses[own] for own in several).bit_length() - 1
