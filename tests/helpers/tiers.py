"""A cluster with an Admin and a Baseline policy, which no frontend reads yet.

Out: snapshots whose NetworkPolicies, pods and namespaces are manifests, with policies of ordered
tiers made as symbols, the way a frontend would make them. `FLOWS` says by hand what becomes of
flows in `guarded()`: the first match of each tier decides, Admin before NetworkPolicy before
Baseline.

    guard (Admin, all of shop)      accept lab on 9090, pass api on 80, deny lab, accept db on 80
    shop/web (NetworkPolicy, web)   accept api on 80 and 443
    floor (Baseline, all of shop)   deny db
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import netpolc
from netpolc.core.cluster import NAME_LABEL, Snapshot
from netpolc.core.ir import (
    ANY,
    SELECT_ALL,
    Action,
    Any_,
    Direction,
    Operator,
    Origin,
    Peer,
    PodPeer,
    Policy,
    PortRange,
    Requirement,
    Rule,
    Selector,
    Tier,
)
from netpolc.core.nets import Protocol

KIND = "ClusterNetworkPolicy"
ADDRESSES = {
    "shop/web": "10.0.0.1",
    "shop/api": "10.0.0.2",
    "shop/db": "10.0.0.3",
    "lab/probe": "10.0.1.1",
}


@dataclass(frozen=True)
class Written:
    """The file of an object that no file holds."""

    name: str

    def place(self, elements: Sequence[str | int] = (), at_key: bool = False) -> str:
        """The number of the rule, from 1 on, as the line; 0 of the whole."""
        line = next((step + 1 for step in elements if isinstance(step, int)), 0)
        return f"{self.name}.yaml:{line}:1"

    def excerpt(self, elements: Sequence[str | int] = ()) -> tuple[tuple[int, str], ...]:
        """None."""
        return ()


def labelled(key: str, value: str) -> Selector:
    """What has a label."""
    return Selector(frozenset((Requirement(key, Operator.IN, frozenset((value,))),)))


def app(name: str) -> PodPeer:
    """The pods with a label `app`, in every namespace."""
    return PodPeer(SELECT_ALL, labelled("app", name))


def space(name: str) -> PodPeer:
    """All pods of a namespace."""
    return PodPeer(labelled(NAME_LABEL, name), SELECT_ALL)


Written_ = tuple[Action, tuple[Peer, ...] | Any_, int | None]
"""A rule: what it does, with which peers, on which TCP port (None: on all of everything)."""


def policy(
    name: str,
    tier: Tier,
    rules: Sequence[Written_],
    *,
    priority: int = 10,
    subject: PodPeer | None = None,
    direction: Direction = Direction.INGRESS,
) -> Policy:
    """A policy of an ordered tier; it isolates nothing."""
    source = Written(name)
    made = tuple(
        Rule(
            direction,
            action,
            peers,
            ANY if port is None else (PortRange(Protocol.TCP, port, port),),
            Origin(KIND, "", name, ("spec", str(direction), number), source),
        )
        for number, (action, peers, port) in enumerate(rules)
    )
    origin = Origin(KIND, "", name, (), source)
    selected = space("shop") if subject is None else subject
    return Policy(tier, priority, selected, frozenset(), made, origin)


GUARD = policy(
    "guard",
    Tier.ADMIN,
    [
        (Action.ACCEPT, (space("lab"),), 9090),
        (Action.PASS, (app("api"),), 80),
        (Action.DENY, (space("lab"),), None),
        (Action.ACCEPT, (app("db"),), 80),
    ],
)
FLOOR = policy("floor", Tier.BASELINE, [(Action.DENY, (app("db"),), None)])
WEB: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [{"podSelector": {"matchLabels": {"app": "api"}}}],
                "ports": [{"port": 80}, {"port": 443}],
            }
        ],
    },
}
Row = tuple[str, str, int, bool, str]
"""Source, destination, TCP port, whether it gets through, and what says so (empty: nothing)."""
FLOWS: tuple[Row, ...] = (
    ("lab/probe", "shop/web", 9090, True, f"{KIND}/guard ingress[0]"),
    ("lab/probe", "shop/web", 80, False, f"{KIND}/guard ingress[2]"),
    ("lab/probe", "shop/api", 22, False, f"{KIND}/guard ingress[2]"),
    ("lab/probe", "shop/api", 9090, True, f"{KIND}/guard ingress[0]"),
    ("shop/api", "shop/web", 80, True, "shop/web ingress[0]"),
    ("shop/api", "shop/web", 443, True, "shop/web ingress[0]"),
    ("shop/api", "shop/web", 22, False, ""),
    ("shop/api", "shop/db", 80, True, ""),
    ("shop/db", "shop/web", 80, True, f"{KIND}/guard ingress[3]"),
    ("shop/db", "shop/web", 443, False, ""),
    ("shop/db", "shop/api", 80, True, f"{KIND}/guard ingress[3]"),
    ("shop/db", "shop/api", 443, False, f"{KIND}/floor ingress[0]"),
    ("shop/web", "shop/api", 22, True, ""),
    ("shop/web", "lab/probe", 22, True, ""),
)


def snapshot(*ordered: Policy, manifests: Sequence[dict[str, Any]] = (WEB,)) -> Snapshot:
    """The pods, the NetworkPolicies of some manifests, and policies of ordered tiers."""
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": key.partition("/")[2],
                "namespace": key.partition("/")[0],
                "labels": {"app": key.partition("/")[2]},
            },
            "spec": {"nodeName": "node-a", "containers": [{"name": "main"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": address}]},
        }
        for key, address in ADDRESSES.items()
    ]
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in ("shop", "lab")
    ]
    read = netpolc.load_objects([*spaces, *pods, *manifests])
    return replace(read, policies=(*read.policies, *ordered))


def guarded() -> Snapshot:
    """The cluster of the head of this module."""
    return snapshot(GUARD, FLOOR)
