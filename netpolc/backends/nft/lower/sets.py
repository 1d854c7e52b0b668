"""The sets of addresses and blocks that chains look peers up in, each made once for a Program.

Comes in: sets of identities, or blocks, as rules name them. Goes out: named sets of the model.
A set of pods is named from what is asked (`questions.py`), one of blocks from its content; equal
ones are the same object in whatever chain. Nothing is refused.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from functools import cached_property, lru_cache

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.questions import Questions
from netpolc.backends.nft.names import digest
from netpolc.core.ir import ANY, Tier
from netpolc.core.labels import NONE, Members
from netpolc.core.nets import IPV6, Family, Span, format_address
from netpolc.core.program import Program


class Sets:
    """The sets of one Program, and what layouts ask about their size and use."""

    def __init__(self, program: Program, questions: Questions) -> None:
        self._program, self._questions = program, questions
        self._sizes: dict[Members, int] = {}
        self._addresses: dict[frozenset[Members], dict[Family, nft.AddressSet]] = {}
        self._blocks: dict[tuple[Span, ...], nft.NetworkSet] = {}

    def size(self, members: Members) -> int:
        """How many pods some identities are."""
        known = self._sizes.get(members)
        if known is None:
            identities = self._program.identities
            known = sum(len(identities[number].pods) for number in members)
            self._sizes[members] = known
        return known

    @cached_property
    def uses(self) -> Counter[Members]:
        """How many combinations ask for some identities; a union of theirs is not counted."""
        return Counter(
            members
            for combination in self._program.combinations
            for tier in combination.tiers
            if tier.tier is Tier.NETWORK_POLICY
            for members in {rule.match.identities for rule in tier.rules}
            if members is not ANY
        )

    def addresses(self, several: frozenset[Members], version: Family) -> nft.AddressSet | None:
        """The addresses of some identities; None when they have none of this family.

        `several` are those that were asked for: their questions name the set.
        """
        known = self._addresses.get(several)
        if known is None:
            known = self._addresses[several] = dict(self._made(several))
        return known.get(version)

    def _made(self, several: frozenset[Members]) -> Iterator[tuple[Family, nft.AddressSet]]:
        identities = self._program.identities
        addresses = sorted(
            address
            for number in NONE.union(*several)
            for pod in identities[number].pods
            for address in pod.addresses
        )
        split = bisect_left(addresses, IPV6)
        own_name = digest((self._questions.of(several),))
        for version, own in (Family.IPV4, addresses[:split]), (Family.IPV6, addresses[split:]):
            if own:
                elements = tuple(map(_written, own))
                yield version, nft.AddressSet(f"s{version.value}_{own_name}", version, elements)

    def blocks(self, spans: tuple[Span, ...], version: Family) -> nft.NetworkSet:
        """An interval set of disjoint, sorted blocks of one family."""
        known = self._blocks.get(spans)
        if known is None:
            name = f"c{version.value}_{digest(map(str, spans))}"
            known = self._blocks[spans] = nft.NetworkSet(name, version, spans)
        return known


@lru_cache(1 << 17)
def _written(address: int) -> str:
    """An address as text; most are in many sets, and a set of the next snapshot that holds the same
    objects is compared with this one in no time.
    """
    return format_address(address)
