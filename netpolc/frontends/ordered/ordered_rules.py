"""Rules of cluster-scoped policies, one at a time.

Comes in: a rule as plain values, and the `Dialect` of its kind. Goes out: a `Rule`. What is wrong
with it is kept until it is read whole, because its action tells what becomes of it: as the API asks
of peers that nobody can understand, a rule that accepts matches nothing, and one that denies or
passes denies everything. What a server refuses is that where odd objects are isolated, and an error
where not. What it stores (it looks into no selector, and takes `domainNames` in any rule) is that
always, and told (NP010).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netpolc.core.errors import ObjectProblems, Path, Problems
from netpolc.core.ir import (
    ANY,
    Action,
    Any_,
    Direction,
    NamePeer,
    NetworkPeer,
    NodePeer,
    Origin,
    Peer,
    Port,
    Rule,
)
from netpolc.core.nets import Span, format_span, parse_cidr
from netpolc.frontends.fields import Fields, invalid
from netpolc.frontends.ordered.ordered_fields import (
    PODS,
    Dialect,
    PodFields,
    at_least_one,
    at_most,
    chosen,
    one_of,
    selector,
)

BY_NAME = "NP011"
"""The code of what is said of peers that only names of domains tell."""
OWN_NODE = "NP012"
"""The code of what is said of rules that would keep pods from their own node."""
_OWN_NODE = "the node that a pod runs on is not kept from it: a pod always reaches its own node"
_PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}
_NAME_LENGTH, _CIDR_LENGTH, _FEW = 100, 43, 25
_DOMAIN = (
    r"^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+"
    r"[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$"
)
_DOMAINS = re.compile(_DOMAIN.removesuffix("$") + r"\Z", re.ASCII)


class Aside(ObjectProblems):
    """What is wrong with a rule, until it is known what that means."""

    __slots__ = ("_object", "found")

    def __init__(self, problems: ObjectProblems) -> None:
        super().__init__(Problems(), lambda _elements, _at_key: "")
        self._object = problems
        self.found: list[tuple[Path, str, bool]] = []

    def error(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Keep an error."""
        self.failed = True
        self.found.append((path, message, at_key))

    def warning(self, path: Path, message: str, *, at_key: bool = False, code: str = "") -> None:
        """A warning of the object."""
        self._object.warning(path, message, at_key=at_key, code=code)


@dataclass(frozen=True, slots=True)
class RuleReader:
    """Reads the rules of one object."""

    dialect: Dialect
    problems: ObjectProblems
    strict: bool
    origin: Origin

    def read(self, direction: Direction, value: object, path: Path) -> Rule:
        """A rule, closed if it cannot be read as it is written."""
        return _Reading(self, direction, path).rule(value)


class _Reading:
    """One rule while it is read."""

    def __init__(self, reader: RuleReader, direction: Direction, path: Path) -> None:
        self._dialect, self._problems = reader.dialect, reader.problems
        self._origin = reader.origin
        self._direction, self._path = direction, path
        self._refused, self._doubted = Aside(reader.problems), Aside(reader.problems)
        self._fields = Fields(self._refused, reader.strict, self._dialect.hints, self._doubted)
        given = self._dialect.namespaces_given
        self._pods = PodFields(self._fields, given, reader.problems)

    def rule(self, value: object) -> Rule:
        fields, path = self._fields, self._path
        at_peers, at_ports = _PEERS[self._direction], self._dialect.ports
        rule = fields.mapping(value, path, ("name", "action", at_peers, at_ports)) or {}
        called = self._name(rule.get("name"), path / "name")
        action = self._action(rule.get("action"), path / "action") if rule else None
        peers = tuple(self._peers(rule.get(at_peers), path / at_peers, action)) if rule else ()
        ports = self._ports(rule.get(at_ports), path / at_ports)
        self._refuse_names_of_addresses(rule)
        origin = Origin(
            self._origin.kind,
            "",
            self._origin.name,
            path.elements(),
            self._origin.source,
            called,
        )
        if action is None or self._refused.failed or self._doubted.failed:
            self._tell(action, origin)
            if action is not Action.ACCEPT:
                return Rule(self._direction, Action.DENY, ANY, ANY, origin)
            peers, ports = (), ANY
        return Rule(self._direction, action, peers, ports, origin)

    def _tell(self, action: Action | None, origin: Origin) -> None:
        does = "matches nothing" if action is Action.ACCEPT else "denies everything"
        instead = f"{origin.rule} {does}"
        for path, message, at_key in self._refused.found:
            self._problems.mend(path, message, instead, at_key=at_key)
        for path, message, at_key in self._doubted.found:
            self._problems.doubt(path, message, instead, at_key=at_key)

    def _name(self, value: object, path: Path) -> str:
        name = self._fields.text(value, path) or ""
        if len(name) > _NAME_LENGTH:
            detail = f"Too long: may not be more than {_NAME_LENGTH} bytes"
            self._fields.problems.error(path, detail)
        return name

    def _action(self, value: object, path: Path) -> Action | None:
        text = chosen(self._fields, value, path, tuple(self._dialect.actions))
        return None if text is None else self._dialect.actions[text]

    def _ports(self, value: object, path: Path) -> tuple[Port, ...] | Any_:
        if value is None:
            return ANY
        entries = self._list(value, path, self._dialect.most)
        return tuple(
            port
            for number, entry in enumerate(entries)
            for port in self._dialect.port(self._fields, entry, path / number)
        )

    def _list(self, value: object, path: Path, most: int) -> list[Any]:
        """A list that holds something, and not too much."""
        entries = self._fields.sequence(value, path)
        if isinstance(value, list) and at_least_one(self._fields, len(entries), path, "items"):
            at_most(self._fields, len(entries), most, path)
        return entries

    def _peers(self, value: object, path: Path, action: Action | None) -> Iterator[Peer]:
        if value is None:
            self._fields.problems.error(path, "Required value")
            return
        known = PODS if self._direction is Direction.INGRESS else self._dialect.egress
        for number, entry in enumerate(self._list(value, path, self._dialect.most)):
            found = one_of(self._fields, entry, path / number, known)
            if found is not None:
                name, content = found
                yield from self._peer(name, content, path / number / name, action)

    def _peer(self, name: str, value: object, path: Path, action: Action | None) -> Iterator[Peer]:
        match name:
            case "nodes":
                if action is Action.DENY:
                    self._problems.warning(path, _OWN_NODE, code=OWN_NODE)
                yield NodePeer(selector(self._fields, value, path))
            case "networks":
                yield from self._networks(value, path)
            case "domainNames":
                yield from self._domains(value, path, action)
            case _:
                yield self._pods.read(name, value, path)

    def _networks(self, value: object, path: Path) -> Iterator[Peer]:
        texts = self._set_of_text(value, path)
        for number, text in texts:
            at = path / number
            if len(text) > _CIDR_LENGTH:
                detail = f"Too long: may not be more than {_CIDR_LENGTH} bytes"
                self._fields.problems.error(at, detail)
            span = self._cidr(text, at)
            if span is not None:
                yield NetworkPeer(span)

    def _cidr(self, text: str, path: Path) -> Span | None:
        try:
            span = parse_cidr(text, masked=True)
        except ValueError:
            detail = invalid(text, "Invalid CIDR format provided")
            self._fields.problems.error(path, detail)
            return None
        try:
            return parse_cidr(text)
        except ValueError as error:
            instead = f"it is read as {format_span(span)}"
            if self._dialect.host_bits:
                self._problems.doubt(path, invalid(text, str(error)), instead)
            else:
                detail = invalid(text, "Invalid CIDR format provided")
                self._problems.mend(path, detail, instead)
            return span

    def _domains(self, value: object, path: Path, action: Action | None) -> Iterator[Peer]:
        names = []
        for number, text in self._set_of_text(value, path):
            names.append(text)
            if not _DOMAINS.match(text):
                detail = invalid(text, f"{path / number} in body should match '{_DOMAIN}'")
                self._fields.problems.error(path / number, detail)
        if action is Action.ACCEPT:
            said = "no names are looked up: nobody is admitted by them"
            self._problems.warning(path, said, code=BY_NAME)
        elif action is not None:
            self._doubted.error(path, "domainNames are for rules that accept alone")
        yield NamePeer(tuple(names))

    def _set_of_text(self, value: object, path: Path) -> Sequence[tuple[int, str]]:
        """The entries of a list of strings, of which no two are equal."""
        seen = set[str]()
        found = []
        for number, entry in enumerate(self._list(value, path, _FEW)):
            text = self._fields.text(entry, path / number)
            if text is None:
                if entry is None:
                    self._fields.mistyped(entry, path / number, "string")
                continue
            if text in seen:
                detail = f"Duplicate value: {invalid(text, '').split(': ')[1]}"
                self._fields.problems.error(path / number, detail)
            seen.add(text)
            found.append((number, text))
        return found

    def _refuse_names_of_addresses(self, rule: dict[str, Any]) -> None:
        """Names of ports are of pods: peers that are none exclude them, in egress rules."""
        if self._direction is Direction.INGRESS:
            return
        own = self._dialect.addressed
        peers, ports = rule.get("to"), rule.get(self._dialect.ports)
        if _any_has(peers, own) and _any_has(ports, (self._dialect.named_port,)):
            kinds = "/".join(sorted(own, key=_KINDS.index))
            said = f"{kinds} peer cannot be set with namedPorts since there are no namedPorts for"
            detail = f"Invalid value: {said} {kinds}"
            self._fields.problems.error(self._path, detail)


_KINDS = ("networks", "nodes", "domainNames")
"""In the order in which the message has them."""


def _any_has(entries: object, names: tuple[str, ...]) -> bool:
    listed = entries if isinstance(entries, list) else ()
    return any(
        isinstance(entry, dict) and entry.get(name) is not None
        for entry in listed
        for name in names
    )
