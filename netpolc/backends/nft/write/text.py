"""The text form of a ruleset, for `nft -f`.

Comes in: the typed model. Goes out: text that nft 1.0.6 and later reads. Names in it are made by
netpolc; the only free text are comments, and anything but plain characters in one is refused: nft
has no escape for a quote, so nothing from a manifest may get there unchecked.

Sets and maps are declared by the expressions they are asked with (`typeof`), not by data types:
what nft from 1.1.2 on notes in the kernel about the latter can end an older one that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain as chained
from typing import Literal, TypeGuard, assert_never

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.objects import Mark, MarkingRule, Rule, Written, key
from netpolc.backends.nft.wording import plain
from netpolc.core.nets import IPV6, PORTS, Family, Protocol, Span, format_span, split_ports

IP = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_PROTOCOL = {protocol: protocol.name.lower() for protocol in Protocol}
Entry = nft.Counter | nft.NamedSet | nft.NamedMap | nft.Chain
_TEXT = frozenset({str})
_REMEMBERED = 1 << 14
"""Matches, statements and comments: rules repeat most of them."""
_OF_SETS = (nft.SetMatch, nft.PairMatch, nft.NamedLink)
_OF_MAPS = (nft.AddressLookup, nft.NetworkLookup, nft.PortLookup)


def transaction(
    table: str, body: Iterable[str], facts: Iterable[nft.Counter], what: str, digest: str
) -> str:
    """Replace the table in one transaction; its first command makes the second legal. `body` are
    its objects, which may be many: they are copied once.

    The table's own comment says nothing that could change: the kernel has no command for that.
    """
    name = f"table inet {table}"
    head = (
        f"# netpolc: {plain(what)}\n# {digest}\n"
        f'{name}\ndelete {name}\n{name} {{\n\tcomment "netpolc"\n'
    )
    counters = (counter(fact).block() for fact in facts)
    return "".join((head, *counters, *body, "}\n"))


def addition(table: str, objects: Iterable[Written]) -> str:
    """More objects for a table, and more rules for chains that it has."""
    return f"table inet {table} {{\n{''.join(entry.block() for entry in objects)}}}\n"


def entries(table: nft.Table) -> Iterator[Entry]:
    """Every object of a table, in order."""
    return chained(table.counters, table.sets, table.maps, table.chains)


def written(entry: Entry) -> Written:
    """An object in nft's words."""
    if isinstance(entry, nft.Counter):
        return counter(entry)
    if isinstance(entry, nft.Chain):
        return chain(entry)
    return _map(entry) if isinstance(entry, nft.NamedMap) else _set(entry)


def counter(entry: nft.Counter) -> Written:
    """A counter; its comment is all there is to it."""
    return Written("counter", entry.name, comment=plain(entry.comment))


def _set(entry: nft.NamedSet) -> Written:
    if isinstance(entry, nft.LinkSet):
        names = [f'"{plain(name)}"' for name in entry.elements]
        return _members("set", entry.name, "iifname", False, names)
    address = f"{IP[entry.family]} saddr"
    match entry:
        case nft.AddressSet():
            return _members(
                "set", entry.name, address, False, entry.elements, counted=entry.counted
            )
        case nft.NetworkSet():
            blocks = [f"{format_span(span)} . 0-255" for span in entry.spans]
            return _members("set", entry.name, f"{address} . meta l4proto", True, blocks)
        case nft.PairSet():
            pairs = [f"{source} . {destination}" for source, destination in entry.elements]
            kind = f"{address} . {IP[entry.family]} daddr"
            return _members("set", entry.name, kind, False, pairs)
        case _:
            assert_never(entry)


def _map(entry: nft.NamedMap) -> Written:
    match entry:
        case nft.AddressMap():
            kind, interval = f"{IP[entry.family]} saddr", False
            keys = [address for address, _ in entry.elements]
        case nft.NetworkMap():
            kind, interval = f"{IP[entry.family]} saddr . meta l4proto", True
            keys = [f"{format_span(span)} . 0-255" for span, _ in entry.elements]
        case nft.PortMap():
            interval = entry.interval
            kind = "th dport . meta l4proto" if interval else "meta l4proto . th dport"
            keys = [_port_key(span, interval) for span, _ in entry.elements]
        case _:
            assert_never(entry)
    verdicts = (_verdict(verdict) for _, verdict in entry.elements)
    elements = [f"{key} : {verdict}" for key, verdict in zip(keys, verdicts, strict=True)]
    chains = {verdict.chain for _, verdict in entry.elements if verdict.chain}
    refers = frozenset(key("chain", own) for own in chains)
    return _members("map", entry.name, f"{kind} : verdict", interval, elements, refers=refers)


def _port_key(span: Span, interval: bool) -> str:
    protocol, first, last = split_ports(span)
    if not interval:
        return f"{_PROTOCOL[protocol]} . {first}"
    ports = str(first) if first == last else f"{first}-{last}"
    return f"{ports} . {_PROTOCOL[protocol]}"


def _members(
    kind: Literal["set", "map"],
    name: str,
    asked: str,
    interval: bool,
    elements: Sequence[str],
    *,
    counted: bool = False,
    refers: frozenset[str] = frozenset(),
) -> Written:
    head = [f"typeof {asked}"]
    if interval:
        head.append("flags interval")
    if counted:
        head.append("counter")
    size = None if interval else nft.room(len(elements))
    return Written(kind, name, tuple(head), size, tuple(elements), refers=refers)


def chain(entry: nft.Chain) -> Written:
    """A chain with its rules."""
    head: tuple[str, ...] = ()
    if entry.hook is not None:
        where = f"hook {entry.hook.name} priority {entry.hook.priority}"
        head = (f"type filter {where}; policy accept;",)
    return Written(
        "chain",
        entry.name,
        head,
        rules=tuple(map(rule_line, entry.rules)),
        refers=frozenset(_used(entry.rules)),
    )


def rule_line(entry: nft.Rule) -> Rule:
    """One rule on one line."""
    words = [*map(_match, entry.matches), *map(_statement, entry.statements), _told(entry.comment)]
    return " ".join(words) if _is_text(words) else MarkingRule(tuple(_joined(words)))


@lru_cache(_REMEMBERED)
def _told(comment: str) -> str:
    return f'comment "{plain(comment)}"'


def _is_text(words: list[str | Mark]) -> TypeGuard[list[str]]:
    return _TEXT.issuperset(map(type, words))


def _joined(words: Iterable[str | Mark]) -> Iterator[str | Mark]:
    """The words between two marks as one."""
    text: list[str] = []
    for own in words:
        if isinstance(own, str):
            text.append(own)
            continue
        if text:
            yield " ".join(text)
            text = []
        yield own
    if text:
        yield " ".join(text)


def _used(rules: Iterable[nft.Rule]) -> Iterator[str]:
    """The keys of what rules use."""
    for rule in rules:
        for match in rule.matches:
            if isinstance(match, _OF_SETS):
                yield key("set", match.name)
        for statement in rule.statements:
            if isinstance(statement, nft.Verdict):
                if statement.chain:
                    yield key("chain", statement.chain)
            elif isinstance(statement, _OF_MAPS):
                yield key("map", statement.name)
            elif isinstance(statement, nft.Count):
                yield key("counter", statement.counter)


@lru_cache(_REMEMBERED)
def _match(match: nft.Match) -> str | nft.FlowMark:
    match match:
        case nft.PortMatch():
            return _ports(match)
        case nft.SpanMatch(field, span):
            version = Family.IPV6 if span[0] >= IPV6 else Family.IPV4
            return f"{IP[version]} {field} {format_span(span)}"
        case nft.SetMatch():
            dummy = " . meta l4proto" if match.interval else ""
            return f"{IP[match.family]} {match.field}{dummy} @{match.name}"
        case nft.PairMatch(version, name):
            return f"{IP[version]} saddr . {IP[version]} daddr @{name}"
        case nft.ConnectionState(states):
            return f"ct state {','.join(states)}"
        case nft.ReplyDirection():
            return "ct direction reply"
        case nft.FlowMark():
            return match
        case nft.Acknowledges():
            return "tcp flags ack"
        case nft.OutOfBridge():
            return 'meta oifkind "bridge"'
        case nft.NamedLink(end, name):
            return f"{end} @{name}"
        case nft.NoInterface():
            return "iif 0"
        case nft.LocalSource():
            return "fib saddr type local"
        case nft.OnLink():
            return "ip6 hoplimit 255"
        case nft.NeighbourDiscovery():
            return "icmpv6 type 133-137"
        case _:
            assert_never(match)


def _ports(match: nft.PortMatch) -> str:
    name, first, last = _PROTOCOL[match.protocol], match.first, match.last
    if first == last:
        return f"{name} {match.field} {first}"
    if (first, last) == (0, PORTS - 1):
        return f"meta l4proto {name}"
    return f"{name} {match.field} {first}-{last}"


@lru_cache(_REMEMBERED)
def _statement(statement: nft.Statement) -> str | nft.MarkFlow:
    match statement:
        case nft.Verdict():
            return _verdict(statement)
        case nft.AddressLookup(field, version, name):
            return f"{IP[version]} {field} vmap @{name}"
        case nft.NetworkLookup(field, version, name):
            return f"{IP[version]} {field} . meta l4proto vmap @{name}"
        case nft.PortLookup(name, interval, port):
            key = f"th {port} . meta l4proto" if interval else f"meta l4proto . th {port}"
            return f"{key} vmap @{name}"
        case nft.Count(counter):
            return f"counter name {counter}"
        case nft.MarkFlow():
            return statement
        case nft.Log(prefix, rate):
            return f'limit rate {rate} log prefix "{plain(prefix)}"'
        case nft.Reject(tcp_reset):
            return f"reject with {'tcp reset' if tcp_reset else 'icmpx admin-prohibited'}"
        case _:
            assert_never(statement)


def _verdict(verdict: nft.Verdict) -> str:
    return f"{verdict.action} {verdict.chain}" if verdict.chain else f"{verdict.action}"
