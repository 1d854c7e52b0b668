"""What exposure says of a pod that does not exist is what becomes of it once it does.

For each newcomer a real pod with its labels, in a namespace with its namespace's labels, is added
to the manifests; the slow semantics then judge its flows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from hypothesis import given

import netpolc
from netpolc.analysis.connectivity import Party
from netpolc.analysis.connectivity.exposure import Exposure, expose
from netpolc.analysis.connectivity.newcomers import ANY_NAMESPACE, ANY_POD, with_newcomers
from netpolc.core.cluster import NAME_LABEL, Namespace, Pod
from netpolc.core.nets import Protocol, family, format_address, parse_address
from tests.helpers.manifests import namespace, pod
from tests.helpers.strategies import legacy_snapshots, patient, snapshots

Manifest = dict[str, Any]
PATIENT = patient(40)
OUTSIDE = ("203.0.113.9", "2001:db8:9::9")
SERVICES: list[tuple[str | int, int | None]] = [
    ("TCP", 80),
    ("TCP", 443),
    ("UDP", 81),
    ("SCTP", 65535),
    (47, None),
]


def shown(exposure: Exposure, own: Pod) -> Party:
    """The newcomer that speaks for another, found as docs/list.md says."""
    by_name = {party.name: party for party in exposure.newcomers}
    names = [f"{own.namespace}/{own.name}", f"{own.namespace}/{ANY_POD}"]
    names += [f"{ANY_NAMESPACE}/{own.name}", f"{ANY_NAMESPACE}/{ANY_POD}"]
    return next(by_name[name] for name in names if name in by_name)


def arrivals(
    objects: list[Manifest], pods: tuple[Pod, ...], namespaces: dict[str, Namespace]
) -> tuple[list[Manifest], dict[Pod, tuple[str, str]]]:
    """The manifests with the newcomers in them, and the addresses of those."""
    added: list[Manifest] = []
    spaces: dict[str, str] = {}
    addresses = {}
    for number, own in enumerate(pods):
        labels = dict(namespaces[own.namespace].labels)
        name = labels.get(NAME_LABEL, own.namespace)
        is_new = own.namespace.startswith("[")
        if not name or spaces.setdefault(name, own.namespace) != own.namespace:
            continue  # no name of a namespace, or two that cannot be there together
        if is_new:
            added.append(namespace(name, **labels))
        addresses[own] = (f"10.200.{number // 250}.{number % 250 + 1}", f"fd00:9::{number + 1:x}")
        manifest = pod(f"{name}/new-{number}", *addresses[own], on="far")
        manifest["metadata"]["labels"] = dict(own.labels)
        added.append(manifest)
    unique = {(item["kind"], str(item["metadata"])): item for item in added}
    return [*objects, *unique.values()], addresses


def agree(objects: list[Manifest], semantics: str) -> None:
    new = with_newcomers(netpolc.load_objects(objects, semantics=semantics))
    exposure = expose(netpolc.compile(new.snapshot), new.pods)
    admitted = {
        (c.source, c.destination, version): c.ports
        for c in exposure.connections
        for version in c.families
    }
    whole, addresses = arrivals(objects, new.pods, dict(new.snapshot.cluster.namespaces))
    program = netpolc.compile(netpolc.load_objects(whole, semantics=semantics))
    ends = list(ends_of(exposure))
    for own, own_addresses in addresses.items():
        speaks = shown(exposure, own)
        for (party, address), (protocol, port) in product(ends, SERVICES):
            own_address = next(a for a in own_addresses if (":" in a) == (":" in address))
            for one, other, way in (
                (own_address, address, (speaks, party)),
                (address, own_address, (party, speaks)),
            ):
                verdict = netpolc.evaluate(program, netpolc.Flow(one, other, protocol, port))
                number = protocol if isinstance(protocol, int) else Protocol[protocol]
                ports = admitted.get((*way, family(parse_address(address))))
                says = ports is not None and number << 16 | (port or 0) in ports
                assert says is verdict.allowed, (own.key, one, other, protocol, port)


def ends_of(exposure: Exposure) -> Iterator[tuple[Party, str]]:
    """Addresses of what exists, and an outside one of each family there is."""
    for party in exposure.existing:
        for own in party.pods:
            yield from ((party, format_address(address)) for address in own.addresses)
        for address in OUTSIDE if party.is_outside else ():
            if parse_address(address) in party.addresses:
                yield party, address


@PATIENT
@given(snapshots(peers=["pods", "namespaces", "both"]))
def test_a_pod_that_arrives(objects: list[Manifest]) -> None:
    agree(objects, "current")


@PATIENT
@given(legacy_snapshots())
def test_a_pod_that_arrives_in_1_6(objects: list[Manifest]) -> None:
    agree(objects, "v1.6")
