"""Odd objects: what no API server of today would store, or nobody can read.

`refuse` (what people write: check, CI, a compilation): each error stops everything. `isolate` (what
a cluster holds already): the odd one is treated in the strict direction and said so (NP006), and
everything else is enforced. Comes in: a document and what was wrong with it. Goes out: the policy,
or the pod, that stands for it. docs/odd-objects.md says what becomes of which.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec

from netpolc.core.cluster import Odd, Pod
from netpolc.core.errors import FEW, MENDED, ROOT, Diagnostic, ObjectProblems, Problems, Severity
from netpolc.core.ir import (
    SELECT_ALL,
    Direction,
    Origin,
    PodPeer,
    Policy,
    Rule,
    Selector,
    Tier,
)
from netpolc.core.nets import readable_address
from netpolc.frontends import Treatment
from netpolc.frontends.fields import Fields, dns_label_problems, subdomain_problems
from netpolc.frontends.objects import FINISHED
from netpolc.manifests import Document

_TYPES = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}
_BOTH = frozenset(Direction)
_LEGACY = "extensions/v1beta1"
UNKNOWN_FIELD = re.compile(r"(spec\.)?[^.\[]+")
"""The path of a field of the object or of its spec."""


def isolating(policy: Policy) -> Policy:
    """A policy of which only the pods it selects and its directions count: it admits nothing, and
    is not tried.

    A frontend need not call it: an error that it records at a policy's rules comes to the same
    where odd objects are isolated, and is refused where not.
    """
    return replace(policy.admitting_nothing(), audited=False)


def treated(policy: Policy) -> str:
    """What is said of a policy that admits nothing."""
    if policy.tier is Tier.NETWORK_POLICY:
        return "it isolates what it selects and admits nothing"
    ways = {Direction.INGRESS: "to", Direction.EGRESS: "from"}
    named = " and ".join(ways[direction] for direction in policy.directions)
    return f"it denies everything {named} what it selects" if named else "it has no rules"


class OddObjects:
    """Reads around odd objects, and remembers which those were; objects of `cluster_scoped` kinds
    are in no namespace.
    """

    def __init__(
        self, problems: Problems, treatment: Treatment, cluster_scoped: Collection[str]
    ) -> None:
        self._problems, self._cluster_scoped = problems, cluster_scoped
        self.isolates = treatment is Treatment.ISOLATE
        self.found: list[Odd] = []

    def report(self, document: Document) -> ObjectProblems:
        """Where to put what is wrong with an object; `hand_on` then decides what that means."""
        if not self.isolates:
            return ObjectProblems(self._problems, document.source.place)
        return ObjectProblems(Problems(), document.source.place, lenient=True)

    def hand_on(
        self, document: Document, kind: str, report: ObjectProblems, treatment: str | None
    ) -> None:
        """Pass on what a report holds; its errors as warnings, where a `treatment` was found."""
        if not self.isolates:
            return
        odd = treatment if report.failed else None
        for one in report.diagnostics:
            self._problems.diagnostics.append(_as_warning(one, odd) if odd is not None else one)
        more = len(report.refused) - FEW
        if odd is not None and more > 0:
            text = f"and {more} more errors; {odd}"
            self._problems.add(document.source.place(), "", text, Severity.WARNING, MENDED)
        more = len(report.mended) - FEW
        if more > 0:
            text = f"and {more} more that are read otherwise"
            self._problems.add(document.source.place(), "", text, Severity.WARNING, MENDED)
        for told in (*report.mended[:FEW], *((odd,) if odd is not None else ())):
            self.note(document, kind, told)

    def note(self, document: Document, kind: str, treatment: str) -> None:
        """Remember that an object is odd."""
        self.found.append(Odd(kind, *self.named(document, kind), treatment))

    def named(self, document: Document, kind: str = "") -> tuple[str, str]:
        """Namespace and name of an object, made up where they are none."""
        metadata = _map(body_of(document).get("metadata"))
        namespace = metadata.get("namespace")
        name = str(metadata.get("name"))
        if not self.has_name(document):
            name = f"unreadable-{_digest(document)}"
        if kind in self._cluster_scoped:
            return "", name
        if namespace in (None, ""):
            return "default", name
        if not isinstance(namespace, str) or any(dns_label_problems(namespace)):
            return "unreadable", name
        return namespace, name

    def has_name(self, document: Document) -> bool:
        """Whether the name of an object can be read."""
        name = _map(body_of(document).get("metadata")).get("name")
        return isinstance(name, str) and not any(subdomain_problems(name))

    def policy(
        self, document: Document, kind: str, problems: ObjectProblems, *, legacy: bool
    ) -> Policy | None:
        """The policy that isolates what an odd one selects, in its directions, and admits nothing.

        If its selector cannot be read it is every pod of its namespace, if its directions cannot,
        it is both. None if its namespace cannot be read: then nobody knows whom it is about.
        """
        body = body_of(document)
        metadata = body.get("metadata")
        space = metadata.get("namespace") if isinstance(metadata, dict) else None
        if not isinstance(metadata, dict | None) or not isinstance(space, str | None) or not body:
            return None
        if space and any(dns_label_problems(space)):
            return None
        namespace, name = self.named(document)
        spec = {} if body.get("spec") is None else body["spec"]
        isolates, selector = _BOTH, SELECT_ALL
        if document.api_version == _LEGACY and legacy:
            isolates = frozenset()  # such policies only admit, whatever they say
        elif isinstance(spec, dict):
            isolates = _directions(spec, problems.refused)
            selector = _selector(document, spec, problems.refused)
        origin = Origin(kind, namespace, name, (), document.source)
        subject = PodPeer(namespace, selector)
        return Policy(Tier.NETWORK_POLICY, 0, subject, isolates, (), origin)

    def pod(self, document: Document) -> Pod | None:
        """The closed pod that stands for an odd one; None of a finished or hostNetwork pod."""
        body = body_of(document)
        spec, status = _map(body.get("spec")), _map(body.get("status"))
        if status.get("phase") in FINISHED or spec.get("hostNetwork") is True:
            return None
        namespace, name = self.named(document)
        texts = (status.get("podIP"), *(_map(own).get("ip") for own in _list(status.get("podIPs"))))
        found = (readable_address(text) for text in texts if isinstance(text, str))
        addresses = tuple(dict.fromkeys(own for own in found if own is not None))
        origin = Origin("Pod", namespace, name, (), document.source)
        return Pod(namespace, name, {}, addresses, "", (), False, (), origin, closed=True)


def _directions(spec: dict[str, Any], paths: list[str]) -> frozenset[Direction]:
    """Those that `policyTypes` names, if nothing is wrong with it; else both.

    Without it they are what the API server fills in, unless a field that nobody knows may be it.
    """
    if any(touches(path, "spec.policyTypes") for path in paths):
        return _BOTH
    types = spec.get("policyTypes")
    if types:  # nobody looked at them where what was wrong is the apiVersion
        readable = isinstance(types, list) and all(name in tuple(_TYPES) for name in types)
        return frozenset(map(_TYPES.__getitem__, types)) if readable else _BOTH
    known = ("spec.podSelector", "spec.ingress", "spec.egress", "kind", "apiVersion")
    if any(UNKNOWN_FIELD.fullmatch(path) and path not in known for path in paths):
        return _BOTH
    return _BOTH if spec.get("egress") else frozenset((Direction.INGRESS,))


def _selector(document: Document, spec: dict[str, Any], paths: list[str]) -> Selector:
    if any(touches(path, "spec.podSelector") for path in paths):
        return SELECT_ALL
    aside = ObjectProblems(Problems(), document.source.place)
    found = Fields(aside, strict=True).selector(spec.get("podSelector"), ROOT)
    return SELECT_ALL if aside.failed else found


def touches(path: str, field: str) -> bool:
    """Whether something wrong at a path is in a field, or around it."""
    inside = path == field or path.startswith((f"{field}.", f"{field}["))
    return inside or path == "" or field.startswith(f"{path}.")


def _as_warning(one: Diagnostic, treatment: str) -> Diagnostic:
    if one.severity is not Severity.ERROR:
        return one
    message = f"{one.message}; {treatment}"
    return replace(one, severity=Severity.WARNING, message=message, code=MENDED)


def body_of(document: Document) -> dict[str, Any]:
    """The object as plain values, as far as that goes; the last of equal fields counts."""
    content = document.content
    if isinstance(content, dict):
        return content
    try:
        return _map(msgspec.json.decode(content))
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        metadata = msgspec.json.decode(content, type=_Named).metadata or {}
        own = {name: metadata[name] for name in ("name", "namespace") if name in metadata}
        return {"metadata": {name: msgspec.json.decode(raw) for name, raw in own.items()}}
    except (msgspec.MsgspecError, RecursionError):
        return {}


def names_no_namespace(document: Document) -> bool:
    """Whether an object leaves its namespace to whoever applies it."""
    return not _map(body_of(document).get("metadata")).get("namespace")


class _Named(msgspec.Struct):
    """As much of an object that is too deep to read as says what it is."""

    metadata: dict[str, msgspec.Raw] | None = None


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _digest(document: Document) -> str:
    content = document.content
    if document.source.is_json:  # the same name, read from text or given as an object
        written = msgspec.json.encode(content)
    else:
        written = repr(body_of(document)).encode()
    return sha256(written).hexdigest()[:8]


def same_meaning(one: Policy, other: Policy) -> bool:
    """Whether two policies say the same, wherever they were written."""
    return _meaning(one) == _meaning(other)


def _meaning(policy: Policy) -> tuple[object, ...]:
    rank = policy.tier, policy.priority
    return *rank, policy.subject, policy.isolates, policy.audited, tuple(_rules(policy.rules))


def _rules(rules: tuple[Rule, ...]) -> Iterator[object]:
    for rule in rules:
        yield rule.direction, rule.action, rule.peers, rule.ports
