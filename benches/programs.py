"""Programs of a given number of pods and classes, made without manifests: for the matcher's growth.

In: counts, families and a seed. Out: a Program whose pods live in /24s of 10.0.0.0/8 (or /64s of
fd00::/8), each class an identity that accepts some other classes and some blocks on ports of its
own. Refused: more classes than pods.
"""

from __future__ import annotations

from random import Random

from netpolc.compiler import Program
from netpolc.core.cluster import Cluster, Node, Pod
from netpolc.core.ir import Action, Direction, Origin, Tier
from netpolc.core.nets import IPV6, Ranges, parse_cidr, ports
from netpolc.core.program import Combination, Identity, Match, ResolvedRule, Stage

PORTS = (53, 80, 443, 3306, 5432, 6379, 8080, 8443, 9090, 9200, 9464, 50051)
_BLOCKS = ("192.0.2.0/24", "198.51.100.0/25", "203.0.113.64/26", "0.0.0.0/1", "2001:db8::/32")


class _Nowhere:
    def place(self, elements: object = (), at_key: bool = False) -> str:
        return ""

    def excerpt(self, elements: object = ()) -> tuple[tuple[int, str], ...]:
        return ()


_ORIGIN = Origin("Bench", "", "bench", (), _Nowhere())


def address(number: int, ipv6: bool) -> int:
    """The address of a pod: 100 of them in each node's block."""
    node, own = divmod(number, 100)
    if ipv6:
        return IPV6 + (0xFD << 120) + (node << 64) + own + 2
    return (10 << 24) + (node << 8) + own + 2


def program(pods: int, classes: int, *, ipv6: bool = False, seed: int = 1) -> Program:
    """Pods spread over classes at random, a node for every hundred of them."""
    if classes > pods:
        raise ValueError(f"{classes} classes of {pods} pods")
    rng = Random(f"{pods} {classes} {ipv6} {seed}")
    members: list[list[Pod]] = [[] for _ in range(classes)]
    everyone = []
    for number in range(pods):
        own = (address(number, ipv6),)
        pod = Pod("b", f"p{number}", {}, own, f"n{number // 100}", (), False, (), _ORIGIN)
        members[number if number < classes else rng.randrange(classes)].append(pod)
        everyone.append(pod)
    identities = tuple(Identity(n, tuple(own), ()) for n, own in enumerate(members))
    nodes = {}
    for node in range(-(-pods // 100)):
        base = IPV6 + (0xFD01 << 112) if ipv6 else (172 << 24) + (16 << 16)
        nodes[f"n{node}"] = Node(f"n{node}", frozenset([base + node]))
    combinations = tuple(_combination(number, classes, rng) for number in range(classes))
    return Program(Cluster({}, nodes, tuple(everyone)), identities, combinations)


def _combination(number: int, classes: int, rng: Random) -> Combination:
    """Ingress of one class: two rules with peers of its own, so that no two classes merge."""
    rules = []
    for size in (1 + rng.randrange(8), 1 + rng.randrange(max(1, classes // 10))):
        peers = frozenset({(number + 1) % classes, *(rng.randrange(classes) for _ in range(size))})
        networks = Ranges.of([parse_cidr(rng.choice(_BLOCKS))]) if rng.random() < 0.3 else Ranges()
        numbers = rng.sample(PORTS, 1 + rng.randrange(3))
        open_ports = Ranges.of(ports(6, port, port) for port in numbers)
        rules.append(ResolvedRule(Match(peers, networks, open_ports), Action.ACCEPT, _ORIGIN))
    tier = Stage.of(Tier.NETWORK_POLICY, rules, Action.DENY, (_ORIGIN,))
    return Combination(Direction.INGRESS, frozenset({number}), (tier,))
