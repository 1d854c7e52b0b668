"""Findings as text: for people, for programs, for the services that show them beside the code.

Comes in: findings in order, and the level from which they count as failures. Goes out: one text,
ending with a newline unless it is empty. Sources: SARIF 2.1.0 (OASIS), the workflow commands of
GitHub Actions, the JUnit XML that CI servers read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from netpolc._version import __version__
from netpolc.analysis.findings import CATALOGUE, Code, Finding, Level
from netpolc.analysis.junit import Case, CaseResult, suite
from netpolc.core.foreign import github_property, github_value, inert, to_json

Json = dict[str, Any]
_PLACE = re.compile(r"(.*?):(\d+):(\d+)", re.DOTALL)
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SARIF_LEVELS = {Level.INFO: "note", Level.WARNING: "warning", Level.ERROR: "error"}
_GITHUB_LEVELS = {Level.INFO: "notice", Level.WARNING: "warning", Level.ERROR: "error"}


def _split(place: str) -> tuple[str, int, int]:
    """File, line and column; a place without a line is the beginning of its file."""
    match = _PLACE.fullmatch(place)
    return (match[1], int(match[2]), int(match[3])) if match else (place, 1, 1)


def _sentence(found: Finding) -> str:
    parts = (found.object, found.field, found.message)
    return ": ".join(part for part in parts if part)


def text(findings: Sequence[Finding], fail_on: Level) -> str:
    """A line a finding, and how many there are."""
    lines = []
    for found in findings:
        lines.append(inert(f"{found.place}: {found.level} {found.code}: {_sentence(found)}"))
        lines.extend(inert(f"  {other.place}: {other.name}") for other in found.references)
    return "".join(f"{line}\n" for line in (*lines, summary(findings)))


def summary(findings: Sequence[Finding]) -> str:
    """How many findings there are of each level."""
    count = Counter(found.level for found in findings)
    if not findings:
        return "no findings"
    parts = []
    for level, plural in ((Level.ERROR, "errors"), (Level.WARNING, "warnings")):
        if count[level]:
            parts.append(f"{count[level]} {level if count[level] == 1 else plural}")
    if count[Level.INFO]:
        parts.append(f"{count[Level.INFO]} info")
    return ", ".join(parts)


def as_json(findings: Sequence[Finding], fail_on: Level) -> str:
    """A list with everything that is known."""
    return to_json({"version": 1, "findings": [_json(f) for f in findings]}, indent=2) + "\n"


def _json(found: Finding) -> Json:
    file, line, column = _split(found.place)
    return {
        "code": found.code,
        "level": str(found.level),
        "file": file,
        "line": line,
        "column": column,
        "object": found.object,
        "field": found.field,
        "message": found.message,
        "references": [{"name": o.name, "place": o.place} for o in found.references],
    }


def sarif(findings: Sequence[Finding], fail_on: Level) -> str:
    """A SARIF log of one run, for code scanning."""
    driver = {
        "name": "netpolc",
        "version": __version__,
        "rules": [_sarif_rule(code) for code in CATALOGUE.values()],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(found) for found in findings],
    }
    log = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return to_json(log, indent=2) + "\n"


def _sarif_rule(code: Code) -> Json:
    return {
        "id": code.code,
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.why},
        "help": {"text": explanation(code)},
        "defaultConfiguration": {"level": _SARIF_LEVELS[code.level]},
    }


def _sarif_result(found: Finding) -> Json:
    result = {
        "ruleId": found.code,
        "ruleIndex": list(CATALOGUE).index(found.code),
        "level": _SARIF_LEVELS[found.level],
        "message": {"text": _sentence(found)},
        "locations": [_sarif_location(found.place)],
    }
    if found.references:
        result["relatedLocations"] = [
            {**_sarif_location(other.place), "message": {"text": other.name}}
            for other in found.references
        ]
    return result


def _sarif_location(place: str) -> Json:
    file, line, column = _split(place)
    region = {"startLine": line, "startColumn": column}
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(file.encode(errors="surrogateescape"))},
            "region": region,
        }
    }


def github(findings: Sequence[Finding], fail_on: Level) -> str:
    """Workflow commands, which GitHub shows as annotations of the lines."""
    return "".join(_github(found) for found in findings)


def _github(found: Finding) -> str:
    file, line, column = _split(found.place)
    title = f"{found.code}: {CATALOGUE[found.code].title}"
    values = {"file": file, "line": str(line), "col": str(column), "title": title}
    properties = ",".join(f"{key}={github_property(value)}" for key, value in values.items())
    return f"::{_GITHUB_LEVELS[found.level]} {properties}::{github_value(_sentence(found))}\n"


def junit(findings: Sequence[Finding], fail_on: Level) -> str:
    """A test case a finding, skipped below `fail_on`; one that passes where nothing was found."""
    cases = [
        Case(
            found.code,
            f"{found.place} {found.object}".strip(),
            CaseResult.FAILED if found.level >= fail_on else CaseResult.SKIPPED,
            _sentence(found),
        )
        for found in findings
    ]
    return suite("netpolc check", cases or [Case("netpolc", "no findings")])


def explanation(code: Code) -> str:
    """What a code means, an example, and the fix."""
    return "\n".join(
        (
            f"{code.code} ({code.level}): {code.title}",
            "",
            code.why,
            "",
            "Example:",
            "",
            *(f"    {line}" for line in code.example.splitlines()),
            "",
            "Fix:",
            "",
            *(f"    {line}" for line in code.fix.splitlines()),
        )
    )


FORMATS: dict[str, Callable[[Sequence[Finding], Level], str]] = {
    "text": text,
    "json": as_json,
    "sarif": sarif,
    "github": github,
    "junit": junit,
}
