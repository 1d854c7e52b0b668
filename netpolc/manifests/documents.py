"""Objects as they are written: what an object says, and where each part of it stands.

Comes in: what `splitting.py` found in a file. Goes out: `Document` values, which frontends decode.
Lines and columns are looked up again from the file when a message needs them, never while reading.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import msgspec

from netpolc.core.errors import ROOT, ObjectProblems, Path
from netpolc.manifests import json_format
from netpolc.manifests.files import Field, File, Whereabouts
from netpolc.manifests.syntax import Elements, NumberedLines, SyntaxProblem, decoded, numbered
from netpolc.manifests.yaml import yaml_format

T = TypeVar("T")
_STANDARD = "tag:yaml.org,2002:"


class Likely(Protocol):
    """The form of most objects: fields that tell objects apart, and those of one kind."""

    @property
    def apiVersion(self) -> str | None:
        """As every object has it."""

    @property
    def kind(self) -> str | None:
        """As every object has it; items of a typed list may not."""

    @property
    def items(self) -> list[msgspec.Raw] | None:
        """Those of a list."""


Scan = Callable[[msgspec.Raw], Likely | None]
"""Decodes an object as most are written, no further than it must; None of one that is not."""


class ManifestSource(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One object: file, number of the document in it, path to the object in the document."""

    file: File
    document: int
    at: Elements
    is_json: bool

    def place(self, elements: Sequence[str | int] = (), at_key: bool = False) -> str:
        """`file:line:column` of a field, or of the deepest part of its path that is there."""
        traced = self._traced(elements)
        if traced is not None:
            return traced[0].place(traced[1], at_key)
        try:
            line, column = self._locator().locate(self.document, (*self.at, *elements), at_key)
        except (OSError, SyntaxProblem, RecursionError):
            return self.file.name  # changed since it was read, or broken beyond this point
        return f"{self.file.name}:{line}:{column}"

    def excerpt(self, elements: Sequence[str | int] = ()) -> NumberedLines:
        """The lines of a field, from its key on; none where the file cannot be read again."""
        traced = self._traced(elements)
        if traced is not None:
            return traced[0].excerpt(traced[1])
        try:
            return self._locator().excerpt(self.document, (*self.at, *elements))
        except (OSError, SyntaxProblem, RecursionError):
            return ()

    def _traced(self, elements: Field) -> tuple[Whereabouts, Field] | None:
        """Where it was written, if it was made from other files."""
        trace = self.file.trace
        return None if trace is None else trace(self.file, self.document, self.at, elements)

    def _locator(self) -> json_format.Locator | yaml_format.Locator:
        return (_json_locator if self.is_json else _yaml_locator)(self.file)


_PLACE = re.compile(r"(.*?):(\d+):(\d+)", re.DOTALL)


def line_at(place: str) -> NumberedLines:
    """The numbered line of a place, `file:line:column`; none where there is no such file."""
    match = _PLACE.fullmatch(place)
    lines = _lines_of(match[1]) if match is not None else ()
    if match is None or not 0 < int(match[2]) <= len(lines):
        return ()
    line = lines[int(match[2]) - 1]
    return numbered([line], int(match[2]), int(match[3]) - 1, len(line))


@lru_cache(maxsize=4)
def _lines_of(name: str) -> tuple[str, ...]:
    if not os.path.isfile(name):
        return ()
    try:
        return tuple(decoded(File(name).read()).split("\n"))
    except (OSError, SyntaxProblem):
        return ()


@lru_cache(maxsize=4)
def _json_locator(file: File) -> json_format.Locator:
    return json_format.Locator(file.read())


@lru_cache(maxsize=4)
def _yaml_locator(file: File) -> yaml_format.Locator:
    return yaml_format.Locator(file.read())


class Document(msgspec.Struct, eq=False, gc=False):
    """One object: JSON, or what PyYAML gave; of YAML with its duplicate keys and unknown tags.

    `likely` is what an object in JSON gave in the pass that found its kind, until `typed` hands it
    out.
    """

    api_version: str
    kind: str
    content: msgspec.Raw | dict[str, Any]
    duplicates: tuple[Elements, ...]
    source: ManifestSource
    likely: Likely | None = None
    tags: tuple[tuple[Elements, str], ...] = ()

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def is_unambiguous(self) -> bool:
        """Whether any decoder of JSON gives the same of it; False if nobody can be sure."""
        if not isinstance(self.content, msgspec.Raw):
            return False
        if self.source.is_json:
            return json_format.is_plain(self.content)
        return not self.duplicates and not self.tags

    def typed(self, model: type[T]) -> T:
        """The object as a `msgspec.Struct`; fields the model lacks are skipped unread."""
        if isinstance(self.likely, model):
            found, self.likely = self.likely, None
            return found
        if isinstance(self.content, msgspec.Raw):
            return msgspec.json.decode(self.content, type=model)
        return msgspec.convert(self.content, model)

    def within(self, namespace: str) -> Document:
        """The same object in a namespace, if it names none itself."""
        try:
            content, duplicates = self._plain()
        except (RecursionError, ValueError):
            return self  # what is wrong is found when it is read
        own = content.get("metadata")
        if not isinstance(own, dict) or own.get("namespace") not in (None, ""):
            return self
        inside = {**content, "metadata": {**own, "namespace": namespace}}
        return Document(
            self.api_version, self.kind, inside, duplicates, self.source, tags=self.tags
        )

    def fields(self, problems: ObjectProblems, strict: bool) -> dict[str, Any] | None:
        """The object as plain values, None if it cannot be had; duplicate fields are reported, and
        tags that nobody knows.

        Duplicates are warnings unless `strict`.
        """
        try:
            content, duplicates = self._plain()
        except RecursionError:
            problems.error(ROOT, "nested too deeply")
            return None
        except ValueError as error:  # what msgspec reads and no API field can hold
            problems.error(ROOT, str(error))
            return None
        report = problems.error if strict else problems.warning
        for elements in duplicates:
            path = _path(elements)
            report(path, f'duplicate field "{path}"', at_key=True)
        for elements, tag in self.tags:
            problems.error(_path(elements), f"unknown tag {tag.replace(_STANDARD, '!!', 1)}")
        return content

    def _plain(self) -> tuple[dict[str, Any], tuple[Elements, ...]]:
        """Plain values, and the paths of keys that stand there twice."""
        if not isinstance(self.content, msgspec.Raw):
            return self.content, self.duplicates
        if self.source.is_json:
            return json_format.strict_object(bytes(self.content))
        return msgspec.json.decode(self.content, type=dict[str, Any]), self.duplicates


def _path(elements: Elements) -> Path:
    path = ROOT
    for element in elements:
        path = path / element
    return path
