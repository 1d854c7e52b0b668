"""Findings as text: for people, for programs, for the services that show them beside the code.

Comes in: what a check found, and the level from which it counts as failure. Goes out: one text,
ending with a newline unless it is empty. Sources: the workflow commands of GitHub Actions; SARIF
and JUnit's XML are written beside, for all commands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netpolc.analysis.findings import CATALOGUE, SCOPED, Code, Finding, Level, Scope
from netpolc.analysis.junit import Case, CaseResult, suite
from netpolc.analysis.sarif import (
    ERROR,
    NOTE,
    WARNING,
    PathOf,
    SarifResult,
    SarifRule,
    sarif_log,
    split_place,
)
from netpolc.core.cluster import Unread, not_judged, unread_kinds
from netpolc.core.foreign import github_property, github_value, inert, to_json

Json = dict[str, Any]
_SARIF_LEVELS = {Level.INFO: NOTE, Level.WARNING: WARNING, Level.ERROR: ERROR}
_STYLES = {Level.INFO: "cyan", Level.WARNING: "yellow", Level.ERROR: "red"}
_MOST_LINES = 4
"""So many lines of one finding are shown: the beginning tells which part it is."""
_GITHUB_LEVELS = {Level.INFO: "notice", Level.WARNING: "warning", Level.ERROR: "error"}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found: findings in order, the level from which they fail, policies that are not
    judged.
    """

    findings: Sequence[Finding]
    fail_on: Level
    unread: Sequence[Unread] = ()
    scope: Scope | None = None
    """What may be missing; None where nothing was checked."""
    is_guess: bool = False
    """Whether nobody said what the scope is."""
    path_of: PathOf = str
    """What code scanning calls a file: its path from the root of the repository, or its whole path
    where it is not below that.
    """

    @property
    def remarks(self) -> list[str]:
        """What is said beside the findings, for people."""
        return list(filter(None, (not_judged(self.unread), self._scope)))

    @property
    def _scope(self) -> str:
        """What the guess made of findings."""
        softened = any(own.code in SCOPED for own in self.findings)
        if not (softened and self.is_guess and self.scope is Scope.REPO):
            return ""
        return (
            "scope: repo, as no pod has an address: what is not here may come from elsewhere "
            "(--scope cluster: it will not)"
        )

    @property
    def facts(self) -> Json:
        """The same for programs; only what there is to say."""
        unread = {"unread": unread_kinds(self.unread)} if self.unread else {}
        return {**({"scope": self.scope.value} if self.scope is not None else {}), **unread}


def _sentence(found: Finding) -> str:
    parts = (found.object, found.field, found.message)
    return ": ".join(part for part in parts if part)


def lines(checked: Checked) -> Iterator[tuple[str, str]]:
    """Lines with their styles: each finding with the lines it is about, and how many there are."""
    for found in checked.findings:
        yield _line(found), _STYLES[found.level]
        shown = found.lines
        for number, content in shown[:_MOST_LINES]:
            yield f"{number:>8} | {content}", "dim"
        if len(shown) > _MOST_LINES:
            yield f"         ... {len(shown) - _MOST_LINES} more lines", "dim"
        yield from ((f"  {other.place}: {other.name}", "") for other in found.references)
    yield from ((line, "yellow") for line in checked.remarks)
    yield summary(checked.findings), "bold"


def _line(found: Finding) -> str:
    return f"{found.place}: {found.level} {found.code}: {_sentence(found)}"


def text(checked: Checked) -> str:
    """The same without styles."""
    return "".join(f"{inert(line)}\n" for line, _ in lines(checked))


def concise(checked: Checked) -> str:
    """A line a finding, and how many there are."""
    found: list[str] = []
    for own in checked.findings:
        found.append(_line(own))
        found.extend(f"  {other.place}: {other.name}" for other in own.references)
    return "".join(
        f"{inert(own)}\n" for own in (*found, *checked.remarks, summary(checked.findings))
    )


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


def as_json(checked: Checked) -> str:
    """A list with everything that is known."""
    found = {"version": 1, "findings": [_json(f) for f in checked.findings], **checked.facts}
    return to_json(found, indent=2) + "\n"


def _json(found: Finding) -> Json:
    file, line, column = split_place(found.place)
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


def sarif(checked: Checked) -> str:
    """A SARIF log of one run, for code scanning."""
    rules = [
        SarifRule(own.code, own.title, own.why, explanation(own), _SARIF_LEVELS[own.level])
        for own in CATALOGUE.values()
    ]
    results = [_sarif_result(found) for found in checked.findings]
    return sarif_log(rules, results, checked.path_of, checked.facts)


def _sarif_result(found: Finding) -> SarifResult:
    related = tuple((other.name, other.place) for other in found.references)
    level = _SARIF_LEVELS[found.level]
    return SarifResult(found.code, level, _sentence(found), found.place, related)


def github(checked: Checked) -> str:
    """Workflow commands, which GitHub shows as annotations of the lines."""
    told = (f"::notice title=netpolc::{github_value(text)}\n" for text in checked.remarks)
    return "".join((*(_github(own, checked.path_of) for own in checked.findings), *told))


def _github(found: Finding, path_of: PathOf) -> str:
    file, line, column = split_place(found.place)
    file = file if file.startswith("<") else path_of(file)
    title = f"{found.code}: {CATALOGUE[found.code].title}"
    values = {"file": file, "line": str(line), "col": str(column), "title": title}
    properties = ",".join(f"{key}={github_property(value)}" for key, value in values.items())
    return f"::{_GITHUB_LEVELS[found.level]} {properties}::{github_value(_sentence(found))}\n"


def junit(checked: Checked) -> str:
    """A test case a finding, skipped below `fail_on`; one that passes where nothing was found."""
    cases = [
        Case(
            found.code,
            f"{found.place} {found.object}".strip(),
            CaseResult.FAILED if found.level >= checked.fail_on else CaseResult.SKIPPED,
            _sentence(found),
        )
        for found in checked.findings
    ]
    named = cases or [Case("netpolc", "no findings")]
    return suite("netpolc check", named, not_judged(checked.unread))


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


FORMATS: dict[str, Callable[[Checked], str]] = {
    "text": text,
    "concise": concise,
    "json": as_json,
    "sarif": sarif,
    "github": github,
    "junit": junit,
}
