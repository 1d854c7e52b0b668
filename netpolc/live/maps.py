"""Maps of pods as pods come and go: who is in them, and where they lead.

Comes in: a `PodMap` as `lower` made it, then addresses of pods with what those answer. Goes out:
the maps with their elements of now, and whether the chains behind them are still the same: those
are made from what pods meet, whoever they are. Nothing is refused.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.facts import Dependencies, PodMap
from netpolc.backends.nft.lower.node import twin_of
from netpolc.core.nets import Family, family, format_address, parse_address
from netpolc.core.program import Question


class LiveMap:
    """One map of each family, from the addresses of pods; `named` are those with some pods."""

    def __init__(self, own: PodMap, named: Mapping[str, nft.AddressMap]) -> None:
        self._own, self._changes = own, dict[int, int | None]()
        self._maps = {version: named[name] for version, name in _there(own, named)}
        self._met = {version: Counter(some) for version, some in own.counted.items()}
        self._flipped: set[tuple[Family, int]] = set()
        self._edited: set[Family] = set()

    @property
    def asked(self) -> Sequence[Sequence[Question]]:
        """The questions behind each bit of what a pod answers."""
        return self._own.asked

    @property
    def is_other(self) -> bool:
        """Whether somebody came who meets what nobody did, or the last one who does has gone."""
        return bool(self._flipped)

    def change(self, answered: int, addresses: Iterable[int], there: bool) -> int:
        """A pod that answers so comes or goes; how many elements that touches."""
        touched = 0
        for address in addresses:
            met = self._own.met(answered, address)
            if met is not None:
                self._changes[address] = met if there else None
                self._count(family(address), met, 1 if there else -1)
                touched += 1
        return touched

    def _count(self, version: Family, met: int, step: int) -> None:
        if self._own.remade is None:
            return
        counts = self._met[version]
        before = counts[met]
        counts[met] += step
        if not before or not counts[met]:
            self._flipped ^= {(version, met)}

    def remake(self) -> None:
        """Have the chains made for what is met now."""
        assert self._own.remade is not None
        met = {version: +counts for version, counts in self._met.items()}
        before, self._own = self._own.verdicts, self._own.remade(met)
        self._met, now = met, self._own.verdicts
        self._flipped.clear()
        self._edited.update(self._maps)  # those of the table have no pods now
        others = {before[own]: now[own] for own in before.keys() & now.keys()}
        if any(own != after for own, after in others.items()):
            for version, own in self._maps.items():
                led = tuple([(text, others.get(to, to)) for text, to in own.elements])
                self._maps[version] = nft.AddressMap(own.name, version, led)

    def edited(self) -> Iterator[nft.AddressMap]:
        """The maps that have other elements than before, or whose chains were remade."""
        several: dict[Family, dict[int, int | None]] = {}
        for address, met in self._changes.items():
            several.setdefault(family(address), {})[address] = met
        self._changes.clear()
        for version, changes in several.items():
            name = self._own.names.get(version)
            if name is not None:  # else no pod of the node has an address of the family
                before = self._maps.get(version)
                elements = list(before.elements if before is not None else ())
                self._edit(elements, changes)
                self._maps[version] = nft.AddressMap(name, version, tuple(elements))
                self._edited.add(version)
        yield from map(self._maps.__getitem__, self._edited)
        self._edited.clear()

    def _edit(
        self, elements: list[tuple[str, nft.Verdict]], changes: Mapping[int, int | None]
    ) -> None:
        for address, met in changes.items():
            at = bisect_left(elements, address, key=lambda own: parse_address(own[0]))
            is_there = at < len(elements) and parse_address(elements[at][0]) == address
            new = [] if met is None else [(format_address(address), self._own.verdicts[met])]
            elements[at : at + is_there] = new


class LiveMaps:
    """All maps of pods of a node; `twins` says that each has one for replies."""

    def __init__(
        self, used: Iterable[Dependencies], maps: Iterable[nft.NamedMap], twins: bool
    ) -> None:
        named = {own.name: own for own in maps if isinstance(own, nft.AddressMap)}
        self.all = [LiveMap(one, named) for some in used for one in some.maps]
        self._twins, self._now = twins, dict[str, nft.NamedMap]()

    def remake(self) -> bool:
        """Have the chains made again behind maps that need others; whether any does."""
        others = [own for own in self.all if own.is_other]
        for own in others:
            own.remake()
        return bool(others)

    def edit(self) -> dict[str, nft.NamedMap]:
        """Let all elements come and go that have changed; the maps that they are in, by name."""
        edited: dict[str, nft.NamedMap] = {}
        for own in (entry for several in self.all for entry in several.edited()):
            edited[own.name] = own
            if self._twins:
                twin = twin_of(own)
                edited[twin.name] = twin
        self._now |= edited
        return edited

    def of(self, table: nft.Table) -> tuple[nft.NamedMap, ...]:
        """The maps of a table with the elements of now."""
        return tuple([self._now.get(own.name, own) for own in table.maps])


def _there(own: PodMap, named: Mapping[str, nft.AddressMap]) -> Iterator[tuple[Family, str]]:
    return ((version, name) for version, name in own.names.items() if name in named)
