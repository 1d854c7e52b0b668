"""The file in which a repository says how it is read and checked.

Comes in: the paths that a command is given. Goes out: `Settings`, from `.netpolc.toml` or the table
`[tool.netpolc]` of `pyproject.toml` in the folder they have in common, or the nearest one above it.
Refused (`InputError`, with file and line): unknown keys, values of the wrong type. A file of
somebody who owns neither the folder nor the process is not believed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netpolc.cli.terminal import warn
from netpolc.core.errors import Diagnostic, InputError, Severity

if TYPE_CHECKING:
    from netpolc.manifests import File, Given

OWN_FILE, SHARED_FILE = ".netpolc.toml", "pyproject.toml"
_LISTS = ("exclude", "select", "ignore")
_TABLES = ("stubs",)
_TEXTS = ("fail-on", "default-namespace", "unread", "scope")
_AT = re.compile(r" \(at line (\d+), column (\d+)\)$")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a file says; without one, nothing."""

    exclude: tuple[str, ...] = ()
    """Patterns; those with a slash begin at the root."""
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    fail_on: str | None = None
    default_namespace: str | None = None
    stubs: tuple[dict[str, Any], ...] = ()
    """What comes from elsewhere (`frontends/cluster/stubs.py`)."""
    unread: str | None = None
    scope: str | None = None
    source: _Source | None = None

    def refuse(self, name: str, reason: object) -> InputError:
        """An error about one of the values, with its place."""
        place = self.source.place(name) if self.source is not None else name
        return InputError([Diagnostic(Severity.ERROR, place, name, str(reason))])

    def manifests(self) -> list[File]:
        """The stubs as manifests, each at the line of its table."""
        if not self.stubs or self.source is None:
            return []
        import json

        from netpolc.manifests import File  # few have any

        lines = self.source.tables("stubs")
        if len(lines) < len(self.stubs):  # written as one value
            lines = [int(self.source.place("stubs").rpartition(":")[2])] * len(self.stubs)
        text = ""
        for line, stub in zip(lines, self.stubs, strict=False):
            text += "\n" * (line - 1 - text.count("\n"))
            try:
                text += json.dumps(_manifest(stub), default=str, allow_nan=False) + " "
            except ValueError as error:
                raise self.refuse("stubs", error) from None
        return [File(str(self.source.path), text.encode())]


def _manifest(stub: Mapping[str, Any]) -> dict[str, Any]:
    own = dict(stub)
    names = {key: own.pop(key) for key in ("name", "namespace") if key in own}
    if "namespace-labels" in own:
        own["namespaceLabels"] = own.pop("namespace-labels")
    return {"apiVersion": "netpolc.dev/v1", "kind": "Stub", "metadata": names, **own}


NOTHING = Settings()


@dataclass(frozen=True, slots=True)
class _Source:
    """A file of settings."""

    path: Path
    text: str
    header: str
    """Of the table that holds them; empty where that is the whole file."""

    def place(self, name: str) -> str:
        """File and line of a key, or of the table."""
        key = re.compile(rf"""["']?{re.escape(name)}["']?\s*[=.]""")
        below = re.compile(
            rf"\[+\s*{re.escape(self.header and self.header + '.')}{re.escape(name)}\b"
        )
        table, inside = 1, not self.header
        for number, line in enumerate(self.text.splitlines(), 1):
            words = line.strip()
            if words.startswith("["):
                inside = words.lstrip("[").partition("]")[0].strip() == self.header
                table = number if inside else table
            if (inside and key.match(words)) or below.match(words):
                return f"{self.path}:{number}"
        return f"{self.path}:{table}"

    def tables(self, name: str) -> list[int]:
        """The lines where tables of a list of them begin."""
        header = rf"\[\[\s*{re.escape(self.header and self.header + '.')}{re.escape(name)}\s*\]\]"
        lines = enumerate(self.text.splitlines(), 1)
        return [number for number, line in lines if re.match(header, line.strip())]


def settings_for(paths: Iterable[Given]) -> Settings:
    """The nearest settings above what is read; `InputError` when they cannot be understood."""
    start = _start(paths)
    trusted = {0, os.geteuid(), start.stat().st_uid}
    if os.environ.get("SUDO_UID", "").isdecimal():
        trusted.add(int(os.environ["SUDO_UID"]))
    for folder in (start, *start.parents):
        for name, header in ((OWN_FILE, ""), (SHARED_FILE, "tool.netpolc")):
            path = folder / name
            if not os.path.isfile(path):
                continue
            if path.stat().st_uid not in trusted:
                warn(f"{path}: belongs to another user, and is not believed")
                continue
            settings = _read(path, header)
            if settings is not None:
                return settings
    return NOTHING


def repository_of(paths: Iterable[Given]) -> str:
    """The root of the git checkout that files and folders are in; the current folder if none."""
    start = _start(paths)
    found = (own for own in (start, *start.parents) if (own / ".git").exists())
    return os.path.realpath(next(found, Path.cwd()))


def path_below(root: str, file: str) -> str:
    """The path of a file from a root, or its whole path where it is not below that."""
    folder, name = os.path.split(file)
    whole = os.path.join(os.path.realpath(folder or "."), name)
    path = os.path.relpath(whole, root)
    return whole if path.split(os.sep)[0] == os.pardir else path


def _start(paths: Iterable[Given]) -> Path:
    """The folder that files and folders have in common; the current one where there are none."""
    real = [os.path.realpath(own) for own in _existing(paths)]
    if not real:
        return Path.cwd()
    common = Path(os.path.commonpath(real))
    return common if common.is_dir() else common.parent


def _existing(paths: Iterable[Given]) -> Iterator[str]:
    for own in paths:
        if isinstance(own, str | os.PathLike) and (os.path.isfile(own) or os.path.isdir(own)):
            yield os.fspath(own)


def _read(path: Path, header: str) -> Settings | None:
    """The settings of one file; None of one that has none."""
    import tomllib  # only where there is a file

    try:
        text = path.read_text(encoding="utf-8")
        if header and "netpolc" not in text:
            return None
        table: Any = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Diagnostic(Severity.ERROR, str(path), "", str(error))]) from None
    except tomllib.TOMLDecodeError as error:
        at = _AT.search(str(error))
        place = f"{path}:{at[1]}:{at[2]}" if at else str(path)
        message = f"broken TOML: {_AT.sub('', str(error))}"
        raise InputError([Diagnostic(Severity.ERROR, place, "", message)]) from None
    for name in filter(None, header.split(".")):
        table = table.get(name) if isinstance(table, dict) else None
    return None if table is None else _settings(table, _Source(path, text, header))


def _settings(table: object, source: _Source) -> Settings:
    found = Settings(source=source)
    if not isinstance(table, dict):
        raise found.refuse(source.header.rpartition(".")[2], "must be a table")
    problems: list[Diagnostic] = []
    given: dict[str, Any] = {}
    for name, value in table.items():
        wrong = _problem(name, value)
        if wrong is not None:
            problems.extend(found.refuse(name, wrong).diagnostics)
        else:
            own: Any = tuple(value) if isinstance(value, list) else value
            given[name.replace("-", "_")] = own
    if problems:
        raise InputError(problems)
    found = replace(found, **given)
    start = escape(str(source.path.parent))
    patterns = (os.path.join(start, own) if "/" in own else own for own in found.exclude)
    return replace(found, exclude=tuple(patterns))


def _problem(name: str, value: object) -> str | None:
    """What is wrong with one of the values."""
    if name in _LISTS:
        good = isinstance(value, list) and all(isinstance(own, str) for own in value)
        return None if good else "must be a list of strings"
    if name in _TABLES:
        good = isinstance(value, list) and all(isinstance(own, dict) for own in value)
        return None if good else "must be a list of tables"
    if name in _TEXTS:
        return None if isinstance(value, str) else "must be a string"
    return f"unknown key: there are {', '.join(sorted((*_LISTS, *_TABLES, *_TEXTS)))}"
