"""ClusterNetworkPolicies in which nothing is odd, decoded as what the API has and lowered at once.

Comes in: one manifest. Goes out: its `Policy`; None of one that `ordered.py` has to read field by
field. It alone has messages, and decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Literal, TypeVar

import msgspec

from netpolc.core.ir import (
    ANY,
    SELECT_ALL,
    Action,
    Any_,
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
from netpolc.frontends.fields import is_subdomain
from netpolc.frontends.ordered.ordered_fields import LAST_PRIORITY
from netpolc.frontends.policies import (
    UNREAD,
    LabelSelector,
    ObjectMeta,
    Unusual,
    port_name_problems,
    selector_of,
)
from netpolc.manifests import Document

_NULL = msgspec.Raw(b"null")
_MOST, _CIDR_LENGTH, _NAME_LENGTH = 25, 43, 100


class _Pods(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`NamespacedPod`."""

    namespaceSelector: LabelSelector
    podSelector: LabelSelector


class _Selected(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ClusterNetworkPolicySubject` and `ClusterNetworkPolicyIngressPeer`."""

    namespaces: LabelSelector | None = None
    pods: _Pods | None = None


class _Reached(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ClusterNetworkPolicyEgressPeer` without those that there is something to say of."""

    namespaces: LabelSelector | None = None
    pods: _Pods | None = None
    networks: list[str] | None = None


class _Range(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`PortRange`."""

    start: int
    end: int


class _Numbers(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`Port`."""

    number: int | None = None
    range: _Range | None = None


class _Transport(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ClusterNetworkPolicyProtocolTCP` and those of the other protocols."""

    destinationPort: _Numbers


class _Service(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ClusterNetworkPolicyProtocol`."""

    tcp: _Transport | None = None
    udp: _Transport | None = None
    sctp: _Transport | None = None
    destinationNamedPort: str | None = None


class _Ingress(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ClusterNetworkPolicyIngressRule`; lists of many rules are alike, and decoded once."""

    action: Literal["Accept", "Deny", "Pass"]
    peers: msgspec.Raw = msgspec.field(name="from")
    name: str | None = None
    protocols: msgspec.Raw = _NULL


class _Egress(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ClusterNetworkPolicyEgressRule`."""

    action: Literal["Accept", "Deny", "Pass"]
    peers: msgspec.Raw = msgspec.field(name="to")
    name: str | None = None
    protocols: msgspec.Raw = _NULL


class _Spec(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ClusterNetworkPolicySpec`."""

    tier: Literal["Admin", "Baseline"]
    priority: int
    subject: _Selected
    ingress: list[_Ingress] | None = None
    egress: list[_Egress] | None = None


class _Object(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ClusterNetworkPolicy`."""

    metadata: ObjectMeta
    spec: _Spec
    apiVersion: str
    kind: str
    status: msgspec.Raw = UNREAD


_decoded = msgspec.json.Decoder(_Object).decode
_services = msgspec.json.Decoder(list[_Service]).decode
_listed = msgspec.json.Decoder(list[msgspec.Raw]).decode
_selected = msgspec.json.Decoder(_Selected).decode
_reached = msgspec.json.Decoder(_Reached).decode
_T = TypeVar("_T")
_TIERS = {"Admin": Tier.ADMIN, "Baseline": Tier.BASELINE}
_ACTIONS = {"Accept": Action.ACCEPT, "Deny": Action.DENY, "Pass": Action.PASS}
_Peers = tuple[tuple[Peer, ...], bool]
"""Peers, and whether there are blocks among them."""
_Ports = tuple[tuple[Port, ...] | Any_, bool]
"""Ports, and whether there are names among them."""


class _PeerLists:
    """The peers of one direction. What is written alike is read once; what means the same is one
    object, in both directions.
    """

    def __init__(
        self,
        decode: Callable[[msgspec.Raw], _Selected | _Reached],
        same: dict[tuple[Peer, ...], tuple[Peer, ...]],
    ) -> None:
        self._decode, self._same = decode, same
        self._lists: dict[bytes, _Peers] = {}
        self._entries: dict[bytes, tuple[Peer, ...]] = {}

    def of(self, raw: msgspec.Raw) -> _Peers:
        """The peers of a rule."""
        text = bytes(raw)
        known = self._lists.get(text)
        if known is None:
            several = [self._entry(own) for own in _few(_listed(text))]
            peers = several[0] if len(several) == 1 else tuple(chain.from_iterable(several))
            peers = self._same.setdefault(peers, peers)
            blocks = any(isinstance(own[0], NetworkPeer) for own in several)
            known = self._lists[text] = peers, blocks
        return known

    def _entry(self, raw: msgspec.Raw) -> tuple[Peer, ...]:
        text = bytes(raw)
        known = self._entries.get(text)
        if known is None:
            found = _peers(self._decode(raw))
            known = self._entries[text] = self._same.setdefault(found, found)
        return known


class PlainReader:
    """Reads the policies of one snapshot."""

    def __init__(self) -> None:
        same: dict[tuple[Peer, ...], tuple[Peer, ...]] = {}
        self._from, self._to = _PeerLists(_selected, same), _PeerLists(_reached, same)
        self._ports: dict[bytes, _Ports] = {bytes(_NULL): (ANY, False)}

    def lower(self, document: Document) -> Policy | None:
        """The policy of a manifest without an annotation of ours, if it holds nothing odd."""
        content = document.content
        if not isinstance(content, msgspec.Raw) or not document.is_unambiguous:
            return None
        try:
            found = _decoded(content)
            named = found.metadata
            if named.odd or named.namespace or not is_subdomain(named.name):
                return None
            return self._policy(
                found.spec, Origin(document.kind, "", named.name, (), document.source)
            )
        except (Unusual, ValueError, msgspec.MsgspecError, RecursionError):
            return None

    def _policy(self, spec: _Spec, origin: Origin) -> Policy:
        if not 0 <= spec.priority <= LAST_PRIORITY:
            raise Unusual
        rules: list[Rule] = []
        written = []
        for direction, several, peers in (
            (Direction.INGRESS, spec.ingress, self._from),
            (Direction.EGRESS, spec.egress, self._to),
        ):
            if several is not None:
                written.append(direction)
                rules += self._rules(direction, several, origin, peers)
        return Policy(
            _TIERS[spec.tier],
            spec.priority,
            _pods(spec.subject),
            frozenset(),
            tuple(rules),
            origin,
            frozenset(written),
        )

    def _rules(
        self,
        direction: Direction,
        several: Sequence[_Ingress | _Egress],
        origin: Origin,
        lists: _PeerLists,
    ) -> Iterator[Rule]:
        if len(several) > _MOST:
            raise Unusual
        field = str(direction)
        for number, own in enumerate(several):
            called = own.name or ""
            if len(called) > _NAME_LENGTH:
                raise Unusual
            peers, blocks = lists.of(own.peers)
            ports, named = self._ports_of(own.protocols)
            if blocks and named:
                raise Unusual
            at = Origin(
                origin.kind, "", origin.name, ("spec", field, number), origin.source, called
            )
            yield Rule(direction, _ACTIONS[own.action], peers, ports, at)

    def _ports_of(self, raw: msgspec.Raw) -> _Ports:
        text = bytes(raw)
        known = self._ports.get(text)
        if known is None:
            found = [port for own in _few(_services(text)) for port in _ports(own)]
            named = any(isinstance(port, NamedPort) for port in found)
            known = self._ports[text] = tuple(found), named
        return known


def _few(several: Sequence[_T]) -> Sequence[_T]:
    """A list that holds something, and not too much."""
    if not 0 < len(several) <= _MOST:
        raise Unusual
    return several


def _peers(own: _Selected | _Reached) -> tuple[Peer, ...]:
    if not isinstance(own, _Reached) or own.networks is None:
        return (_pods(own),)
    if own.namespaces is not None or own.pods is not None:
        raise Unusual
    if len(set(_few(own.networks))) < len(own.networks):
        raise Unusual
    return tuple(map(_network, own.networks))


def _pods(own: _Selected | _Reached) -> PodPeer:
    pods, spaces = own.pods, own.namespaces
    if (pods is None) is (spaces is None):
        raise Unusual
    if pods is None:
        return PodPeer(selector_of(spaces), SELECT_ALL)
    return PodPeer(selector_of(pods.namespaceSelector), selector_of(pods.podSelector))


@lru_cache(maxsize=1 << 12)
def _network(cidr: str) -> NetworkPeer:
    """A block; raises ValueError where a text is none."""
    if len(cidr) > _CIDR_LENGTH:
        raise Unusual
    return NetworkPeer(parse_cidr(cidr))


def _ports(own: _Service) -> Sequence[Port]:
    given = [
        (protocol, each)
        for protocol, each in (
            (Protocol.TCP, own.tcp),
            (Protocol.UDP, own.udp),
            (Protocol.SCTP, own.sctp),
        )
        if each is not None
    ]
    name = own.destinationNamedPort
    if len(given) + (name is not None) != 1:
        raise Unusual
    if name is not None:
        if any(port_name_problems(name)):
            raise Unusual
        return [NamedPort(protocol, name) for protocol in Protocol]
    ((protocol, each),) = given
    numbers = each.destinationPort
    if (numbers.number is None) is (numbers.range is None):
        raise Unusual
    if numbers.range is None:
        first = last = numbers.number or 0
    else:
        first, last = numbers.range.start, numbers.range.end
        if first == last:
            raise Unusual
    if not 1 <= first <= last < PORTS:
        raise Unusual
    return [PortRange(protocol, first, last)]
