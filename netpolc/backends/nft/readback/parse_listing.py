"""Reads back what `nft list table` prints, as the objects that `write/text.py` writes.

Comes in: the listing, stateless and with numeric priorities, of any nft from 1.0.6 on. Goes out:
`Written` objects in one wording (`wording.py`), to be compared with those of a ruleset. Refused
(`RulesetError`): whatever netpolc never makes, so that it is replaced and not passed over; words
that are not known make an object another one, which is then made anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import cast

from netpolc.backends.nft import wording
from netpolc.backends.nft.model import FlowMark, MarkFlow
from netpolc.backends.nft.objects import Kind, Mark, MarkingRule, Rule, Written, key
from netpolc.core.errors import RulesetError

_OPENING = re.compile(r"\t(counter|set|map|chain) (\w+) \{", re.ASCII)
_ALL = 0xFFFFFFFF
_ELEMENTS = "elements = {"
_COUNTED = "counter"
_COMMENT = re.compile(r'comment "([^"]*)"')
_SIZE = re.compile(r"size (\d+)", re.ASCII)
_USES = re.compile(
    r'"[^"]*"|vmap @(?P<map>\w+)|@(?P<set>\w+)|counter name (?P<counter>\w+)'
    r"|\b(?:jump|goto) (?P<chain>\w+)",
    re.ASCII,
)
"""What is in quotes is passed over: it uses nothing."""
_MARKS = re.compile(
    r'"[^"]*"|ct mark set ct mark & 0x(?P<kept>[0-9a-f]{8}) \| 0x(?P<set>[0-9a-f]{8})(?= |$)'
    r"|ct mark (?:& 0x(?P<mask>[0-9a-f]{8}) == )?0x(?P<value>[0-9a-f]{8})(?= |$)",
    re.ASCII,
)


def parse_listing(text: str, table: str) -> list[Written]:
    """The objects of a listed table; its comment is not compared, it never says anything else."""
    lines = iter(text.split("\n"))
    if next(lines, "") != f"table inet {table} {{":
        raise RulesetError(f"not a listing of table inet {table}")
    found: list[Written] = []
    for line in lines:
        if line == "}":
            return found
        opening = _OPENING.fullmatch(line)
        if opening is not None:
            found.append(_object(cast(Kind, opening[1]), opening[2], lines))
        elif line and not line.startswith("\tcomment "):
            raise RulesetError(f"not of netpolc's making: {line.strip(wording.BLANKS)}")
    raise RulesetError("the listing ends early")


def _object(kind: Kind, name: str, lines: Iterator[str]) -> Written:
    head: list[str] = []
    body: list[str] = []
    for line in lines:
        if line == "\t}":
            return _written(kind, name, head, body)
        words = line.strip(wording.BLANKS)
        if kind != "chain" and words.startswith(_ELEMENTS):
            body = wording.elements(head, _elements(words.removeprefix(_ELEMENTS), lines))
            if _COUNTED in head:  # said of each element again
                body = [element.removesuffix(f" {_COUNTED}") for element in body]
        elif kind != "chain" or words.startswith(("type ", "comment ")):
            head.append(words)
        else:
            body.append(wording.rule(words))
    raise RulesetError(f"the listing ends inside {kind} {name}")


def _written(kind: Kind, name: str, head: list[str], body: list[str]) -> Written:
    """What was said of an object, as data where it is data."""
    if kind == "counter":
        comment, others = _taken(_COMMENT, tuple(head))
        return Written(kind, name, others, comment=comment)
    known = wording.head(head)
    if kind == "chain":
        rules = tuple(map(_rule, body))
        return Written(kind, name, known, rules=rules, refers=frozenset(_used(body)))
    size, others = _taken(_SIZE, known)
    number = int(size) if size is not None else None
    refers = frozenset(_used(body) if kind == "map" else ())
    return Written(kind, name, others, number, tuple(body), refers=refers)


def _taken(what: re.Pattern[str], head: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """What the first such line says, if there is one, and the others."""
    for at, line in enumerate(head):
        if (found := what.fullmatch(line)) is not None:
            return found[1], (*head[:at], *head[at + 1 :])
    return None, head


def _used(lines: Iterable[str]) -> Iterator[str]:
    """The keys of what rules or elements use."""
    for line in lines:
        for found in _USES.finditer(line):
            if found.lastgroup is not None:
                yield key(cast(Kind, found.lastgroup), found[found.lastgroup])


def _rule(line: str) -> Rule:
    """A rule, with its marks as data."""
    if "ct mark " not in line:
        return line
    parts: list[str | Mark] = []
    rest = 0
    for found in _MARKS.finditer(line):
        mark = _mark(found)
        if mark is not None:
            parts += (line[rest : found.start()].strip(wording.BLANKS), mark)
            rest = found.end()
    if not parts:
        return line
    return MarkingRule(
        tuple(own for own in (*parts, line[rest:].strip(wording.BLANKS)) if own != "")
    )


def _mark(found: re.Match[str]) -> Mark | None:
    """A mark that is compared or set; None for words in quotes, and what netpolc never says."""
    if found["kept"] is not None:
        kept, value = int(found["kept"], 16), int(found["set"], 16)
        mark = MarkFlow(~kept & _ALL | value, value)
        return mark if mark.kept == kept else None
    if found["value"] is None:
        return None
    mask = int(found["mask"], 16) if found["mask"] is not None else _ALL
    return FlowMark(mask, int(found["value"], 16))


def _elements(first: str, lines: Iterator[str]) -> list[str]:
    """Elements up to the closing brace, two on a line or one."""
    parts = [first.strip(wording.BLANKS)]
    while not parts[-1].endswith("}"):
        following = next(lines, None)
        if following is None:
            raise RulesetError("the listing ends inside elements")
        parts.append(following.strip(wording.BLANKS))
    found = " ".join(parts).removesuffix("}").strip(wording.BLANKS).split(", ")
    for element in found:
        if not element.strip(" ,") or "{" in element or "}" in element:
            raise RulesetError(f"not an element of netpolc's making: {element!r}")
    return found
