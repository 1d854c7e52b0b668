"""The cluster that the objects of a snapshot describe, once all are read.

Comes in: what was gathered of namespaces, nodes, pods and workloads. Goes out: a `Cluster` of
living pods, every address at one of them. Nothing is refused; what cannot be as it is written is
told.
"""

from __future__ import annotations

from collections.abc import Iterable

from netpolc.core.cluster import Cluster, Node, Pod, mentioned
from netpolc.core.errors import ROOT, ObjectProblems, Problems
from netpolc.frontends.addresses import settle
from netpolc.frontends.frontend import Gathered


def build(gathered: Gathered) -> Cluster:
    """The cluster; namespaces that policies or pods mention are in it without an object."""
    found = [*gathered.pods.values(), *gathered.templates]
    found.sort(key=lambda pod: (pod.namespace, pod.name))
    known = _all_nodes(gathered.nodes, found)
    pods, nodes = settle(found, known, gathered.documents, gathered.problems)
    _warn_of_homeless(pods, nodes, gathered.problems)
    policies = {policy.origin.namespace for policy in gathered.policies} - {""}
    names = {*policies, *(pod.namespace for pod in pods)} - gathered.namespaces.keys()
    spaces = {**mentioned(names), **gathered.namespaces}
    return Cluster(
        {name: spaces[name] for name in sorted(spaces)},
        {name: nodes[name] for name in sorted(nodes)},
        pods,
        gathered.controllers,
    )


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
        node = found.get(name, Node(name, frozenset()))
        found[name] = Node(name, node.addresses | addresses, node.origin)
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
