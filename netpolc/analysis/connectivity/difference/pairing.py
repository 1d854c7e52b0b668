"""Who is who in two snapshots: the same party before and after.

Comes in: the `Reach` of an old and of a new program. Goes out: pairs of parties, in order of their
names. Workloads are the same by name; their pods too, and a pod that only one snapshot has counts
as a replica of what the workload was in the other, if all of that was alike. Ranges of addresses
are cut where a policy of either snapshot cuts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from netpolc.analysis.connectivity.parties import (
    FamilyPlaces,
    Party,
    families_of,
    name_of,
    placed,
    some_of,
)
from netpolc.analysis.connectivity.reach import Blocks, Place, Reach
from netpolc.core.cluster import Pod
from netpolc.core.nets import Family, Ranges, family


@dataclass(frozen=True, slots=True, eq=False)
class Counterparts:
    """A party before and after; one that is not there has no places."""

    old: Party
    new: Party

    @property
    def name(self) -> str:
        """The name, the same in both."""
        return self.new.name

    @property
    def is_single(self) -> bool:
        """Whether it is, before and after, one pod at most, which always reaches itself."""
        sides = [party for party in (self.old, self.new) if party.pods]
        return bool(sides) and all(party.is_single for party in sides)


def pairs(old: Reach, new: Reach) -> list[Counterparts]:
    """Workloads, then ranges of addresses of the families that a workload has."""
    found = _workloads(old, new)
    families = {v for pair in found for side in (pair.old, pair.new) for v in side.places}
    return [*found, *_ranges(old, new, families)]


_Pods = dict[str, tuple[Pod, FamilyPlaces]]


def _by_workload(reach: Reach, families: Collection[Family]) -> dict[str, _Pods]:
    found: dict[str, _Pods] = {}
    for pod, places in placed(reach, families):
        found.setdefault(reach.program.cluster.workload(pod), {})[pod.key] = pod, places
    return found


def _workloads(old: Reach, new: Reach) -> list[Counterparts]:
    families = families_of(old.program, new.program)
    before, after = _by_workload(old, families), _by_workload(new, families)
    found: list[Counterparts] = []
    for name in before.keys() | after.keys():
        found.extend(_parts(name, before.get(name, {}), after.get(name, {})))
    return sorted(found, key=lambda pair: (pair.new.namespace, pair.name))


def _parts(name: str, old: _Pods, new: _Pods) -> Iterator[Counterparts]:
    """The pods of a workload, together as long as both snapshots treat them alike."""
    usual = _uniform(old), _uniform(new)
    groups: dict[tuple[FamilyPlaces, FamilyPlaces], tuple[list[Pod], list[Pod]]] = {}
    for key in sorted(old.keys() | new.keys()):
        places = (
            old[key][1] if key in old else usual[0],
            new[key][1] if key in new else usual[1],
        )
        sides = groups.setdefault(places, ([], []))
        for side, known in zip(sides, (old, new), strict=True):
            if key in known:
                side.append(known[key][0])
    for (before, after), (earlier, later) in groups.items():
        pods = later or earlier
        text = name if len(groups) == 1 else name + some_of(pods, True)
        space = pods[0].namespace
        yield Counterparts(
            Party(text, space, tuple(earlier), dict(before)),
            Party(text, space, tuple(later), dict(after)),
        )


def _uniform(pods: _Pods) -> FamilyPlaces:
    """Where every replica of a workload is, if that is one answer."""
    distinct = {places for _, places in pods.values()}
    return next(iter(distinct)) if len(distinct) == 1 else ()


def _ranges(old: Reach, new: Reach, families: set[Family]) -> list[Counterparts]:
    blocks = Blocks([*old.places.networks, *new.places.networks])
    found: dict[tuple[Place, Place], list[Ranges]] = {}
    for _, addresses in blocks.classes():
        if family(addresses.spans[0][0]) in families and _has_others(addresses, old, new):
            first = addresses.spans[0][0]
            places = old.places.at(None, first), new.places.at(None, first)
            found.setdefault(places, []).append(addresses)
    return sorted(
        (_range(old_place, new_place, own) for (old_place, new_place), own in found.items()),
        key=lambda pair: pair.new.addresses.spans,
    )


def _has_others(addresses: Ranges, *sides: Reach) -> bool:
    """Whether there is an address that is not of a pod before and after."""
    size = sum(last - first + 1 for first, last in addresses)
    pods = set.intersection(*(set(side.program.pods_by_address) for side in sides))
    return size > len(pods) or size > sum(address in addresses for address in pods)


def union(ranges: Iterable[tuple[Counterparts, Collection[Family]]]) -> Counterparts:
    """Several ranges, in these families, as one for those that fare alike.

    It has the places of the first.
    """
    known = list(ranges)
    every = Ranges.of(
        span for pair, own in known for span in pair.new.addresses if family(span[0]) in own
    )
    parts = [part for version in Family if (part := every.of_family(version))]
    first = known[0][0]
    (old, *_), (new, *_) = first.old.places.values(), first.new.places.values()
    return _range(old, new, parts)


def _range(before: Place, after: Place, own: list[Ranges]) -> Counterparts:
    name = "; ".join(map(name_of, own))
    addresses = Ranges.of(span for part in own for span in part)
    versions = [family(part.spans[0][0]) for part in own]
    return Counterparts(
        Party(name, "", (), dict.fromkeys(versions, before), addresses),
        Party(name, "", (), dict.fromkeys(versions, after), addresses),
    )
