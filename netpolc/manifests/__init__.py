"""Reads manifests: files, folders, standard input, multi-document YAML, JSON, and lists of objects.

Comes in: paths. Goes out: `Document` values, one for each Kubernetes object, decoded no further
than its `apiVersion` and `kind`. Refused, with `file:line:column`: what is no YAML or JSON, invalid
UTF-8, alias bombs, YAML too large to parse in reasonable time, and paths that hold no manifest at
all.

Lines and columns are looked up again from the file when a message needs them, never while reading.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, TypeVar

import msgspec

from netpolc.errors import ROOT, ObjectProblems, Path, Problems, listing
from netpolc.manifests import json_format, yaml_format
from netpolc.manifests.syntax import Elements, NumberedLines, SyntaxProblem

T = TypeVar("T")
SUFFIXES = {".yaml", ".yml", ".json"}
MAX_BYTES = 4 << 30
MAX_YAML_BYTES = 64 << 20
"""PyYAML reads about 1 MB/s; JSON, which kubectl prints as well, has no such limit."""


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """A file by the name the user gave; `data` is kept only where it cannot be read again."""

    name: str
    data: bytes | None = None

    def read(self) -> bytes:
        """The whole content; `OSError` when it cannot be read."""
        if self.data is not None:
            return self.data
        with open(self.name, "rb") as stream:
            return stream.read(MAX_BYTES)


@dataclass(frozen=True, slots=True, eq=False)
class ManifestSource:
    """One object: file, number of the document in it, path to the object in the document."""

    file: File
    document: int
    at: Elements
    is_json: bool

    def place(self, elements: Sequence[str | int] = (), at_key: bool = False) -> str:
        """`file:line:column` of a field, or of the deepest part of its path that is there."""
        try:
            line, column = self._locator().locate(self.document, (*self.at, *elements), at_key)
        except (OSError, SyntaxProblem, RecursionError):
            return self.file.name  # changed since it was read, or broken beyond this point
        return f"{self.file.name}:{line}:{column}"

    def excerpt(self, elements: Sequence[str | int] = ()) -> NumberedLines:
        """The lines of a field, from its key on; none where the file cannot be read again."""
        try:
            return self._locator().excerpt(self.document, (*self.at, *elements))
        except (OSError, SyntaxProblem, RecursionError):
            return ()

    def _locator(self) -> json_format.Locator | yaml_format.Locator:
        return (_json_locator if self.is_json else _yaml_locator)(self.file)


@lru_cache(maxsize=4)
def _json_locator(file: File) -> json_format.Locator:
    return json_format.Locator(file.read())


@lru_cache(maxsize=4)
def _yaml_locator(file: File) -> yaml_format.Locator:
    return yaml_format.Locator(file.read())


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One object, not yet decoded: raw JSON bytes, or what YAML gave with its duplicate keys."""

    api_version: str
    kind: str
    content: msgspec.Raw | dict[str, Any]
    duplicates: tuple[Elements, ...]
    source: ManifestSource

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    def typed(self, model: type[T]) -> T:
        """The object as a `msgspec.Struct`; fields the model lacks are skipped unread."""
        if isinstance(self.content, msgspec.Raw):
            return msgspec.json.decode(self.content, type=model)
        return msgspec.convert(self.content, model)

    def fields(self, problems: ObjectProblems, strict: bool) -> dict[str, Any] | None:
        """The object as plain values, None if it cannot be had; duplicate fields are reported.

        Those are warnings unless `strict`.
        """
        content, duplicates = self.content, self.duplicates
        if isinstance(content, msgspec.Raw):
            try:
                content, duplicates = json_format.strict_object(bytes(content))
            except RecursionError:
                problems.error(ROOT, "nested too deeply")
                return None
            except ValueError as error:  # what msgspec reads and no API field can hold
                problems.error(ROOT, str(error))
                return None
        report = problems.error if strict else problems.warning
        for elements in duplicates:
            path: Path = ROOT
            for element in elements:
                path = path / element
            report(path, f'duplicate field "{path}"', at_key=True)
        return content


Given = str | os.PathLike[str] | File
"""Where to read: a path, or a file that is already in memory."""


def read(paths: Sequence[Given], problems: Problems) -> list[Document]:
    """All objects of the given files and folders (recursive, in sorted order); `-` is standard
    input.

    Hidden files and folders are passed over inside a folder. Everything that cannot be read goes to
    `problems`, a file at a time, so that one broken file does not hide the next.
    """
    documents: list[Document] = []
    seen: set[str] = set()
    for file in _files(paths, problems):
        real = os.path.realpath(file.name) if file.data is None else file.name
        if real in seen:
            continue
        seen.add(real)
        documents.extend(_documents(file, problems))
    if not documents and not problems.diagnostics:
        given = ", ".join(p.name if isinstance(p, File) else str(p) for p in paths)
        problems.add(given, "", "no Kubernetes object in there")
    return documents


def _files(paths: Iterable[Given], problems: Problems) -> Iterator[File]:
    for given in paths:
        if isinstance(given, File):
            yield given
            continue
        path = os.fspath(given)
        if path == "-":
            yield File("<stdin>", sys.stdin.buffer.read(MAX_BYTES))
            continue
        try:
            if os.path.isdir(path):
                found = sorted(_below(path, problems))
                if not found:
                    problems.add(path, "", "holds no .yaml, .yml or .json file")
                yield from map(File, found)
            elif stat.S_ISREG(os.stat(path).st_mode):
                yield File(path)
            else:  # a pipe, as in `netpolc compile <(kustomize build .)`: it is read only once
                yield File(path, File(path).read())
        except (OSError, ValueError) as error:
            problems.add(path, "", _reason(error))


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _below(folder: str, problems: Problems) -> Iterator[str]:
    """Manifests in a folder; what cannot be listed or is no file is a problem, never left out."""

    def unreadable(error: OSError) -> None:
        problems.add(str(error.filename), "", _reason(error))

    for where, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.startswith(".") or FilePath(name).suffix.lower() not in SUFFIXES:
                continue
            path = os.path.join(where, name)
            if os.path.exists(path) and not os.path.isfile(path):
                problems.add(path, "", "is not a regular file")
            else:
                yield path


def _documents(file: File, problems: Problems) -> list[Document]:
    """The objects of one file; a broken text gives none, a broken object hides no other."""
    try:
        data = file.read()
        reader = _Reader(file, data, problems)
        name = file.name.lower()
        if name.endswith(".json"):
            return list(reader.json_documents())
        if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
            try:
                return list(reader.json_documents())
            except SyntaxProblem:
                if not name.endswith((".yaml", ".yml")):
                    raise  # else it is YAML in flow style
        if len(data) > MAX_YAML_BYTES:
            size = f"{len(data) / 1e6:.0f} MB"
            text = f"{size} of YAML is too large; use JSON (kubectl get -o json)"
            problems.add(file.name, "", text)
            return []
        return list(reader.yaml_documents())
    except SyntaxProblem as problem:
        place = f"{file.name}:{problem.line}:{problem.column}" if problem.line else file.name
        problems.add(place, "", problem.message)
    except OSError as error:
        problems.add(file.name, "", _reason(error))
    return []


class _Head(msgspec.Struct):
    """What tells objects apart; `items` is there in lists only."""

    apiVersion: str | None = None
    kind: str | None = None
    items: list[msgspec.Raw] | None = None


class _Reader:
    """Splits one file into objects."""

    def __init__(self, file: File, data: bytes, problems: Problems) -> None:
        self._file, self._data, self._problems = file, data, problems

    def json_documents(self) -> Iterator[Document]:
        """The object of a JSON text, or the items of a list."""
        data = json_format.checked(self._data)
        yield from self._json(msgspec.Raw(data), (), None)

    def _json(self, raw: msgspec.Raw, at: Elements, group: _Head | None) -> Iterator[Document]:
        source = ManifestSource(self._file, 0, at, is_json=True)
        try:
            head = msgspec.json.decode(raw, type=_Head)
        except msgspec.ValidationError as error:
            self._no_object(source, str(error))
            return
        except (msgspec.DecodeError, RecursionError) as error:
            if not at:
                raise json_format.broken(bytes(raw), error) from None
            self._no_object(source, str(error))
            return
        if head.items is not None and _is_list(head.kind):
            for number, item in enumerate(head.items):
                yield from self._json(item, (*at, "items", number), head)
            return
        identity = self._identity(head, group, source)
        if identity is not None:
            yield Document(*identity, raw, (), source)

    def yaml_documents(self) -> Iterator[Document]:
        """The objects of all documents; empty documents are passed over."""
        for number, value, duplicates in yaml_format.documents(self._data):
            if value is not None:
                yield from self._yaml(number, value, duplicates, (), None)

    def _yaml(
        self,
        number: int,
        value: object,
        duplicates: list[Elements],
        at: Elements,
        group: _Head | None,
    ) -> Iterator[Document]:
        source = ManifestSource(self._file, number, at, is_json=False)
        if not isinstance(value, dict):
            self._no_object(source, "expected a map")
            return
        head = _Head(_text(value.get("apiVersion")), _text(value.get("kind")))
        items = value.get("items")
        if items is not None and _is_list(head.kind):
            if not isinstance(items, list):
                self._no_object(source, "items are no list")
                return
            for index, item in enumerate(items):
                below = [path[2:] for path in duplicates if path[:2] == ("items", index)]
                yield from self._yaml(number, item, below, (*at, "items", index), head)
            return
        identity = self._identity(head, group, source)
        if identity is not None:
            yield Document(*identity, value, tuple(duplicates), source)

    def _identity(
        self, head: _Head, group: _Head | None, source: ManifestSource
    ) -> tuple[str, str] | None:
        """`apiVersion` and `kind`; items of a PodList and its like may leave both to the list."""
        version, kind = head.apiVersion, head.kind
        if group is not None and group.kind not in (None, "List"):
            kind = kind or (group.kind or "").removesuffix("List")
            version = version or group.apiVersion
        if version and kind:
            return version, kind
        missing = listing(
            name for name, value in (("apiVersion", version), ("kind", kind)) if not value
        )
        self._no_object(source, f"{missing} missing")
        return None

    def _no_object(self, source: ManifestSource, reason: str) -> None:
        self._problems.add(source.place(), "", f"not a Kubernetes object: {reason}")


def _is_list(kind: str | None) -> bool:
    return (kind or "List").endswith("List")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def read_objects(objects: Iterable[object], problems: Problems) -> list[Document]:
    """The same for manifests that are already parsed (dicts), read as one JSON list."""
    content = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    return _documents(File("<objects>", msgspec.json.encode(content)), problems)
