"""Answers which addresses the nodes have that a selector means.

Comes in: a cluster and a peer that means nodes. Goes out: the addresses of nodes that it surely
selects, and of those that it may select, because their labels are not known. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netpolc.core.cluster import Cluster, Node
from netpolc.core.ir import NodePeer
from netpolc.core.labels import may_select, selects
from netpolc.core.nets import Ranges


class NodeAnswer(NamedTuple):
    """Addresses of nodes; whoever accepts means the `sure` ones alone, whoever denies both."""

    sure: Ranges
    doubtful: Ranges


def answer(cluster: Cluster, peer: NodePeer) -> NodeAnswer:
    """The addresses that are known of the nodes a peer means, of either family."""
    sure, doubtful = list[Node](), list[Node]()
    for node in cluster.nodes.values():
        if selects(peer.nodes, node.labels, node.unsure):
            sure.append(node)
        elif node.unsure and may_select(peer.nodes, node.labels):
            doubtful.append(node)
    surely = _addresses(sure)
    return NodeAnswer(surely, _addresses(doubtful) - surely)


def _addresses(nodes: Iterable[Node]) -> Ranges:
    return Ranges.of((own, own) for node in nodes for own in node.addresses)
