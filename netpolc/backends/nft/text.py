"""The text form of a ruleset, for `nft -f`.

Comes in: the typed model. Goes out: text that nft 1.0.6 and later reads. Names in it are made by
netpolc; the only free text are comments, and anything but plain characters in one is refused: nft
has no escape for a quote, so nothing from a manifest may get there unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

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


def transaction(
    table: nft.Table, body: str, facts: Iterable[nft.Counter], what: str, digest: str
) -> str:
    """Replace the table in one transaction; its first command makes the second legal."""
    name = f"table inet {table.name}"
    head = f'\tcomment "{plain(f"netpolc {digest}")}"\n'
    counters = "".join(map(_counter, facts))
    return (
        f"# netpolc: {plain(what)}\n# {digest}\n"
        f"{name}\ndelete {name}\n{name} {{\n{head}{counters}{body}}}\n"
    )


def addition(table: nft.Table, counter: nft.Counter) -> str:
    """One more counter for a table."""
    return f"table inet {table.name} {{\n{_counter(counter)}}}\n"


def body(table: nft.Table) -> str:
    """Everything inside the braces of the table but its comment."""
    return "".join(
        (
            *map(_counter, table.counters),
            *map(_set, table.sets),
            *map(_map, table.maps),
            *map(_chain, table.chains),
        )
    )


def _counter(counter: nft.Counter) -> str:
    return f'\tcounter {counter.name} {{\n\t\tcomment "{plain(counter.comment)}"\n\t}}\n'


def _set(entry: nft.NamedSet) -> str:
    address = ADDRESS_TYPE[entry.family]
    match entry:
        case nft.AddressSet():
            return _block("set", entry.name, address, False, entry.elements)
        case nft.NetworkSet():
            blocks = [f"{format_span(span)} . 0-255" for span in entry.spans]
            return _block("set", entry.name, f"{address} . inet_proto", True, blocks)
        case nft.PairSet():
            pairs = [f"{source} . {destination}" for source, destination in entry.elements]
            return _block("set", entry.name, f"{address} . {address}", False, pairs)
        case _:
            assert_never(entry)


def _map(entry: nft.NamedMap) -> str:
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
    return _block("map", entry.name, f"{kind} : verdict", interval, elements)


def _port_key(span: Span, interval: bool) -> str:
    protocol, first, last = split_ports(span)
    if not interval:
        return f"{protocol.name.lower()} . {first}"
    ports = str(first) if first == last else f"{first}-{last}"
    return f"{ports} . {protocol.name.lower()}"


def _block(kind: str, name: str, data_type: str, interval: bool, elements: Sequence[str]) -> str:
    what = "flags interval" if interval else f"size {nft.room(len(elements))}"
    listed = ",\n\t\t\t".join(elements)
    return (
        f"\t{kind} {name} {{\n\t\ttype {data_type}\n\t\t{what}\n"
        f"\t\telements = {{\n\t\t\t{listed}\n\t\t}}\n\t}}\n"
    )


def _chain(chain: nft.Chain) -> str:
    hook = ""
    if chain.hook is not None:
        where = f"hook {chain.hook.name} priority {chain.hook.priority}"
        hook = f"\t\ttype filter {where}; policy accept;\n"
    rules = "".join(f"\t\t{rule(entry)}\n" for entry in chain.rules)
    return f"\tchain {chain.name} {{\n{hook}{rules}\t}}\n"


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
            return f"ct mark and {mask:#x} == {value:#x}"
        case nft.LocalSource():
            return "fib saddr type local"
        case nft.OnLink():
            return "ip6 hoplimit 255"
        case nft.NeighbourDiscovery():
            return "icmpv6 type 133-137"
        case _:
            assert_never(match)


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
                yield f"ct mark set ct mark and {statement.kept:#x} or {statement.value:#x}"
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
