"""What is local to the node of a ruleset, and which packets meet its base chain.

Comes in: a Program, a `Listing`, the node it is for (None: every pod is local) and the names of its
pod bridges. Goes out: answers about addresses. An unknown node is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from netpolc.backends.nft.readback.classes import Classes
from netpolc.backends.nft.readback.fields import number
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.tracer import Link
from netpolc.core.cluster import Pod
from netpolc.core.errors import UsageError
from netpolc.core.nets import NOTHING, Ranges
from netpolc.core.program import Program


class Locality:
    """The node that a ruleset is for: `pods` are its own, as far as they have an address, and
    `addresses` its own. `hook` is where the base chain stands.

    Raises `UsageError` when the node is unknown.
    """

    def __init__(
        self,
        program: Program,
        listing: Listing,
        node: str | None,
        pod_bridges: Iterable[str],
        pending: Ranges = NOTHING,
    ) -> None:
        nodes = program.cluster.nodes
        if node is not None and node not in nodes:
            raise UsageError(f"unknown node {node!r}")
        self._program, self.hook = program, listing.hook
        self._bridges = frozenset(number("ifname", name) for name in pod_bridges)
        self.classes = Classes(program, listing, node, self._bridges, pending)
        pods = [pod for own in program.identities for pod in own.pods if pod.addresses]
        self.pods = [pod for pod in pods if self.classes.is_local(pod)]
        self.addresses = frozenset[int]()
        if node is not None:
            local = (pod for pod in program.cluster.pods if pod.node == node)
            hosts = (address for pod in local for address in pod.host_addresses)
            self.addresses = nodes[node].addresses.union(hosts)

    def pod(self, address: int) -> Pod | None:
        """The local pod that has an address; None if it is no local pod's."""
        pod = self._program.pods_by_address.get(address)
        return pod if pod is not None and self.classes.is_local(pod) else None

    def is_pending(self, address: int) -> bool:
        """Whether an address is one for pods of this node, and nobody here is known to have it."""
        known = address in self.addresses or self.pod(address) is not None
        return not known and address in self.classes.pending

    def nodes_of(self, address: int) -> frozenset[int]:
        """The addresses that are the node of a local pod, known or not, as far as anybody knows."""
        pod = self.pod(address)
        if pod is None:
            return self.addresses if self.is_pending(address) else frozenset()
        own = self._program.cluster.node_addresses(pod)
        return own if pod.node else own | self.addresses

    def is_judged(self, source: int, destination: int) -> bool:
        """Whether packets between two addresses come by the base chain and are to be judged."""
        own_node = self.with_own_node(source, destination)
        return not own_node or (own_node == "from" and self.hook == "postrouting")

    def sends(self, source: int, destination: int) -> bool:
        """Whether the node itself sends what one address sends to the other."""
        return self.with_own_node(source, destination) == "from" or source in self.addresses

    def answers(self, destination: int) -> bool:
        """Whether the node itself answers what is sent to an address, and postrouting sees it."""
        return self.hook == "postrouting" and destination in self.addresses

    def between_ports(self, link: Link) -> bool:
        """Whether packets go from a port of a pod bridge to one of it."""
        came = link.iifname in self._bridges or not link.iifname
        return link.bridge and came and link.oifname in self._bridges

    def with_own_node(self, source: int, destination: int) -> str:
        """`from` or `to`, when one end is a local pod, or will be, and the other the node it is on.

        `perhaps`, when nobody knows whether the pod is on this node: then the node cannot tell
        either, and lets its own packets pass.
        """
        for way, end, other in ("from", destination, source), ("to", source, destination):
            pod = self.pod(end)
            if pod is not None and other in self._program.cluster.node_addresses(pod):
                return way
            if pod is not None and not pod.node and other in self.addresses:
                return "perhaps"
            if other in self.addresses and self.is_pending(end):
                return way
        return ""
