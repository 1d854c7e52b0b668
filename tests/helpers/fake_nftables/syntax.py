"""Reads transactions as text, one command after the other.

In: text for `nft -f`: netpolc's own, what nft lists, and short commands on one line. Out: a
`Command` for each message, in the order in which libnftables sends those of a table's block:
chains, counters, sets with their elements, then rules. `Unmodelled` for everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn, cast

from tests.helpers.fake_nftables.commands import (
    Command,
    Flush,
    Hook,
    Kind,
    OnElements,
    OnObject,
    OnRule,
    OnTable,
    SetType,
    Verb,
)
from tests.helpers.fake_nftables.refusal import Unmodelled
from tests.helpers.fake_nftables.rules import rule
from tests.helpers.fake_nftables.values import EXPRESSIONS

_TABLE = re.compile(r"(?:(add|create|delete|destroy|flush) )?table inet (\w+)(?: (\{.*))?")
_OBJECT = re.compile(
    r"(add|create|delete|destroy|flush) (chain|set|map|counter) inet (\w+) (\w+)(?: (\{.*))?"
)
_ELEMENTS = re.compile(r"(add|create|delete|destroy) element inet (\w+) (\w+) \{ *(.*?) *\}")
_RULE = re.compile(r"(add|insert) rule inet (\w+) (\w+) (.+)")
_OPENED = re.compile(r"(chain|set|map|counter) (\w+) \{")
_HOOK = re.compile(r"type filter hook (\w+) priority (-?\d+); policy (accept|drop);?")
_COMMENT = re.compile(r'comment "([^"]*)"')
_COUNTS = re.compile(r"packets \d+ bytes \d+")
_SIZE = re.compile(r"size (\d+)")
_LIST = re.compile(r'\s*((?:"[^"]*"|[^",]|,(?=\S))+)')
_COMMANDS = re.compile(r'((?:"[^"]*"|\{[^{}]*\}|[^";{}])+)(?:;|$)')
_DATATYPES = {*EXPRESSIONS.values()}


def commands(text: str) -> list[Command]:
    """Every command of a transaction."""
    return list(_Reader(text).commands())


def split(listed: str) -> list[str]:
    """Elements of a list on one line."""
    if '"' not in listed:
        return [own for own in listed.removesuffix(",").split(", ") if own]
    return _LIST.findall(listed)


class _Reader:
    """Goes through the lines once; what stands in braces on one line is lines of its own."""

    def __init__(self, text: str) -> None:
        stripped = (line.strip() for line in text.splitlines())
        self._lines = [line for line in stripped if line and line[0] != "#"]
        self._at = 0

    def _next(self) -> str:
        if self._at == len(self._lines):
            raise Unmodelled("the transaction ends too early")
        self._at += 1
        return self._lines[self._at - 1]

    def _refuse(self, line: str) -> NoReturn:
        raise Unmodelled(f"nothing is known of: {line[:200]}")

    def commands(self) -> Iterator[Command]:
        while self._at < len(self._lines):
            line = self._next()
            if ";" in line:
                line, *others = (own.strip() for own in _COMMANDS.findall(line))
                self._lines[self._at : self._at] = filter(None, others)
            yield from self._command(line)

    def _command(self, line: str) -> Iterator[Command]:
        if (found := _ELEMENTS.fullmatch(line)) is not None:
            verb, table, name, listed = found.groups()
            yield OnElements(cast(Verb, verb), table, name, tuple(split(listed)))
        elif (found := _RULE.fullmatch(line)) is not None:
            verb, table, chain, words = found.groups()
            yield OnRule(table, chain, rule(words), first=verb == "insert")
        elif (found := _TABLE.fullmatch(line)) is not None:
            yield from self._table(*found.groups())
        elif (found := _OBJECT.fullmatch(line)) is not None:
            verb, kind, table, name, body = found.groups()
            if verb == "flush":
                if kind == "counter":
                    self._refuse(line)
                yield Flush(kind, table, name)  # type: ignore[arg-type]
                return
            self._open(body)
            own = cast(Kind, kind)
            yield from self._object(cast(Verb, verb), own, table, name, body is not None)
        else:
            self._refuse(line)

    def _open(self, body: str | None) -> None:
        """Make lines of what stands in braces behind a command."""
        if body is None or body == "{":
            return
        inside = body.removeprefix("{").removesuffix("}").strip()
        if "{" in inside or not body.endswith("}"):
            self._refuse(body)
        hook = _HOOK.fullmatch(inside)
        lines = [inside] if hook is not None else [own.strip() for own in inside.split(";")]
        self._lines[self._at : self._at] = [*filter(None, lines), "}"]

    def _table(self, verb: str | None, table: str, body: str | None) -> Iterator[Command]:
        if verb == "flush":
            yield Flush("table", table)
            return
        if body is None or verb in ("delete", "destroy"):
            yield OnTable(cast(Verb, verb or "add"), table)
            return
        self._open(body)
        dormant, comment = False, None
        parts: dict[str, list[Command]] = {"chain": [], "counter": [], "set": [], "rule": []}
        while (line := self._next()) != "}":
            opened = _OPENED.fullmatch(line)
            if opened is not None:
                kind, name = cast(Kind, opened[1]), opened[2]
                for own in self._object("add", kind, table, name, True):
                    place = "rule" if isinstance(own, OnRule) else kind
                    parts["set" if place == "map" else place].append(own)
            elif (noted := _COMMENT.fullmatch(line)) is not None:
                comment = noted[1]
            elif line == "flags dormant":
                dormant = True
            else:
                self._refuse(line)
        yield OnTable(cast(Verb, verb or "add"), table, dormant, comment)
        for own_part in parts.values():
            yield from own_part

    def _object(
        self, verb: Verb, kind: Kind, table: str, name: str, body: bool
    ) -> Iterator[Command]:
        if not body:
            yield OnObject(verb, kind, table, name)
        elif kind == "chain":
            yield from self._chain(verb, table, name)
        elif kind == "counter":
            comment = None
            while (line := self._next()) != "}":
                if (noted := _COMMENT.fullmatch(line)) is not None:
                    comment = noted[1]
                elif _COUNTS.fullmatch(line) is None:
                    self._refuse(line)
            yield OnObject(verb, kind, table, name, comment=comment)
        else:
            yield from self._set(verb, kind, table, name)

    def _chain(self, verb: Verb, table: str, name: str) -> Iterator[Command]:
        hook: Hook | None = None
        rules: list[Command] = []
        while (line := self._next()) != "}":
            if line.startswith("type "):
                found = _HOOK.fullmatch(line) or self._refuse(line)
                hook = Hook(found[1], int(found[2]), found[3])
            else:
                rules.append(OnRule(table, name, rule(line.removesuffix(";"))))
        yield OnObject(verb, "chain", table, name, hook)
        yield from rules

    def _set(self, verb: Verb, kind: Kind, table: str, name: str) -> Iterator[Command]:
        declared, size = "", 0
        interval = counted = False
        elements: list[str] = []
        while (line := self._next()) != "}":
            line = line.removesuffix(";")
            if line.startswith(("typeof ", "type ")):
                declared = line
            elif (sized := _SIZE.fullmatch(line)) is not None:
                size = int(sized[1])
            elif line == "flags interval":
                interval = True
            elif line == "counter":
                counted = True
            elif line.startswith("elements = {"):
                elements = self._listed(line.removeprefix("elements = {"))
            else:
                self._refuse(line)
        how, _, words = declared.removesuffix(" : verdict").partition(" ")
        types = tuple(self._type(how, own) for own in words.split(" . "))
        if interval and len(types) == 1:
            self._refuse(f"intervals of one field: {declared}")
        made = SetType(types, declared.endswith(" : verdict"), interval, counted)
        if made.verdicts is not (kind == "map"):
            self._refuse(declared)
        yield OnObject(verb, kind, table, name, type=made, declared=declared, size=size)
        if elements:
            yield OnElements("add", table, name, tuple(elements))

    def _type(self, how: str, words: str) -> str:
        if how == "typeof" and words in EXPRESSIONS:
            return EXPRESSIONS[words]
        if how == "type" and words in _DATATYPES:
            return words
        return self._refuse(f"{how} {words}")

    def _listed(self, first: str) -> list[str]:
        """Elements up to the closing brace, however many lines they stand on."""
        found: list[str] = []
        line = first.strip()
        while not line.endswith("}"):
            found += split(line)
            line = self._next()
        found += split(line.removesuffix("}").strip())
        return [own for own in found if own]
