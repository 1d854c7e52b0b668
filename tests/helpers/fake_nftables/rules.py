"""Rules: text to statements as libnftables writes them in JSON, and what they refer to.

In: one rule in nft's words, as netpolc and nft itself write it. Out: a `Rule`. The statements are
libnftables-json(5); the words are kept for the text listing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tests.helpers.fake_nftables.refusal import Unmodelled
from tests.helpers.fake_nftables.values import EXPRESSIONS

Json = dict[str, Any]
_WORD = re.compile(r'"[^"]*"|\S+')
_CT_MARK: Json = {"ct": {"key": "mark"}}
_PORTS = ("tcp", "udp", "sctp", "th")
_ICMPV6_TYPES = {
    133: "nd-router-solicit",
    134: "nd-router-advert",
    135: "nd-neighbor-solicit",
    136: "nd-neighbor-advert",
    137: "nd-redirect",
}
_META = ("l4proto", "oifkind", "iifname", "oifname")


@dataclass(frozen=True, slots=True)
class Lookup:
    """A set or map that is asked, and the types that it is asked with."""

    name: str
    types: tuple[str, ...]
    verdicts: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """Statements, the comment, and every object that has to stay for as long as the rule does;
    whether it rejects, which not every hook allows.
    """

    words: str
    statements: tuple[Json, ...]
    comment: str | None
    lookups: tuple[Lookup, ...]
    chains: tuple[str, ...]
    counters: tuple[str, ...]
    rejects: bool


@lru_cache(1 << 16)
def rule(words: str) -> Rule:
    """One rule; `Unmodelled` for words that netpolc does not write."""
    return _Reader(words).rule()


class _Reader:
    def __init__(self, words: str) -> None:
        self._words: list[str] = _WORD.findall(words)
        self._said = words
        self._lookups: list[Lookup] = []
        self._chains: list[str] = []
        self._counters: list[str] = []
        self._comment: str | None = None

    def rule(self) -> Rule:
        statements = tuple(self._statements())
        return Rule(
            re.sub(r"\bcounter name (\w+)", r'counter name "\1"', self._said),
            statements,
            self._comment,
            tuple(self._lookups),
            tuple(self._chains),
            tuple(self._counters),
            any("reject" in own for own in statements),
        )

    def _take(self, *expected: str) -> str:
        if not self._words or (expected and self._words[0] not in expected):
            raise Unmodelled(f"rule {self._said!r}, at {' '.join(self._words[:3])!r}")
        return self._words.pop(0)

    def _quoted(self) -> str:
        word = self._take()
        return word[1:-1] if word[:1] == '"' else word

    def _statements(self) -> Iterator[Json]:
        while self._words:
            match self._words:
                case ["comment", text] if text[:1] == '"':
                    self._comment = text[1:-1]
                    return
                case ["counter", "name", *_]:
                    del self._words[:2]
                    self._counters.append(self._quoted())
                    yield {"counter": self._counters[-1]}
                case ["limit", "rate", rate, *_]:
                    del self._words[:3]
                    yield self._limit(rate)
                case ["log", "prefix", *_]:
                    del self._words[:2]
                    yield {"log": {"prefix": self._quoted()}}
                case ["ct", "mark", "set", *_]:
                    del self._words[:3]
                    yield self._set_mark()
                case ["ct", "mark", *_]:
                    del self._words[:2]
                    yield self._compared_mark()
                case ["accept" | "drop" | "return" as action, *_]:
                    del self._words[:1]
                    yield {action: None}
                case ["jump" | "goto" as action, chain, *_]:
                    del self._words[:2]
                    self._chains.append(chain)
                    yield {action: {"target": chain}}
                case ["reject", *_]:
                    yield self._reject()
                case _:
                    yield self._match()

    def _limit(self, rate: str) -> Json:
        count, _, unit = rate.partition("/")
        burst = 5
        if self._words[:1] == ["burst"]:
            del self._words[:1]
            burst = int(self._take())
            self._take("packets")
        return {"limit": {"rate": int(count), "burst": burst, "per": unit}}

    def _reject(self) -> Json:
        self._take("reject")
        self._take("with")
        how = self._take("tcp", "icmpx")
        if how == "tcp":
            self._take("reset")
            return {"reject": {"type": "tcp reset"}}
        return {"reject": {"type": "icmpx", "expr": self._take("admin-prohibited")}}

    def _set_mark(self) -> Json:
        for word in ("ct", "mark", "&"):
            self._take(word)
        kept = int(self._take(), 16)
        self._take("|")
        value = {"|": [{"&": [_CT_MARK, kept]}, int(self._take(), 16)]}
        return {"mangle": {"key": _CT_MARK, "value": value}}

    def _compared_mark(self) -> Json:
        left: Json = _CT_MARK
        right: Any
        if self._words[:1] == ["&"]:
            del self._words[:1]
            left = {"&": [_CT_MARK, int(self._take(), 16)]}
            self._take("==")
        value, slash, length = self._take().partition("/")
        right = int(value, 16)
        if slash:
            right = {"prefix": {"addr": right, "len": int(length)}}
        return {"match": {"op": "==", "left": left, "right": right}}

    def _match(self) -> Json:
        keys, parts = [], []
        while True:
            key, part = self._expression()
            keys.append(key)
            parts.append(part)
            if self._words[:1] != ["."]:
                break
            del self._words[:1]
        left = parts[0] if len(parts) == 1 else {"concat": parts}
        word = self._take()
        if word == "vmap" or word.startswith("@"):
            verdicts = word == "vmap"
            name = self._take() if verdicts else word
            if not name.startswith("@") or not {*keys} <= {*EXPRESSIONS}:
                raise Unmodelled(f"rule {self._said!r}, at {word}")
            types = tuple(EXPRESSIONS[key] for key in keys)
            self._lookups.append(Lookup(name[1:], types, verdicts))
            if verdicts:
                return {"vmap": {"key": left, "data": name}}
            return {"match": {"op": "==", "left": left, "right": name}}
        if len(keys) > 1:
            raise Unmodelled(f"rule {self._said!r}, at {word}")
        bits = keys[0] in ("ct state", "tcp flags")
        right = _value(keys[0], word)
        return {"match": {"op": "in" if bits else "==", "left": left, "right": right}}

    def _expression(self) -> tuple[str, Json]:
        match self._words:
            case ["ip" | "ip6" as first, "saddr" | "daddr" | "hoplimit" as second, *_]:
                found: Json = {"payload": {"protocol": first, "field": second}}
            case [first, "dport" | "sport" as second, *_] if first in _PORTS:
                found = {"payload": {"protocol": first, "field": second}}
            case ["icmpv6" as first, "type" as second, *_] | [
                "tcp" as first,
                "flags" as second,
                *_,
            ]:
                found = {"payload": {"protocol": first, "field": second}}
            case ["meta" as first, second, *_] if second in _META:
                found = {"meta": {"key": second}}
            case ["ct" as first, "state" | "direction" as second, *_]:
                found = {"ct": {"key": second}}
            case ["fib", "saddr", "type", *_]:
                del self._words[:3]
                return "fib saddr type", {"fib": {"result": "type", "flags": ["saddr"]}}
            case ["iifname" | "oifname" | "iif" as key, *_]:
                del self._words[:1]
                return key, {"meta": {"key": key}}
            case _:
                raise Unmodelled(f"rule {self._said!r}, at {' '.join(self._words[:3])!r}")
        del self._words[:2]
        return f"{first} {second}", found


def _value(key: str, word: str) -> Any:
    """What a field is compared with; words that mean numbers are numbers, as nft lists them."""
    if key == "ct state":
        states = word.split(",")
        return states if len(states) > 1 else word
    if key == "iif":
        return word
    if word[:1] == '"':
        return word[1:-1]
    address, slash, length = word.partition("/")
    if slash:
        return {"prefix": {"addr": address, "len": int(length)}}
    first, dash, last = word.partition("-")
    if dash and (first.isdecimal() or "." in first or ":" in first):
        return {"range": [_single(key, first), _single(key, last)]}
    return _single(key, word)


def _single(key: str, word: str) -> Any:
    if not word.isdecimal():
        return word
    return _ICMPV6_TYPES.get(int(word), int(word)) if key == "icmpv6 type" else int(word)
