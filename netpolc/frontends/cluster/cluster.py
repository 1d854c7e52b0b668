"""The cluster that the objects of a snapshot describe, once all are read.

Comes in: what was gathered of namespaces, nodes, pods and workloads. Goes out: a `Cluster` of
living pods, every address at one of them. Nothing is refused; what cannot be as it is written is
told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from netpolc.core.cluster import NAME_LABEL, Cluster, Node, Odd, Pod, mentioned
from netpolc.core.errors import MENDED, ROOT, ObjectProblems, Problems, Severity
from netpolc.core.ir import ANY, PodPeer, Policy, Selector, Tier
from netpolc.frontends.cluster.addresses import closed, settle
from netpolc.frontends.frontend import Gathered


def build(gathered: Gathered) -> Cluster:
    """The cluster; namespaces that policies or pods mention are in it without an object."""
    found = [*gathered.pods.values(), *gathered.templates]
    found.sort(key=lambda pod: (pod.namespace, pod.name))
    known = _all_nodes(gathered.nodes, found)
    pods, nodes = settle(found, known, gathered.documents, gathered.problems)
    _warn_of_homeless(pods, nodes, gathered.problems)
    pods = tuple(_closed_where_unsure(pods, gathered))
    policies = {policy.origin.namespace for policy in gathered.policies} - {""}
    names = {*policies, *(pod.namespace for pod in pods)} - gathered.namespaces.keys()
    _warn_of_unlabelled({pod.namespace: pod for pod in pods if pod.namespace in names}, gathered)
    spaces = {**mentioned(names), **gathered.namespaces}
    return Cluster(
        {name: spaces[name] for name in sorted(spaces)},
        {name: nodes[name] for name in sorted(nodes)},
        pods,
        gathered.controllers,
        {key: gathered.services[key] for key in sorted(gathered.services)},
        tuple(sorted(gathered.published, key=lambda own: own.origin.key)),
        tuple(gathered.service_ranges),
        frozenset(gathered.unseen),
    )


def _closed_where_unsure(pods: Iterable[Pod], gathered: Gathered) -> Iterator[Pod]:
    """The pods, closed in namespaces of which nobody knows the labels, if there are cluster-scoped
    policies: what denies may mean them as subjects or peers, or what accepts may not.
    """
    unsure = {space.name: space for space in gathered.namespaces.values() if space.unsure}
    if not unsure or all(own.tier is Tier.NETWORK_POLICY for own in gathered.policies):
        yield from pods
        return
    for space in unsure.values():
        text = f"its pods are closed: {_ASKED}"
        place = space.origin.source.place() if space.origin is not None else "snapshot"
        said = f"{space.name}: {text}"
        gathered.problems.add(place, "metadata.labels", said, Severity.WARNING, MENDED)
        gathered.odd.found.append(Odd("Namespace", "", space.name, text))
    for pod in pods:
        yield closed(pod) if pod.namespace in unsure and not pod.host_network else pod


def _warn_of_unlabelled(pod_of: Mapping[str, Pod], gathered: Gathered) -> None:
    """Namespaces without an object have no label but their name, and what denies by another label
    does not deny there.
    """
    if not any(_asks_for_labels(own) for own in gathered.policies):
        return
    for name, pod in sorted(pod_of.items()):
        text = f"no Namespace {name}: cluster-scoped policies ask for labels, and it has none"
        report = ObjectProblems(gathered.problems, pod.origin.source.place, pod.waived)
        report.warning(ROOT / "metadata" / "namespace", text, code="NP014")


def _asks_for_labels(policy: Policy) -> bool:
    """Whether a cluster-scoped policy tells namespaces apart by more than their names."""
    if policy.tier is Tier.NETWORK_POLICY:
        return False
    peers = [peer for rule in policy.rules if rule.peers is not ANY for peer in rule.peers]
    return any(
        requirement.key != NAME_LABEL
        for own in (policy.subject, *peers)
        if isinstance(own, PodPeer) and isinstance(own.namespaces, Selector)
        for requirement in own.namespaces.requirements
    )


_ASKED = "cluster-scoped policies ask for labels, and its own are unknown"


def _all_nodes(nodes: dict[str, Node], pods: Iterable[Pod]) -> dict[str, Node]:
    """Nodes with every address that is known of them, also from their pods."""
    more: dict[str, set[int]] = {}
    for pod in pods:
        if pod.node:
            own = more.setdefault(pod.node, set())
            own.update(pod.host_addresses)
            if pod.host_network:
                own.update(pod.addresses)
    found = dict(nodes)
    for name, addresses in more.items():
        node = found.get(name, Node(name, frozenset(), unsure=True))
        found[name] = replace(node, addresses=node.addresses | addresses)
    return found


def _warn_of_homeless(pods: Iterable[Pod], nodes: Iterable[str], problems: Problems) -> None:
    """Pods with an address and no node, where others have one: every node judges them."""
    if not any(True for _ in nodes):
        return
    for pod in pods:
        if not pod.node and pod.addresses and not pod.host_network and not pod.closed:
            report = ObjectProblems(problems, pod.origin.source.place, pod.waived)
            text = f"{pod.key} has an address and no node: every node judges it"
            report.warning(ROOT / "spec" / "nodeName", text, code="NP009")
