"""`Expectations` (netpolc.dev/v1): what a team expects of its policies, beside the policies.

Comes in: one manifest. Goes out: its entries. Refused, with the place: unknown fields, ends and
ports that are none, entries that ask for nothing or for two things.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from netpolc.core.errors import ROOT, ObjectProblems, Path
from netpolc.core.expectation import Demand, End, Expectation, Named
from netpolc.core.nets import (
    EVERY_PORT,
    Protocol,
    Ranges,
    parse_address,
    parse_cidr,
    parse_ports,
)
from netpolc.core.nets import ports as port_span
from netpolc.frontends.fields import Fields, Metadata, invalid, metadata
from netpolc.frontends.frontend import Frontend, Name, Reader
from netpolc.manifests import Document

API_VERSION, KIND = "netpolc.dev/v1", "Expectations"
_FIELDS = ("apiVersion", "kind", "metadata", "expectations")
_ONLY = {Demand.ONLY_FROM: "from", Demand.ONLY_TO: "to"}
_ENTRY_FIELDS = ("name", "from", "to", "port", "expect", *_ONLY)
_NAME = re.compile(
    r"(?:(?P<space>[a-z0-9*?-]+)/)?(?P<name>[a-z0-9.*?-]+)(?:\[(?P<kind>[A-Za-z]+)\])?", re.ASCII
)
_ICMP = Ranges(((1 << 16, 1 << 16), (58 << 16, 58 << 16)))
"""ICMP and ICMPv6, which have no ports."""


def lower(document: Document, problems: ObjectProblems, strict: bool) -> list[Expectation]:
    """The entries of a manifest; what is wrong is in `problems`."""
    fields = Fields(problems, strict)
    body = document.fields(problems, strict)
    if body is None:
        return []
    fields.mapping(body, ROOT, _FIELDS)
    named = metadata(fields, body.get("metadata"), ROOT / "metadata")
    path = ROOT / "expectations"
    entries = fields.sequence(body.get("expectations"), path)
    if not entries and not problems.failed:
        problems.error(path, "Required value: holds no expectation")
    readers = (
        _Entry(fields, named, document, path / number).read(entry)
        for number, entry in enumerate(entries)
    )
    return [found for found in readers if found is not None]


class ExpectationObjects(Reader):
    """Reads `Expectations`; any number may have one name, odd ones are passed over."""

    def read(self, document: Document, report: ObjectProblems) -> Name | None:
        """The entries of one object, none if anything is wrong with it."""
        found = lower(document, report, self._gathered.strict)
        self._gathered.expectations.extend(found if not report.failed else ())
        return None


class _Entry:
    """Reads one entry."""

    def __init__(self, fields: Fields, named: Metadata, document: Document, path: Path) -> None:
        self._fields, self._named, self._document, self._path = fields, named, document, path

    def read(self, value: object) -> Expectation | None:
        entry = self._fields.mapping(value, self._path, _ENTRY_FIELDS)
        demand = None if entry is None else self._demand(entry)
        if entry is None or demand is None:
            return None
        sources = self._ends(entry, demand if demand is Demand.ONLY_FROM else "from")
        destinations = self._ends(entry, demand if demand is Demand.ONLY_TO else "to")
        title = self._fields.text(entry.get("name"), self._path / "name")
        ports = self._ports(entry.get("port"))
        if self._fields.problems.failed:
            return None
        origin = self._named.origin(KIND, self._document.source, self._path.elements())
        return Expectation(
            title or _title(entry, demand), demand, sources, destinations, ports, origin
        )

    def _demand(self, entry: dict[str, Any]) -> Demand | None:
        """What is asked for: one of `expect` and the two `only`."""
        asked = [name for name in ("expect", *_ONLY) if name in entry]
        if len(asked) != 1:
            self._error(self._path, f"needs one of {', '.join(('expect', *_ONLY))}")
            return None
        (name,) = asked
        if name != "expect":
            demand = Demand(name)
            if _ONLY[demand] in entry:
                self._error(self._path / _ONLY[demand], f"Forbidden: {name} says it")
            return demand
        if entry["expect"] in (Demand.ALLOW, Demand.DENY):
            return Demand(entry["expect"])
        detail = 'Unsupported value: supported values: "allow", "deny"'
        self._error(self._path / "expect", detail)
        return None

    def _ends(self, entry: dict[str, Any], name: str) -> tuple[End, ...]:
        path = self._path / name
        value = entry.get(name)
        if value is None or (value == [] and name not in _ONLY):
            self._error(path, "Required value: a workload, a pod, a Service, an address or a CIDR")
            return ()
        if isinstance(value, list):
            return tuple(self._each(value, path))
        return tuple(self._end(value, path))

    def _each(self, values: list[Any], path: Path) -> Iterator[End]:
        for number, value in enumerate(values):
            yield from self._end(value, path / number)

    def _end(self, value: object, path: Path) -> Iterator[End]:
        text = self._fields.text(value, path)
        if text is None:
            if value is None:
                self._fields.mistyped(value, path, "string")
            return
        addresses = _addresses(text)
        named = _NAME.fullmatch(text)
        if addresses is not None:
            yield addresses
        elif named is not None:
            space = named["space"] or self._named.namespace
            yield Named(space, named["name"], named["kind"] or "")
        else:
            self._error(path, invalid(text, "must be [namespace/]name[Kind], an address or a CIDR"))

    def _ports(self, value: object) -> Ranges:
        path = self._path / "port"
        values = value if isinstance(value, list) else [value]
        found = Ranges()
        for number, item in enumerate(values):
            own = _ports(item)
            if own is None:
                at = path / number if isinstance(value, list) else path
                text = "must be like TCP/80, 53/udp, TCP/8000-8100, SCTP, ICMP, 443 or all"
                self._error(at, invalid(item, text))
            else:
                found |= own
        return found

    def _error(self, path: Path, message: str) -> None:
        self._fields.problems.error(path, message)


def _addresses(text: str) -> Ranges | None:
    try:
        if "/" in text:
            return Ranges((parse_cidr(text),))
        address = parse_address(text)
    except ValueError:
        return None
    return Ranges(((address, address),))


def _ports(value: object) -> Ranges | None:
    """The ports of a text, all without one; None when it is none."""
    if value is None or value == "all":
        return EVERY_PORT
    if value == "ICMP":
        return _ICMP
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    if text.upper() in Protocol.__members__:
        return Ranges((port_span(Protocol[text.upper()]),))
    try:
        protocol, first, last = parse_ports(text)
    except ValueError:
        return None
    return Ranges((port_span(protocol or Protocol.TCP, first, last),))


def _title(entry: dict[str, Any], demand: Demand) -> str:
    """An entry without a name, in words."""
    port = _text(entry.get("port", "all"))
    if demand is Demand.ONLY_FROM:
        return f"{_text(entry['to'])} {port} reachable only from {_text(entry[demand])}"
    if demand is Demand.ONLY_TO:
        return f"{_text(entry['from'])} reaches only {_text(entry[demand])} {port}"
    return f"{demand} {_text(entry['from'])} -> {_text(entry['to'])} {port}"


def _text(value: object) -> str:
    return ",".join(map(str, value)) or "nobody" if isinstance(value, list) else str(value)


FRONTEND = Frontend({KIND: (API_VERSION,)}, ExpectationObjects)
