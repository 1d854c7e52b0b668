"""Near misses: what a flow lacked to match a rule.

Comes in: a symbolic rule and the two ends of a flow. Goes out: for each peer of the rule what
matched and what did not, in words. A peer and the ports without any gap are a match: that this is
what the Program says too is a property that the tests hold it to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

from netpolc.analysis.explain import words
from netpolc.analysis.explain.model import End, Gap, GapKind, Miss
from netpolc.core.cluster import NAME_LABEL, Cluster, Pod
from netpolc.core.errors import listing
from netpolc.core.ir import (
    ANY,
    Action,
    Direction,
    NamedPort,
    NamePeer,
    NetworkPeer,
    NodePeer,
    Operator,
    PodPeer,
    Port,
    PortRange,
    Requirement,
    Rule,
    Selector,
)
from netpolc.core.labels import may_select, selects
from netpolc.core.nets import family, format_address
from netpolc.core.semantics import Flow

_PEER_FIELD = {Direction.INGRESS: "from", Direction.EGRESS: "to"}


def misses(rule: Rule, peer: End, destination: End, flow: Flow, cluster: Cluster) -> Iterator[Miss]:
    """One for each peer of the rule; one without gaps means that the rule matches."""
    field = rule.origin.field
    ports = tuple(_port_gaps(rule, destination, flow))
    port_met = () if ports else ("the port matches",)
    if rule.peers is ANY:
        yield Miss(rule, field, ("any peer would do",), ports)
        return
    field = (*field, _PEER_FIELD[rule.direction])
    if not rule.peers:
        empty = Gap(GapKind.NO_PEER, "its list of peers is empty, which is nobody")
        yield Miss(rule, field, port_met, (empty, *ports))
    for number, entry in enumerate(rule.peers):
        at = (*field, number)
        match entry:
            case PodPeer():
                met, gaps = _pod_gaps(entry, peer, cluster)
                yield Miss(rule, at, (*met, *port_met), (*gaps, *ports))
            case NetworkPeer():
                field_said = words.block_field(rule.origin)
                outside = tuple(_network_gaps(entry, peer, field_said))
                met = () if outside else (f"{_address(peer)} is in the {field_said}",)
                yield Miss(rule, at, (*met, *port_met), (*outside, *ports))
            case NodePeer():
                other = tuple(_node_gaps(entry, rule, peer, cluster))
                met = () if other else (f"{format_address(peer.address)} is the node's",)
                yield Miss(rule, at, (*met, *port_met), (*other, *ports))
            case NamePeer():
                unknown = Gap(
                    GapKind.NO_PEER, "names of domains are not looked up: nobody is meant"
                )
                yield Miss(rule, at, port_met, (unknown, *ports))
            case _:
                assert_never(entry)


def is_selected(wanted: PodPeer, pod: Pod, cluster: Cluster) -> bool:
    """Whether a selection includes a pod; that hostNetwork pods are in none is not asked here."""
    spaces = wanted.namespaces
    if isinstance(spaces, str):
        inside = spaces == pod.namespace
    else:
        own = cluster.namespaces[pod.namespace]
        inside = selects(spaces, own.labels, own.unsure)
    return inside and not pod.closed and selects(wanted.pods, pod.labels)


def _pod_gaps(
    wanted: PodPeer, end: End, cluster: Cluster
) -> tuple[tuple[str, ...], tuple[Gap, ...]]:
    """What matched of a selection of pods, and what did not."""
    if end.pod is None:
        other = f"node {end.node}, as are hostNetwork pods there"
        what = other if end.node else "no pod's own address"
        text = f"selectors match pods only, {end} is {what}"
        return (), (Gap(GapKind.NOT_A_POD, text),)
    pod = end.pod
    if pod.closed:
        return (), (Gap(GapKind.NOT_A_POD, f"{pod.key} is closed: no selector matches it"),)
    outside = tuple(_namespace_gaps(wanted.namespaces, pod.namespace, cluster))
    unlike = tuple(
        Gap(GapKind.LABEL, f"{_needed('label', need)}, {pod.key} has {_carried(need, pod.labels)}")
        for need in _unmet(wanted.pods, pod.labels)
    )
    if not outside and not unlike:
        return ("the pod matches",), ()
    met = ("the labels match",) if outside and wanted.pods.requirements and not unlike else ()
    return met if outside else ("the namespace matches",), outside + unlike


def _namespace_gaps(wanted: str | Selector, name: str, cluster: Cluster) -> Iterator[Gap]:
    if isinstance(wanted, str):
        if wanted != name:
            text = f"a podSelector alone means pods of namespace {wanted}, this one is of {name}"
            yield Gap(GapKind.NAMESPACE, text)
        return
    space = cluster.namespaces[name]
    own = space.labels
    for need in _unmet(wanted, own, space.unsure):
        if need.key == NAME_LABEL and need.operator is Operator.IN:
            meant = words.namespaces(Selector(frozenset((need,))))
            yield Gap(GapKind.NAMESPACE, f"pods of {meant} are meant, this one is of {name}")
            continue
        text = f"{_needed('namespace label', need)}, namespace {name} has {_carried(need, own)}"
        yield Gap(GapKind.NAMESPACE, text)


def _unmet(
    selector: Selector, labels: Mapping[str, str], unsure: bool = False
) -> Iterator[Requirement]:
    for need in words.requirements(selector):
        if not selects(Selector(frozenset((need,))), labels, unsure):
            yield need


def _needed(what: str, need: Requirement) -> str:
    if need.operator is Operator.EXISTS:
        return f"a {what} {need.key} is needed"
    if need.operator is Operator.DOES_NOT_EXIST:
        return f"no {what} {need.key} may be there"
    return f"{what} {words.requirement(need)} is needed"


def _carried(need: Requirement, labels: Mapping[str, str]) -> str:
    value = labels.get(need.key)
    return "none" if value is None else words.pair(need.key, value)


def _network_gaps(wanted: NetworkPeer, end: End, field: str) -> Iterator[Gap]:
    first, last = wanted.cidr
    address, cidr = _address(end), words.block(wanted.cidr)
    if family(first) is not family(end.address):
        yield Gap(GapKind.ADDRESS, f"{field} {cidr} is of the other address family than {address}")
    elif not end.is_placed and not first <= end.address <= last:
        text = f"{end} has no address yet: nobody can tell whether it will be in {field} {cidr}"
        yield Gap(GapKind.ADDRESS, text)
    elif not first <= end.address <= last:
        yield Gap(GapKind.ADDRESS, f"{address} is outside of {field} {cidr}")
    else:
        holes = [hole for hole in wanted.excepts if hole[0] <= end.address <= hole[1]]
        if holes:
            text = f"{address} is in {field} {cidr} but in its except {words.block(holes[0])}"
            yield Gap(GapKind.EXCEPT, text)


def _address(end: End) -> str:
    """Its address, or whose it would be."""
    return format_address(end.address) if end.is_placed else str(end)


def _node_gaps(wanted: NodePeer, rule: Rule, end: End, cluster: Cluster) -> Iterator[Gap]:
    """Why an address is none of a node that is meant; who denies also means nodes that may be."""
    address = _address(end)
    holders = [node for node in cluster.nodes.values() if end.address in node.addresses]
    if not holders:
        yield Gap(GapKind.NOT_A_NODE, f"nodes are meant, {address} is not known to be one's")
        return
    denies = rule.action is Action.DENY
    if any(
        selects(wanted.nodes, node.labels, node.unsure)
        or (denies and node.unsure and may_select(wanted.nodes, node.labels))
        for node in holders
    ):
        return
    node = holders[0]
    for need in _unmet(wanted.nodes, node.labels, node.unsure):
        has = "labels that nobody knows" if node.unsure else _carried(need, node.labels)
        yield Gap(GapKind.LABEL, f"{_needed('label', need)}, node {node.name} has {has}")


def _port_gaps(rule: Rule, destination: End, flow: Flow) -> Iterator[Gap]:
    """At most one, for all ports together: none matched."""
    if rule.ports is ANY:
        return
    asked, does = words.service(flow.protocol, flow.port), words.ADMITS[rule.action]
    if flow.port is None:
        yield Gap(GapKind.PROTOCOL, f"{asked} has no ports: only a rule without ports {does} it")
        return
    numbers = [(port, _numbers(port, destination)) for port in rule.ports]
    admitted = [(port, span) for port, spans in numbers for span in spans]
    fitting = [port for port, (first, last) in admitted if first <= flow.port <= last]
    if any(port.protocol == flow.protocol for port in fitting):
        return
    if fitting:
        text = words.joined([port.protocol.name for port in fitting], "or")
        yield Gap(GapKind.PROTOCOL, f"asked for {asked}, which the rule {does} over {text}")
    elif rule.ports:
        wanted = [_wanted(port, destination) for port in rule.ports]
        few = "; ".join(wanted[:4]) + (f"; and {len(wanted) - 4} more" if wanted[4:] else "")
        yield Gap(GapKind.PORT, f"asked for {asked}, the rule {does} {few}")
    else:
        yield Gap(GapKind.NO_PORT, "its list of ports is empty, which is none")


def _numbers(port: Port, destination: End) -> list[tuple[int, int]]:
    """The numbers behind a port on the destination."""
    match port:
        case PortRange(_, first, last):
            return [(first, last)]
        case NamedPort(protocol, name):
            return [(n, n) for n in destination.port_numbers.get((name, protocol), ())]
        case _:
            assert_never(port)


def _wanted(port: Port, destination: End) -> str:
    text = words.port_text(port)
    if isinstance(port, PortRange):
        return text
    found = listing(str(number) for number, _ in _numbers(port, destination))
    return f"{text} ({f'{found} on' if found else 'there is none on'} {destination})"
