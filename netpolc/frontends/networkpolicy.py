"""NetworkPolicy of networking.k8s.io/v1, and extensions/v1beta1 read with today's meaning.

Comes in: one manifest. Goes out: one `Policy`. Refused: whatever the API server refuses (Kubernetes
1.36 with `StrictIPCIDRValidation`), in its words, all problems of the object at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from netpolc.errors import ROOT, ObjectProblems, Path
from netpolc.frontends.fields import Fields, Metadata, invalid, metadata, quoted
from netpolc.ir import (
    ANY,
    SELECT_ALL,
    Action,
    Any_,
    Direction,
    NamedPort,
    NetworkPeer,
    Peer,
    PodPeer,
    Policy,
    Port,
    PortRange,
    Rule,
    Tier,
)
from netpolc.manifests import Document
from netpolc.nets import PORTS, Protocol, Span, parse_cidr

KIND = "NetworkPolicy"
OBJECT_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")
_SPEC_FIELDS = ("podSelector", "policyTypes", "ingress", "egress")
_PEER_FIELDS = ("podSelector", "namespaceSelector", "ipBlock")
_TYPES = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}
PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}
_PORT_NAME_CHARACTERS = re.compile(r"[-a-z0-9]+", re.ASCII)
_NUMBERS = "must be between 1 and 65535, inclusive"


def lower(document: Document, problems: ObjectProblems, strict: bool) -> Policy | None:
    """The policy of a manifest; None when it has errors, which are then in `problems`."""
    fields = Fields(problems, strict)
    body = document.fields(problems, strict)
    if body is None:
        return None
    fields.mapping(body, ROOT, OBJECT_FIELDS)
    given = body.get("spec")
    named = metadata(fields, body.get("metadata"), ROOT / "metadata")
    path = ROOT / "spec"
    spec = fields.mapping({} if given is None else given, path, _SPEC_FIELDS) or {}
    subject = PodPeer(
        named.namespace, fields.selector(spec.get("podSelector"), path / "podSelector")
    )
    reader = RuleReader(fields, named, document)
    rules = [
        *reader.rules(Direction.INGRESS, spec.get("ingress"), path / "ingress"),
        *reader.rules(Direction.EGRESS, spec.get("egress"), path / "egress"),
    ]
    isolates = _isolates(fields, spec, path)
    if problems.failed:
        return None
    kept = tuple(rule for rule in rules if rule.direction in isolates)
    origin = named.origin(KIND, document.source)
    return Policy(Tier.NETWORK_POLICY, 0, subject, isolates, kept, origin)


def _isolates(fields: Fields, spec: dict[str, Any], path: Path) -> frozenset[Direction]:
    """`policyTypes`, or Ingress, and Egress only if there is an egress rule (v1/defaults.go)."""
    path = path / "policyTypes"
    types = fields.sequence(spec.get("policyTypes"), path)
    if not types:
        return frozenset(_TYPES.values() if spec.get("egress") else (Direction.INGRESS,))
    if len(types) > 2:
        listed = ", ".join(quoted(name) for name in types)
        detail = f"[]v1.PolicyType{{{listed}}}: may not specify more than two policyTypes"
        fields.problems.error(path, f"Invalid value: {detail}")
        return frozenset()
    for number, name in enumerate(types):
        if name not in ("Ingress", "Egress"):
            detail = f'Unsupported value: {quoted(name)}: supported values: "Ingress", "Egress"'
            fields.problems.error(path / number, detail)
    return frozenset(_TYPES[name] for name in types if isinstance(name, str) and name in _TYPES)


class RuleReader:
    """Reads the rules of one policy."""

    def __init__(self, fields: Fields, named: Metadata, document: Document) -> None:
        self._fields = fields
        self._error = fields.problems.error
        self._named = named
        self._source = document.source

    def rules(self, direction: Direction, value: object, path: Path) -> Iterable[Rule]:
        """`spec.ingress` or `spec.egress`; missing, null and empty give no rule."""
        peer_field = PEERS[direction]
        for number, item in enumerate(self._fields.sequence(value, path)):
            at = path / number
            rule = self._fields.mapping(item if item is not None else {}, at, ("ports", peer_field))
            if rule is None:
                continue
            peers = self._fields.sequence(rule.get(peer_field), at / peer_field)
            ports = self._fields.sequence(rule.get("ports"), at / "ports")
            yield self.rule(
                direction,
                at,
                tuple(self._peers(peers, at / peer_field)) if peers else ANY,
                tuple(self.ports(ports, at / "ports")) if ports else ANY,
            )

    def rule(
        self,
        direction: Direction,
        path: Path,
        peers: tuple[Peer, ...] | Any_,
        ports: tuple[Port, ...] | Any_,
    ) -> Rule:
        """An accepting rule that comes from `path` of this policy."""
        origin = self._named.origin(KIND, self._source, path.elements())
        return Rule(direction, Action.ACCEPT, peers, ports, origin)

    def _peers(self, values: list[Any], path: Path) -> Iterable[Peer]:
        for number, item in enumerate(values):
            peer = self._peer(item if item is not None else {}, path / number)
            if peer is not None:
                yield peer

    def _peer(self, value: object, path: Path) -> Peer | None:
        fields = self._fields
        peer = fields.mapping(value, path, _PEER_FIELDS)
        if peer is None:
            return None
        block, pods, spaces = (
            peer.get("ipBlock"),
            peer.get("podSelector"),
            peer.get("namespaceSelector"),
        )
        selected = pods is not None or spaces is not None
        pod_selector = fields.selector(pods, path / "podSelector")
        space_selector = fields.selector(spaces, path / "namespaceSelector")
        if block is not None:
            network = self._network(block, path / "ipBlock")
            if selected:
                self._error(path, "Forbidden: may not specify both ipBlock and another peer")
            return network
        if not selected:
            self._error(path, "Required value: must specify a peer")
            return None
        return PodPeer(
            space_selector if spaces is not None else self._named.namespace,
            pod_selector if pods is not None else SELECT_ALL,
        )

    def _network(self, value: object, path: Path) -> NetworkPeer | None:
        block = self._fields.mapping(value, path, ("cidr", "except"))
        if block is None:
            return None
        text = self._fields.text(block.get("cidr"), path / "cidr")
        if not text:
            if block.get("cidr") in (None, ""):
                self._error(path / "cidr", "Required value")
            return None
        cidr = self._cidr(text, path / "cidr")
        excepts = []
        for number, item in enumerate(self._fields.sequence(block.get("except"), path / "except")):
            at = path / "except" / number
            hole = self._cidr(self._fields.text(item, at) or "", at)
            if hole is None or cidr is None:
                continue
            if not (cidr[0] <= hole[0] and hole[1] <= cidr[1] and hole != cidr):
                self._error(at, invalid(item, "must be a strict subset of `cidr`"))
            excepts.append(hole)
        return NetworkPeer(cidr, tuple(excepts)) if cidr is not None else None

    def _cidr(self, text: str, path: Path) -> Span | None:
        try:
            return parse_cidr(text)
        except ValueError as error:
            self._error(path, invalid(text, str(error)))
            return None

    def ports(self, values: list[Any], path: Path, *, any_case: bool = False) -> Iterable[Port]:
        """`ports` of a rule; `any_case` accepts protocols in lower case, as Kubernetes 1.6 did."""
        for number, item in enumerate(values):
            port = self._port(item if item is not None else {}, path / number, any_case)
            if port is not None:
                yield port

    def _port(self, value: object, path: Path, any_case: bool) -> Port | None:
        fields = self._fields
        entry = fields.mapping(value, path, ("protocol", "port", "endPort"))
        if entry is None:
            return None
        protocol = self._protocol(entry.get("protocol"), path / "protocol", any_case)
        port = entry.get("port")
        last = fields.integer(entry.get("endPort"), path / "endPort")
        if isinstance(port, str):
            for detail in port_name_problems(port):
                self._error(path / "port", invalid(port, detail))
            if last is not None:
                detail = invalid(last, "may not be specified when `port` is non-numeric")
                self._error(path / "endPort", detail)
            return NamedPort(protocol, port)
        first = fields.integer(port, path / "port")
        if first is None:
            if last is not None:
                detail = invalid(last, "may not be specified when `port` is not specified")
                self._error(path / "endPort", detail)
            return PortRange(protocol, 0, PORTS - 1)
        if not 1 <= first < PORTS:
            self._error(path / "port", invalid(first, _NUMBERS))
        if last is not None:
            self._check_end(first, last, path / "endPort")
        return PortRange(protocol, first, last if last is not None else first)

    def _check_end(self, first: int, last: int, path: Path) -> None:
        if last < first:  # the API server prints `port` here, not `endPort`
            self._error(path, invalid(first, "must be greater than or equal to `port`"))
        if not 1 <= last < PORTS:
            self._error(path, invalid(last, _NUMBERS))

    def _protocol(self, value: object, path: Path, any_case: bool) -> Protocol:
        if value is None:
            return Protocol.TCP
        text = self._fields.text(value, path)
        if text is None:
            return Protocol.TCP
        try:
            return Protocol[text.upper() if any_case else text]
        except KeyError:
            supported = 'supported values: "TCP", "UDP", "SCTP"'
            self._error(path, f"Unsupported value: {quoted(text)}: {supported}")
            return Protocol.TCP


def port_name_problems(name: str) -> Iterable[str]:
    """Why a string is no port name (`validation.IsValidPortName`, RFC 6335 in lower case)."""
    if len(name) > 15:
        yield "must be no more than 15 characters"
    if not _PORT_NAME_CHARACTERS.fullmatch(name):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", name):
        yield "must contain at least one letter (a-z)"
    if "--" in name:
        yield "must not contain consecutive hyphens"
    if name.startswith("-") or name.endswith("-"):
        yield "must not begin or end with a hyphen"
