"""NetworkPolicies in which nothing is odd, decoded as what the API has and lowered at once.

Comes in: one manifest. Goes out: its `Policy`; None of one that `networkpolicy.py` has to read
field by field. It alone has messages, and decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from netpolc.core.ir import (
    ANY,
    Action,
    Direction,
    NamedPort,
    NetworkPeer,
    Origin,
    Peer,
    PodPeer,
    Policy,
    Port,
    PortRange,
    Rule,
    Tier,
)
from netpolc.core.nets import PORTS, Protocol, parse_cidr
from netpolc.frontends.fields import (
    DEFAULT_NAMESPACE,
    dns_label_problems,
    is_subdomain,
)
from netpolc.frontends.policies import (
    LabelSelector,
    ObjectMeta,
    Unusual,
    port_name_problems,
    selector_of,
)
from netpolc.manifests import Document


class _Block(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`IPBlock`."""

    cidr: str
    excepts: list[str] | None = msgspec.field(default=None, name="except")


class _Peer(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`NetworkPolicyPeer`."""

    podSelector: LabelSelector | None = None
    namespaceSelector: LabelSelector | None = None
    ipBlock: _Block | None = None


class _Port(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`NetworkPolicyPort`."""

    protocol: Literal["TCP", "UDP", "SCTP"] | None = None
    port: int | str | None = None
    endPort: int | None = None


class _Ingress(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`NetworkPolicyIngressRule`."""

    peers: list[_Peer] | None = msgspec.field(default=None, name="from")
    ports: list[_Port] | None = None


class _Egress(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`NetworkPolicyEgressRule`."""

    peers: list[_Peer] | None = msgspec.field(default=None, name="to")
    ports: list[_Port] | None = None


class _Spec(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`NetworkPolicySpec`."""

    podSelector: LabelSelector | None = None
    policyTypes: list[Literal["Ingress", "Egress"]] | None = None
    ingress: list[_Ingress] | None = None
    egress: list[_Egress] | None = None


class _Object(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`NetworkPolicy`."""

    metadata: ObjectMeta
    spec: _Spec
    apiVersion: str
    kind: str


_decoded = msgspec.json.Decoder(_Object).decode
_WAYS = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}
_PROTOCOLS = dict(Protocol.__members__)


def lower(document: Document) -> Policy | None:
    """The policy of a manifest without an annotation of ours, if it holds nothing odd."""
    content = document.content
    if not isinstance(content, msgspec.Raw) or not document.is_unambiguous:
        return None
    try:
        found = _decoded(content)
    except (msgspec.MsgspecError, RecursionError):
        return None
    named, spec = found.metadata, found.spec
    namespace = named.namespace or DEFAULT_NAMESPACE
    if named.odd:
        return None
    if not is_subdomain(named.name) or not _is_label(namespace):
        return None
    origin = Origin(document.kind, namespace, named.name, (), document.source)
    try:
        return _policy(spec, origin)
    except (Unusual, ValueError):
        return None


def _policy(spec: _Spec, origin: Origin) -> Policy:
    types = spec.policyTypes
    if types:
        if len(types) > 2:
            raise Unusual
        isolates = frozenset([_WAYS[name] for name in types])
    else:
        isolates = frozenset(_WAYS.values() if spec.egress else (Direction.INGRESS,))
    rules: list[Rule] = []
    written = []
    for direction, several in ((Direction.INGRESS, spec.ingress), (Direction.EGRESS, spec.egress)):
        if several is not None:
            written.append(direction)
            made = _rules(direction, several, origin)
            if direction in isolates:
                rules += made
    return Policy(
        Tier.NETWORK_POLICY,
        0,
        PodPeer(origin.namespace, selector_of(spec.podSelector)),
        isolates,
        tuple(rules),
        origin,
        frozenset(written),
        bool(types),
    )


def _rules(
    direction: Direction, several: Sequence[_Ingress | _Egress], origin: Origin
) -> list[Rule]:
    namespace, field = origin.namespace, str(direction)
    found = []
    for number, own in enumerate(several):
        at = Origin(origin.kind, namespace, origin.name, ("spec", field, number), origin.source)
        peers = tuple([_peer(peer, namespace) for peer in own.peers]) if own.peers else ANY
        ports = (
            tuple([_port(port.protocol, port.port, port.endPort) for port in own.ports])
            if own.ports
            else ANY
        )
        found.append(Rule(direction, Action.ACCEPT, peers, ports, at))
    return found


def _peer(own: _Peer, namespace: str) -> Peer:
    pods, spaces, block = own.podSelector, own.namespaceSelector, own.ipBlock
    if block is None:
        if pods is None and spaces is None:
            raise Unusual
        return PodPeer(namespace if spaces is None else selector_of(spaces), selector_of(pods))
    if pods is not None or spaces is not None:
        raise Unusual
    return _network(block.cidr, tuple(block.excepts or ()))


@lru_cache(maxsize=1 << 12)
def _network(cidr: str, excepts: tuple[str, ...]) -> NetworkPeer:
    """A block; raises ValueError where a text is none, as all others do that are remembered."""
    span = parse_cidr(cidr)
    holes = tuple(map(parse_cidr, excepts))
    for hole in holes:
        if not (span[0] <= hole[0] and hole[1] <= span[1] and hole != span):
            raise Unusual
    return NetworkPeer(span, holes)


@lru_cache(maxsize=1 << 12)
def _port(name: str | None, port: int | str | None, last: int | None) -> Port:
    protocol = _PROTOCOLS[name or "TCP"]
    if isinstance(port, int):
        end = port if last is None else last
        if not 1 <= port <= end < PORTS:
            raise Unusual
        return PortRange(protocol, port, end)
    if last is not None:
        raise Unusual
    if port is None:
        return PortRange(protocol, 0, PORTS - 1)
    if any(port_name_problems(port)):
        raise Unusual
    return NamedPort(protocol, port)


@lru_cache(maxsize=1 << 12)
def _is_label(namespace: str) -> bool:
    return not any(dns_label_problems(namespace))
