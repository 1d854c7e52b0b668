"""Folders that other programs make manifests of: kustomizations and Helm charts.

Comes in: folders. Goes out: which of them are kustomizations or charts, which of these are roots,
and what the program that belongs to each makes of it. Refused: kustomizations that name what is not
here (it would be fetched), programs that are not installed or fail.

`kustomize`, `kubectl` and `helm` are those on PATH, in folders with absolute names. They are given
no option that lets them run plugins or reach a cluster.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

from netpolc.core.errors import UsageError
from netpolc.manifests.files import CHART, KUSTOMIZATIONS, Excluded, File, Given
from netpolc.manifests.syntax import SyntaxProblem
from netpolc.manifests.tracing import tracer
from netpolc.manifests.yaml import yaml_format

PATIENCE = 300.0
"""Seconds after which a program is ended."""
_NAMED = {"bases", "components", "configurations", "crds", "generators", "resources"}
_NAMED |= {"transformers", "validators"}
_LOADED = {"path", "files", "envs", "env", "patchesStrategicMerge"}
_PARTS = re.compile(rb"^---\n", re.MULTILINE)
_SOURCE = re.compile(rb"# Source: [^/\n]+/([^\n]+)\n")
"""How `helm template` says of each document which template it is from."""
_REMOTE = re.compile(r"(?:[^\n=]*=)?\s*(?:[a-z+]+://|git@|git::)")


@dataclass(frozen=True, slots=True)
class Values:
    """What is asked of charts."""

    release: str | None = None
    files: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    namespace: str = "default"


@dataclass(slots=True)
class _Folders:
    """What was found below a folder."""

    kustomizations: dict[str, str] = field(default_factory=dict)
    """The real path of each: by which name it was found."""
    charts: dict[str, str] = field(default_factory=dict)
    included: set[str] = field(default_factory=set)
    """Files and folders that some kustomization names."""

    @property
    def covered(self) -> set[str]:
        """What is not read as it is."""
        return {*self.kustomizations, *self.charts, *self.included}


def rendered(
    paths: Sequence[Given], excluded: Excluded, values: Values
) -> tuple[list[Given], list[str], list[str]]:
    """What to read instead of `paths`, patterns of what is read no more, and what was run."""
    given: list[Given] = []
    patterns: list[str] = []
    said: list[str] = []
    for path in paths:
        if isinstance(path, File) or not os.path.isdir(path):
            given.append(path)
            continue
        name = os.fspath(path)
        found = _search(name, excluded)
        roots = [own for real, own in found.kustomizations.items() if real not in found.included]
        given += [_kustomized(own, said) for own in roots]
        for own in found.charts.values():
            given += _templated(own, values, said)
        covered = found.covered
        patterns += [escape(own) for own in covered]
        if not covered or _is_more(name, excluded, covered):
            given.append(path)
    return given, patterns, said


def alternatives(given: Sequence[Given]) -> list[tuple[str, list[Given]]]:
    """What to read at once: everything, unless several of what was rendered make objects of the
    same names, as overlays of one base do. Then one of those at a time with everything else, each
    with the name of that one.
    """
    made = {own: _objects(own) for own in given if isinstance(own, File)}
    clashing = [
        own for own in made if any(made[own] & made[other] for other in made if other is not own)
    ]
    if not clashing:
        return [("", list(given))]
    return [
        (one.name, [own for own in given if own is one or own not in clashing]) for one in clashing
    ]


def _objects(file: File) -> set[tuple[str, str, str]]:
    """Kind, namespace and name of what a file holds; none of one that is broken."""
    found = set()
    try:
        for document in yaml_format.documents(file.read()):
            value: Any = document.plain
            own = value.get("metadata") if isinstance(value, dict) else None
            if isinstance(own, dict):
                names = value.get("kind"), own.get("namespace"), own.get("name")
                found.add((str(names[0]), str(names[1] or ""), str(names[2])))
    except (SyntaxProblem, RecursionError):
        return set()
    return found


def _search(folder: str, excluded: Excluded) -> _Folders:
    found = _Folders()
    for path, folders, files in _walked(folder):
        real = os.path.realpath(path)
        if CHART in files:
            found.charts[real] = path
            folders.clear()
            continue
        if not KUSTOMIZATIONS.isdisjoint(files):
            found.kustomizations[real] = path
            _include(Path(real), found.included)
        folders[:] = sorted(
            own
            for own in folders
            if not own.startswith(".") and not excluded(os.path.join(path, own))
        )
    return found


def _walked(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, which recurses: folders may lie in each other by the thousand."""
    left = [folder]
    while left:
        path = left.pop()
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda own: own.name)
        except OSError:  # whoever reads the manifests says it
            continue
        folders = [own.name for own in entries if own.is_dir(follow_symlinks=False)]
        yield path, folders, [own.name for own in entries if not own.is_dir()]
        left += (os.path.join(path, own) for own in reversed(folders))


def _include(first: Path, included: set[str]) -> None:
    """Add what the kustomization of a folder names, and what those do that it names."""
    seen: set[Path] = set()
    left = [first]
    while left:
        folder = left.pop()
        if folder in seen:
            continue
        seen.add(folder)
        for name in _names(folder):
            target = Path(os.path.realpath(folder / name))
            if not target.exists():
                raise UsageError(
                    f"{folder}: the kustomization names {name!r}, which is not here and would be "
                    "fetched: render it yourself, and give netpolc the result"
                )
            included.add(str(target))
            if target.is_dir():
                left.append(target)


def _files(folder: str) -> Iterator[str]:
    """The files that a kustomization names, or one that it includes, by their paths from here."""
    included: set[str] = set()
    _include(Path(os.path.realpath(folder)), included)
    for own in included:
        if os.path.isfile(own):
            # As it was given: a name from here stays one.
            yield own if os.path.isabs(folder) else os.path.relpath(own)


def _names(folder: Path) -> Iterator[str]:
    for name in sorted(KUSTOMIZATIONS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            for document in yaml_format.documents(path.read_bytes()):
                yield from _named(document.plain)
        except SyntaxProblem as problem:
            place = f"{path}:{problem.line}:{problem.column}" if problem.line else str(path)
            raise UsageError(f"{place}: {problem.message}") from None


def _named(value: Any) -> Iterator[str]:
    """The files and folders that one names; of what is loaded otherwise, addresses alone."""
    for key in sorted(_NAMED) if isinstance(value, dict) else ():
        yield from (own for own in _texts(value.get(key)) if "\n" not in own)
    yield from filter(_REMOTE.match, _loaded(value))


def _loaded(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _texts(below) if key in _LOADED else ()
            yield from _loaded(below)
    elif isinstance(value, list):
        for below in value:
            yield from _loaded(below)


def _texts(value: Any) -> Iterator[str]:
    every = value if isinstance(value, list) else [value]
    yield from (own for own in every if isinstance(own, str))


def _is_more(folder: str, excluded: Excluded, covered: set[str]) -> bool:
    """Whether a folder has manifests beside what is covered."""
    if os.path.realpath(folder) in covered:
        return False
    for path, folders, files in _walked(folder):
        real = os.path.realpath(path)
        folders[:] = [
            own
            for own in folders
            if not own.startswith(".")
            and os.path.join(real, own) not in covered
            and not excluded(os.path.join(path, own))
        ]
        for own in files:
            is_covered = os.path.join(real, own) in covered or excluded(os.path.join(path, own))
            if own.endswith((".yaml", ".yml", ".json")) and own[0] != "." and not is_covered:
                return True
    return False


def _kustomized(folder: str, said: list[str]) -> File:
    for program, words in (("kustomize", ["build"]), ("kubectl", ["kustomize"])):
        found = _program(program)
        if found is not None:
            said.append(f"rendered {folder} with {program} {words[0]}")
            trace = tracer(sorted(_files(folder)))
            name = f"{folder} ({program})"
            return File(name, _output([found, *words], folder, []), trace=trace)
    raise UsageError(
        f"{folder} is a kustomization: install kustomize (or kubectl) to render it, or read its "
        "files as they are with --raw"
    )


def _templated(folder: str, values: Values, said: list[str]) -> list[File]:
    """What a chart makes, a file for each template: lines are those of its output."""
    found = _program("helm")
    if found is None:
        raise UsageError(
            f"{folder} is a Helm chart: install helm to render it, or give netpolc what "
            "`helm template` prints"
        )
    release = values.release or Path(os.path.realpath(folder)).name
    options = ["--skip-tests", "--namespace", values.namespace]
    for file in values.files:
        options += ["--values", os.path.abspath(file)]
    for setting in values.settings:
        options += ["--set", setting]
    said.append(f"rendered {folder} with helm template")
    made: dict[bytes, list[bytes]] = {}
    for part in _PARTS.split(_output([found, "template", release], folder, options)):
        source = _SOURCE.match(part)
        made.setdefault(source[1] if source else b"", []).append(part)
    return [
        File(f"{os.path.join(folder, os.fsdecode(own))} (helm)", b"\n---\n".join(parts))
        for own, parts in made.items()
        if own or any(part.strip() for part in parts)
    ]


def _program(name: str) -> str | None:
    found = shutil.which(name)
    return found if found is not None and os.path.isabs(found) else None


def _output(words: list[str], folder: str, options: list[str]) -> bytes:
    command = [*words, os.path.realpath(folder), *options]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{folder}: {words[0]} took more than {PATIENCE:.0f} seconds") from None
    if done.returncode:
        text = os.fsdecode(done.stderr).strip() or f"exit code {done.returncode}"
        raise UsageError(f"{folder}: {os.path.basename(words[0])}: {text}")
    return done.stdout
