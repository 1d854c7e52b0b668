"""Policies of hostile shapes, of any size: what is written small and costs much elsewhere.

In: a size. Out: manifests of pods and policies, for `shapes.py` and the tests. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Manifest = dict[str, Any]
NODE = "node-a"


def _pod(name: str, number: int, space: str = "a", **spec: Any) -> Manifest:
    addresses = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"fd00::{number:x}"]
    labels = spec.pop("labels", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space, "labels": labels},
        "spec": {"nodeName": spec.pop("node", NODE), "containers": [{"name": "c", **spec}]},
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": [{"ip": own} for own in addresses],
        },
    }


def _policy(name: str, space: str = "a", **spec: Any) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": space},
        "spec": {"podSelector": {}, **spec},
    }


def _block(number: int, *, length: int = 24) -> Manifest:
    return {
        "ipBlock": {"cidr": f"{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.0/{length}"}
    }


def _own(number: int) -> Manifest:
    return {"podSelector": {"matchLabels": {"own": f"v{number}"}}}


def _but(number: int) -> Manifest:
    need = {"key": "own", "operator": "NotIn", "values": [f"v{number}"]}
    return {"podSelector": {"matchExpressions": [need]}}


def _pods(count: int, **spec: Any) -> list[Manifest]:
    """Pods that each have a label of their own, on other nodes but for the first."""
    return [
        _pod(
            f"p{at}",
            at + 2,
            labels={"own": f"v{at}", "all": "yes"},
            node="node-b" if at else NODE,
            **{key: value(at) for key, value in spec.items()},
        )
        for at in range(count)
    ]


def _port(name: str, number: int) -> Manifest:
    return {"name": name, "containerPort": number}


def ranges(n: int) -> list[Manifest]:
    """Rules with a block each, on ranges of ports that overlap."""
    rules = [
        {"from": [_block(2 * at)], "ports": [{"port": 1000 + at, "endPort": 1000 + at + n}]}
        for at in range(n)
    ]
    return [_pod("p", 1), _policy("t", ingress=rules)]


def ranges_of_pods(n: int) -> list[Manifest]:
    """The same with a pod each, in both directions."""

    def rules(side: str) -> list[Manifest]:
        return [
            {side: [_own(at)], "ports": [{"port": 1000 + at, "endPort": 1000 + at + n}]}
            for at in range(n)
        ]

    types = ["Ingress", "Egress"]
    own = _policy("t", ingress=rules("from"), egress=rules("to"), policyTypes=types)
    return [*_pods(n), own]


def nested_ranges(n: int) -> list[Manifest]:
    """Each range of ports inside the one before."""
    rules = [
        {"from": [_block(2 * at)], "ports": [{"port": 1000 + at, "endPort": 60000 - at}]}
        for at in range(n)
    ]
    return [_pod("p", 1), _policy("t", ingress=rules)]


def blocks(n: int) -> list[Manifest]:
    """One rule with many blocks."""
    return [_pod("p", 1), _policy("t", ingress=[{"from": [_block(2 * at) for at in range(n)]}])]


def nested_blocks(n: int) -> list[Manifest]:
    """Rules whose blocks lie in each other, a port each."""
    rules = []
    for at in range(n):
        length = 8 + at % 24
        value = (20 << 24 | at // 24 << 12) & -1 << 32 - length
        address = ".".join(map(str, value.to_bytes(4, "big")))
        peer = {"ipBlock": {"cidr": f"{address}/{length}"}}
        rules.append({"from": [peer], "ports": [{"port": 1 + at}]})
    return [_pod("p", 1), _policy("t", ingress=rules)]


def excepts(n: int) -> list[Manifest]:
    """One block with many exceptions."""
    holes = [f"20.{at >> 8}.{at & 255}.0/25" for at in range(n)]
    own = {"ipBlock": {"cidr": "20.0.0.0/8", "except": holes}}
    return [_pod("p", 1), _policy("t", ingress=[{"from": [own], "ports": [{"port": 80}]}])]


def holes(n: int) -> list[Manifest]:
    """Rules with a port each and a block without one address."""
    rules = [
        {
            "from": [
                {
                    "ipBlock": {
                        "cidr": "20.0.0.0/8",
                        "except": [f"20.0.{at >> 7}.{2 * (at & 127)}/32"],
                    }
                }
            ],
            "ports": [{"port": 1 + at}],
        }
        for at in range(n)
    ]
    return [_pod("p", 1), _policy("t", ingress=rules)]


def duplicates(n: int) -> list[Manifest]:
    """A rule that lists the same ports and blocks again and again, and the rule as often."""
    rule = {
        "from": [_block(at % 7) for at in range(n)],
        "ports": [{"port": 80 + at % 5} for at in range(n)],
    }
    return [_pod("p", 1), _policy("t", ingress=[rule, *[{**rule, "from": [_block(1)]}] * 4])]


def peers(n: int) -> list[Manifest]:
    """Many selectors in one rule."""
    rule = {"from": [_own(at) for at in range(n)], "ports": [{"port": 80}]}
    return [*_pods(n), _policy("t", ingress=[rule])]


def policies(n: int) -> list[Manifest]:
    """Many policies over the same pods, a rule each."""
    own = [
        _policy(f"t{at}", ingress=[{"from": [_own(at)], "ports": [{"port": 1 + at}]}])
        for at in range(n)
    ]
    return [*_pods(n), *own]


def combinations(n: int) -> list[Manifest]:
    """A policy for each pod, and one for all: every pod has a combination of its own."""
    own = [
        _policy(f"t{at}", **_own(at), ingress=[{"from": [_own(at + 1)], "ports": [{"port": 80}]}])
        for at in range(n)
    ]
    return [*_pods(n), *own, _policy("all", ingress=[{"from": [_block(1)]}])]


def namespaces(n: int) -> list[Manifest]:
    """A namespace and a pod for each rule."""
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{at}"}} for at in range(n)
    ]
    pods = [_pod("p", at + 2, f"n{at}", node="node-b") for at in range(n)]
    key = "kubernetes.io/metadata.name"
    rules = [
        {
            "from": [{"namespaceSelector": {"matchLabels": {key: f"n{at}"}}}],
            "ports": [{"port": at + 1}],
        }
        for at in range(n)
    ]
    return [*spaces, *pods, _pod("p", 1), _policy("t", ingress=rules)]


def names(n: int) -> list[Manifest]:
    """A pod with many port names, all of which rules ask for."""
    own = _pod("p", 1, ports=[_port(f"n{at}", 1 + at) for at in range(n)])
    rules = [{"from": [_block(2 * at)], "ports": [{"port": f"n{at}"}]} for at in range(n)]
    return [own, _policy("t", ingress=rules)]


def own_ports(n: int) -> list[Manifest]:
    """Pods that each have another number behind one name, and a rule that asks for it."""
    pods = _pods(n, ports=lambda at: [_port("http", 1000 + at)])
    rule = {"to": [{"podSelector": {}}], "ports": [{"port": "http"}]}
    return [*pods, _policy("t", egress=[rule], policyTypes=["Egress"])]


def overlapping(n: int) -> list[Manifest]:
    """Rules that ask for all pods but one; the members of their selectors are the square of n."""
    rules = [{"from": [_but(at)], "ports": [{"port": 1 + at}]} for at in range(n)]
    return [*_pods(n), _policy("t", ingress=rules)]


def named(n: int) -> list[Manifest]:
    """The same by names of ports, of which each pod has its own numbers."""
    pods = _pods(n, ports=lambda at: [_port(f"n{own}", 1000 + at + own) for own in range(3)])
    rules = [{"to": [_but(at)], "ports": [{"port": f"n{at % 3}"}]} for at in range(n)]
    return [*pods, _policy("t", egress=rules, policyTypes=["Egress"])]


def identities(n: int) -> list[Manifest]:
    """Pods that are all told apart, and one policy that admits them all."""
    pods = [_pod(f"p{at}", at + 2, labels={"own": f"v{at}"}, node="node-b") for at in range(n)]
    all_of_them = [{"key": "own", "operator": "In", "values": [f"v{at}" for at in range(n)]}]
    rule = {"from": [{"podSelector": {"matchExpressions": all_of_them}}]}
    single = [_policy(f"t{at}", ingress=[{"from": [_own(at)]}]) for at in range(n)]
    return [_pod("p", 1), *pods, _policy("t", ingress=[rule]), *single]


Shape = Callable[[int], list[Manifest]]
SHAPES: dict[Shape, int] = {
    ranges: 800,
    ranges_of_pods: 400,
    nested_ranges: 800,
    blocks: 4000,
    nested_blocks: 400,
    excepts: 4000,
    holes: 300,
    duplicates: 1500,
    peers: 500,
    policies: 300,
    combinations: 300,
    namespaces: 400,
    names: 400,
    own_ports: 200,
    overlapping: 200,
    named: 200,
    identities: 400,
}
"""Each shape with the size it is measured at first."""
