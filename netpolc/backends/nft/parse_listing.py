"""Reads back what `nft list table` prints, as the objects that `text.py` writes.

Comes in: the listing, stateless and with numeric priorities. Goes out: `Written` objects, to be
compared with those of a ruleset word by word. Refused (`RulesetError`): whatever netpolc never
makes, so that it is replaced and not passed over; what differs in words only is made anew, which
costs and harms nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, cast

from netpolc.backends.nft.text import Written
from netpolc.errors import RulesetError

_OPENING = re.compile(r"\t(counter|set|map|chain) (\w+) \{", re.ASCII)
_QUOTED_COUNTER = re.compile(r'counter name "(\w+)"', re.ASCII)
_ELEMENTS = "elements = {"
_COUNTED = "counter"
Kind = Literal["counter", "set", "map", "chain"]


def parse_listing(text: str, table: str) -> list[Written]:
    """The objects of a listed table; its comment is not compared, it never says anything else."""
    lines = iter(text.splitlines())
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
            raise RulesetError(f"not of netpolc's making: {line.strip()}")
    raise RulesetError("the listing ends early")


def _object(kind: Kind, name: str, lines: Iterator[str]) -> Written:
    head: list[str] = []
    body: list[str] = []
    for line in lines:
        if line == "\t}":
            return Written(kind, name, tuple(head), tuple(body))
        words = line.strip()
        if kind != "chain" and words.startswith(_ELEMENTS):
            body = _elements(words.removeprefix(_ELEMENTS), lines)
            if _COUNTED in head:  # said of each element again
                body = [element.removesuffix(f" {_COUNTED}") for element in body]
        elif kind != "chain" or words.startswith("type "):
            head.append(words)
        else:
            body.append(_QUOTED_COUNTER.sub(r"counter name \1", words))
    raise RulesetError(f"the listing ends inside {kind} {name}")


def _elements(first: str, lines: Iterator[str]) -> list[str]:
    """Elements up to the closing brace, two on a line or one."""
    parts = [first.strip()]
    while not parts[-1].endswith("}"):
        following = next(lines, None)
        if following is None:
            raise RulesetError("the listing ends inside elements")
        parts.append(following.strip())
    return " ".join(parts).removesuffix("}").strip().split(", ")
