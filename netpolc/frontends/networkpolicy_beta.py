"""The meaning NetworkPolicy had in Kubernetes 1.3 to 1.6: extensions/v1beta1 and the namespace
annotation.

Comes in: manifests of a snapshot that is read with `--semantics v1.6`. Goes out: policies with
rules that isolate nothing, and for each annotated namespace one that isolates and has no rules.
Refused: fields and API versions that did not exist then.
"""

from __future__ import annotations

import json
from typing import Any

from netpolc.cluster import Namespace
from netpolc.errors import ROOT, ObjectProblems, Path
from netpolc.frontends.fields import Fields, metadata
from netpolc.frontends.networkpolicy import KIND, OBJECT_FIELDS, RuleReader
from netpolc.ir import ANY, SELECT_ALL, Direction, Origin, Peer, PodPeer, Policy, Tier
from netpolc.manifests import Document

ANNOTATION = "net.beta.kubernetes.io/network-policy"
MISSPELT = "net.beta.kubernetes.io/networkpolicy"
"""As old documentation had it (kubernetes/website#834): it never had an effect."""


def lower(document: Document, problems: ObjectProblems, strict: bool) -> Policy | None:
    """A policy that admits and does not isolate; None when it has errors."""
    fields = Fields(problems, strict)
    body = document.fields(problems, strict)
    if body is None:
        return None
    fields.mapping(body, ROOT, OBJECT_FIELDS)
    given = body.get("spec")
    named = metadata(fields, body.get("metadata"), ROOT / "metadata")
    path = ROOT / "spec"
    spec = fields.mapping({} if given is None else given, path, ("podSelector", "ingress")) or {}
    subject = PodPeer(
        named.namespace, fields.selector(spec.get("podSelector"), path / "podSelector")
    )
    reader = RuleReader(fields, named, document)
    rules = []
    for number, item in enumerate(fields.sequence(spec.get("ingress"), path / "ingress")):
        at = path / "ingress" / number
        rule = fields.mapping(item if item is not None else {}, at, ("ports", "from")) or {}
        ports, peers = rule.get("ports"), rule.get("from")
        # A list that is present and empty matches nothing; only a missing one matches everything.
        rules.append(
            reader.rule(
                Direction.INGRESS,
                at,
                ANY if peers is None else _peers(fields, named.namespace, peers, at / "from"),
                ANY
                if ports is None
                else tuple(
                    reader.ports(fields.sequence(ports, at / "ports"), at / "ports", any_case=True)
                ),
            )
        )
    if problems.failed:
        return None
    origin = named.origin(KIND, document.source)
    return Policy(Tier.NETWORK_POLICY, 0, subject, frozenset(), tuple(rules), origin)


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
        problems.warning(path.key(MISSPELT), f"no effect: the annotation is named {ANNOTATION}")
    if ANNOTATION not in annotations or namespace.origin is None:
        return None
    path = path.key(ANNOTATION)
    if not legacy:
        text = "no effect since Kubernetes 1.7: a pod is isolated by a policy that selects it"
        problems.warning(path, f"{text} (--semantics v1.6 gives the old meaning)")
        return None
    if not _default_deny(annotations[ANNOTATION]):
        expected = '{"ingress":{"isolation":"DefaultDeny"}}'
        problems.warning(path, f"no isolation: anything but {expected} is ignored")
        return None
    origin = Origin("Namespace", "", namespace.name, path.elements(), namespace.origin.source)
    isolates = frozenset((Direction.INGRESS,))
    subject = PodPeer(namespace.name, SELECT_ALL)
    return Policy(Tier.NETWORK_POLICY, 0, subject, isolates, (), origin)


def _default_deny(text: str) -> bool:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    ingress = value.get("ingress") if isinstance(value, dict) else None
    return isinstance(ingress, dict) and ingress.get("isolation") == "DefaultDeny"
