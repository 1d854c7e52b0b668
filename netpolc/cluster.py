"""A snapshot of a cluster: the namespaces, pods and nodes that policies speak about.

Comes in from the frontends, already checked; only living pods are here (Succeeded and Failed ones
are gone, their addresses may be in use again).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from netpolc.errors import Diagnostic
from netpolc.ir import Origin, Policy, Waived

NAME_LABEL = "kubernetes.io/metadata.name"
"""Set by the API server on every namespace (Kubernetes 1.22), and immutable."""

ContainerPorts = tuple[tuple[str, int, int], ...]
"""Named container ports: (name, protocol, number), sorted."""


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
    its node.
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

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """All namespaces (also those only mentioned), nodes and living pods, each sorted by name."""

    namespaces: Mapping[str, Namespace]
    nodes: Mapping[str, Node]
    pods: tuple[Pod, ...]

    def node_addresses(self, pod: Pod) -> frozenset[int]:
        """Addresses of the node a pod runs on: traffic with them is not judged for that pod."""
        node = self.nodes.get(pod.node)
        own = node.addresses if node is not None else frozenset[int]()
        return own.union(pod.host_addresses)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What one compilation works on: a cluster, its policies, and what reading them noticed."""

    cluster: Cluster
    policies: tuple[Policy, ...]
    warnings: tuple[Diagnostic, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Objects of kinds netpolc does not read, counted by `apiVersion Kind`."""

    def enforcing_all(self) -> Snapshot:
        """The same with audited policies as they are meant: enforced."""
        policies = (replace(policy, audited=False) for policy in self.policies)
        return replace(self, policies=tuple(policies))


def mentioned(names: Iterable[str]) -> dict[str, Namespace]:
    """Namespaces that have no object of their own: they exist, with their default label."""
    return {name: Namespace(name, {NAME_LABEL: name}) for name in names}
