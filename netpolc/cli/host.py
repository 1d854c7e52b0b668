"""The addresses of the node that this host is, as the kernel knows them and Node objects may not.

Comes in: a snapshot. Goes out: the same with every address of this host as one of its node, where
the host is a node of it: the gateway on a bridge of pods, a node-local DNS. It is the node that has
the name of the host or one of its addresses. Elsewhere nothing is added (`--node-address` does).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from netpolc.backends.nft.netlink.attributes import by_type
from netpolc.backends.nft.netlink.wire import ROUTE, Netlink
from netpolc.cli.terminal import warn
from netpolc.core.errors import RulesetError, SystemRefusal, UsageError
from netpolc.core.nets import format_address, parse_address

if TYPE_CHECKING:
    from netpolc.analysis.explain import Explanation
    from netpolc.core.cluster import Cluster, Snapshot
    from netpolc.core.program import Program

_GET_ADDRESS = 22  # RTM_GETADDR (linux/rtnetlink.h)
_HEADER = 8  # ifaddrmsg: family, prefix length, flags, scope, number of the interface
_ADDRESS, _LOCAL = 1, 2  # IFA_ADDRESS, IFA_LOCAL (linux/if_addr.h)
_SERVICES = "kube-ipvs0"
"""The interface on which kube-proxy keeps the addresses of Services: those are not the node's."""
_NEAR = {4: 24, 6: 64}
"""Prefix lengths within which an address may be the gateway of a pod's bridge."""


def addresses() -> frozenset[int]:
    """Every address of this host, as far as packets with it can leave the host; none, with a note,
    where they cannot be read.
    """
    if sys.platform != "linux":
        return frozenset()
    try:
        return read_addresses()
    except SystemRefusal as error:
        warn(f"note: {error}")
        return frozenset()


def read_addresses() -> frozenset[int]:
    """The same; `SystemRefusal` where they cannot be read."""
    try:
        with Netlink(ROUTE) as routing:
            found = set(_addresses(routing))
    except (OSError, RulesetError) as error:
        raise SystemRefusal(f"this host's addresses cannot be read: {error}") from error
    return frozenset(parse_address(str(own)) for own in found if not own.is_loopback)


def _addresses(routing: Netlink) -> Iterator[IPv4Address | IPv6Address]:
    for body in routing.dumped(_GET_ADDRESS, bytes(_HEADER)):
        own = by_type(body[_HEADER:])
        try:
            interface = socket.if_indextoname(int.from_bytes(body[4:_HEADER], sys.byteorder))
        except OSError:  # it is gone
            continue
        if interface != _SERVICES:
            yield ip_address(own.get(_LOCAL, own.get(_ADDRESS, b"")))


def node_of(cluster: Cluster, own: frozenset[int]) -> str | None:
    """The node that a host with these addresses is; None if it is none, or it cannot be told."""
    routed = {address for address in own if not ip_address(format_address(address)).is_link_local}
    found = [name for name, node in cluster.nodes.items() if not routed.isdisjoint(node.addresses)]
    if len(found) == 1:
        return found[0]
    name = called(cluster)
    if name in found or (name is not None and not cluster.nodes[name].addresses):
        return name
    return None


def called(cluster: Cluster) -> str | None:
    """The node that has the name of this host."""
    names = candidates(socket.gethostname())
    return next((name for name in names if name in cluster.nodes), None)


def candidates(host: str) -> tuple[str, ...]:
    """The names that the node of a host of this name may have, the likeliest first."""
    return host, host.lower(), host.lower().partition(".")[0]


def local_node(of: Program | Snapshot, node: str | None, all_pods: bool) -> str | None:
    """The node to compile for: the one asked for, this host, or None for every pod."""
    if all_pods:
        if node is not None:
            raise UsageError("--all-pods and --node exclude each other")
        return None
    if node is not None:
        return node
    name = called(of.cluster)
    if name is not None:
        return name
    text = "say --node NAME, or --all-pods to take every pod as local"
    raise UsageError(
        f"this host is {socket.gethostname()!r}, which is no node of the snapshot; {text}"
    )


def on_this_host(
    snapshot: Snapshot, node: str | None = None, own: frozenset[int] | None = None
) -> Snapshot:
    """The snapshot with every address of this host as one of its node: `node`, or what it is. `own`
    are those addresses, where somebody has read them already.
    """
    own = addresses() if own is None else own
    name = node_of(snapshot.cluster, own) if node is None else node
    if name is None or name not in snapshot.cluster.nodes:
        return snapshot
    return replace(snapshot, cluster=snapshot.cluster.knowing(name, own))


def say_remarks(explanations: Iterable[Explanation], listed: Cluster, program: Program) -> None:
    """On standard error, each once, what flows lack to be judged by the manifests alone."""
    from netpolc.analysis.explain.bridged import on_a_bridge  # few commands explain

    found = (
        text
        for explanation in explanations
        for text in (
            _remark(explanation, listed),
            on_a_bridge(program, explanation.flow),
            _is_a_service(explanation, listed),
        )
    )
    for text in dict.fromkeys(filter(None, found)):
        warn(f"note: {text}")


def _is_a_service(explanation: Explanation, listed: Cluster) -> str | None:
    """What to say of a flow to an address of a Service, which is no pod's."""
    address = explanation.flow.destination
    for service in listed.services.values():
        if address in service.addresses:
            return (
                f"{format_address(address)} is the address of {service.key}: where kube-proxy "
                "leads connections on, policies see the pods behind it; ask for the Service by name"
            )
    return None


def _remark(explanation: Explanation, listed: Cluster) -> str | None:
    """What to say of a flow with an address that a pod's node may have, or has here without a word
    in its Node object; `listed` is the cluster as the manifests describe it.
    """
    ends = explanation.egress.subject, explanation.ingress.subject
    for end, other in (ends, ends[::-1]):
        if end.pod is None or other.pod is not None or not end.pod.node:
            continue
        if other.address in listed.owned_addresses() | listed.node_addresses(end.pod):
            continue
        node, address = end.pod.node, format_address(other.address)
        if explanation.verdict.allowed:
            if other.node:
                return f"{address} is an address of {node} that its Node object does not list"
        elif _may_be_the_nodes(other.address, end.address):
            return (
                f"if {address} is an address of {node} (a bridge's gateway, a node-local DNS), the "
                f"kernel lets this pass: on {node} it would be known, elsewhere say "
                f"--node-address {node}={address}"
            )
    return None


def _may_be_the_nodes(address: int, pod: int) -> bool:
    unknown, own = (ip_address(format_address(number)) for number in (address, pod))
    shared = unknown.max_prefixlen - _NEAR[unknown.version]
    return unknown.is_link_local or int(unknown) >> shared == int(own) >> shared
