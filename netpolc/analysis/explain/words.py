"""The Policy IR in English: selectors, peers, ports.

Comes in: symbols. Goes out: phrases that stand inside a sentence, the same for equal symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from netpolc.core.cluster import NAME_LABEL
from netpolc.core.ir import (
    Action,
    NamedPort,
    NamePeer,
    NetworkPeer,
    NodePeer,
    Operator,
    Origin,
    Peer,
    PodPeer,
    Port,
    PortRange,
    Requirement,
    Selector,
    Tier,
)
from netpolc.core.nets import PORTS, format_span, protocol_name

TIERS = {Tier.ADMIN: "Admin", Tier.NETWORK_POLICY: "NetworkPolicy", Tier.BASELINE: "Baseline"}
"""The tiers as ClusterNetworkPolicy writes them (`spec.tier`)."""
ADMITS = {Action.ACCEPT: "admits", Action.DENY: "denies", Action.PASS: "passes on"}
"""What rules do, with traffic as the object."""


def joined(parts: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *before, end = parts
    return f"{', '.join(before)} {last} {end}" if before else end


def requirements(selector: Selector) -> list[Requirement]:
    """The requirements of a selector in a fixed order."""
    return sorted(selector.requirements, key=lambda r: (r.key, r.operator.value, sorted(r.values)))


def pair(key: str, value: str) -> str:
    """`app=web`; an empty value is seen."""
    return f"{key}={value}" if value else f'{key}=""'


def requirement(need: Requirement) -> str:
    """`app=web`, `tier in (a, b)`, `a label app`, `no label app`."""
    values = sorted(need.values)
    listed = ", ".join(value or '""' for value in values)
    match need.operator:
        case Operator.IN:
            return pair(need.key, values[0]) if len(values) == 1 else f"{need.key} in ({listed})"
        case Operator.NOT_IN:
            return f"{need.key} not in ({listed})"
        case Operator.EXISTS:
            return f"a label {need.key}"
        case Operator.DOES_NOT_EXIST:
            return f"no label {need.key}"
        case _:
            assert_never(need.operator)


def labels(selector: Selector) -> str:
    """All requirements; empty where there are none."""
    return joined([requirement(need) for need in requirements(selector)] or [""])


def pods(peer: PodPeer) -> str:
    """`pods in namespace shop with app=web`, `every pod in namespaces with team=x`."""
    where, wanted = namespaces(peer.namespaces), labels(peer.pods)
    if not wanted:
        return f"every pod in {where}"
    if isinstance(peer.namespaces, Selector) and " with " in where:
        return f"pods with {wanted} in {where}"
    return f"pods in {where} with {wanted}"


def namespaces(chosen: str | Selector) -> str:
    """`namespace shop`, `every namespace`, `namespaces with team=x`."""
    if isinstance(chosen, str):
        return f"namespace {chosen}"
    if not chosen.requirements:
        return "every namespace"
    needs = requirements(chosen)
    if len(needs) == 1 and needs[0].key == NAME_LABEL and needs[0].operator is Operator.IN:
        names = sorted(needs[0].values)
        return f"namespace{'s' if len(names) > 1 else ''} {joined(names, 'or')}"
    return f"namespaces with {labels(chosen)}"


def peer(entry: Peer) -> str:
    """Pods, `addresses in 10.0.0.0/8 except 10.1.0.0/16`, nodes, or names of domains."""
    match entry:
        case PodPeer():
            return pods(entry)
        case NetworkPeer(cidr, excepts):
            holes = joined([block(hole) for hole in excepts] or [""])
            return f"addresses in {block(cidr)}{' except ' if excepts else ''}{holes}"
        case NodePeer(wanted):
            return f"nodes with {labels(wanted)}" if wanted.requirements else "every node"
        case NamePeer(names):
            return f"{joined(names, 'or')} by name, which is nobody here"
        case _:
            assert_never(entry)


def block_field(origin: Origin) -> str:
    """The field in which rules of a kind write blocks of addresses."""
    return "ipBlock" if origin.kind == "NetworkPolicy" else "networks"


def block(span: tuple[int, int]) -> str:
    """A CIDR block, also of one address."""
    text = format_span(span)
    return text if "/" in text else f"{text}/{128 if ':' in text else 32}"


def port_text(entry: Port) -> str:
    """`TCP port 80`, `TCP ports 80-90`, `every UDP port`, `the TCP port named http`."""
    match entry:
        case PortRange(protocol, 0, last) if last == PORTS - 1:
            return f"every {protocol.name} port"
        case PortRange(protocol, first, last) if first == last:
            return f"{protocol.name} port {first}"
        case PortRange(protocol, first, last):
            return f"{protocol.name} ports {first}-{last}"
        case NamedPort(protocol, name):
            return f"the {protocol.name} port named {name}"
        case _:
            assert_never(entry)


def service(protocol: int, number: int | None) -> str:
    """`TCP port 80`, `protocol 1`."""
    name = protocol_name(protocol)
    return name if number is None else f"{name} port {number}"
