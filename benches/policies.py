"""NetworkPolicies drawn over a planned cluster.

In: a `World` and a count (or a list of subjects). Out: an iterator of compact JSON NetworkPolicies
in networking.k8s.io/v1. What every namespace starts with comes first (default deny, its own pods,
DNS, monitoring), then policies of single workloads. Nothing is refused: the counts decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any

from benches.pods import dumps, uid
from benches.world import ENVS, TEAMS, Port, Tenant, Workload, World

Json = dict[str, Any]
Spec = tuple[str, Json]
"""A policy's name stem and its spec."""

# Private and documentation networks, each with the holes that are usual in it.
_OUTSIDE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("10.0.0.0/8", ("10.64.0.0/12", "10.96.0.0/12")),
    ("172.16.0.0/12", ("172.20.0.0/16",)),
    ("192.168.0.0/16", ("192.168.100.0/24", "192.168.200.128/25")),
    ("192.0.2.0/24", ("192.0.2.1/32",)),
    ("198.51.100.0/24", ()),
    ("203.0.113.0/24", ("203.0.113.64/26",)),
    ("198.18.0.0/15", ("198.18.7.0/24", "198.19.0.0/20")),
    ("0.0.0.0/0", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    ("2001:db8::/32", ("2001:db8:bad::/48",)),
    ("fd00:200::/32", ()),
    ("100.64.0.0/10", ("100.100.0.0/16",)),
    ("::/0", ("fd00::/8",)),
)


def policies(world: World, count: int) -> Iterator[str]:
    """Exactly `count` policies over all tenants of a world."""
    rng = Random(f"policies {world.seed}")
    subjects = [(tenant, list(tenant.workloads)) for tenant in world.tenants]
    return _policies(world, subjects, count, rng)


def policies_for(
    world: World, subjects: Sequence[tuple[Tenant, list[Workload]]], count: int
) -> Iterator[str]:
    """Exactly `count` policies, each of which selects pods of the given workloads."""
    return _policies(world, subjects, count, Random(f"policies for {world.seed}"))


def _policies(
    world: World, subjects: Sequence[tuple[Tenant, list[Workload]]], count: int, rng: Random
) -> Iterator[str]:
    names: Counter[tuple[str, str]] = Counter()
    for tenant, (stem, spec) in islice(_drawn(world, subjects, rng), count):
        number = names[tenant.name, stem]
        names[tenant.name, stem] += 1
        yield dumps(_manifest(tenant, f"{stem}-{number}" if number else stem, spec, rng))


def _manifest(tenant: Tenant, name: str, spec: Json, rng: Random) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": name,
            "namespace": tenant.name,
            "uid": uid(rng),
            "resourceVersion": str(rng.randrange(10**6, 10**9)),
            "generation": 1,
            "creationTimestamp": "2024-06-01T09:00:00Z",
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
        },
        "spec": spec,
    }


def _drawn(
    world: World, subjects: Sequence[tuple[Tenant, list[Workload]]], rng: Random
) -> Iterator[tuple[Tenant, Spec]]:
    """An endless supply: first what namespaces start with, then policies of workloads."""
    for tenant, _ in subjects:
        for spec in _baseline(rng):
            yield tenant, spec
    kinds, weights = zip(*_KINDS, strict=True)
    while True:
        tenant, workloads = rng.choice(subjects)
        # The square gives some workloads many policies and others none.
        workload = workloads[int(rng.random() ** 2 * len(workloads))]
        draw: Draw = rng.choices(kinds, weights)[0]
        yield tenant, draw(_Draft(world, tenant, workload, rng))


def _baseline(rng: Random) -> Iterator[Spec]:
    everything: Json = {"podSelector": {}}
    egress = rng.random() < 0.5
    if rng.random() < 0.85:
        types = ["Ingress", "Egress"] if egress else ["Ingress"]
        yield "default-deny", {**everything, "policyTypes": types}
    if rng.random() < 0.6:
        yield "same-namespace", {**everything, "ingress": [{"from": [{"podSelector": {}}]}]}
    if egress:
        yield "dns", _dns()
    if rng.random() < 0.7:
        yield "monitoring", _monitoring()


def _dns() -> Json:
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"app": "coredns"}},
    }
    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    return {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [{"to": [peer], "ports": ports}],
    }


def _monitoring() -> Json:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    return {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [peer], "ports": [{"protocol": "TCP", "port": "metrics"}]}],
    }


class _Draft:
    """What one policy of a workload is drawn from."""

    def __init__(self, world: World, tenant: Tenant, workload: Workload, rng: Random) -> None:
        self.world, self.tenant, self.workload, self.rng = world, tenant, workload, rng

    def subject(self) -> Json:
        return _selector(self.workload)

    def ingress(self, stem: str, peers: list[Json], ports: list[Json]) -> Spec:
        return self._spec(stem, "Ingress", "from", peers, ports)

    def egress(self, stem: str, peers: list[Json], ports: list[Json]) -> Spec:
        return self._spec(stem, "Egress", "to", peers, ports)

    def _spec(self, stem: str, kind: str, key: str, peers: list[Json], ports: list[Json]) -> Spec:
        rule: Json = {key: peers, "ports": ports} if ports else {key: peers}
        spec = {"podSelector": self.subject(), "policyTypes": [kind], kind.lower(): [rule]}
        return f"{self.workload.app}-{self.workload.component}-{stem}", spec

    def neighbour(self) -> Workload:
        return self.rng.choice(self.tenant.workloads)

    def other(self) -> Tenant:
        return self.rng.choice(self.world.tenants)

    def own_ports(self) -> list[Json]:
        served = self.rng.sample(self.workload.ports, self.rng.randint(1, len(self.workload.ports)))
        return [_numbered(port) for port in served]

    def outside(self) -> list[Json]:
        blocks = self.rng.sample(_OUTSIDE, self.rng.randint(1, 3))
        return [
            {"ipBlock": {"cidr": cidr, "except": list(holes)} if holes else {"cidr": cidr}}
            for cidr, holes in blocks
        ]


Draw = Callable[[_Draft], Spec]


def _selector(workload: Workload) -> Json:
    return {"matchLabels": {"app": workload.app, "component": workload.component}}


def _numbered(port: Port) -> Json:
    return {"protocol": port.protocol, "port": port.number}


def _named(port: Port) -> Json:
    return {"protocol": port.protocol, "port": port.name}


def _from_apps(draft: _Draft) -> Spec:
    peers = [{"podSelector": _selector(draft.neighbour())} for _ in range(draft.rng.randint(1, 3))]
    return draft.ingress("clients", peers, draft.own_ports())


def _from_app_named_port(draft: _Draft) -> Spec:
    peers = [{"podSelector": {"matchLabels": {"app": draft.neighbour().app}}}]
    return draft.ingress("named", peers, [_named(draft.rng.choice(draft.workload.ports))])


def _from_other_namespace(draft: _Draft) -> Spec:
    other = draft.other()
    own = {"matchLabels": {"kubernetes.io/metadata.name": other.name}}
    client = draft.rng.choice(other.workloads)
    peer = {"namespaceSelector": own, "podSelector": _selector(client)}
    return draft.ingress("across", [peer], draft.own_ports())


def _from_env(draft: _Draft) -> Spec:
    labels = {"env": draft.rng.choice(ENVS)}
    return draft.ingress("env", [{"namespaceSelector": {"matchLabels": labels}}], draft.own_ports())


def _from_team_component(draft: _Draft) -> Spec:
    namespaces = {"matchLabels": {"team": draft.rng.choice(TEAMS)}}
    pods = {"matchLabels": {"component": draft.rng.choice(["web", "api", "worker"])}}
    peer = {"namespaceSelector": namespaces, "podSelector": pods}
    return draft.ingress("team", [peer], draft.own_ports())


def _from_expressions(draft: _Draft) -> Spec:
    teams = sorted(draft.rng.sample(TEAMS, 2))
    namespaces = {"matchExpressions": [{"key": "team", "operator": "In", "values": teams}]}
    pods = {
        "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["data", "system"]},
            {"key": "app", "operator": "Exists"},
        ]
    }
    peer = {"namespaceSelector": namespaces, "podSelector": pods}
    return draft.ingress("expressions", [peer], draft.own_ports())


def _from_ingress_controller(draft: _Draft) -> Spec:
    labels = {"kubernetes.io/metadata.name": "ingress-nginx"}
    peers = [{"namespaceSelector": {"matchLabels": labels}}]
    return draft.ingress("public", peers, [_named(draft.workload.ports[0])])


def _from_outside(draft: _Draft) -> Spec:
    return draft.ingress("outside", draft.outside(), draft.own_ports())


def _from_port_range(draft: _Draft) -> Spec:
    first = draft.rng.choice((3000, 8000, 9000, 30000))
    ports = [{"protocol": "TCP", "port": first, "endPort": first + draft.rng.choice((9, 99, 999))}]
    return draft.ingress("range", [{"podSelector": _selector(draft.neighbour())}], ports)


def _to_outside(draft: _Draft) -> Spec:
    return draft.egress("internet", draft.outside(), [{"protocol": "TCP", "port": 443}])


def _to_backend(draft: _Draft) -> Spec:
    backend = draft.neighbour()
    port = draft.rng.choice(backend.ports)
    ports = [_named(port) if draft.rng.random() < 0.3 else _numbered(port)]
    return draft.egress("backend", [{"podSelector": _selector(backend)}], ports)


_KINDS: tuple[tuple[Draw, int], ...] = (
    (_from_apps, 26),
    (_from_app_named_port, 10),
    (_from_other_namespace, 12),
    (_from_env, 5),
    (_from_team_component, 9),
    (_from_expressions, 4),
    (_from_ingress_controller, 7),
    (_from_outside, 6),
    (_from_port_range, 4),
    (_to_outside, 6),
    (_to_backend, 11),
)
