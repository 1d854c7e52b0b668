"""The meaning NetworkPolicy had in Kubernetes 1.3 to 1.6: extensions/v1beta1 and the namespace
annotation.

Comes in: manifests of a snapshot that is read with `--semantics v1.6`. Goes out: policies with
rules that isolate nothing, and for each annotated namespace one that isolates and has no rules.
Refused: fields and API versions that did not exist then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from netpolc.core.cluster import Namespace
from netpolc.core.errors import ROOT, ObjectProblems, Path
from netpolc.core.ir import (
    ANY,
    SELECT_ALL,
    Any_,
    Direction,
    Origin,
    Peer,
    PodPeer,
    Policy,
    Port,
    Rule,
    Tier,
)
from netpolc.frontends import Semantics
from netpolc.frontends.fields import Fields
from netpolc.frontends.frontend import Gathered
from netpolc.frontends.policies import SPEC, PolicyReader
from netpolc.manifests import Document

ANNOTATION = "net.beta.kubernetes.io/network-policy"
MISSPELT = "net.beta.kubernetes.io/networkpolicy"
"""As old documentation had it (kubernetes/website#834): it never had an effect."""


def lower(document: Document, problems: ObjectProblems, strict: bool) -> Policy | None:
    """A policy that admits and does not isolate; None when it has errors."""
    reader = PolicyReader.open(document, problems, strict, ("podSelector", "ingress"))
    if reader is None:
        return None
    reader.refuse_audit("a policy of Kubernetes 1.6 denies nothing that could be tried")
    fields, path = reader.fields, SPEC / "ingress"
    rules = [
        _rule(reader, item if item is not None else {}, path / number)
        for number, item in enumerate(fields.sequence(reader.spec.get("ingress"), path))
    ]
    return reader.policy(frozenset(), rules)


def _rule(reader: PolicyReader, value: object, path: Path) -> Rule:
    """A rule; a list that is present and empty matches nothing, a missing one everything."""
    fields = reader.fields
    rule = fields.mapping(value, path, ("ports", "from")) or {}
    peers: tuple[Peer, ...] | Any_ = ANY
    ports: tuple[Port, ...] | Any_ = ANY
    if rule.get("from") is not None:
        peers = _peers(fields, reader.named.namespace, rule["from"], path / "from")
    if rule.get("ports") is not None:
        listed = fields.sequence(rule["ports"], path / "ports")
        ports = tuple(reader.ports(listed, path / "ports", any_case=True))
    return reader.rule(Direction.INGRESS, path, peers, ports)


def _peers(fields: Fields, namespace: str, values: object, path: Path) -> tuple[Peer, ...]:
    peers: list[Peer] = []
    for number, item in enumerate(fields.sequence(values, path)):
        at = path / number
        peer = fields.mapping(item, at, ("podSelector", "namespaceSelector")) or {}
        pods, spaces = peer.get("podSelector"), peer.get("namespaceSelector")
        if (pods is None) == (spaces is None):
            text = (
                "must specify a peer" if pods is None else "may not specify more than 1 from type"
            )
            fields.problems.error(
                at, f"{'Required value' if pods is None else 'Forbidden'}: {text}"
            )
        elif pods is not None:
            peers.append(PodPeer(namespace, fields.selector(pods, at / "podSelector")))
        else:
            peers.append(PodPeer(fields.selector(spaces, at / "namespaceSelector"), SELECT_ALL))
    return tuple(peers)


def isolation(
    namespace: Namespace, annotations: dict[str, str], legacy: bool, problems: ObjectProblems
) -> Policy | None:
    """The isolation that an annotation asks for; with today's semantics only a warning."""
    path = ROOT / "metadata" / "annotations"
    if MISSPELT in annotations:
        text = f"no effect: the annotation is named {ANNOTATION}"
        problems.warning(path.key(MISSPELT), text, code="NP602")
    if ANNOTATION not in annotations or namespace.origin is None:
        return None
    path = path.key(ANNOTATION)
    if not legacy:
        text = "no effect since Kubernetes 1.7: a pod is isolated by a policy that selects it"
        text = f"{text} (--semantics v1.6 gives the old meaning)"
        problems.warning(path, text, code="NP601")
        return None
    if not _default_deny(annotations[ANNOTATION]):
        expected = '{"ingress":{"isolation":"DefaultDeny"}}'
        text = f"no isolation: anything but {expected} is ignored"
        problems.warning(path, text, code="NP603")
        return None
    return isolates(namespace)


def isolations(gathered: Gathered) -> Iterator[Policy]:
    """What the annotations of all namespaces ask for."""
    legacy = gathered.semantics is Semantics.V1_6
    for name, namespace in sorted(gathered.namespaces.items()):
        annotations = gathered.annotations.get(name)
        if namespace.unsure and legacy:
            yield isolates(namespace)
        elif annotations and namespace.origin is not None:
            report = ObjectProblems(
                gathered.problems, namespace.origin.source.place, namespace.waived
            )
            policy = isolation(namespace, annotations, legacy, report)
            if policy is not None:
                yield policy


def isolates(namespace: Namespace) -> Policy:
    """What the annotation of a namespace asks for: no pod of it admits what no policy does."""
    assert namespace.origin is not None  # only an object has annotations
    path = (ROOT / "metadata" / "annotations").key(ANNOTATION)
    origin = Origin("Namespace", "", namespace.name, path.elements(), namespace.origin.source)
    directions = frozenset((Direction.INGRESS,))
    subject = PodPeer(namespace.name, SELECT_ALL)
    return Policy(Tier.NETWORK_POLICY, 0, subject, directions, (), origin)


def _default_deny(text: str) -> bool:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    ingress = value.get("ingress") if isinstance(value, dict) else None
    return isinstance(ingress, dict) and ingress.get("isolation") == "DefaultDeny"
