"""NetworkPolicy of networking.k8s.io/v1, and extensions/v1beta1 read with today's meaning.

Comes in: one manifest. Goes out: one `Policy`. Refused: whatever the API server refuses (Kubernetes
1.36 with `StrictIPCIDRValidation`), in its words, all problems of the object at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netpolc.core.errors import ROOT, ObjectProblems, Path
from netpolc.core.ir import ANY, SELECT_ALL, Direction, NetworkPeer, Peer, PodPeer, Policy, Rule
from netpolc.core.nets import Span, format_span, parse_cidr
from netpolc.frontends import Semantics
from netpolc.frontends.fields import Fields, invalid, quoted
from netpolc.frontends.frontend import Frontend, Gathered
from netpolc.frontends.networkpolicy import networkpolicy_beta, plain
from netpolc.frontends.policies import SPEC, PolicyReader
from netpolc.frontends.policy_kinds import PolicyObjects
from netpolc.manifests import Document

KIND, VERSION, BETA = "NetworkPolicy", "networking.k8s.io/v1", "extensions/v1beta1"
_SPEC_FIELDS = ("podSelector", "policyTypes", "ingress", "egress")
_PEER_FIELDS = ("podSelector", "namespaceSelector", "ipBlock")
_TYPES = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}
_PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}


def lower(document: Document, problems: ObjectProblems, strict: bool) -> Policy | None:
    """The policy of a manifest; None when it has errors, which are then in `problems`."""
    found = plain.lower(document)
    if found is not None:
        return found
    reader = PolicyReader.open(document, problems, strict, _SPEC_FIELDS)
    if reader is None:
        return None
    rules = [
        rule
        for direction, field in ((Direction.INGRESS, "ingress"), (Direction.EGRESS, "egress"))
        for rule in _rules(reader, direction, reader.spec.get(field), SPEC / field)
    ]
    isolates = _isolates(reader.fields, reader.spec, SPEC)
    return reader.policy(isolates, (rule for rule in rules if rule.direction in isolates))


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


def _rules(reader: PolicyReader, direction: Direction, value: object, path: Path) -> Iterable[Rule]:
    """`spec.ingress` or `spec.egress`; missing, null and empty give no rule."""
    peer_field = _PEERS[direction]
    fields = reader.fields
    for number, item in enumerate(fields.sequence(value, path)):
        at = path / number
        rule = fields.mapping(item if item is not None else {}, at, ("ports", peer_field))
        if rule is None:
            continue
        at_peers, at_ports = at / peer_field, at / "ports"
        peers = fields.sequence(rule.get(peer_field), at_peers)
        ports = fields.sequence(rule.get("ports"), at_ports)
        yield reader.rule(
            direction,
            at,
            tuple(_peers(reader, peers, at_peers)) if peers else ANY,
            tuple(reader.ports(ports, at_ports)) if ports else ANY,
        )


def _peers(reader: PolicyReader, values: list[Any], path: Path) -> Iterable[Peer]:
    for number, item in enumerate(values):
        peer = _peer(reader, item if item is not None else {}, path / number)
        if peer is not None:
            yield peer


def _peer(reader: PolicyReader, value: object, path: Path) -> Peer | None:
    fields = reader.fields
    peer = fields.mapping(value, path, _PEER_FIELDS)
    if peer is None:
        return None
    block = peer.get("ipBlock")
    pods, spaces = peer.get("podSelector"), peer.get("namespaceSelector")
    selected = pods is not None or spaces is not None
    pod_selector = fields.selector(pods, path / "podSelector")
    space_selector = fields.selector(spaces, path / "namespaceSelector")
    if block is not None:
        network = _network(reader, block, path / "ipBlock")
        if selected:
            reader.error(path, "Forbidden: may not specify both ipBlock and another peer")
        return network
    if not selected:
        reader.error(path, "Required value: must specify a peer")
        return None
    return PodPeer(
        space_selector if spaces is not None else reader.named.namespace,
        pod_selector if pods is not None else SELECT_ALL,
    )


def _network(reader: PolicyReader, value: object, path: Path) -> NetworkPeer | None:
    block = reader.fields.mapping(value, path, ("cidr", "except"))
    if block is None:
        return None
    text = reader.fields.text(block.get("cidr"), path / "cidr")
    if not text:
        if block.get("cidr") in (None, ""):
            reader.error(path / "cidr", "Required value")
        return None
    cidr = _cidr(reader, text, path / "cidr")
    excepts = []
    for number, item in enumerate(reader.fields.sequence(block.get("except"), path / "except")):
        at = path / "except" / number
        hole = _cidr(reader, reader.fields.text(item, at) or "", at)
        if hole is None or cidr is None:
            continue
        if not (cidr[0] <= hole[0] and hole[1] <= cidr[1] and hole != cidr):
            reader.error(at, invalid(item, "must be a strict subset of `cidr`"))
        excepts.append(hole)
    return NetworkPeer(cidr, tuple(excepts)) if cidr is not None else None


def _cidr(reader: PolicyReader, text: str, path: Path) -> Span | None:
    try:
        return parse_cidr(text)
    except ValueError as error:
        detail = invalid(text, str(error))
    try:
        span = parse_cidr(text, masked=True)
    except ValueError:
        reader.error(path, detail)
        return None
    problems = reader.fields.problems
    return span if problems.mend(path, detail, f"it is read as {format_span(span)}") else None


def _lower_v1_6(document: Document, problems: ObjectProblems, strict: bool) -> Policy | None:
    if document.api_version == BETA:
        return networkpolicy_beta.lower(document, problems, strict)
    text = f"did not exist in Kubernetes 1.6; {BETA} is what --semantics v1.6 reads"
    problems.error(ROOT / "apiVersion", f"{document.api_version} {text}")
    return None


def _reader(gathered: Gathered) -> PolicyObjects:
    current = gathered.semantics is Semantics.CURRENT
    return PolicyObjects(gathered, lower if current else _lower_v1_6)


FRONTEND = Frontend({KIND: (VERSION, BETA)}, _reader)
