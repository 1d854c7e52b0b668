"""Who can have a connection: workloads of the snapshot, and ranges of addresses outside it.

Comes in: a `Reach`. Goes out: parties in order of their names. Pods of one workload that rules tell
apart (by label, by named port, by an ipBlock that holds some of their addresses) are parties of
their own; otherwise the workload is one. hostNetwork pods are their node, whose addresses are
addresses like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from netpolc.analysis.connectivity.reach import Place, Reach
from netpolc.core.cluster import Pod
from netpolc.core.nets import NOTHING, Family, Ranges, Span, family, format_span
from netpolc.core.program import Program


class Grouping(StrEnum):
    """What becomes one party."""

    WORKLOAD = "workload"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True, eq=False)
class Party:
    """One end of connections.

    `places` says where it is in each family it has addresses of; when it has none yet, in those
    that other pods have. Of a workload `pods` are the living pods; a range has none, and its
    `addresses`, of which those of pods are not meant.
    """

    name: str
    namespace: str
    pods: tuple[Pod, ...]
    places: Mapping[Family, Place]
    addresses: Ranges = NOTHING

    @property
    def is_outside(self) -> bool:
        """Whether it is a range of addresses."""
        return bool(self.addresses)

    @property
    def is_single(self) -> bool:
        """Whether it can be one pod only, which always reaches itself."""
        return len(self.pods) == 1 and self.pods[0].owner is None


FamilyPlaces = tuple[tuple[Family, Place], ...]
"""The places of a pod, hashable."""


def workloads(reach: Reach, grouping: Grouping = Grouping.WORKLOAD) -> list[Party]:
    """The parties inside the cluster."""
    cluster = reach.program.cluster
    parts: dict[str, dict[FamilyPlaces, list[Pod]]] = {}
    for pod, places in placed(reach, families_of(reach.program)):
        name = cluster.workload(pod) if grouping is Grouping.WORKLOAD else ""
        parts.setdefault(name, {}).setdefault(places, []).append(pod)
    found = []
    for name, groups in parts.items():
        for places, pods in groups.items():
            own = tuple(sorted(pods, key=lambda pod: (pod.namespace, pod.name)))
            text = name if name and len(groups) == 1 else name + some_of(own, bool(name))
            found.append(Party(text, own[0].namespace, own, dict(places)))
    return sorted(found, key=lambda party: (party.namespace, party.name))


def families_of(*programs: Program) -> list[Family]:
    """The families in which pods have addresses; both when none has any yet."""
    found = {family(address) for program in programs for address in program.pods_by_address}
    return [version for version in Family if version in found or not found]


def placed(reach: Reach, families: Collection[Family]) -> Iterator[tuple[Pod, FamilyPlaces]]:
    """Every pod with its places; one without an address is somewhere in each of the families."""
    for identity in reach.program.identities:
        for pod in identity.pods:
            if pod.addresses:
                own = {family(a): reach.places.at(identity.number, a) for a in pod.addresses}
            else:
                own = {
                    version: reach.places.somewhere(identity.number, version)
                    for version in families
                }
            yield pod, tuple(sorted(own.items()))


def some_of(pods: Sequence[Pod], is_part: bool) -> str:
    """The first pod and how many more, of a workload or of many."""
    first = pods[0].name if is_part else pods[0].key
    text = first if len(pods) == 1 else f"{first}+{len(pods) - 1}"
    return f"{{{text}}}" if is_part else text


def ranges(reach: Reach, families: Collection[Family] = tuple(Family)) -> list[Party]:
    """The parties outside the cluster: addresses that no policy tells apart."""
    inside = Counter(
        (reach.places.at(None, address), family(address))
        for address in reach.program.pods_by_address
    )
    found: dict[Place, dict[Family, Ranges]] = {}
    for place, addresses in reach.places.outside():
        version = family(addresses.spans[0][0])
        size = sum(last - first + 1 for first, last in addresses)
        if version in families and size > inside[place, version]:
            found.setdefault(place, {})[version] = addresses
    parties = [
        Party(
            "; ".join(map(name_of, own.values())),
            "",
            (),
            dict.fromkeys(own, place),
            Ranges.of(span for addresses in own.values() for span in addresses),
        )
        for place, own in found.items()
    ]
    return sorted(parties, key=lambda party: party.addresses.spans)


def stranger(addresses: Ranges, version: Family, owned: Container[int]) -> int | None:
    """The first address of a family that is not owned; None if there is none."""
    spans = addresses.of_family(version)
    every = (address for first, last in spans for address in range(first, last + 1))
    return next((address for address in every if address not in owned), None)


def name_of(addresses: Ranges) -> str:
    """Addresses of one family: `10.0.0.0/8 except 10.1.0.0/16`, or what they are made of."""
    spans = addresses.spans
    around = _around(spans[0][0], spans[-1][1])
    listed = ",".join(map(format_span, spans))
    holes = ",".join(map(format_span, Ranges((around,)) - addresses))
    shorter = f"{format_span(around)} except {holes}"
    return shorter if holes and len(shorter) < len(listed) else listed


def _around(first: int, last: int) -> Span:
    """The smallest block that holds two addresses of one family."""
    bits = (first ^ last).bit_length()
    return first >> bits << bits, (first >> bits << bits) + (1 << bits) - 1
