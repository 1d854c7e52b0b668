"""One file split into objects: multi-document YAML, JSON, and lists of objects.

Comes in: a `File`. Goes out: `Document` values, one for each Kubernetes object, decoded no further
than its `apiVersion` and `kind`, or in the same pass as what most objects are. Refused, with
`file:line:column`: what is no YAML or JSON, invalid UTF-8, alias bombs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from netpolc.core.errors import Problems, listing
from netpolc.manifests import json_format
from netpolc.manifests.documents import Document, Likely, ManifestSource, Scan
from netpolc.manifests.files import File, reason
from netpolc.manifests.likeness import OTHERS, is_like_object, list_problem
from netpolc.manifests.syntax import SyntaxProblem, in_utf_8
from netpolc.manifests.yaml import yaml_format
from netpolc.manifests.yaml.yaml_document import YamlDocument

Content = bytes | OSError | MemoryError
"""What a file holds, or why it cannot be read."""


_NOTHING = msgspec.Raw(b"null")


class Head(msgspec.Struct, frozen=True, gc=False):
    """What tells objects apart; `items` is there in lists only."""

    apiVersion: str | None = None
    kind: str | None = None
    items: list[msgspec.Raw] | None = None
    metadata: msgspec.Raw = _NOTHING


def content_of(file: File) -> Content:
    """The whole content of a file; nothing is raised."""
    try:
        return file.read()
    except (OSError, MemoryError) as error:
        return error


def documents_of(
    file: File,
    data: Content,
    problems: Problems,
    likely: type[Likely] = Head,
    scan: Scan | None = None,
) -> Iterator[Document]:
    """The objects of one file; a broken text gives none, a broken object hides no other."""
    try:
        if not isinstance(data, bytes):
            raise data
        data = in_utf_8(data)
        reader = _Splitter(file, data, problems, likely, scan)
        name = file.name.lower()
        if name.endswith(".json"):
            yield from reader.json_documents()
            return
        if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
            try:
                yield from reader.json_documents()
                return
            except SyntaxProblem:
                if not name.endswith((".yaml", ".yml")):
                    raise  # else it is YAML in flow style
        yield from list(reader.yaml_documents())
    except SyntaxProblem as problem:
        place = f"{file.name}:{problem.line}:{problem.column}" if problem.line else file.name
        problems.add(place, "", problem.message)
    except (OSError, MemoryError) as error:
        problems.add(file.name, "", reason(error))


_HEAD = msgspec.json.Decoder(Head)


class _Splitter:
    """Splits one file into objects."""

    def __init__(
        self,
        file: File,
        data: bytes,
        problems: Problems,
        likely: type[Likely],
        scan: Scan | None,
    ) -> None:
        self._file, self._data, self._problems = file, data, problems
        self._likely = msgspec.json.Decoder(likely)
        self._scan = scan or self._decoded

    def json_documents(self) -> Iterator[Document]:
        """The objects of a JSON text, or the items of lists."""
        data = json_format.checked(self._data)
        whole = ManifestSource(self._file, 0, (), True)
        try:
            yield from self._json(msgspec.Raw(data), whole, None, _list_of(data))
        except _Broken as problem:
            several = json_format.values(data)
            if len(several) < 2:
                raise json_format.broken(data, problem.refused) from None
            for number, one in enumerate(several):
                source = ManifestSource(self._file, number, (), True)
                try:
                    yield from self._json(msgspec.Raw(one), source, None)
                except _Broken as inner:  # what the standard library reads
                    text = json_format.without_byte(inner.refused)
                    self._problems.add(source.place(), "", f"broken JSON: {text}")

    def _json(
        self,
        raw: msgspec.Raw,
        source: ManifestSource,
        group: Likely | None,
        likely: Likely | None = None,
    ) -> Iterator[Document]:
        at = source.at
        try:
            head = likely or _HEAD.decode(raw)
        except msgspec.ValidationError as error:
            self._no_object(source, str(error), _value(raw))
            return
        except (msgspec.DecodeError, RecursionError) as error:
            if not at:
                raise _Broken(error) from None
            self._no_object(source, str(error))
            return
        if self._is_passed_over(source, head, raw):
            return
        if head.items is not None and self._is_list(source, head, raw):
            scan, file, document = self._scan, self._file, source.document
            for number, item in enumerate(head.items):  # there may be very many
                found = scan(item) or self._decoded(item)
                place = ManifestSource(file, document, (*at, "items", number), True)
                if found is not None and found.items is None and found.apiVersion and found.kind:
                    yield Document(found.apiVersion, found.kind, item, (), place, found)
                else:
                    yield from self._json(item, place, head, found)
            return
        identity = self._identity(head, group, source)
        if identity is not None:
            yield Document(*identity, raw, (), source, likely)

    def _decoded(self, raw: msgspec.Raw) -> Likely | None:
        """The object in the likely form; None if it has another, or is none."""
        try:
            return self._likely.decode(raw)
        except (msgspec.MsgspecError, RecursionError):
            return None  # what is wrong with it is found when it is read for what it is

    def yaml_documents(self) -> Iterator[Document]:
        """The objects of all documents; empty documents are passed over."""
        for number, found in enumerate(yaml_format.documents(self._data)):
            if found.value is not None:
                source = ManifestSource(self._file, number, (), is_json=False)
                yield from self._yaml(found, source, None)

    def _yaml(
        self, found: YamlDocument, source: ManifestSource, group: Likely | None
    ) -> Iterator[Document]:
        value = found.value
        head = self._yaml_head(value) if isinstance(value, msgspec.Raw) else None
        items: object = head and head.items
        if head is None:  # read by PyYAML, or nothing that JSON could tell apart
            value = found.plain
            if not isinstance(value, dict):
                self._no_object(source, "expected a map", value)
                return
            head = Head(_text(value.get("apiVersion")), _text(value.get("kind")))
            items = value.get("items")
        if self._is_passed_over(source, head, value):
            return
        if items is not None and self._is_list(source, head, value):
            if not isinstance(items, list):
                self._no_object(source, "items are no list")
                return
            for index, item in enumerate(found.items(items)):
                at = (*source.at, "items", index)
                below = ManifestSource(self._file, source.document, at, is_json=False)
                yield from self._yaml(item, below, head)
            return
        identity = self._identity(head, group, source)
        if identity is not None:
            content = cast("msgspec.Raw | dict[str, Any]", value)
            twice, tags = tuple(found.duplicates), tuple(found.tags)
            yield Document(*identity, content, twice, source, head, tags)

    def _yaml_head(self, raw: msgspec.Raw) -> Likely | None:
        """What tells an object apart; None if it is none, or its fields are of other types."""
        try:
            return self._decoded(raw) or _HEAD.decode(raw)
        except msgspec.MsgspecError:
            return None

    def _identity(
        self, head: Likely, group: Likely | None, source: ManifestSource
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

    def _is_list(self, source: ManifestSource, head: Likely, value: object) -> bool:
        """Whether something with items is a list; misspelt ones, and parts of lists, are
        problems.
        """
        parts = _parts(head, value)
        problem = list_problem(head.kind, parts)
        if problem is not None:
            at, text = problem
            self._problems.add(source.place(at), ".".join(at), text)
        return (head.kind or "List").endswith("List")

    def _is_passed_over(self, source: ManifestSource, head: Likely, value: object) -> bool:
        """Whether a document of a folder without `apiVersion` or `kind` looks like no object."""
        if source.at or not self._file.in_folder or (head.kind and head.apiVersion):
            return False
        if os.path.basename(self._file.name) in OTHERS:
            self._pass_over()
            return True
        found = _value(value) if isinstance(value, msgspec.Raw) else value
        if is_like_object(found):
            return False
        self._pass_over()
        return True

    def _pass_over(self) -> None:
        if self._file.name not in self._problems.passed_over[-1:]:
            self._problems.passed_over.append(self._file.name)

    def _no_object(self, source: ManifestSource, reason: str, value: object = None) -> None:
        """Refuse it; in a folder pass it over if it looks like no object at all."""
        may_be = value is not None and not source.at and self._file.in_folder
        if may_be and not is_like_object(value):
            self._pass_over()
            return
        self._problems.add(source.place(), "", f"not a Kubernetes object: {reason}")


class _Broken(Exception):
    """A text that is no JSON, as msgspec has it."""

    def __init__(self, refused: Exception) -> None:
        super().__init__(str(refused))
        self.refused = refused


def _list_of(data: bytes) -> Head | None:
    """What a list begins with, and its items; None of a text that may be none."""
    found = json_format.listed(data)
    if found is None:
        return None
    version, kind, metadata, items = found
    return Head(version, kind, items, _NOTHING if metadata is None else metadata)


def _value(raw: msgspec.Raw) -> object:
    """What a JSON text holds; a text that names an object if it cannot be had."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return "kind"


def _parts(head: Likely, value: object) -> dict[str, Any]:
    """The fields of something with items, of which only the first is there."""
    if isinstance(value, dict):
        items = value["items"]
        return {**value, "items": items[:1] if isinstance(items, list) else []}
    found: dict[str, Any] = {"items": [_value(own) for own in (head.items or ())[:1]]}
    if not isinstance(value, msgspec.Raw):
        return found
    if isinstance(head, Head) and head.kind is not None:  # there may be very many items
        return {**found, "metadata": _value(head.metadata)}
    try:
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        return found
    own = {name: _value(raw) if name == "metadata" else None for name, raw in fields.items()}
    return {**own, **found}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
