"""The plan of a synthetic cluster: its namespaces, its workloads, and where their pods run.

In: counts and a seed. Out: a `World`, small (a few records a workload, none a pod), from which
`pods.py` writes the manifests and `policies.py` draws policies. Refused: counts that no cluster
has (no node, more pods on a node than its /24 has addresses).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

PODS_PER_NAMESPACE = 100
ADDRESSES_PER_NODE = 253

APPS = (
    "accounts", "basket", "billing", "catalog", "checkout", "delivery", "discounts", "fraud",
    "gateway", "identity", "inbox", "inventory", "invoices", "ledger", "loyalty", "mailer",
    "media", "notifications", "orders", "partners", "payments", "pricing", "products",
    "profile", "quotes", "ratings", "recommendations", "refunds", "reports", "reviews",
    "routing", "scheduler", "search", "sessions", "shipping", "stock", "subscriptions",
    "support", "tax", "tickets", "tracking", "uploads", "users", "vouchers", "wallet",
    "warehouse", "webhooks", "wishlist",
)  # fmt: skip
TEAMS = (
    "team-amber", "team-birch", "team-cedar", "team-delta",
    "team-ember", "team-fjord", "team-grove", "team-heron",
)  # fmt: skip
ENVS = ("prod", "staging", "dev", "test")
ENV_WEIGHTS = (5, 2, 2, 1)


@dataclass(frozen=True, slots=True)
class Port:
    """A container port: a name that workloads share and a number that they do not."""

    name: str
    number: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Component:
    """A kind of workload: its tier label and the numbers its ports are drawn from."""

    name: str
    tier: str
    ports: tuple[tuple[str, tuple[int, ...]], ...]
    weight: int


_METRICS = ("metrics", (9090, 9100, 9102, 9464))
COMPONENTS = (
    Component("web", "frontend", (("http", (80, 3000, 8080)), _METRICS), 3),
    Component(
        "api", "backend", (("http", (8000, 8080, 8081)), ("grpc", (9000, 50051)), _METRICS), 5
    ),
    Component("worker", "backend", (_METRICS,), 3),
    Component("cache", "data", (("redis", (6379, 6380)), _METRICS), 2),
    Component("db", "data", (("postgres", (5432, 5433)), _METRICS), 2),
    Component("queue", "data", (("amqp", (5671, 5672)), ("http", (15672,))), 1),
)
# (replicas from, to, weight): most workloads are small, a few hold a large part of the pods.
REPLICAS = ((1, 1, 35), (2, 2, 20), (3, 3, 20), (4, 6, 12), (8, 12, 8), (16, 25, 4), (30, 50, 1))


@dataclass(frozen=True, slots=True)
class Workload:
    """What a Deployment, DaemonSet or Job would be: pods that differ in name and address only."""

    name: str
    app: str
    component: str
    tier: str
    version: str
    ports: tuple[Port, ...]
    replicas: int
    kind: str = "ReplicaSet"
    host_network: bool = False
    nodes: tuple[int, ...] = ()
    """Where the first pods run; the rest go anywhere but to a reserved node."""

    @property
    def finished(self) -> bool:
        return self.kind == "Job"


@dataclass(slots=True)
class Tenant:
    """A namespace with its labels and workloads."""

    name: str
    labels: dict[str, str]
    dual_stack: bool = False
    workloads: list[Workload] = field(default_factory=list)


@dataclass(slots=True)
class World:
    """A whole cluster; tenants come after the system namespaces."""

    seed: int
    nodes: int
    system: list[Tenant]
    tenants: list[Tenant]
    reserved_node: int | None = None
    """A node that takes only the pods pinned to it."""

    def namespaces(self) -> Iterator[Tenant]:
        yield from self.system
        yield from self.tenants


def plan(pods: int, nodes: int, seed: int) -> World:
    """A cluster of exactly `pods` pods (hostNetwork and finished ones included) over `nodes`."""
    if nodes < 1 or pods < 4 * nodes or pods > nodes * ADDRESSES_PER_NODE * 3 // 4:
        raise ValueError(f"{pods} pods do not fit {nodes} nodes (4 to 189 a node)")
    rng = Random(f"plan {pods} {nodes} {seed}")
    world = World(
        seed, nodes, _system(pods, nodes), _tenants(max(2, pods // PODS_PER_NAMESPACE), rng)
    )
    left = pods - sum(w.replicas for tenant in world.system for w in tenant.workloads)
    for tenant in world.tenants:
        left -= _add_workload(tenant, left, rng)
    while left:
        # The square makes namespaces uneven: a quarter of them gets half of the workloads.
        tenant = world.tenants[int(rng.random() ** 2 * len(world.tenants))]
        left -= _add_workload(tenant, left, rng)
    return world


def _system(pods: int, nodes: int) -> list[Tenant]:
    dns = Workload(
        "coredns", "coredns", "dns", "system", "v1",
        (Port("dns", 53, "UDP"), Port("dns-tcp", 53), Port("metrics", 9153)),
        2 + pods // 20_000,
    )  # fmt: skip
    proxy = Workload(
        "kube-proxy", "kube-proxy", "proxy", "system", "v1", (Port("metrics", 10249),), nodes,
        kind="DaemonSet", host_network=True, nodes=tuple(range(nodes)),
    )  # fmt: skip
    prometheus = Workload(
        "prometheus", "prometheus", "server", "system", "v3", (Port("http", 9090),), 2
    )
    ingress = Workload(
        "ingress-nginx", "ingress-nginx", "controller", "system", "v1",
        (Port("http", 80), Port("https", 443)), 2 + pods // 10_000,
    )  # fmt: skip
    return [
        Tenant(name, {"kubernetes.io/metadata.name": name, "purpose": "system"}, False, workloads)
        for name, workloads in (
            ("kube-system", [dns, proxy]),
            ("monitoring", [prometheus]),
            ("ingress-nginx", [ingress]),
        )
    ]


def _tenants(count: int, rng: Random) -> list[Tenant]:
    tenants = []
    for number in range(count):
        team, env = rng.choice(TEAMS), rng.choices(ENVS, ENV_WEIGHTS)[0]
        name = f"{team.removeprefix('team-')}-{env}-{number}"
        labels = {"kubernetes.io/metadata.name": name, "team": team, "env": env}
        tenants.append(Tenant(name, labels, dual_stack=rng.random() < 0.1))
    return tenants


def _add_workload(tenant: Tenant, room: int, rng: Random) -> int:
    """Add one workload of at most `room` pods to a tenant; its number of pods."""
    if not room:
        return 0
    if tenant.workloads and rng.random() < 0.08:
        # A second release of a workload: the same labels but for its version.
        workload = _released(rng.choice(tenant.workloads), len(tenant.workloads), room, rng)
    else:
        workload = _new_workload(len(tenant.workloads), room, rng)
    tenant.workloads.append(workload)
    return workload.replicas


def _replicas(room: int, rng: Random) -> int:
    first, last, _ = rng.choices(REPLICAS, [weight for *_, weight in REPLICAS])[0]
    return min(rng.randint(first, last), room)


def _released(old: Workload, number: int, room: int, rng: Random) -> Workload:
    return Workload(
        f"{old.app}-{old.component}-{number}", old.app, old.component, old.tier,
        f"v{rng.randint(1, 9)}", old.ports, _replicas(room, rng), old.kind,
    )  # fmt: skip


def _new_workload(number: int, room: int, rng: Random) -> Workload:
    kind = rng.choices(COMPONENTS, [component.weight for component in COMPONENTS])[0]
    app = rng.choice(APPS)
    ports = tuple(Port(name, rng.choice(numbers)) for name, numbers in kind.ports)
    job = kind.name == "worker" and rng.random() < 0.12
    return Workload(
        f"{app}-{kind.name}-{number}", app, kind.name, kind.tier, f"v{rng.randint(1, 9)}",
        ports, _replicas(room, rng), "Job" if job else "ReplicaSet",
        host_network=not job and kind.name == "worker" and rng.random() < 0.02,
    )  # fmt: skip
