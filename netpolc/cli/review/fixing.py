"""`check --fix` and `--diff`: edits of manifests that put findings right.

Comes in: findings and what they were found in. Goes out: the new texts of files, or the difference
as a patch. Every set of edits is tried first: read again, it must admit what was admitted before,
or the edits are tried one by one and those that would change anything are left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff

from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.findings import Finding
from netpolc.analysis.fixes import Fix, fixes
from netpolc.analysis.fixes.editing import NotEditable, edited
from netpolc.compiler import compile
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import InputError
from netpolc.core.foreign import inert
from netpolc.files import replacing
from netpolc.manifests import File
from netpolc.manifests.syntax import SyntaxProblem, decoded

Texts = Mapping[str, str]
"""Files by their names, with what they say."""
Again = Callable[[Texts], Snapshot]
"""Reads everything anew, with other texts of some files."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The files that change, before and after, and what became of each fix."""

    before: Texts
    after: Texts
    done: Sequence[Finding]
    left: Sequence[tuple[Finding, str]]
    """Findings that have a fix which was not made, with the reason."""

    def patch(self) -> Iterator[str]:
        """The lines of a unified difference."""
        for name, text in self.after.items():
            old, new = (own.splitlines(keepends=True) for own in (self.before[name], text))
            for line in unified_diff(old, new, name, name):
                yield inert(line.rstrip("\r\n"))

    def write(self) -> None:
        """Replace the files; `OSError` where one cannot be written."""
        for name, text in self.after.items():
            with replacing(name) as out:
                out.write(text.encode())


def fixed(findings: Iterable[Finding], snapshot: Snapshot, again: Again) -> Fixed:
    """What the fixes of findings make of the files."""
    found = list(fixes(findings, snapshot))
    texts: dict[str, str] = {}
    left: list[tuple[Finding, str]] = []
    possible: list[Fix] = []
    for fix in found:
        text = texts.get(fix.file) or _text_of(fix.file)
        if text is None:
            left.append((fix.finding, "it is in no file that can be written, or in UTF-16"))
            continue
        texts[fix.file] = text
        possible.append(fix)
    done, after = _tried(possible, texts, snapshot, again, left)
    changed = {name: text for name, text in after.items() if text != texts[name]}
    return Fixed({name: texts[name] for name in changed}, changed, done, left)


def _text_of(name: str) -> str | None:
    """What a file says; None where it cannot be written as it was read."""
    if not os.path.isfile(name) or os.path.islink(name):
        return None
    try:
        data = File(name).read()
        text = decoded(data)
    except (OSError, SyntaxProblem):
        return None
    return text if text.encode() == data else None


def _tried(
    found: Sequence[Fix],
    texts: Texts,
    snapshot: Snapshot,
    again: Again,
    left: list[tuple[Finding, str]],
) -> tuple[list[Finding], Texts]:
    """The fixes that change nothing of what is admitted, and the texts after them."""
    after, made, refused = _edited(found, texts)
    left += refused
    if not made or _admits_the_same(snapshot, after, again):
        return [own.finding for own in made], after
    kept: list[Fix] = []
    for fix in made:
        one, _, _ = _edited([*kept, fix], texts)
        if _admits_the_same(snapshot, one, again):
            kept.append(fix)
        else:
            left.append((fix.finding, "something else would be admitted without it"))
    return [own.finding for own in kept], _edited(kept, texts)[0]


def _edited(
    found: Sequence[Fix], texts: Texts
) -> tuple[Texts, list[Fix], list[tuple[Finding, str]]]:
    """The texts after edits, the last in each file first: so the places of the others stay."""
    after = dict(texts)
    made: list[Fix] = []
    refused: list[tuple[Finding, str]] = []
    for fix in sorted(found, key=_place, reverse=True):
        try:
            after[fix.file] = edited(after[fix.file], fix.edit)
        except NotEditable as problem:
            refused.append((fix.finding, str(problem)))
        else:
            made.append(fix)
    return after, made[::-1], refused[::-1]


def _place(fix: Fix) -> tuple[str, int, list[tuple[bool, int, str]]]:
    steps = [
        (isinstance(own, int), own if isinstance(own, int) else 0, str(own))
        for own in fix.edit.elements
    ]
    return fix.file, fix.edit.document, steps


def _admits_the_same(snapshot: Snapshot, texts: Texts, again: Again) -> bool:
    """Whether a snapshot with other texts says what it said: who reaches whom, and for whom."""
    try:
        other = again(texts)
    except InputError:
        return False
    for tried in (False, True):
        sides = [own.enforcing_all() if tried else own for own in (snapshot, other)]
        difference = Difference(*map(compile, sides))
        if difference.changes() or difference.new_workloads or difference.lost_workloads:
            return False
    return True
