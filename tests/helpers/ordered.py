"""Clusters with policies of ordered tiers, drawn at random, and the flows that tell them apart.

In: a source of randomness. Out: snapshots of pods with one or two families and named ports, blocks
that overlap, 0-4 NetworkPolicies (manifests), 1-6 policies of both ordered tiers (symbols, as a
frontend would make them); flows between all that is there, a pod with itself included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

import netpolc
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import (
    ANY,
    SELECT_ALL,
    Action,
    Direction,
    NamedPort,
    NetworkPeer,
    Operator,
    Origin,
    Peer,
    PodPeer,
    Policy,
    Port,
    PortRange,
    Requirement,
    Rule,
    Selector,
    Tier,
)
from netpolc.core.nets import Protocol, family, format_address, parse_address, parse_cidr
from tests.helpers.tiers import KIND, Written, labelled

Manifest = dict[str, Any]
SPACES = ("x", "y", "z")
APPS = ("a", "b", "c")
NODES = {"node-a": ("192.0.2.10", "2001:db8:a::10"), "node-b": ("192.0.2.11", "2001:db8:a::11")}
BLOCKS = (
    "10.0.0.0/24",
    "10.0.0.0/29",
    "10.0.0.4/30",
    "10.0.0.3/32",
    "10.0.0.9/32",
    "198.51.100.0/24",
    "198.51.100.0/30",
    "0.0.0.0/0",
    "192.0.2.10/32",
    "fd00::/120",
    "fd00::4/126",
    "fd00::3/128",
    "2001:db8::/64",
    "2001:db8::/126",
    "::/0",
)
OUTSIDE = ("198.51.100.1", "198.51.100.9", "203.0.113.7", "2001:db8::1", "2001:db8::9")
NUMBERS = (53, 80, 81, 443, 8080)
NAMES = ("http", "dns")
SERVICES: tuple[tuple[int, int | None], ...] = (
    *((int(protocol), number) for protocol in Protocol for number in (*NUMBERS, 52, 82, 444)),
    (1, None),
    (47, None),
)
CALLED = ("", "allow dns", 'deny "all"; accept', "näme\n::error::", "x" * 100)


def snapshot(draw: Random, *, audited: bool = False) -> Snapshot:
    """A cluster with its policies; some are only tried if `audited`."""
    objects: list[Manifest] = [_space(draw, name) for name in SPACES]
    objects += [_node(name) for name in NODES]
    objects += [_pod(draw, number) for number in range(1, draw.randint(5, 11))]
    objects += [_network_policy(draw, number) for number in range(draw.randint(0, 4))]
    read = netpolc.load_objects(objects)
    policies = [*read.policies, *(_policy(draw, n) for n in range(draw.randint(1, 6)))]
    if audited:
        policies = [replace(own, audited=draw.random() < 0.4) for own in policies]
    return replace(read, policies=tuple(policies))


def flows(program: netpolc.Program, draw: Random, count: int) -> list[netpolc.Flow]:
    """Flows that meet the forward hook, each once, half of them between pods; those of a pod with
    itself come back from a Service.
    """
    pods = [at for own in program.cluster.pods for at in own.addresses if not own.host_network]
    others = [parse_address(at) for at in OUTSIDE]
    others += [at for own in program.cluster.nodes.values() for at in sorted(own.addresses)]
    inner = [(a, b) for a, b in product(pods, pods) if family(a) is family(b)]
    outer = [pair for a, b in product(pods, others) for pair in ((a, b), (b, a))]
    outer = [(a, b) for a, b in outer if family(a) is family(b)]
    found: dict[netpolc.Flow, None] = {}
    for pairs in (inner, outer):
        every = list(product(pairs, SERVICES))
        for (source, destination), (protocol, port) in draw.sample(
            every, min(len(every), count // 2)
        ):
            icmp = 58 if protocol == 1 and source >> 128 else protocol
            flow = netpolc.Flow(format_address(source), format_address(destination), icmp, port)
            if not _of_own_node(program, flow):
                found[flow] = None
    return list(found)


def _of_own_node(program: netpolc.Program, flow: netpolc.Flow) -> bool:
    """Whether it is between a pod and its node, and so never forwarded."""
    ends = (flow.source, flow.destination), (flow.destination, flow.source)
    pods = program.pods_by_address
    return any(
        end in pods and other in program.cluster.node_addresses(pods[end]) for end, other in ends
    )


def _space(draw: Random, name: str) -> Manifest:
    metadata = {"name": name, "labels": {"env": draw.choice(("dev", "live"))}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _node(name: str) -> Manifest:
    addresses = [{"type": "InternalIP", "address": own} for own in NODES[name]]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"addresses": addresses},
    }


def _pod(draw: Random, number: int) -> Manifest:
    node = draw.choice(("node-a", "node-a", "node-b"))
    host = draw.random() < 0.1
    both = [f"10.0.0.{number}", f"fd00::{number:x}"]
    if draw.random() < 0.1:
        both.append(f"10.0.0.{number + 100}")
    addresses = draw.choice((both, both, both[:1], both[1:2]))
    ports = [
        {
            "name": name,
            "containerPort": draw.choice(NUMBERS),
            "protocol": draw.choice(("TCP", "UDP")),
        }
        for name in NAMES
        if draw.random() < 0.6
    ]
    if host:
        addresses = list(NODES[node])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"p{number}",
            "namespace": draw.choice(SPACES),
            "labels": {"app": draw.choice(APPS), "half": str(number % 2)},
        },
        "spec": {
            "nodeName": node,
            "hostNetwork": host,
            "containers": [{"name": "c", "ports": ports}],
        },
        "status": {"phase": "Running", "podIPs": [{"ip": own} for own in addresses]},
    }


def _network_policy(draw: Random, number: int) -> Manifest:
    types = draw.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
    spec: Manifest = {"podSelector": _choose(draw), "policyTypes": types}
    if "Ingress" in types:
        spec["ingress"] = [_np_rule(draw, "from") for _ in range(draw.randint(0, 3))]
    if "Egress" in types:
        spec["egress"] = [_np_rule(draw, "to") for _ in range(draw.randint(0, 3))]
    metadata = {"name": f"np{number}", "namespace": draw.choice(SPACES)}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": spec,
    }


def _choose(draw: Random) -> Manifest:
    return draw.choice(({}, {"matchLabels": {"app": draw.choice(APPS)}}))


def _np_rule(draw: Random, side: str) -> Manifest:
    rule: Manifest = {}
    if draw.random() < 0.8:
        rule[side] = [
            draw.choice(
                (
                    {"podSelector": _choose(draw), "namespaceSelector": {}},
                    {"ipBlock": {"cidr": draw.choice(BLOCKS)}},
                )
            )
        ]
    if draw.random() < 0.7:
        port = draw.choice((*NUMBERS, *NAMES))
        rule["ports"] = [{"port": port, "protocol": draw.choice(("TCP", "UDP"))}]
    return rule


def _policy(draw: Random, number: int) -> Policy:
    """A policy of an ordered tier; often of a priority that another one has."""
    name = f"c{number}"
    source = Written(name)
    directions = draw.choice((tuple(Direction), (Direction.INGRESS,), (Direction.EGRESS,)))
    rules = tuple(
        _rule(draw, direction, Origin(KIND, "", name, field, source, draw.choice(CALLED)))
        for direction in directions
        for place in range(draw.randint(1, 6))
        for field in [("spec", str(direction), place)]
    )
    origin = Origin(KIND, "", name, (), source)
    tier = draw.choice((Tier.ADMIN, Tier.ADMIN, Tier.BASELINE))
    return Policy(tier, draw.randint(0, 2), _pods(draw), frozenset(), rules, origin)


def _rule(draw: Random, direction: Direction, origin: Origin) -> Rule:
    action = draw.choice((Action.ACCEPT, Action.DENY, Action.DENY, Action.PASS))
    peers = tuple(_peers(draw, direction))
    ports = tuple(_ports(draw))
    anybody = draw.random() < 0.15
    return Rule(direction, action, ANY if anybody else peers, ports or ANY, origin)


def _peers(draw: Random, direction: Direction) -> Iterator[Peer]:
    for _ in range(draw.randint(1, 2)):
        if draw.random() < (0.5 if direction is Direction.EGRESS else 0.15):
            yield NetworkPeer(parse_cidr(draw.choice(BLOCKS)))
        else:
            yield _pods(draw)


def _pods(draw: Random) -> PodPeer:
    spaces = draw.choice((SELECT_ALL, SELECT_ALL, labelled("env", draw.choice(("dev", "live")))))
    pods = draw.choice((SELECT_ALL, labelled("app", draw.choice(APPS)), _not(draw.choice(APPS))))
    return PodPeer(spaces, pods)


def _not(app: str) -> Selector:
    return Selector(frozenset((Requirement("app", Operator.NOT_IN, frozenset((app,))),)))


def _ports(draw: Random) -> Iterator[Port]:
    for _ in range(draw.choice((0, 0, 1, 1, 2, 4))):
        protocol = draw.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP, Protocol.SCTP))
        kind = draw.random()
        if kind < 0.25:
            yield NamedPort(protocol, draw.choice(NAMES))
        elif kind < 0.75:
            number = draw.choice(NUMBERS)
            yield PortRange(protocol, number, number)
        else:
            first = draw.choice((0, *NUMBERS))
            yield PortRange(protocol, first, draw.choice((first + 1, first + 300, 65535)))


def hairpin() -> Snapshot:
    """Two pods that NetworkPolicies close; the first may not come back to itself by TCP 80."""
    objects: list[Manifest] = [_space(Random(0), name) for name in SPACES]
    for number in (1, 2):
        both = [{"ip": f"10.0.0.{number}"}, {"ip": f"fd00::{number}"}]
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"p{number}",
                    "namespace": "x",
                    "labels": {"app": APPS[number]},
                },
                "spec": {"containers": [{"name": "c"}]},
                "status": {"phase": "Running", "podIPs": both},
            }
        )
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    objects.append(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "closed", "namespace": "x"},
            "spec": closed,
        }
    )
    own = PodPeer(SELECT_ALL, labelled("app", APPS[1]))
    source = Written("itself")
    rule = Rule(
        Direction.INGRESS,
        Action.DENY,
        (own,),
        (PortRange(Protocol.TCP, 80, 80),),
        Origin(KIND, "", "itself", ("spec", "ingress", 0), source),
    )
    origin = Origin(KIND, "", "itself", (), source)
    policy = Policy(Tier.ADMIN, 1, own, frozenset(), (rule,), origin)
    read = netpolc.load_objects(objects)
    return replace(read, policies=(*read.policies, policy))
