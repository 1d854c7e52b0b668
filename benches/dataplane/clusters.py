"""What is enforced in the lanes, and the connections that are tried there.

In: a number of policies and a family. Out: a `Scenario`: the snapshot, its Program, and connections
by the verdict of the slow semantics. Refused: a cluster in which too few of a kind are found
(`ValueError`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from typing import Any

import netpolc
from benches.dataplane.frames import TCP, Connection
from benches.workloads import LOCAL_NODE, cached_node_cluster
from netpolc.compiler import Program
from netpolc.core.cluster import Pod, Snapshot
from netpolc.core.ir import ANY, Direction
from netpolc.core.nets import Family, Ranges, family, format_address, split_ports
from netpolc.core.program import ResolvedRule

PODS_PER_APP = 10
OVERLAPPING_PODS, LABELS = 2_000, 30
PORTS = (80, 443, 3306, 5432, 6379, 8080, 8443, 9000, 9090, 9200, 11211, 27017)
_SOURCE_PORTS = range(32768, 60999)
_ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class Scenario:
    """A cluster, and connections of one family that its node judges."""

    name: str
    family: Family
    snapshot: Snapshot
    program: Program
    allowed: list[Connection]
    denied: list[Connection]


def mixed(policies: int, version: Family, count: int, pods: int = 10_000) -> Scenario:
    """Pods, 100 of them local, and policies of many kinds that all select local pods."""
    path = cached_node_cluster(policies, dual_stack=version is Family.IPV6, pods=pods)
    name = f"mixed, {policies} policies" + (f", {pods:,} pods" if pods != 10_000 else "")
    return _scenario(name, version, netpolc.load([str(path)]), count)


def stacked(policies: int, version: Family, count: int) -> Scenario:
    """One local pod that every policy selects, each with ten peers and a port of its own."""
    snapshot = netpolc.load_objects([*_pods(policies, version), *map(_policy, range(policies))])
    return _scenario(f"{policies:,} policies on a pod", version, snapshot, count)


def overlapping(policies: int, version: Family, count: int) -> Scenario:
    """One local pod that every policy selects, each with a quarter of 2,000 peers.

    Peers have each of thirty labels with a chance of a half, and policies ask for two of them.
    """
    rng = Random("overlapping")
    pods = list(_pods(OVERLAPPING_PODS // PODS_PER_APP, version))
    for own in pods[1:-1]:
        own["metadata"]["labels"] = {f"has{at}": "" for at in range(LABELS) if rng.random() < 0.5}
    drawn = [_policy(number) for number in range(policies)]
    for own in drawn:
        wanted = {"matchLabels": {f"has{at}": "" for at in rng.sample(range(LABELS), 2)}}
        own["spec"]["ingress"][0]["from"] = own["spec"]["egress"][0]["to"] = [
            {"podSelector": wanted}
        ]
    snapshot = netpolc.load_objects([*pods, *drawn])
    return _scenario(f"{policies:,} overlapping policies on a pod", version, snapshot, count)


def _pods(policies: int, version: Family) -> Iterator[dict[str, Any]]:
    addresses = {"10.0.0.1": "172.20.0.1", "fd00:10::1": "fd00:172:20::1"}
    yield {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": LOCAL_NODE},
        "status": {"addresses": [{"type": "InternalIP", "address": at} for at in addresses]},
    }
    for number in range(policies * PODS_PER_APP + 1):
        app, own = divmod(number, PODS_PER_APP)
        labels = {"role": "subject"} if app == policies else {"app": f"app-{app}"}
        name = "subject" if app == policies else f"app-{app}-{own}"
        v4, v6 = f"10.64.{number >> 8}.{number & 255}", f"fd00:10:64::{number + 2:x}"
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": labels},
            "spec": {"nodeName": LOCAL_NODE if app == policies else "node-0001"},
            "status": {"podIPs": [{"ip": v4 if version is Family.IPV4 else v6}]},
        }


def _policy(number: int) -> dict[str, Any]:
    peers = [{"podSelector": {"matchLabels": {"app": f"app-{number}"}}}]
    ports = [{"port": PORTS[number % len(PORTS)]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"policy-{number}", "namespace": "default"},
        "spec": {
            "podSelector": {"matchLabels": {"role": "subject"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": ports}],
            "egress": [{"to": peers, "ports": ports}],
        },
    }


def _scenario(name: str, version: Family, snapshot: Snapshot, count: int) -> Scenario:
    program = netpolc.compile(snapshot)
    found: dict[bool, list[Connection]] = {True: [], False: []}
    draw = _Draw(program, version)
    for _ in range(_ATTEMPTS * count):
        source, destination, port = draw.ends()
        if source == destination or not (_is_routed(source) and _is_routed(destination)):
            continue
        ends = format_address(source), format_address(destination)
        own = found[_passes(program, netpolc.Flow(*ends, TCP, port))]
        if len(own) < count:
            own.append(Connection.of(*ends, draw.source_port(), port))
        if min(map(len, found.values())) == count:
            return Scenario(name, version, snapshot, program, found[True], found[False])
    raise ValueError(f"{name}: too few connections {[len(own) for own in found.values()]}")


def _passes(program: Program, flow: netpolc.Flow) -> bool:
    """What the node does: only the ends that run there are judged there."""
    verdict = netpolc.evaluate(program, flow)
    pods = program.pods_by_address
    source, destination = pods.get(flow.source), pods.get(flow.destination)
    leaves = verdict.egress.allowed or source is None or source.node != LOCAL_NODE
    enters = verdict.ingress.allowed or destination is None or destination.node != LOCAL_NODE
    return leaves and enters


def _is_routed(address: int) -> bool:
    """Whether a router forwards packets with this address at all."""
    parsed = ip_address(format_address(address))
    return parsed.packed[0] not in (0, 255) and not (
        parsed.is_multicast or parsed.is_loopback or parsed.is_link_local
    )


class _Draw:
    """Draws connections in and out of isolated local pods, from the rules that judge them."""

    def __init__(self, program: Program, version: Family) -> None:
        self._rng = Random(f"connections {version}")
        self._program, self._family = program, version
        self._subjects = [
            (address, direction, combination.tiers[0].rules)
            for own in program.identities
            for pod in own.pods
            if pod.node == LOCAL_NODE
            for address in self._addresses(pod)
            for direction in Direction
            if (combination := program.combination_of.get((direction, own.number))) is not None
        ]
        self._pods = [at for pod in program.cluster.pods for at in self._addresses(pod)]

    def source_port(self) -> int:
        """One of the ports that a client gets."""
        return self._rng.choice(_SOURCE_PORTS)

    def ends(self) -> tuple[int, int, int]:
        """Source, destination and port: as one rule admits it, or with a peer or port of another.

        What is drawn may be denied, by the other end for example: the semantics have to say.
        """
        subject, direction, rules = self._rng.choice(self._subjects)
        rule = self._rng.choice(rules) if rules else None
        odd = self._rng.random()
        peer = self._peer(rule) if rule is not None and odd < 0.7 else None
        if peer is None:
            peer = self._rng.choice(self._pods)
        port = self._port(rule) if rule is not None and not 0.6 < odd < 0.9 else 9999
        if direction is Direction.INGRESS:
            return peer, subject, port
        return subject, peer, port

    def _peer(self, rule: ResolvedRule) -> int | None:
        match = rule.match
        if match.identities is ANY or match.networks is ANY:
            return None
        if match.identities:
            own = self._program.identities[self._rng.choice(sorted(match.identities))]
            addresses = self._addresses(self._rng.choice(own.pods))
            return addresses[0] if addresses else None
        spans = match.networks.of_family(self._family).spans
        return self._rng.randint(*self._rng.choice(spans)) if spans else None

    def _port(self, rule: ResolvedRule) -> int:
        ports = rule.match.ports
        spans = ports.spans if isinstance(ports, Ranges) else ()
        of_tcp = [span for span in spans if split_ports(span)[0] == TCP]
        if not of_tcp:
            return 80
        _, first, last = split_ports(self._rng.choice(of_tcp))
        return self._rng.randint(first, last)

    def _addresses(self, pod: Pod) -> list[int]:
        if pod.host_network:
            return []
        return [at for at in pod.addresses if family(at) is self._family]
