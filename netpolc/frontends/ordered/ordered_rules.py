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
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from netpolc.core.errors import ROOT, ObjectProblems, Path, Problems
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
    usual_peer,
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


Known = dict[tuple[object, str], tuple[Any, ...]]
"""Peers and ports of rules by how they were written, of which there was nothing to say."""
_T = TypeVar("_T")


class RuleReader:
    """Reads the rules of one object, one after the other; what is `known` from others is not read
    again.
    """

    def __init__(
        self,
        dialect: Dialect,
        problems: ObjectProblems,
        strict: bool,
        origin: Origin,
        known: Known,
    ) -> None:
        self.dialect, self._problems, self._origin, self._known = dialect, problems, origin, known
        self._direction, self._path = Direction.INGRESS, ROOT
        self._refused, self._doubted = Aside(problems), Aside(problems)
        self._unknown: list[tuple[Path, str]] = []
        self._fields = Fields(
            self._refused, strict, dialect.hints, self._doubted, None if strict else self._unknown
        )
        self._pods = PodFields(self._fields, dialect.namespaces_given, problems)

    def read(self, direction: Direction, value: object, path: Path) -> Rule:
        """A rule, closed if it cannot be read as it is written."""
        self._direction, self._path = direction, path
        for aside in self._refused, self._doubted:
            aside.found.clear()
        self._unknown.clear()
        fields = self._fields
        at_peers, at_ports = _PEERS[direction], self.dialect.ports
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
        if action is Action.DENY:  # without a field that nobody knows it denies more, if anything
            for at, message in self._unknown:
                self._problems.warning(at, message, at_key=True)
            self._unknown.clear()
        if action is None or self._refused.found or self._doubted.found or self._unknown:
            self._tell(action, origin)
            if action is not Action.ACCEPT:
                return Rule(direction, Action.DENY, ANY, ANY, origin)
            peers, ports = (), ANY
        return Rule(direction, action, peers, ports, origin)

    def _tell(self, action: Action | None, origin: Origin) -> None:
        does = "matches nothing" if action is Action.ACCEPT else "denies everything"
        instead = f"{origin.rule} {does}"
        for path, message, at_key in self._refused.found:
            self._problems.mend(path, message, instead, at_key=at_key)
        for path, message, at_key in self._doubted.found:
            self._problems.doubt(path, message, instead, at_key=at_key)
        for path, message in self._unknown:
            self._problems.doubt(path, message, instead, at_key=True)

    def _read_once(
        self,
        key: object,
        entry: object,
        path: Path,
        read: Callable[[object, Path], Iterable[_T]],
    ) -> tuple[_T, ...]:
        """What an entry of a list says; what others were written alike is known, if there was
        nothing to say of it.
        """
        text = repr(entry)
        found = self._known.get((key, text))
        if found is None:
            told = self._told()
            found = tuple(read(entry, path))
            if told == self._told():
                self._known[key, text] = found
        return found

    def _told(self) -> tuple[int, ...]:
        aside = len(self._refused.found), len(self._doubted.found), len(self._unknown)
        return *aside, len(self._problems.mended), self._problems.warned

    def _name(self, value: object, path: Path) -> str:
        name = self._fields.text(value, path) or ""
        # The message of a server says bytes, and means characters: `MaxLength` in
        # pkg/validation/validate/values.go of k8s.io/kube-openapi counts runes.
        if len(name) > _NAME_LENGTH:
            detail = f"Too long: may not be more than {_NAME_LENGTH} bytes"
            self._fields.problems.error(path, detail)
        return name

    def _action(self, value: object, path: Path) -> Action | None:
        actions = self.dialect.actions
        if isinstance(value, str) and value in actions:
            return actions[value]
        text = chosen(self._fields, value, path, tuple(actions))
        return None if text is None else actions[text]

    def _ports(self, value: object, path: Path) -> tuple[Port, ...] | Any_:
        if value is None:
            return ANY
        entries = _list(self._fields, value, path, self.dialect.most)
        return tuple(
            [
                port
                for number, entry in enumerate(entries)
                for port in self._read_once("ports", entry, path / number, self._port)
            ]
        )

    def _port(self, entry: object, path: Path) -> Iterator[Port]:
        return self.dialect.port(self._fields, entry, path)

    def _peers(self, value: object, path: Path, action: Action | None) -> Iterator[Peer]:
        if value is None:
            self._fields.problems.error(path, "Required value")
            return
        entries = _list(self._fields, value, path, self.dialect.most)
        way, read = (self._direction, action), partial(self._peer, action)
        for number, entry in enumerate(entries):
            usual = usual_peer(entry)
            if usual is not None:
                yield usual
            else:
                yield from self._read_once(way, entry, path / number, read)

    def _peer(self, action: Action | None, entry: object, path: Path) -> Iterator[Peer]:
        known = PODS if self._direction is Direction.INGRESS else self.dialect.egress
        found = one_of(self._fields, entry, path, known)
        if found is None:
            return
        name, value = found
        path = path / name
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
        texts = _set_of_text(self._fields, value, path)
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
            if self.dialect.host_bits:
                self._problems.doubt(path, invalid(text, str(error)), instead)
            else:
                detail = invalid(text, "Invalid CIDR format provided")
                self._problems.mend(path, detail, instead)
            return span

    def _domains(self, value: object, path: Path, action: Action | None) -> Iterator[Peer]:
        names = []
        for number, text in _set_of_text(self._fields, value, path):
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

    def _refuse_names_of_addresses(self, rule: dict[str, Any]) -> None:
        """Names of ports are of pods: peers that are none exclude them, in egress rules."""
        if self._direction is Direction.INGRESS:
            return
        if not _any_has(rule.get(self.dialect.ports), (self.dialect.named_port,)):
            return
        own = self.dialect.addressed
        if _any_has(rule.get("to"), own):
            kinds = "/".join(sorted(own, key=_KINDS.index))
            said = f"{kinds} peer cannot be set with namedPorts since there are no namedPorts for"
            detail = f"Invalid value: {said} {kinds}"
            self._fields.problems.error(self._path, detail)


def _list(fields: Fields, value: object, path: Path, most: int) -> list[Any]:
    """A list that holds something, and not too much."""
    if isinstance(value, list) and 0 < len(value) <= most:
        return value
    entries = fields.sequence(value, path)
    if isinstance(value, list) and at_least_one(fields, len(entries), path, "items"):
        at_most(fields, len(entries), most, path)
    return entries


def _set_of_text(fields: Fields, value: object, path: Path) -> Sequence[tuple[int, str]]:
    """The entries of a list of strings, of which no two are equal."""
    seen = set[str]()
    found = []
    for number, entry in enumerate(_list(fields, value, path, _FEW)):
        text = fields.text(entry, path / number)
        if text is None:
            if entry is None:
                fields.mistyped(entry, path / number, "string")
            continue
        if text in seen:
            detail = f"Duplicate value: {invalid(text, '').split(': ')[1]}"
            fields.problems.error(path / number, detail)
        seen.add(text)
        found.append((number, text))
    return found


_KINDS = ("networks", "nodes", "domainNames")
"""In the order in which the message has them."""


def _any_has(entries: object, names: tuple[str, ...]) -> bool:
    listed = entries if isinstance(entries, list) else ()
    return any(
        isinstance(entry, dict) and entry.get(name) is not None
        for entry in listed
        for name in names
    )
