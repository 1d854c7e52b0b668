"""Reads a ruleset back from libnftables JSON (libnftables-json(5)).

Comes in: what `nft -j list table inet netpolc` prints, or the JSON form that netpolc emits. Goes
out: a `Listing`. Refused (`RulesetError`): every object, key, statement and value that netpolc does
not emit and that could change a verdict, because a ruleset that is not understood whole cannot be
judged. What changes none may be there: comments, counts, anything about a counter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from netpolc.backends.nft.names import AUDIT, INVALID, NOTE
from netpolc.backends.nft.readback.fields import ADDRESSES, EXPRESSIONS, Field, number
from netpolc.backends.nft.readback.listing import (
    Action,
    Base,
    Box,
    Elements,
    Listing,
    Rule,
    Test,
    Verdict,
    check_jumps,
    in_order,
)
from netpolc.core.errors import RulesetError, printable
from netpolc.core.nets import Protocol, Span

Json = dict[str, Any]
_HOOKS = ("forward", "postrouting")
_PROTOCOLS = {protocol.name.lower(): int(protocol) for protocol in Protocol}
_COMMON = {"family", "table", "name", "handle", "comment"}
_KEYS = {
    "table": _COMMON - {"table"},
    "counter": None,  # it only counts, whatever is said of it
    "chain": _COMMON | {"type", "hook", "prio", "policy"},
    "set": _COMMON | {"type", "flags", "size", "count", "elem", "stmt"},
    "map": _COMMON | {"type", "flags", "size", "count", "elem", "map"},
    "rule": _COMMON - {"name"} | {"chain", "expr"},
}
_COUNTED = [{"counter": None}]
_BITS = ("ct state", "tcp flags")
"""Expressions of which a value is one bit: they are asked with `in`."""
_CT_MARK = {"ct": {"key": "mark"}}
_REJECTS = ({"type": "tcp reset"}, {"type": "icmpx", "expr": "admin-prohibited"})


def parse(text: str) -> Listing:
    """The table of a JSON document; `RulesetError` for anything netpolc does not emit."""
    try:
        document = json.loads(text)
        entries = document["nftables"]
        _check_objects(entries)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RulesetError(f"not libnftables JSON: {error}") from error
    return listing_of(list(_objects(entries)))


def _check_objects(entries: object) -> None:
    """`TypeError` unless it is a list of objects with one key each."""
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and len(entry) == 1 for entry in entries
    ):
        raise TypeError("`nftables` is no list of objects with one key")


def _objects(entries: Sequence[Json]) -> Iterator[Json]:
    """The objects of a listing, or those a transaction adds once the table was deleted."""
    if entries and "metainfo" in entries[0]:
        yield from entries[1:]
        return
    commands = [next(iter(entry.items())) for entry in entries]
    if [name for name, _ in commands[:2]] != ["add", "delete"]:
        raise RulesetError("neither a listing nor a transaction that replaces the table")
    for name, body in commands[2:]:
        if name != "add" or not isinstance(body, dict) or len(body) != 1:
            raise RulesetError(f"command {name!r} is not one that netpolc emits")
        yield body
    if commands[0][1] != commands[1][1] or commands[0][1] != commands[2][1]:
        raise RulesetError("the transaction does not replace one table")


def listing_of(objects: Sequence[Json]) -> Listing:
    """The table that some objects make, in the order of a listing."""
    try:
        return _Reader(objects).listing()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RulesetError(f"a part is missing or of another type: {error!r}") from error


class _Reader:
    """Reads the objects of one table: elements first, then the rules that refer to them."""

    def __init__(self, objects: Sequence[Json]) -> None:
        self._by_kind: dict[str, list[Json]] = {kind: [] for kind in _KEYS}
        for entry in objects:
            kind, body = next(iter(entry.items()))
            if kind not in _KEYS:
                raise RulesetError(f"netpolc emits no {printable(kind)}")
            if kind == "set" and str(body.get("name")).startswith(NOTE):
                continue  # a note that no rule may ask: one that does finds nothing
            if (keys := _KEYS[kind]) is not None:
                _only(kind, body, keys)
            self._by_kind[kind].append(body)
        if len(self._by_kind["table"]) != 1:
            raise RulesetError("not exactly one table")
        self._table = self._by_kind["table"][0]["name"]
        for kind, bodies in self._by_kind.items():
            for body in bodies:
                _one_of("family", body["family"], ("inet",))
                if kind != "table":
                    _one_of("table", body["table"], (self._table,))
        self._elements = self._named("set", "map")
        self._marks: set[tuple[int, int]] = set()
        self._counters = {body["name"] for body in self._by_kind["counter"]}

    def _named(self, *kinds: str) -> dict[str, Elements]:
        found: dict[str, Elements] = {}
        for kind in kinds:
            for body in self._by_kind[kind]:
                if body["name"] in found:
                    raise RulesetError(f"{body['name']} is there twice")
                found[body["name"]] = _elements(kind, body)
        return found

    def listing(self) -> Listing:
        """Everything, once what refers to each other was found to be there."""
        bases = [_base(body) for body in self._by_kind["chain"] if not set(body) <= _COMMON]
        chains: dict[str, list[Rule]] = {body["name"]: [] for body in self._by_kind["chain"]}
        if len(chains) != len(self._by_kind["chain"]):
            raise RulesetError("a chain is there twice")
        for body in self._by_kind["rule"]:
            if body["chain"] not in chains:
                raise RulesetError(f"a rule is in chain {body['chain']}, which is not there")
            chains[body["chain"]].append(self._rule(body))
        if len(self._marks) > 1:
            raise RulesetError("flows are marked in more than one way")
        table = Listing(
            self._table,
            in_order(base for base in bases if base is not None),
            {name: tuple(rules) for name, rules in chains.items()},
            tuple(self._elements.values()),
            bool(self._marks),
        )
        check_jumps(table)
        return table

    def _rule(self, body: Json) -> Rule:
        tests: list[Test] = []
        outcome: Test | Verdict | None = None
        audits = False
        remembers = loses = False
        statements = list(body["expr"])
        while statements:
            name, value = _single(statements.pop(0))
            if outcome is not None:
                raise RulesetError(f"a statement after the verdict: {name}")
            if name == "match":
                tests.extend(self._match(value))
            elif name == "vmap":
                outcome = self._lookup(value)
            elif name == "counter":
                _one_of("counter", value, self._counters)
                audits = audits or value.startswith(AUDIT)
                loses = loses or value == INVALID
            elif name == "mangle":
                self._marks.add(_marked(value))
                remembers = True
            elif name == "limit" and len(statements) == 1 and "log" in statements[0]:
                statements.pop(0)  # what is beyond the limit is not logged, and nothing else
            else:
                outcome = _verdict(name, value)
        return Rule(tuple(tests), outcome, body.get("comment", ""), audits, remembers, loses)

    def _lookup(self, value: Json) -> Test:
        _only("vmap", value, {"key", "data"})
        fields, kinds = _expressions(value["key"])
        return Test(fields, self._reference(value["data"], kinds, verdicts=True))

    def _match(self, value: Json) -> Iterator[Test]:
        _only("match", value, {"op", "left", "right"})
        left, right = value["left"], value["right"]
        if isinstance(right, str) and right.startswith("@"):
            _one_of("operator", value["op"], ("==",))
            fields, kinds = _expressions(left)
            yield Test(fields, self._reference(right, kinds, verdicts=False))
            return
        mark = _compared_mark(left, right)
        if mark is not None:
            _one_of("operator", value["op"], ("==",))
            self._marks.add(mark)
            yield _inline("ct mark", [((1, 1),)])
            return
        name = _expression(left)
        _one_of("operator", value["op"], ("in",) if name in _BITS else ("==",))
        protocol, _, key = name.partition(" ")
        if protocol in _PROTOCOLS and key in ("dport", "sport"):
            own = _PROTOCOLS[protocol]
            yield _inline("meta l4proto", [((own, own),)])
            name = f"th {key}"
        if name == "tcp flags":
            yield _inline("meta l4proto", [((Protocol.TCP, Protocol.TCP),)])
        if name not in EXPRESSIONS:
            raise RulesetError(f"netpolc compares no {printable(name)}")
        kind = EXPRESSIONS[name][1]
        words = right if isinstance(right, list) else [right]
        yield _inline(name, [(_span(kind, word),) for word in words])

    def _reference(self, name: str, kinds: tuple[str, ...], *, verdicts: bool) -> Elements:
        found = self._elements.get(name.removeprefix("@"))
        if found is None or not name.startswith("@"):
            raise RulesetError(f"{name} is not there")
        if found.kinds != kinds:
            raise RulesetError(f"{name} holds {found.kinds} and is asked for {kinds}")
        is_map = any(body["name"] == found.name for body in self._by_kind["map"])
        if is_map is not verdicts:
            raise RulesetError(f"{name} is {'a map' if is_map else 'no map'}")
        return found


def _compared_mark(left: Json, right: Any) -> tuple[int, int] | None:
    """Mask and value of a comparison with the flow's mark; None when it is another comparison.

    nft writes a mask of leading ones as a prefix, `ct mark 0x9da00000/12`, and a whole one not at
    all.
    """
    if left == _CT_MARK and isinstance(right, int):
        return _mark(0xFFFFFFFF, right)
    if left == _CT_MARK:
        prefix = right["prefix"]
        _only("prefix", prefix, {"addr", "len"})
        return _mark((1 << 32) - (1 << 32 - prefix["len"]), prefix["addr"])
    if "&" not in left:
        return None
    mask = left["&"][1]
    if left != {"&": [_CT_MARK, mask]}:
        raise RulesetError(f"netpolc emits no expression {printable(str(left))}")
    return _mark(mask, right)


def _marked(statement: Json) -> tuple[int, int]:
    """Mask and value of `ct mark set ct mark & KEPT | VALUE`."""
    masked, value = statement["value"]["|"]
    kept = masked["&"][1]
    if statement != {"key": _CT_MARK, "value": {"|": [{"&": [_CT_MARK, kept]}, value]}}:
        raise RulesetError(f"netpolc emits no statement {printable(str(statement))}")
    return _mark(~kept & 0xFFFFFFFF | value, value)


def _mark(mask: int, value: int) -> tuple[int, int]:
    if value <= 0 or value & ~mask:
        raise RulesetError(f"{value:#x} marks no flow under {mask:#x}")
    return mask, value


def _inline(name: str, boxes: list[Box]) -> Test:
    field, kind = EXPRESSIONS[name]
    return Test((field,), Elements(name, (kind,), [(box, None) for box in boxes]))


def _elements(kind: str, body: Json) -> Elements:
    types = _types(body["type"])
    for own in types:
        _one_of("type", own, {*ADDRESSES, "inet_proto", "inet_service", "ifname"})
    if body.get("flags", []) not in ([], ["interval"]):
        raise RulesetError(f"{kind} {body['name']} has flags {body['flags']}")
    if kind == "map":
        _one_of("map", body["map"], ("verdict",))
    if body.get("stmt", _COUNTED) != _COUNTED:
        raise RulesetError(f"netpolc emits no {kind} with {printable(str(body['stmt']))}")
    counted = "stmt" in body
    entries: list[tuple[Box, Verdict | None]] = []
    for element in body.get("elem", []):
        if kind == "set" and len(types) == 1 and isinstance(element, str):
            entries.append(((_single_span(types[0], element),), None))
            continue
        key, verdict = element, None
        if kind == "map":
            key, value = element
            verdict = _verdict(*_single(value))
        key = _bare(key)
        parts = key["concat"] if isinstance(key, dict) and "concat" in key else [key]
        box = tuple(_span(own, part) for own, part in zip(types, parts, strict=True))
        entries.append((box, verdict))
    return Elements(body["name"], tuple(types), entries, counted)


def _types(value: Any) -> list[str]:
    """The types of the fields of a set or map; what is declared with `typeof` names expressions."""
    if isinstance(value, dict):
        _only("type", value, {"typeof"})
        return list(_expressions(value["typeof"])[1])
    return value if isinstance(value, list) else [value]


def _bare(element: Any) -> Any:
    """An element without what it counted and what somebody noted, as the kernel lists it."""
    if not isinstance(element, dict) or "elem" not in element:
        return element
    _only("element", element["elem"], {"val", "counter", "comment"})
    return element["elem"]["val"]


def _span(kind: str, value: object) -> Span:
    if isinstance(value, dict):
        name, inner = _single(value)
        if name == "range":
            first, last = (number(kind, word) for word in inner)
            if first <= last:
                return first, last
        elif name == "prefix" and kind in ADDRESSES:
            _only("prefix", inner, {"addr", "len"})
            first = number(kind, inner["addr"])
            bits = (32 if kind == "ipv4_addr" else 128) - inner["len"]
            if bits >= 0 and not first & (1 << bits) - 1:
                return first, first + (1 << bits) - 1
        raise RulesetError(f"{value!r} is no range of {kind}")
    return _single_span(kind, value) if isinstance(value, str) else _one(number(kind, value))


@lru_cache(1 << 17)
def _single_span(kind: str, word: str) -> Span:
    """Most addresses are in many sets."""
    return _one(number(kind, word))


def _one(found: int) -> Span:
    return found, found


def _verdict(name: str, value: Any) -> Verdict:
    if name in ("accept", "drop", "return") and value is None:
        return Verdict(Action(name))
    if name in ("jump", "goto"):
        _only(name, value, {"target"})
        return Verdict(Action(name), value["target"])
    if name == "reject" and value in _REJECTS:
        return Verdict(Action.REJECT)
    raise RulesetError(f"netpolc emits no statement {printable(f'{name} {value}')}")


def _expressions(value: Json) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    parts = value.get("concat", [value])
    found = [EXPRESSIONS.get(_expression(part)) for part in parts]
    known = [entry for entry in found if entry is not None]
    if len(known) != len(found):
        raise RulesetError(f"netpolc looks no {printable(str(value))} up")
    return tuple(field for field, _ in known), tuple(kind for _, kind in known)


def _expression(value: Json) -> str:
    """An expression in the words of nft."""
    name, body = _single(value)
    if name == "payload":
        _only(name, body, {"protocol", "field"})
        return f"{body['protocol']} {body['field']}"
    if name in ("meta", "ct"):
        _only(name, body, {"key"})
        return f"{name} {body['key']}"
    if name == "fib" and body == {"result": "type", "flags": ["saddr"]}:
        return "fib saddr type"
    raise RulesetError(f"netpolc emits no expression {printable(str(value))}")


def _base(body: Json) -> Base | None:
    _one_of("type", body["type"], ("filter",))
    _one_of("hook", body["hook"], _HOOKS)
    _one_of("policy", body["policy"], ("accept", "drop"))
    return Base(body["name"], body["hook"], int(body["prio"]), Action(body["policy"]))


def _single(value: Any) -> tuple[str, Any]:
    if not isinstance(value, dict) or len(value) != 1:
        raise RulesetError(f"netpolc emits no {printable(str(value))}")
    name, inner = next(iter(value.items()))
    return str(name), inner


def _only(what: str, body: Any, keys: set[str]) -> None:
    if not isinstance(body, dict):
        raise RulesetError(f"{what} is no object")
    unknown = sorted(set(body) - keys)
    if unknown:
        raise RulesetError(f"netpolc emits no {what} with {printable(', '.join(unknown))}")


def _one_of(what: str, value: object, allowed: Iterable[object]) -> None:
    if value not in allowed:
        raise RulesetError(f"netpolc emits no {what} {printable(str(value))} here")
