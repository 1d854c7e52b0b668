"""Reads manifests: files, folders, standard input, multi-document YAML, JSON, and lists of objects.

Comes in: paths. Goes out: `Document` values, one for each Kubernetes object, decoded no further
than its `apiVersion` and `kind`. Refused, with `file:line:column`: what is no YAML or JSON, invalid
UTF-8, alias bombs, YAML too large to parse in reasonable time, and paths that hold no manifest at
all.

Lines and columns are looked up again from the file when a message needs them, never while reading.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, TypeVar

import msgspec

from netpolc.errors import ROOT, ObjectProblems, Path, Problems, listing
from netpolc.manifests import json_format, yaml_format
from netpolc.manifests.syntax import Elements, SyntaxProblem

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
        lookup = _json_lookup if self.is_json else _yaml_lookup
        try:
            line, column = lookup(self.file)(self.document, (*self.at, *elements), at_key)
        except (OSError, SyntaxProblem):
            return self.file.name  # changed or deleted since it was read: the name is all there is
        return f"{self.file.name}:{line}:{column}"


Lookup = Callable[[int, Elements, bool], tuple[int, int]]


@lru_cache(maxsize=4)
def _json_lookup(file: File) -> Lookup:
    return json_format.Locator(file.read()).locate


@lru_cache(maxsize=4)
def _yaml_lookup(file: File) -> Lookup:
    return yaml_format.Locator(file.read()).locate


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One object, not yet decoded: raw JSON bytes, or what YAML gave with its duplicate keys."""

    api_version: str
    kind: str
    content: msgspec.Raw | dict[str, Any]
    duplicates: tuple[Elements, ...]
    source: ManifestSource

    def typed(self, model: type[T]) -> T:
        """The object as a `msgspec.Struct`; fields the model lacks are skipped unread."""
        if isinstance(self.content, msgspec.Raw):
            return msgspec.json.decode(self.content, type=model)
        return msgspec.convert(self.content, model)

    def fields(self, problems: ObjectProblems, strict: bool) -> dict[str, Any]:
        """The object as plain values; duplicate fields are reported, as warnings unless strict."""
        content, duplicates = self.content, self.duplicates
        if isinstance(content, msgspec.Raw):
            content, duplicates = json_format.strict_object(bytes(content))
        report = problems.error if strict else problems.warning
        for elements in duplicates:
            path: Path = ROOT
            for element in elements:
                path = path / element
            report(path, f'duplicate field "{path}"', at_key=True)
        return content


def read(paths: Sequence[str | os.PathLike[str]], problems: Problems) -> list[Document]:
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
        given = ", ".join(str(path) for path in paths)
        problems.add(given, "", "no Kubernetes object in there")
    return documents


def _files(paths: Iterable[str | os.PathLike[str]], problems: Problems) -> Iterator[File]:
    for given in paths:
        path = os.fspath(given)
        if path == "-":
            yield File("<stdin>", sys.stdin.buffer.read(MAX_BYTES))
            continue
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError) as error:
            problems.add(path, "", _reason(error))
            continue
        if stat.S_ISDIR(mode):
            found = sorted(_below(path))
            if not found:
                problems.add(path, "", "holds no .yaml, .yml or .json file")
            yield from map(File, found)
        elif stat.S_ISREG(mode):
            yield File(path)
        else:  # a pipe, as in `netpolc compile <(kustomize build .)`: it can be read only once
            try:
                yield File(path, File(path).read())
            except OSError as error:
                problems.add(path, "", _reason(error))


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _below(folder: str) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and FilePath(name).suffix.lower() in SUFFIXES:
                yield os.path.join(where, name)


def _documents(file: File, problems: Problems) -> list[Document]:
    try:
        data = file.read()
        start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if file.name.lower().endswith(".json") or start == b"{":
            return list(_json_documents(file, data))
        if len(data) > MAX_YAML_BYTES:
            size = f"{len(data) / 1e6:.0f} MB"
            problems.add(
                file.name, "", f"{size} of YAML is too large; use JSON (kubectl get -o json)"
            )
            return []
        return list(_yaml_documents(file, data))
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


def _json_documents(file: File, data: bytes) -> Iterator[Document]:
    def objects(raw: bytes | msgspec.Raw, at: Elements, group: _Head | None) -> Iterator[Document]:
        head = json_format.decode(raw, _Head, data)
        if head.items is not None and (head.kind or "List").endswith("List"):
            for number, item in enumerate(head.items):
                yield from objects(item, (*at, "items", number), head)
            return
        source = ManifestSource(file, 0, at, is_json=True)
        version, kind = _identity(head.apiVersion, head.kind, group, source)
        content = raw if isinstance(raw, msgspec.Raw) else msgspec.Raw(raw)
        yield Document(version, kind, content, (), source)

    yield from objects(json_format.checked(data), (), None)


def _yaml_documents(file: File, data: bytes) -> Iterator[Document]:
    def objects(
        number: int, value: object, duplicates: list[Elements], at: Elements, group: _Head | None
    ) -> Iterator[Document]:
        source = ManifestSource(file, number, at, is_json=False)
        if not isinstance(value, dict):
            raise SyntaxProblem(*_position(source), "expected a Kubernetes object")
        head = _Head(_text(value.get("apiVersion")), _text(value.get("kind")))
        items = value.get("items")
        if isinstance(items, list) and (head.kind or "List").endswith("List"):
            for index, item in enumerate(items):
                below = [path[2:] for path in duplicates if path[:2] == ("items", index)]
                yield from objects(number, item, below, (*at, "items", index), head)
            return
        version, kind = _identity(head.apiVersion, head.kind, group, source)
        yield Document(version, kind, value, tuple(duplicates), source)

    for number, value, duplicates in yaml_format.documents(data):
        if value is not None:
            yield from objects(number, value, duplicates, (), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _position(source: ManifestSource) -> tuple[int, int]:
    lookup = _json_lookup if source.is_json else _yaml_lookup
    return lookup(source.file)(source.document, source.at, False)


def _identity(
    version: str | None, kind: str | None, group: _Head | None, source: ManifestSource
) -> tuple[str, str]:
    """`apiVersion` and `kind`; items of a PodList and its like may leave both to the list."""
    if group is not None and group.kind not in (None, "List"):
        kind = kind or (group.kind or "").removesuffix("List")
        version = version or group.apiVersion
    missing = [name for name, value in (("apiVersion", version), ("kind", kind)) if not value]
    if missing or version is None or kind is None:
        raise SyntaxProblem(
            *_position(source), f"not a Kubernetes object: {listing(missing)} missing"
        )
    return version, kind


def objects_file(objects: Iterable[object]) -> File:
    """Parsed manifests (dicts) as a file of their own, so that everything reads one way."""
    buffer = io.BytesIO()
    buffer.write(msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    return File("<objects>", buffer.getvalue())


def read_objects(objects: Iterable[object], problems: Problems) -> list[Document]:
    """The same for manifests that are already parsed."""
    return _documents(objects_file(objects), problems)
