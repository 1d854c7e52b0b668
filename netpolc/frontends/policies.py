"""What all generations of NetworkPolicy share: the frame of the object, rules, ports.

Comes in: one manifest. Goes out: its checked metadata, spec and subject, and the IR of its ports.
Refused: whatever the API server refuses, in its words. At the end is what policies of all kinds
have where nothing of them is odd, for who decodes them at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec

from netpolc.core.errors import ROOT, ObjectProblems, Path
from netpolc.core.ir import (
    AUDIT,
    SELECT_ALL,
    WAIVER,
    Action,
    Any_,
    Direction,
    NamedPort,
    Operator,
    Peer,
    PodPeer,
    Policy,
    Port,
    PortRange,
    Requirement,
    Rule,
    Selector,
    Source,
    Tier,
)
from netpolc.core.nets import PORTS, Protocol
from netpolc.frontends.fields import (
    Fields,
    Metadata,
    invalid,
    is_label_value,
    label_key_problems,
    matching,
    metadata,
    mistyping,
    quoted,
)
from netpolc.manifests import Document

OBJECT_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")
SPEC = ROOT / "spec"
AUDITED = (ROOT / "metadata" / "annotations").key(AUDIT)
"""Where a policy says that it is only tried."""
_PORT_NAME_CHARACTERS = re.compile(r"[-a-z0-9]+", re.ASCII)
_WRITTEN = [(str(direction), direction) for direction in Direction]
_PROTOCOLS = dict(Protocol.__members__)
_KNOWN_PORTS = ("protocol", "port", "endPort")
_NUMBERS = "must be between 1 and 65535, inclusive"


@dataclass(frozen=True, slots=True)
class PolicyReader:
    """Reads one policy object; problems are recorded and reading goes on."""

    fields: Fields
    kind: str
    named: Metadata
    source: Source
    spec: dict[str, Any]
    subject: PodPeer
    audited: bool

    @classmethod
    def open(
        cls,
        document: Document,
        problems: ObjectProblems,
        strict: bool,
        spec_fields: Collection[str],
    ) -> PolicyReader | None:
        """Metadata, spec and subject of an object; None when it cannot even be opened."""
        fields = Fields(problems, strict)
        body = document.fields(problems, strict)
        if body is None:
            return None
        fields.mapping(body, ROOT, OBJECT_FIELDS)
        named = metadata(fields, body.get("metadata"), ROOT / "metadata")
        given = body.get("spec")
        spec = fields.mapping({} if given is None else given, SPEC, spec_fields) or {}
        selector = fields.selector(spec.get("podSelector"), SPEC / "podSelector")
        subject = PodPeer(named.namespace, selector)
        tried = audited(fields, body)
        return cls(fields, document.kind, named, document.source, spec, subject, tried)

    def policy(self, isolates: frozenset[Direction], rules: Iterable[Rule]) -> Policy | None:
        """The policy, None when there were errors."""
        kept = tuple(rules)
        if self.fields.problems.failed:
            return None
        origin = self.named.origin(self.kind, self.source)
        written = frozenset([own for name, own in _WRITTEN if self.spec.get(name) is not None])
        return Policy(
            Tier.NETWORK_POLICY,
            0,
            self.subject,
            isolates,
            kept,
            origin,
            written,
            bool(self.spec.get("policyTypes")),
            self.named.waived,
            self.audited,
        )

    def rule(
        self,
        direction: Direction,
        path: Path,
        peers: tuple[Peer, ...] | Any_,
        ports: tuple[Port, ...] | Any_,
    ) -> Rule:
        """An accepting rule that comes from `path` of this policy."""
        origin = self.named.origin(self.kind, self.source, path.elements())
        return Rule(direction, Action.ACCEPT, peers, ports, origin)

    def refuse_audit(self, why: str) -> None:
        """Record an error at the annotation of a policy that is to be tried."""
        if self.audited:
            self.error(AUDITED, f"Forbidden: {why}")

    def error(self, path: Path, message: str) -> None:
        """Record an error at the value of `path`."""
        self.fields.problems.error(path, message)

    def ports(self, values: list[Any], path: Path, *, any_case: bool = False) -> Iterable[Port]:
        """`ports` of a rule; `any_case` accepts protocols in lower case, as Kubernetes 1.6 did."""
        for number, item in enumerate(values):
            port = self._port(item if item is not None else {}, path / number, any_case)
            if port is not None:
                yield port

    def _port(self, value: object, path: Path, any_case: bool) -> Port | None:
        fields = self.fields
        entry = fields.mapping(value, path, _KNOWN_PORTS)
        if entry is None:
            return None
        known = _usual_port(entry)
        if known is not None:
            return known
        protocol = self._protocol(entry.get("protocol"), path / "protocol", any_case)
        port = entry.get("port")
        last = fields.integer(entry.get("endPort"), path / "endPort")
        if isinstance(port, str):
            for detail in port_name_problems(port):
                self.error(path / "port", invalid(port, detail))
            if last is not None:
                detail = invalid(last, "may not be specified when `port` is non-numeric")
                self.error(path / "endPort", detail)
            return NamedPort(protocol, port)
        first = fields.integer(port, path / "port")
        if first is None:
            if last is not None:
                detail = invalid(last, "may not be specified when `port` is not specified")
                self.error(path / "endPort", detail)
            return PortRange(protocol, 0, PORTS - 1)
        if not 1 <= first < PORTS:
            self.error(path / "port", invalid(first, _NUMBERS))
        if last is not None:
            self._check_end(first, last, path / "endPort")
        return PortRange(protocol, first, last if last is not None else first)

    def _check_end(self, first: int, last: int, path: Path) -> None:
        if last < first:  # the API server prints `port` here, not `endPort`
            self.error(path, invalid(first, "must be greater than or equal to `port`"))
        if not 1 <= last < PORTS:
            self.error(path, invalid(last, _NUMBERS))

    def _protocol(self, value: object, path: Path, any_case: bool) -> Protocol:
        if value is None:
            return Protocol.TCP
        text = self.fields.text(value, path)
        if text is None:
            return Protocol.TCP
        try:
            return Protocol[text.upper() if any_case else text]
        except KeyError:
            supported = 'supported values: "TCP", "UDP", "SCTP"'
            self.error(path, f"Unsupported value: {quoted(text)}: {supported}")
            return Protocol.TCP


def _usual_port(entry: dict[str, Any]) -> PortRange | None:
    """What most ports are, a number of a protocol and nothing wrong with it; else None."""
    protocol, number = entry.get("protocol", "TCP"), entry.get("port")
    if type(number) is not int or not 1 <= number < PORTS or entry.get("endPort") is not None:
        return None
    own = _PROTOCOLS.get(protocol) if isinstance(protocol, str) else None
    return None if own is None else PortRange(own, number, number)


def audited(fields: Fields, body: dict[str, Any]) -> bool:
    """Whether the annotation asks to try the policy only.

    Any other value is an error: taken for `false` it would bite, for `true` it would not protect.
    """
    named = body.get("metadata")
    annotations = named.get("annotations") if isinstance(named, dict) else None
    if not isinstance(annotations, dict) or AUDIT not in annotations:
        return False
    value = annotations[AUDIT]
    if value not in ("true", "false"):
        detail = f'Unsupported value: {quoted(value)}: supported values: "true", "false"'
        if not isinstance(value, str):
            detail = mistyping(value, "string")
        fields.problems.mend(AUDITED, detail, "it is enforced, not audited")
    return isinstance(value, str) and value == "true"


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


# Decoded at once, where nothing is odd

UNREAD = msgspec.Raw()
"""Of a field that nobody reads."""


class Unusual(Exception):
    """Something that has to be read field by field."""


class Expression(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`LabelSelectorRequirement`."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None


class LabelSelector(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`LabelSelector`."""

    matchLabels: dict[str, str] | None = None
    matchExpressions: list[Expression] | None = None


class ObjectMeta(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ObjectMeta`; what API servers and clients add is skipped."""

    name: str
    namespace: str | None = None
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    creationTimestamp: msgspec.Raw = UNREAD
    generation: msgspec.Raw = UNREAD
    managedFields: msgspec.Raw = UNREAD
    ownerReferences: msgspec.Raw = UNREAD
    resourceVersion: msgspec.Raw = UNREAD
    uid: msgspec.Raw = UNREAD

    @property
    def odd(self) -> bool:
        """Whether it has an annotation of ours, or a label that is none."""
        if self.annotations and (AUDIT in self.annotations or WAIVER in self.annotations):
            return True
        return any(
            label_key_problems(key) or not is_label_value(value)
            for key, value in (self.labels or {}).items()
        )


def selector_of(own: LabelSelector | None) -> Selector:
    """What it selects: missing and empty everything. Raises `Unusual`."""
    if own is None:
        return SELECT_ALL
    labels = tuple(own.matchLabels.items()) if own.matchLabels else ()
    found = matching(labels)
    if found is None:
        raise Unusual
    if not own.matchExpressions:
        return found
    more = [
        _requirement(each.key, each.operator, tuple(each.values or ()))
        for each in own.matchExpressions
    ]
    return Selector(found.requirements.union(more))


@lru_cache(maxsize=1 << 12)
def _requirement(key: str, name: str, values: tuple[str, ...]) -> Requirement:
    operator = Operator(name)
    if bool(values) is not (operator in (Operator.IN, Operator.NOT_IN)):
        raise Unusual
    if label_key_problems(key) or not all(map(is_label_value, values)):
        raise Unusual
    return Requirement(key, operator, frozenset(values))
