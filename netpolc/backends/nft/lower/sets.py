"""The sets of addresses and blocks that chains look peers up in, each made once for a Program.

Comes in: questions, or blocks, as rules name them. Goes out: named sets of the model. A set of pods
is named from what is asked (`questions.py`), one of blocks from its content; equal ones are the
same object in whatever chain. A set of pods is there whether one pod answers, or many, or none: so
a pod that comes or goes is an element. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from itertools import chain

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.questions import PodQuestion, everyone
from netpolc.backends.nft.names import chain_map, denied_set, digest, self_set
from netpolc.core.ir import Direction
from netpolc.core.nets import IPV6, NOTHING, Family, Ranges, Span, family, format_address
from netpolc.core.program import InvariantError, Program

_Addresses = dict[Family, tuple[str, ...]]
PodAddress = tuple[int, str, int]
"""An address of a pod, the same as text, and the pod's identity."""


ByFamily = tuple[tuple[int, ...], tuple[int, ...]]
"""Addresses of IPv4, then those of IPv6."""


class Addresses:
    """The addresses of the pods of each identity, taken from the pods once."""

    def __init__(self, program: Program) -> None:
        self._identities = program.identities
        self._known: dict[int, ByFamily] = {}

    def of(self, number: int) -> ByFamily:
        """Those of one identity, in the order of its pods."""
        known = self._known.get(number)
        if known is None:
            found = [own for pod in self._identities[number].pods for own in pod.addresses]
            later = tuple([own for own in found if own >= IPV6])
            first = tuple([own for own in found if own < IPV6]) if later else tuple(found)
            known = self._known[number] = first, later
        return known


class Sets:
    """The sets of one Program."""

    def __init__(self, program: Program, addresses: Addresses) -> None:
        self._program, self._of_identity = program, addresses.of
        self._addresses: dict[tuple[PodQuestion, ...], _Addresses] = {}
        self._named: dict[str, nft.AddressSet] = {}
        self.asked: dict[str, tuple[PodQuestion, ...]] = {}
        """The questions whose answers are in each set of pods."""
        self._blocks: dict[tuple[Span, ...], nft.NetworkSet] = {}

    @cached_property
    def pods(self) -> dict[Family, list[PodAddress]]:
        """The addresses of all pods, in order."""
        found: dict[Family, list[PodAddress]] = {version: [] for version in Family}
        owners = (
            (address, own.number)
            for own in self._program.identities
            for pod in own.pods
            for address in pod.addresses
        )
        for address, number in sorted(owners):
            found[family(address)].append((address, written_address(address), number))
        return found

    def of(self, asked: PodQuestion, version: Family) -> nft.AddressSet:
        """The addresses that answer a question."""
        name = f"s{version.value}_{digest((asked.text,))}"
        return self._set(name, version, (asked,))

    def rest(
        self, among: tuple[PodQuestion, ...], several: tuple[PodQuestion, ...], version: Family
    ) -> nft.AddressSet:
        """The addresses that answer some among many questions, of which the others have sets of
        their own; named from all of them, for which have one changes with sizes.
        """
        name = f"s{version.value}_{digest(('rest of', *sorted(own.text for own in among)))}"
        return self._set(name, version, several)

    def _set(self, name: str, version: Family, several: tuple[PodQuestion, ...]) -> nft.AddressSet:
        elements = self.addresses(several)[version]
        self.asked.setdefault(name, several)
        known = self._named.get(name)
        if known is None:
            known = self._named[name] = nft.AddressSet(name, version, elements)
        elif known.elements is not elements and known.elements != elements:
            raise InvariantError(f"set {name} is named once and means two things")
        return known

    def addresses(self, several: tuple[PodQuestion, ...]) -> _Addresses:
        """The addresses that answer any of some questions, in order."""
        known = self._addresses.get(several)
        if known is None:
            networks = Ranges.union([own.addresses for own in several])
            known = self._addresses[several] = self.of_identities(everyone(several), networks)
        return known

    def of_identities(self, members: Iterable[int], networks: Ranges = NOTHING) -> _Addresses:
        """The addresses of some identities, and some more."""
        owned = list(map(self._of_identity, members))
        v4 = set(chain.from_iterable([own for own, _ in owned]))
        v6 = set(chain.from_iterable([own for _, own in owned]))
        for first, last in networks:
            (v6 if first >= IPV6 else v4).update(range(first, last + 1))
        return {
            Family.IPV4: tuple(map(written_address, sorted(v4))),
            Family.IPV6: tuple(map(written_address, sorted(v6))),
        }

    def blocks(self, spans: tuple[Span, ...], version: Family) -> nft.NetworkSet:
        """An interval set of disjoint, sorted blocks of one family."""
        known = self._blocks.get(spans)
        if known is None:
            name = f"c{version.value}_{digest(map(str, spans))}"
            known = self._blocks[spans] = nft.NetworkSet(name, version, spans)
        return known


@lru_cache(1 << 17)
def written_address(address: int) -> str:
    """An address as text; most are in many sets, and a set of the next snapshot that holds the same
    objects is compared with this one in no time.
    """
    return format_address(address)


def denied_sets(
    judged: Iterable[tuple[Direction, Family]], maps: Mapping[str, nft.AddressMap]
) -> tuple[nft.AddressSet, ...]:
    """The addresses that have a chain, to count by pod what it denies."""
    found = []
    for direction, version in judged:
        elements = tuple(address for address, _ in maps[chain_map(direction, version)].elements)
        name = denied_set(direction, version)
        found.append(nft.AddressSet(name, version, elements, counted=True))
    return tuple(sorted(found, key=lambda own: own.name))


def pair_sets(pairs: set[tuple[int, int]], *, always: bool) -> tuple[nft.PairSet, ...]:
    """Every address of a pod with every other of its family: a pod always reaches itself. If
    `always`, a family without any has a set, too.
    """
    found = []
    for version in Family:
        own = sorted((a, b) for a, b in pairs if family(a) is version and family(b) is version)
        if own or always:
            elements = tuple((written_address(a), written_address(b)) for a, b in own)
            found.append(nft.PairSet(self_set(version), version, elements))
    return tuple(found)
