"""Rulesets with one thing wrong: what an unlucky hand or a broken program could do to a table.

In: libnftables JSON. Out: `Mutant` values, each with what was done and the JSON of the result.
They are made from the JSON alone, with no code of netpolc's.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any

Json = Any
OTHERS = {4: "198.18.0.77", 6: "2001:db8:77::77"}
"""Addresses that no example knows."""
ADDRESSES = {"ipv4_addr": 4, "ipv6_addr": 6}
LINKS = ("cbr0", "cni0", "kube-bridge")
WORDS = {"bridge": "vrf", "ack": "syn", "0": "1", "invalid": "new", "new": "untracked"}
"""Words of one field, and others of the same."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: its kind, where, and the whole ruleset with it."""

    kind: str
    where: str
    text: str


def mutants(text: str) -> Iterator[Mutant]:
    """Every mutant of a ruleset."""
    original = json.loads(text)
    commands = original["nftables"]
    for place, command in enumerate(commands):
        kind, body = next(iter(command.get("add", {"": {}}).items()))
        for name, where, changed in _changes(kind, body, commands):
            several = copy.deepcopy(commands)
            if changed is None:
                del several[place]
            else:
                several[place : place + 1] = [{"add": {kind: own}} for own in changed]
            yield Mutant(name, where, json.dumps({"nftables": several}))
    yield from _swaps(commands)


def _swaps(commands: list[Json]) -> Iterator[Mutant]:
    rules = [(at, c["add"]["rule"]) for at, c in enumerate(commands) if "rule" in c.get("add", {})]
    for (at, one), (next_at, other) in pairwise(rules):
        if one["chain"] == other["chain"]:
            several = list(commands)
            several[at], several[next_at] = several[next_at], several[at]
            where = f"{one['chain']}: {one['comment']} and {other['comment']}"
            yield Mutant("swap rules", where, json.dumps({"nftables": several}))


def _changes(
    kind: str, body: Json, commands: list[Json]
) -> Iterator[tuple[str, str, list[Json] | None]]:
    """(kind of change, where, what stands in the object's place; None: nothing)."""
    if kind in ("set", "map"):
        if "elem" not in body:
            if body["type"] in ADDRESSES:
                added = [OTHERS[ADDRESSES[body["type"]]]]
                yield f"{kind}: add element", body["name"], [{**body, "elem": added}]
            return
        for name, elements in _elements(body["elem"], kind == "map", commands):
            yield f"{kind}: {name}", body["name"], [{**body, "elem": elements}]
    elif kind == "rule":
        where = f"{body['chain']}: {body['comment']}"
        yield "delete rule", where, None
        for verdict in ("accept", "drop"):
            extra = {**body, "expr": [{verdict: None}], "comment": "added"}
            yield f"add rule: {verdict}", where, [extra, body]
        for name, expression in _rule(body["expr"], commands):
            yield name, where, [{**body, "expr": expression}]
    elif kind == "chain" and "hook" in body:
        other = {"forward": "postrouting", "postrouting": "forward"}[body["hook"]]
        yield "chain: hook", body["name"], [{**body, "hook": other}]
        yield "chain: policy", body["name"], [{**body, "policy": "drop"}]


def _elements(elements: list[Json], verdicts: bool, commands: list[Json]) -> Iterator[Json]:
    chains = sorted(_names(commands, "chain"))
    for at, element in enumerate(elements):
        before, after = elements[:at], elements[at + 1 :]
        if before or after:
            yield "delete element", [*before, *after]
        key = element[0] if verdicts else element
        for changed in _values(key):
            if changed not in elements and changed not in [own[0] for own in elements if verdicts]:
                yield (
                    "change element",
                    [*before, [changed, element[1]] if verdicts else changed, *after],
                )
        if verdicts:
            for verdict in _verdicts(element[1], chains):
                yield "change verdict", [*before, [key, verdict], *after]
    added = _another(elements[0][0] if verdicts else elements[0])
    if added is not None:
        yield "add element", [*elements, [added, elements[0][1]] if verdicts else added]


def _rule(expression: list[Json], commands: list[Json]) -> Iterator[tuple[str, Json]]:
    chains = sorted(_names(commands, "chain"))
    named = sorted({*_names(commands, "set"), *_names(commands, "map")})
    for at, statement in enumerate(expression):
        before, after = expression[:at], expression[at + 1 :]
        (name, inner), *_ = statement.items()
        if name == "match":
            yield "rule: delete match", [*before, *after]
            for right in _right(inner["right"], _others(inner["right"], named, commands)):
                yield "rule: change value", [*before, {name: {**inner, "right": right}}, *after]
            for left in _fields(inner["left"]):
                yield "rule: change field", [*before, {name: {**inner, "left": left}}, *after]
        elif name == "vmap":
            for own in named:
                if f"@{own}" != inner["data"]:
                    yield (
                        "rule: change map",
                        [*before, {name: {**inner, "data": f"@{own}"}}, *after],
                    )
            for key in _fields(inner["key"]):
                yield "rule: change field", [*before, {name: {**inner, "key": key}}, *after]
        elif name == "mangle":
            yield "rule: delete mark", [*before, *after]
        elif name in ("accept", "drop", "return", "jump", "goto"):
            for verdict in _verdicts(statement, chains):
                yield "rule: change verdict", [*before, verdict, *after]


def _others(right: Json, named: list[str], commands: list[Json]) -> list[str]:
    """The sets and maps that do not hold the same."""
    bodies = [own for command in commands for own in command.get("add", {}).values()]
    content = {f"@{own['name']}": own.get("elem") for own in bodies if own.get("name") in named}
    same = content.get(right) if isinstance(right, str) else None
    return [name for name in named if same is None or content[f"@{name}"] != same]


def _right(right: Json, named: list[str]) -> Iterator[Json]:
    if isinstance(right, str) and right.startswith("@"):
        yield from (f"@{name}" for name in named if f"@{name}" != right)
    elif isinstance(right, list):
        for at in range(len(right)):
            yield [*right[:at], *right[at + 1 :]]
        yield from ([*right, state] for state in ("new", "invalid") if state not in right)
    elif right == "reply":
        yield "original"
    else:
        yield from _values(right)


def _fields(left: Json) -> Iterator[Json]:
    if "concat" in left:
        for at, part in enumerate(left["concat"]):
            for other in _fields(part):
                yield {"concat": [*left["concat"][:at], other, *left["concat"][at + 1 :]]}
    elif "meta" in left and left["meta"]["key"] in ("iifname", "oifname"):
        yield {"meta": {"key": {"iifname": "oifname", "oifname": "iifname"}[left["meta"]["key"]]}}
    elif "payload" in left:
        own = left["payload"]
        other_end = {"saddr": "daddr", "daddr": "saddr", "dport": "sport", "sport": "dport"}
        if own["field"] in other_end:
            yield {"payload": {**own, "field": other_end[own["field"]]}}
        if own["field"] in ("dport", "sport") and own["protocol"] != "th":
            for protocol in {"tcp", "udp", "sctp"} - {own["protocol"]}:
                yield {"payload": {**own, "protocol": protocol}}


def _verdicts(verdict: Json, chains: list[str]) -> Iterator[Json]:
    (name, inner), *_ = verdict.items()
    yield from ({other: None} for other in ("accept", "drop") if other != name)
    if inner is not None:
        yield {{"jump": "goto", "goto": "jump"}[name]: inner}
        yield from ({name: {"target": own}} for own in chains if own != inner["target"])


def _values(value: Json) -> Iterator[Json]:
    """Neighbours of a value: each bound moved by one, each prefix longer and shorter."""
    if isinstance(value, int):
        yield from (near for near in (value - 1, value + 1) if 0 <= near <= 65535)
    elif isinstance(value, str) and value in ("tcp", "udp", "sctp"):
        yield from sorted({"tcp", "udp", "sctp"} - {value})
    elif isinstance(value, str) and value in WORDS:
        yield WORDS[value]
    elif isinstance(value, str) and value in LINKS:
        yield "eth9"
    elif isinstance(value, str) and value != "local":
        address = ip_address(value)
        places = (int(address) + 1, int(address) - 1)
        yield from (str(type(address)(at)) for at in places if 0 <= at < 2**address.max_prefixlen)
    elif isinstance(value, dict):
        name, inner = next(iter(value.items()))
        if name == "prefix":
            yield from _prefixes(inner)
        elif isinstance(inner, list):
            for at, part in enumerate(inner):
                for near in _values(part):
                    yield {name: [*inner[:at], near, *inner[at + 1 :]]}


def _prefixes(inner: Json) -> Iterator[Json]:
    network = ip_network(f"{inner['addr']}/{inner['len']}")
    near = [*network.subnets(), network.supernet()] if network.prefixlen else network.subnets()
    for other in near:
        yield {"prefix": {"addr": str(other.network_address), "len": other.prefixlen}}


def _another(value: Json) -> Json:
    """An element of the same form that no example has."""
    if isinstance(value, str) and value in LINKS:
        return "eth9"
    if isinstance(value, str):
        return OTHERS[ip_address(value).version]
    first, second = value["concat"]
    if first == second:  # an address paired with itself
        return {"concat": [OTHERS[ip_address(first).version], second]}
    if isinstance(second, dict):  # a block beside every protocol
        version = 6 if "::" in json.dumps(first) else 4
        return {"concat": [OTHERS[version], second]}
    return {"concat": [60001, second] if isinstance(second, str) else [first, 60001]}


def _names(commands: list[Json], kind: str) -> Iterator[str]:
    return (c["add"][kind]["name"] for c in commands if kind in c.get("add", {}))
