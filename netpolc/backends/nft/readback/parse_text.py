"""Reads a ruleset back from the text that netpolc emits.

Comes in: the text of a transaction, as `netpolc compile` writes it (and no other form of nft's
language: what the kernel holds is read as JSON). Goes out: a `Listing`, by way of the objects of
libnftables JSON, so that both forms meet the same checks. Refused (`RulesetError`, with the line):
everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.parse_json import Json, listing_of
from netpolc.backends.nft.wording import BLANKS
from netpolc.core.errors import RulesetError, printable

_COMMENT = re.compile(r'(?:(?P<head>.*) )?comment "(?P<comment>[^"]*)"')
_HOOK = re.compile(r"type (\w+) hook (\w+) priority (-?\d+); policy (\w+);")
_LOG = re.compile(r'limit rate (\d+)/(\w+) log prefix "([^"]*)"')
_OPEN = re.compile(r"(counter|set|map|chain) (\w+) \{")
_TABLE = re.compile(r"table (\w+) (\w+)")
_EXPRESSION = re.compile(
    r"(?:ip|ip6) [sd]addr|(?:tcp|udp|sctp|th) [sd]port|meta l4proto|ct (?:state|direction)"
    r"|ip6 hoplimit|icmpv6 type|fib saddr type|meta oifkind|[io]ifname|iif|tcp flags"
)
_MARK = re.compile(r"ct mark (?:& 0x([0-9a-f]+) == )?0x([0-9a-f]+)(?: |$)")
_SET_MARK = re.compile(r"ct mark set ct mark & 0x([0-9a-f]+) \| 0x([0-9a-f]+)(?: |$)")
_QUOTED = re.compile(r'"([^"]*)"')
_CT_MARK: Json = {"ct": {"key": "mark"}}
_VERDICTS: dict[str, Json] = {
    "accept": {"accept": None},
    "drop": {"drop": None},
    "return": {"return": None},
    "reject with tcp reset": {"reject": {"type": "tcp reset"}},
    "reject with icmpx admin-prohibited": {"reject": {"type": "icmpx", "expr": "admin-prohibited"}},
}


def parse(text: str) -> Listing:
    """The table of a transaction; `RulesetError` for anything netpolc does not emit."""
    return listing_of(list(_Parser(text).objects()))


class _Parser:
    """Goes through the lines once."""

    def __init__(self, text: str) -> None:
        lines = [line.strip(BLANKS) for line in text.split("\n")]
        self._lines = lines
        self._plain: set[str] = set()  # elements that are one word: most addresses are in many sets
        self._at = 0

    def _next(self) -> str:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            if line and not line.startswith("#"):
                return line
        return self._refuse("the ruleset ends too early")

    def _refuse(self, why: str) -> NoReturn:
        line = self._lines[self._at - 1] if self._lines else ""
        raise RulesetError(f"line {self._at}: {why}: {printable(line[:200])}")

    def objects(self) -> Iterator[Json]:
        """The table and everything in it, as JSON objects; the rules come last."""
        head = self._next()
        match = _TABLE.fullmatch(head)
        if match is None or (self._next(), self._next()) != (f"delete {head}", f"{head} {{"):
            self._refuse("not a transaction that replaces a table")
        self._inside = {"family": match[1], "table": match[2]}
        yield {"table": {"family": match[1], "name": match[2]}}
        rules: list[Json] = []
        while (line := self._next()) != "}":
            opened = _OPEN.fullmatch(line)
            if opened is None:
                if not line.startswith("comment ") or _COMMENT.fullmatch(line) is None:
                    self._refuse("netpolc emits no such line")
                continue
            kind, name = opened.groups()
            body: Json = {**self._inside, "name": name}
            if kind == "counter":
                body["comment"] = self._commented(self._next())[1]
                self._end()
            elif kind == "chain":
                rules.extend(self._chain(name, body))
            else:
                self._block(kind, body)
            yield {kind: body}
        if any(line and not line.startswith("#") for line in self._lines[self._at :]):
            self._at += 1
            self._refuse("something follows the table")
        yield from rules

    def _end(self) -> None:
        if self._next() != "}":
            self._refuse("expected }")

    def _commented(self, line: str) -> tuple[str, str]:
        match = _COMMENT.fullmatch(line)
        if match is None:
            self._refuse("no comment, which every rule of netpolc's has")
        return match["head"] or "", match["comment"]

    def _chain(self, name: str, body: Json) -> Iterator[Json]:
        while (line := self._next()) != "}":
            hook = _HOOK.fullmatch(line)
            if hook is not None:
                body.update(type=hook[1], hook=hook[2], prio=int(hook[3]), policy=hook[4])
                continue
            words, comment = self._commented(line)
            yield {
                "rule": {
                    **self._inside,
                    "chain": name,
                    "expr": list(self._statements(words)),
                    "comment": comment,
                }
            }

    def _block(self, kind: str, body: Json) -> None:
        """The inside of a set or map: its type, size or flags, and one element a line."""
        line = self._next()
        how, _, rest = line.partition(" ")
        words = rest.removesuffix(" : verdict").split(" . ")
        if how == "typeof" and all(map(_EXPRESSION.fullmatch, words)):
            body["type"] = {"typeof": _joined([_expression(own) for own in words])}
        elif how == "type":
            body["type"] = words
        else:
            self._refuse("neither type nor typeof")
        if kind == "map":
            body["map"] = "verdict" if line.endswith(" : verdict") else ""
        what, _, value = self._next().partition(" ")
        if what == "size" and value.isdecimal():
            body["size"] = int(value)
        elif what == "flags":
            body["flags"] = [value]
        else:
            self._refuse("neither size nor flags")
        body["elem"] = []
        line = self._next()
        if kind == "set" and line == "counter":
            body["stmt"] = [{"counter": None}]
            line = self._next()
        if line == "elements = {":
            while (line := self._next()) != "}":
                text = line.removesuffix(",")
                if kind == "set" and text in self._plain:
                    body["elem"].append(text)
                    continue
                element = self._element(kind, text)
                if element == text:
                    self._plain.add(text)
                body["elem"].append(element)
            self._end()
        elif line != "}":
            self._refuse("expected elements")

    def _element(self, kind: str, text: str) -> Any:
        key, colon, verdict = text.partition(" : ")
        if bool(colon) is not (kind == "map"):
            self._refuse(f"not an element of a {kind}")
        parts = [self._value(word) for word in key.split(" . ")]
        element = _joined(parts)
        return [element, self._verdict(verdict)] if colon else element

    def _value(self, word: str) -> Any:
        if word.isdecimal():
            return int(word)
        if (quoted := _QUOTED.fullmatch(word)) is not None:
            return quoted[1]
        first, dash, last = word.partition("-")
        if dash and (first.isdecimal() or "." in first or ":" in first):
            return {"range": [self._value(first), self._value(last)]}
        address, slash, length = word.partition("/")
        if slash and length.isdecimal():
            return {"prefix": {"addr": address, "len": int(length)}}
        return word

    def _verdict(self, words: str) -> Json:
        if words in _VERDICTS:
            return _VERDICTS[words]
        action, _, chain = words.partition(" ")
        if action in ("jump", "goto") and chain.isidentifier():
            return {action: {"target": chain}}
        return self._refuse("netpolc emits no such statement")

    def _statements(self, words: str) -> Iterator[Json]:
        """The matches and statements of a rule, in order."""
        while words:
            counted = re.match(r"counter name (\w+)(?: |$)", words)
            log = _LOG.fullmatch(words)
            compared, marked = _MARK.match(words), _SET_MARK.match(words)
            if counted is not None:
                yield {"counter": counted[1]}
                words = words[counted.end() :]
            elif compared is not None:
                yield _compared_mark(*compared.groups())
                words = words[compared.end() :]
            elif marked is not None:
                kept, value = (int(digits, 16) for digits in marked.groups())
                bits = {"|": [{"&": [_CT_MARK, kept]}, value]}
                yield {"mangle": {"key": _CT_MARK, "value": bits}}
                words = words[marked.end() :]
            elif log is not None:
                yield {"limit": {"rate": int(log[1]), "burst": 5, "per": log[2]}}
                yield {"log": {"prefix": log[3]}}
                return
            elif _EXPRESSION.match(words) is not None:
                statement, words = self._match(words)
                yield statement
            else:
                yield self._verdict(words)
                return

    def _match(self, words: str) -> tuple[Json, str]:
        """A comparison or a lookup, and what follows it."""
        expressions = []
        while (found := _EXPRESSION.match(words)) is not None:
            expressions.append(_expression(found[0]))
            words = words[found.end() :]
            if not words.startswith(" . "):
                break
            words = words.removeprefix(" . ")
        key = _joined(expressions)
        parts = words.split(" ", 3 if words.startswith(" vmap ") else 2)
        if parts[0] != "" or len(parts) < 2:
            self._refuse("a comparison with nothing")
        if parts[1] == "vmap" and len(parts) > 2:
            return {"vmap": {"key": key, "data": parts[2]}}, " ".join(parts[3:])
        rest = " ".join(parts[2:])
        value: Any = self._value(parts[1])
        if key == {"ct": {"key": "state"}}:
            return {"match": {"op": "in", "left": key, "right": parts[1].split(",")}}, rest
        if key == {"payload": {"protocol": "tcp", "field": "flags"}}:
            return {"match": {"op": "in", "left": key, "right": value}}, rest
        if key == {"meta": {"key": "iif"}}:
            value = parts[1]  # a name of an interface, or 0
        return {"match": {"op": "==", "left": key, "right": value}}, rest


def _joined(parts: list[Any]) -> Any:
    """The parts of a key: one is itself."""
    return parts[0] if len(parts) == 1 else {"concat": parts}


def _compared_mark(mask: str | None, value: str) -> Json:
    left: Json = {"&": [_CT_MARK, int(mask, 16)]} if mask else _CT_MARK
    return {"match": {"op": "==", "left": left, "right": int(value, 16)}}


def _expression(words: str) -> Json:
    if words in ("iif", "iifname", "oifname"):
        return {"meta": {"key": words}}
    first, second, *_ = words.split()
    if first == "fib":
        return {"fib": {"result": "type", "flags": [second]}}
    if first in ("meta", "ct"):
        return {first: {"key": second}}
    return {"payload": {"protocol": first, "field": second}}
