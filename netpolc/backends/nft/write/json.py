"""The libnftables JSON form of a ruleset (libnftables-json(5)).

Comes in: the typed model. Goes out: one JSON transaction equal to the text form. Objects come in
the order their references need: table, counters, chains, sets, maps, rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, assert_never

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.wording import plain
from netpolc.backends.nft.write.text import IP
from netpolc.core.nets import IPV6, PORTS, Family, Span, format_address, prefix_length, split_ports

_ADDRESS_TYPE = {Family.IPV4: "ipv4_addr", Family.IPV6: "ipv6_addr"}
Json = dict[str, Any]


def transaction(table: nft.Table, facts: Iterable[nft.Counter]) -> str:
    """Replace the table by this one in a single transaction."""
    own = {"family": "inet", "name": table.name}
    inside = {"family": "inet", "table": table.name}
    commands: list[Json] = [
        {"add": {"table": own}},
        {"delete": {"table": own}},
        {"add": {"table": own}},
    ]
    commands.extend({"add": entry} for entry in _objects(table, facts, inside))
    return json.dumps({"nftables": commands}, indent=1) + "\n"


def _objects(table: nft.Table, facts: Iterable[nft.Counter], inside: Json) -> Iterator[Json]:
    for counter in (*facts, *table.counters):
        yield {"counter": {**inside, "name": counter.name, "comment": plain(counter.comment)}}
    for chain in table.chains:
        hook: Json = {}
        if chain.hook is not None:
            hook = {
                "type": "filter",
                "hook": chain.hook.name,
                "prio": chain.hook.priority,
                "policy": "accept",
            }
        yield {"chain": {**inside, "name": chain.name, **hook}}
    for entry in table.sets:
        yield {"set": {**inside, "name": entry.name, **_set(entry)}}
    for named_map in table.maps:
        yield {"map": {**inside, "name": named_map.name, "map": "verdict", **_map(named_map)}}
    for chain in table.chains:
        for rule in chain.rules:
            body = [*map(_match, rule.matches), *_statements(rule.statements)]
            yield {
                "rule": {
                    **inside,
                    "chain": chain.name,
                    "expr": body,
                    "comment": plain(rule.comment),
                }
            }


def _set(entry: nft.NamedSet) -> Json:
    if isinstance(entry, nft.LinkSet):
        return _members("ifname", False, entry.elements)
    address = _ADDRESS_TYPE[entry.family]
    match entry:
        case nft.AddressSet():
            counter: Json = {"stmt": [{"counter": None}]} if entry.counted else {}
            return {**_members(address, False, list(entry.elements)), **counter}
        case nft.NetworkSet():
            return _members([address, "inet_proto"], True, [_block(span) for span in entry.spans])
        case nft.PairSet():
            pairs = [{"concat": list(ends)} for ends in entry.elements]
            return _members([address, address], False, pairs)
        case _:
            assert_never(entry)


def _map(entry: nft.NamedMap) -> Json:
    match entry:
        case nft.AddressMap():
            elements = [[address, _verdict(verdict)] for address, verdict in entry.elements]
            return _members(_ADDRESS_TYPE[entry.family], False, elements)
        case nft.NetworkMap():
            blocks = [[_block(span), _verdict(verdict)] for span, verdict in entry.elements]
            return _members([_ADDRESS_TYPE[entry.family], "inet_proto"], True, blocks)
        case nft.PortMap():
            kind = ["inet_proto", "inet_service"]
            keys = [[_port_key(span, entry.interval), _verdict(v)] for span, v in entry.elements]
            return _members(kind[::-1] if entry.interval else kind, entry.interval, keys)
        case _:
            assert_never(entry)


def _members(kind: str | list[str], interval: bool, elements: Sequence[object]) -> Json:
    what: Json = {"flags": ["interval"]} if interval else {"size": nft.room(len(elements))}
    # An empty list of elements is refused (nft 1.0.6).
    return {"type": kind, **what, **({"elem": elements} if elements else {})}


def _block(span: Span) -> Json:
    return {"concat": [_span(span), {"range": [0, 255]}]}


def _port_key(span: Span, interval: bool) -> Json:
    protocol, first, last = split_ports(span)
    if not interval:
        return {"concat": [protocol.name.lower(), first]}
    return {"concat": [first if first == last else {"range": [first, last]}, protocol.name.lower()]}


def _span(span: Span) -> str | Json:
    first, last = format_address(span[0]), format_address(span[1])
    length = prefix_length(span)
    if first == last:
        return first
    return (
        {"range": [first, last]} if length is None else {"prefix": {"addr": first, "len": length}}
    )


def _payload(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


_L4PROTO: Json = {"meta": {"key": "l4proto"}}
_CT_MARK: Json = {"ct": {"key": "mark"}}


def _equal(left: Json, right: object) -> Json:
    return {"match": {"op": "==", "left": left, "right": right}}


def _match(match: nft.Match) -> Json:
    match match:
        case nft.PortMatch(protocol, first, last, port_field):
            name = protocol.name.lower()
            if (first, last) == (0, PORTS - 1):
                return _equal(_L4PROTO, name)
            return _equal(
                _payload(name, port_field), first if first == last else {"range": [first, last]}
            )
        case nft.SpanMatch(field, span):
            version = Family.IPV6 if span[0] >= IPV6 else Family.IPV4
            return _equal(_payload(IP[version], field), _span(span))
        case nft.SetMatch(field, version, name, interval):
            address = _payload(IP[version], field)
            return _equal({"concat": [address, _L4PROTO]} if interval else address, f"@{name}")
        case nft.PairMatch(version, name):
            both = [_payload(IP[version], "saddr"), _payload(IP[version], "daddr")]
            return _equal({"concat": both}, f"@{name}")
        case nft.ConnectionState(states):
            left = {"ct": {"key": "state"}}
            return {"match": {"op": "in", "left": left, "right": list(states)}}
        case nft.ReplyDirection():
            return _equal({"ct": {"key": "direction"}}, "reply")
        case nft.FlowMark(mask, value):
            return _equal({"&": [_CT_MARK, mask]}, value)
        case nft.Acknowledges():
            return {"match": {"op": "in", "left": _payload("tcp", "flags"), "right": "ack"}}
        case nft.OutOfBridge():
            return _equal({"meta": {"key": "oifkind"}}, "bridge")
        case nft.NamedLink(end, name):
            return _equal({"meta": {"key": end}}, f"@{name}")
        case nft.NoInterface():
            return _equal({"meta": {"key": "iif"}}, "0")
        case nft.LocalSource():
            return _equal({"fib": {"result": "type", "flags": ["saddr"]}}, "local")
        case nft.OnLink():
            return _equal(_payload("ip6", "hoplimit"), 255)
        case nft.NeighbourDiscovery():
            return _equal(_payload("icmpv6", "type"), {"range": [133, 137]})
        case _:
            assert_never(match)


def _statements(statements: Iterable[nft.Statement]) -> Iterator[Json]:
    for statement in statements:
        match statement:
            case nft.AddressLookup(field, version, name):
                yield {"vmap": {"key": _payload(IP[version], field), "data": f"@{name}"}}
            case nft.NetworkLookup(field, version, name):
                both = {"concat": [_payload(IP[version], field), _L4PROTO]}
                yield {"vmap": {"key": both, "data": f"@{name}"}}
            case nft.PortLookup(name, interval, port_field):
                port = _payload("th", port_field)
                key = [port, _L4PROTO] if interval else [_L4PROTO, port]
                yield {"vmap": {"key": {"concat": key}, "data": f"@{name}"}}
            case nft.Count(counter):
                yield {"counter": counter}
            case nft.MarkFlow(value=value):
                bits = {"|": [{"&": [_CT_MARK, statement.kept]}, value]}
                yield {"mangle": {"key": _CT_MARK, "value": bits}}
            case nft.Log(prefix, rate):
                number, _, per = rate.partition("/")
                yield {"limit": {"rate": int(number), "burst": 5, "per": per}}
                yield {"log": {"prefix": plain(prefix)}}
            case nft.Reject(tcp_reset):
                kind = (
                    {"type": "tcp reset"}
                    if tcp_reset
                    else {"type": "icmpx", "expr": "admin-prohibited"}
                )
                yield {"reject": kind}
            case nft.Verdict():
                yield _verdict(statement)
            case _:
                assert_never(statement)


def _verdict(verdict: nft.Verdict) -> Json:
    return {str(verdict.action): {"target": verdict.chain} if verdict.chain else None}
