"""A snapshot of a cluster: the namespaces, pods and nodes that policies speak about.

Comes in from the frontends, already checked; only living pods are here (Succeeded and Failed ones
are gone, their addresses may be in use again).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from msgspec import Struct

from netpolc.core.errors import Diagnostic
from netpolc.core.expectation import Expectation
from netpolc.core.foreign import html_table
from netpolc.core.ir import Origin, Policy, Waived
from netpolc.core.nets import Protocol, Span

NAME_LABEL = "kubernetes.io/metadata.name"
"""Set by the API server on every namespace (Kubernetes 1.22), and immutable."""

TEMPLATE_HASH = "pod-template-hash"
"""Set by the Deployment controller on its ReplicaSets and their pods."""
_MINUTES = 8
"""Digits of the minutes since 1970 that the CronJob controller puts into the names of Jobs."""

ContainerPorts = tuple[tuple[str, int, int], ...]
"""Named container ports: (name, protocol, number), sorted."""

Owner = tuple[str, str]
"""The kind and the name of a controller, in the namespace of what it owns."""


@dataclass(frozen=True, slots=True, eq=False)
class Namespace:
    """A namespace and its labels; `origin` is None when it is only mentioned by others.

    Of an `unsure` one the object could not be read: it may have more labels than these, so it is
    meant only by selectors that these alone satisfy.
    """

    name: str
    labels: Mapping[str, str]
    origin: Origin | None = None
    waived: Waived = frozenset()
    unsure: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node, all its addresses on the address line, and its labels.

    Of an `unsure` one the object could not be read, or there is none: it may have more labels than
    these. `pod_cidrs` are the blocks of its pods' addresses (`spec.podCIDRs`), none if unknown.
    """

    name: str
    addresses: frozenset[int]
    origin: Origin | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    unsure: bool = False
    pod_cidrs: tuple[Span, ...] = ()


class Pod(Struct, frozen=True, eq=False, gc=False):
    """A living pod; the collector does not visit it, because none leads to itself.

    `addresses` are every entry of `status.podIPs` on the address line, empty when it has none yet
    (or is expanded from a workload's template); `node` is empty when it is not scheduled;
    `host_addresses` are `status.hostIPs`; a `host_network` pod is neither subject nor peer, it is
    its node. `owner` is the kind and name of its controller (`metadata.ownerReferences`), None for
    a pod of its own; `uid` tells it from others of its name (`metadata.uid`), empty if unknown. A
    `closed` pod is isolated in both directions, admits nothing, and is meant by no selector: it is
    odd, or nobody can tell whether its address is its own. `declared` are all ports of its
    containers, as protocol and number; None where one of these declares none, so that nobody can
    tell where it listens.
    """

    namespace: str
    name: str
    labels: Mapping[str, str]
    addresses: tuple[int, ...]
    node: str
    host_addresses: tuple[int, ...]
    host_network: bool
    ports: ContainerPorts
    origin: Origin
    waived: Waived = frozenset()
    owner: Owner | None = None
    uid: str = ""
    closed: bool = False
    declared: frozenset[tuple[int, int]] | None = None

    def is_on(self, node: str | None) -> bool:
        """Whether a node (None: any) judges the pod; one on no known node is judged on all."""
        return node is None or self.node in ("", node)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service (`spec.ports[]`) and where it leads: a number, or the name of a port of
    the pods' containers (`targetPort`).
    """

    name: str
    protocol: Protocol
    number: int
    target: int | str

    def on(self, pod: Pod) -> tuple[int, ...]:
        """The port numbers it leads to on a pod; none where the pod has no port of that name."""
        if isinstance(self.target, int):
            return (self.target,)
        wanted = self.target, int(self.protocol)
        return tuple(number for *own, number in pod.ports if tuple(own) == wanted)

    def __str__(self) -> str:
        return f"{self.protocol.name}/{self.number}"


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A Service: which pods it leads to, from which addresses and ports.

    `selector` is None where somebody else says which pods these are (no `spec.selector`), and of an
    `external` one, which is a name of DNS (`type: ExternalName`). `addresses` are those that the
    cluster gives it (`clusterIPs`).
    """

    namespace: str
    name: str
    selector: Mapping[str, str] | None
    ports: tuple[ServicePort, ...]
    addresses: frozenset[int]
    origin: Origin
    waived: Waived = frozenset()
    external: bool = False

    @property
    def key(self) -> str:
        """`namespace/name[Service]`, as workloads are called."""
        return f"{self.namespace}/{self.name}[Service]"

    def selects(self, pod: Pod) -> bool:
        """Whether its connections may end at a pod, also one on its node's network."""
        if self.selector is None or pod.namespace != self.namespace:
            return False
        return self.selector.items() <= pod.labels.items()


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of a Service that an object publishes; `port` is its number or name, None where the
    object leaves it open. `field` is where the object says so.
    """

    namespace: str
    service: str
    port: int | str | None
    field: tuple[str | int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Publication:
    """An object that publishes ports of Services: an Ingress, a route of the Gateway API or of
    OpenShift. Connections to these come from whatever implements it, the ingress controller.
    """

    backends: tuple[PublishedPort, ...]
    origin: Origin
    waived: Waived = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """All namespaces (also those only mentioned), nodes and living pods, each sorted by name.

    `owners` are the owners of the controllers that are in the snapshot, by namespace, kind and
    name: a ReplicaSet's Deployment, None for a Deployment. `services` are by namespace and name;
    no policy sees them, nor what `published` says.
    """

    namespaces: Mapping[str, Namespace]
    nodes: Mapping[str, Node]
    pods: tuple[Pod, ...]
    owners: Mapping[tuple[str, str, str], Owner | None] = field(default_factory=dict)
    services: Mapping[tuple[str, str], Service] = field(default_factory=dict)
    published: tuple[Publication, ...] = ()
    service_ranges: tuple[Span, ...] = ()
    """Blocks that addresses of Services are from (ServiceCIDR)."""
    unseen: frozenset[str] = frozenset()
    """Namespaces in which objects of other projects make pods that may not be here."""

    def behind(self, service: Service) -> tuple[Pod, ...]:
        """The pods that a Service leads to."""
        return tuple(pod for pod in self.pods if service.selects(pod))

    def node_addresses(self, pod: Pod) -> frozenset[int]:
        """Addresses of the node a pod runs on: traffic with them is not judged for that pod."""
        node = self.nodes.get(pod.node)
        own = node.addresses if node is not None else frozenset[int]()
        return own.union(pod.host_addresses)

    def knowing(self, node: str, addresses: Iterable[int]) -> Cluster:
        """The same with more addresses of one of its nodes; those of pods stay the pods'."""
        pods = {own for pod in self.pods if not pod.host_network for own in pod.addresses}
        known = self.nodes[node]
        more = replace(known, addresses=known.addresses.union(addresses).difference(pods))
        return replace(self, nodes={**self.nodes, node: more})

    def owned_addresses(self) -> set[int]:
        """Every address of a pod or a node: what is no stranger's."""
        found = {address for pod in self.pods for address in pod.addresses}
        return found.union(*(node.addresses for node in self.nodes.values()))

    def workload(self, pod: Pod) -> str:
        """What a pod is a replica of, `namespace/name[Deployment]`; `namespace/name[Pod]` of none.

        Where the ReplicaSet or Job between the two is not in the snapshot its name tells: a
        Deployment's ReplicaSet ends in the pods' `pod-template-hash`, a CronJob's Job in a time.
        """
        kind, name = pod.owner or ("Pod", pod.name)
        seen: set[Owner] = set()  # references may go round in a circle
        above: Owner | None = (kind, name)
        while above is not None and above not in seen:
            seen.add(above)
            kind, name = above
            key = (pod.namespace, kind, name)
            above = self.owners[key] if key in self.owners else _named_after(kind, name, pod)
        return f"{pod.namespace}/{name}[{kind}]"


def _named_after(kind: str, name: str, pod: Pod) -> Owner | None:
    stem, _, suffix = name.rpartition("-")
    if stem and kind == "ReplicaSet" and suffix == pod.labels.get(TEMPLATE_HASH):
        return "Deployment", stem
    if stem and kind == "Job" and len(suffix) >= _MINUTES and suffix.isdecimal():
        return "CronJob", stem
    return None


@dataclass(frozen=True, slots=True, order=True)
class Odd:
    """An object that is not enforced as it was written; `treatment` says what is done instead.

    A name that is none is replaced: all three can be written anywhere.
    """

    kind: str
    namespace: str
    name: str
    treatment: str

    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name}: {self.treatment}"


class Unread(Struct, frozen=True, order=True, gc=False):
    """A policy of a kind that is not judged: whatever it admits or denies is not in any verdict.

    `kind` is `cilium.io/v2 CiliumNetworkPolicy`, `name` is `namespace/name`; the `digest` differs
    where two of them differ in anything.
    """

    kind: str
    name: str
    digest: str = ""


def unread_kinds(unread: Iterable[Unread]) -> dict[str, list[str]]:
    """The names of such policies, by kind."""
    found: dict[str, dict[str, None]] = {}
    for own in sorted(unread):
        found.setdefault(own.kind, {})[own.name] = None
    return {kind: list(names) for kind, names in found.items()}


def unread_counts(unread: Iterable[Unread]) -> Iterator[tuple[int, str, str]]:
    """How many there are of each kind, with its name and its apiVersion."""
    for own, names in unread_kinds(unread).items():
        version, _, kind = own.rpartition(" ")
        yield len(names), kind, version


def not_judged(unread: Iterable[Unread]) -> str:
    """How many there are of each kind, as a sentence; empty where there are none."""
    listed = [f"{count} {kind} ({version})" for count, kind, version in unread_counts(unread)]
    return f"not judged, whatever they say: {', '.join(listed)}" if listed else ""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What one compilation works on: a cluster, its policies, and what reading them noticed."""

    cluster: Cluster
    policies: tuple[Policy, ...]
    warnings: tuple[Diagnostic, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Objects of kinds netpolc does not read, counted by `apiVersion Kind`."""
    expectations: tuple[Expectation, ...] = ()
    odd: tuple[Odd, ...] = ()
    """Objects that are enforced in the strict direction (docs/odd-objects.md), in order."""
    passed_over: tuple[str, ...] = ()
    """Files in folders that hold what is no Kubernetes object, in order."""
    not_followed: tuple[str, ...] = ()
    """Links to folders, inside of folders that were read: nothing behind them was."""
    unread: tuple[Unread, ...] = ()
    """Policies of kinds that are not judged, in order."""
    unknown_pods: frozenset[str] = frozenset()
    """Namespaces with pods of which nothing is known: other objects make them."""
    placed: tuple[Origin, ...] = ()
    """Objects that name no namespace, and are in `default` for want of one, in order."""

    def __repr__(self) -> str:
        counts = {
            "pods": len(self.cluster.pods),
            "policies": len(self.policies),
            "namespaces": len(self.cluster.namespaces),
            "nodes": len(self.cluster.nodes),
            "warnings": len(self.warnings),
        }
        return f"<Snapshot {' '.join(f'{name}={count}' for name, count in counts.items())}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: pods and policies of each namespace."""
        pods = Counter(pod.namespace for pod in self.cluster.pods)
        policies = Counter(policy.origin.namespace for policy in self.policies)
        names = [*self.cluster.namespaces, *([""] if policies[""] else [])]
        rows = ((name or "(cluster)", pods[name], policies[name]) for name in names)
        return html_table(repr(self), ("namespace", "pods", "policies"), rows)

    def enforcing_all(self) -> Snapshot:
        """The same with audited policies as they are meant: enforced."""
        policies = (replace(policy, audited=False) for policy in self.policies)
        return replace(self, policies=tuple(policies))


def mentioned(names: Iterable[str]) -> dict[str, Namespace]:
    """Namespaces that have no object of their own: they exist, with their default label."""
    return {name: Namespace(name, {NAME_LABEL: name}) for name in names}
