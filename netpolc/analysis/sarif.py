"""SARIF 2.1.0 (OASIS), which code scanning shows beside the lines.

Comes in: rules, and results that cite one at a place. Goes out: a log of one run. Nothing is
refused: a place without a line is the beginning of its file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from netpolc._version import __version__
from netpolc.core.foreign import to_json

Json = dict[str, Any]
PathOf = Callable[[str], str]
"""What code scanning calls a file: its path from the root of the repository, or its whole path."""
NOTE, WARNING, ERROR = "note", "warning", "error"
"""Levels (section 3.27.10)."""
_PLACE = re.compile(r"(.*?):(\d+):(\d+)", re.DOTALL)
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ROOT = "%SRCROOT%"
_OF_ROOT = {"text": "the root of the repository"}


@dataclass(frozen=True, slots=True)
class SarifRule:
    """A kind of result: its stable name, what it is, why it matters, what to do about it."""

    name: str
    title: str
    why: str
    help: str
    level: str


@dataclass(frozen=True, slots=True)
class SarifResult:
    """One result of the rule of a name, at places as `file:line:column`; the first is where it is
    shown, `related` are others with what they are. Of no place: it is about no file.
    """

    rule: str
    level: str
    message: str
    place: str | None
    related: tuple[tuple[str, str], ...] = ()


def sarif_log(
    rules: Sequence[SarifRule],
    results: Sequence[SarifResult],
    path_of: PathOf,
    facts: Mapping[str, Any],
) -> str:
    """A log of one run; `facts` are what else it says, for programs."""
    numbers = {rule.name: number for number, rule in enumerate(rules)}
    driver = {"name": "netpolc", "version": __version__, "rules": list(map(_rule, rules))}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"description": _OF_ROOT}},
        "results": [_result(own, numbers[own.rule], path_of) for own in results],
        **({"properties": dict(facts)} if facts else {}),
    }
    return to_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def split_place(place: str) -> tuple[str, int, int]:
    """File, line and column; a place without a line is the beginning of its file."""
    match = _PLACE.fullmatch(place)
    return (match[1], int(match[2]), int(match[3])) if match else (place, 1, 1)


def _rule(rule: SarifRule) -> Json:
    return {
        "id": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.help},
        "defaultConfiguration": {"level": rule.level},
    }


def _result(own: SarifResult, number: int, path_of: PathOf) -> Json:
    result = {
        "ruleId": own.rule,
        "ruleIndex": number,
        "level": own.level,
        "message": {"text": own.message},
        "locations": [] if own.place is None else [_location(own.place, path_of)],
    }
    if own.related:
        result["relatedLocations"] = [
            {**_location(place, path_of), "message": {"text": name}} for name, place in own.related
        ]
    return result


def _location(place: str, path_of: PathOf) -> Json:
    file, line, column = split_place(place)
    return {
        "physicalLocation": {
            "artifactLocation": _artifact(file, path_of),
            "region": {"startLine": line, "startColumn": column},
        }
    }


def _artifact(file: str, path_of: PathOf) -> Json:
    """A file by its path from the root, however it was named (section 3.4.4)."""
    if file.startswith("<"):
        return {"uri": _quoted(file)}
    path = path_of(file)
    if path.startswith("/"):
        return {"uri": f"file://{_quoted(path)}"}
    return {"uri": _quoted(path), "uriBaseId": _ROOT}


def _quoted(path: str) -> str:
    return quote(path.encode(errors="surrogateescape"))
