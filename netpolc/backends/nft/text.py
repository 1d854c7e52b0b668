"""The text form of a ruleset, for `nft -f`.

Comes in: the typed model. Goes out: text that nft 1.0.6 and later reads. Names in it are made by
netpolc; the only free text are comments, and anything but plain characters in one is refused: nft
has no escape for a quote, so nothing from a manifest may get there unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from netpolc.backends.nft import model as nft
from netpolc.errors import UnsupportedError
from netpolc.nets import IPV6, PORTS, Family, Span, format_span, split_ports

_IP = {Family.IPV4: "ip", Family.IPV6: "ip6"}
ADDRESS_TYPE = {Family.IPV4: "ipv4_addr", Family.IPV6: "ipv6_addr"}
_PLAIN = re.compile(r"[-A-Za-z0-9 ._/,:+=()\[\]]*", re.ASCII)


def plain(text: str) -> str:
    """The text, if it is harmless inside nft's quotes; `UnsupportedError` otherwise."""
    if not _PLAIN.fullmatch(text) or len(text) > 127:
        raise UnsupportedError(f"cannot be written in a ruleset: {text!r}")
    return text


@dataclass(frozen=True, slots=True)
class Written:
    """An object of a table in nft's words: what it is, then elements, or the rules of a chain."""

    kind: Literal["counter", "set", "map", "chain"]
    name: str
    head: tuple[str, ...]
    body: tuple[str, ...] = ()

    def block(self) -> str:
        """The object with its body, as it stands in a table."""
        head = "".join(f"\t\t{line}\n" for line in self.head)
        body = ""
        if self.kind == "chain":
            body = "".join(f"\t\t{line}\n" for line in self.body)
        elif self.body:
            listed = ",\n\t\t\t".join(self.body)
            body = f"\t\telements = {{\n\t\t\t{listed}\n\t\t}}\n"
        return f"\t{self.kind} {self.name} {{\n{head}{body}\t}}\n"

    @property
    def lines(self) -> int:
        """How many lines `block` has, about: what the kernel and libnftables have to do for it."""
        return 2 + len(self.head) + len(self.body)

    def content(self) -> str:
        """The object in one form whatever order its elements came in; rules keep theirs."""
        body = self.body if self.kind == "chain" else sorted(self.body)
        return "\n".join((f"{self.kind} {self.name}", *self.head, *body, ""))


def transaction(table: str, body: str, facts: Iterable[nft.Counter], what: str, digest: str) -> str:
    """Replace the table in one transaction; its first command makes the second legal.

    The table's own comment says nothing that could change: the kernel has no command for that.
    """
    name = f"table inet {table}"
    counters = "".join(counter(fact).block() for fact in facts)
    return (
        f"# netpolc: {plain(what)}\n# {digest}\n"
        f'{name}\ndelete {name}\n{name} {{\n\tcomment "netpolc"\n{counters}{body}}}\n'
    )


def addition(table: str, objects: Iterable[Written]) -> str:
    """More objects for a table, and more rules for chains that it has."""
    return f"table inet {table} {{\n{''.join(entry.block() for entry in objects)}}}\n"


def objects(table: nft.Table) -> Iterator[Written]:
    """Every object of a table, in order."""
    yield from map(counter, table.counters)
    yield from map(_set, table.sets)
    yield from map(_map, table.maps)
    yield from map(_chain, table.chains)


def counter(entry: nft.Counter) -> Written:
    """A counter; its comment is all there is to it."""
    return Written("counter", entry.name, (f'comment "{plain(entry.comment)}"',))


def _set(entry: nft.NamedSet) -> Written:
    address = ADDRESS_TYPE[entry.family]
    match entry:
        case nft.AddressSet():
            return _members(
                "set", entry.name, address, False, entry.elements, counted=entry.counted
            )
        case nft.NetworkSet():
            blocks = [f"{format_span(span)} . 0-255" for span in entry.spans]
            return _members("set", entry.name, f"{address} . inet_proto", True, blocks)
        case nft.PairSet():
            pairs = [f"{source} . {destination}" for source, destination in entry.elements]
            return _members("set", entry.name, f"{address} . {address}", False, pairs)
        case _:
            assert_never(entry)


def _map(entry: nft.NamedMap) -> Written:
    match entry:
        case nft.AddressMap():
            kind, interval = ADDRESS_TYPE[entry.family], False
            keys = [address for address, _ in entry.elements]
        case nft.PortMap():
            interval = entry.interval
            kind = "inet_service . inet_proto" if interval else "inet_proto . inet_service"
            keys = [_port_key(span, interval) for span, _ in entry.elements]
        case _:
            assert_never(entry)
    verdicts = (_verdict(verdict) for _, verdict in entry.elements)
    elements = [f"{key} : {verdict}" for key, verdict in zip(keys, verdicts, strict=True)]
    return _members("map", entry.name, f"{kind} : verdict", interval, elements)


def _port_key(span: Span, interval: bool) -> str:
    protocol, first, last = split_ports(span)
    if not interval:
        return f"{protocol.name.lower()} . {first}"
    ports = str(first) if first == last else f"{first}-{last}"
    return f"{ports} . {protocol.name.lower()}"


def _members(
    kind: Literal["set", "map"],
    name: str,
    data_type: str,
    interval: bool,
    elements: Sequence[str],
    *,
    counted: bool = False,
) -> Written:
    what = "flags interval" if interval else f"size {nft.room(len(elements))}"
    head = (f"type {data_type}", what, *(("counter",) if counted else ()))
    return Written(kind, name, head, tuple(elements))


def _chain(chain: nft.Chain) -> Written:
    head: tuple[str, ...] = ()
    if chain.hook is not None:
        where = f"hook {chain.hook.name} priority {chain.hook.priority}"
        head = (f"type filter {where}; policy accept;",)
    return Written("chain", chain.name, head, tuple(map(rule, chain.rules)))


def rule(entry: nft.Rule) -> str:
    """One rule on one line."""
    words = [*map(_match, entry.matches), *_statements(entry.statements)]
    return f'{" ".join(words)} comment "{plain(entry.comment)}"'


def _match(match: nft.Match) -> str:
    match match:
        case nft.PortMatch(protocol, first, last, port):
            name = protocol.name.lower()
            if (first, last) == (0, PORTS - 1):
                return f"meta l4proto {name}"
            return f"{name} {port} {first}" if first == last else f"{name} {port} {first}-{last}"
        case nft.SpanMatch(field, span):
            version = Family.IPV6 if span[0] >= IPV6 else Family.IPV4
            return f"{_IP[version]} {field} {format_span(span)}"
        case nft.SetMatch(field, version, name, interval):
            dummy = " . meta l4proto" if interval else ""
            return f"{_IP[version]} {field}{dummy} @{name}"
        case nft.PairMatch(version, name):
            return f"{_IP[version]} saddr . {_IP[version]} daddr @{name}"
        case nft.ConnectionState(states):
            return f"ct state {','.join(states)}"
        case nft.ReplyDirection():
            return "ct direction reply"
        case nft.FlowMark(mask, value):
            return _compared_mark(mask, value)
        case nft.LocalSource():
            return "fib saddr type local"
        case nft.OnLink():
            return "ip6 hoplimit 255"
        case nft.NeighbourDiscovery():
            return "icmpv6 type 133-137"
        case _:
            assert_never(match)


def remarked(entry: Written, mask: int, before: int, after: int) -> Written:
    """An object in which rules compare and set another value of the flow's mark."""
    if entry.kind != "chain" or not any("ct mark " in line for line in entry.body):
        return entry
    old, new = (
        (_compared_mark(mask, value), _set_mark(nft.MarkFlow(mask, value)))
        for value in (before, after)
    )
    body = []
    for line in entry.body:
        for words, others in zip(old, new, strict=True):
            line = line.replace(words, others)
        body.append(line)
    return replace(entry, body=tuple(body))


def _set_mark(mark: nft.MarkFlow) -> str:
    return f"ct mark set ct mark & 0x{mark.kept:08x} | 0x{mark.value:08x}"


def _compared_mark(mask: int, value: int) -> str:
    """A comparison of the flow's mark, in the words of `nft list`: `diff.py` compares words."""
    length = mask.bit_count()
    if mask != (1 << 32) - (1 << 32 - length):
        return f"ct mark & 0x{mask:08x} == 0x{value:08x}"
    return f"ct mark 0x{value:08x}/{length}" if length < 32 else f"ct mark 0x{value:08x}"


def _statements(statements: Iterable[nft.Statement]) -> Iterator[str]:
    for statement in statements:
        match statement:
            case nft.AddressLookup(field, version, name):
                yield f"{_IP[version]} {field} vmap @{name}"
            case nft.PortLookup(name, interval, port):
                key = f"th {port} . meta l4proto" if interval else f"meta l4proto . th {port}"
                yield f"{key} vmap @{name}"
            case nft.Count(counter):
                yield f"counter name {counter}"
            case nft.MarkFlow():
                yield _set_mark(statement)
            case nft.Log(prefix, rate):
                yield f'limit rate {rate} log prefix "{plain(prefix)}"'
            case nft.Reject(tcp_reset):
                yield f"reject with {'tcp reset' if tcp_reset else 'icmpx admin-prohibited'}"
            case nft.Verdict():
                yield _verdict(statement)
            case _:
                assert_never(statement)


def _verdict(verdict: nft.Verdict) -> str:
    return f"{verdict.action.value} {verdict.chain}".rstrip()
