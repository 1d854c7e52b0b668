"""A snapshot of a cluster: the namespaces, pods and nodes that policies speak about.

Comes in from the frontends, already checked; only living pods are here (Succeeded and Failed ones
are gone, their addresses may be in use again).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netpolc.errors import Diagnostic
from netpolc.expectation import Expectation
from netpolc.ir import Origin, Policy, Waived

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
    """A namespace and its labels; `origin` is None when it is only mentioned by others."""

    name: str
    labels: Mapping[str, str]
    origin: Origin | None = None
    waived: Waived = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node and all its addresses on the address line."""

    name: str
    addresses: frozenset[int]
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pod:
    """A living pod.

    `addresses` are every entry of `status.podIPs` on the address line, empty when it has none yet
    (or is expanded from a workload's template); `node` is empty when it is not scheduled;
    `host_addresses` are `status.hostIPs`; a `host_network` pod is neither subject nor peer, it is
    its node. `owner` is the kind and name of its controller (`metadata.ownerReferences`), None for
    a pod of its own.
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

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """All namespaces (also those only mentioned), nodes and living pods, each sorted by name.

    `owners` are the owners of the controllers that are in the snapshot, by namespace, kind and
    name: a ReplicaSet's Deployment, None for a Deployment.
    """

    namespaces: Mapping[str, Namespace]
    nodes: Mapping[str, Node]
    pods: tuple[Pod, ...]
    owners: Mapping[tuple[str, str, str], Owner | None] = field(default_factory=dict)

    def node_addresses(self, pod: Pod) -> frozenset[int]:
        """Addresses of the node a pod runs on: traffic with them is not judged for that pod."""
        node = self.nodes.get(pod.node)
        own = node.addresses if node is not None else frozenset[int]()
        return own.union(pod.host_addresses)

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


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What one compilation works on: a cluster, its policies, and what reading them noticed."""

    cluster: Cluster
    policies: tuple[Policy, ...]
    warnings: tuple[Diagnostic, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Objects of kinds netpolc does not read, counted by `apiVersion Kind`."""
    expectations: tuple[Expectation, ...] = ()


def mentioned(names: Iterable[str]) -> dict[str, Namespace]:
    """Namespaces that have no object of their own: they exist, with their default label."""
    return {name: Namespace(name, {NAME_LABEL: name}) for name in names}
