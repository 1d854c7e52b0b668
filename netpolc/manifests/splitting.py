"""One file split into objects: multi-document YAML, JSON, and lists of objects.

Comes in: a `File`. Goes out: `Document` values, one for each Kubernetes object, decoded no further
than its `apiVersion` and `kind`, or in the same pass as what most objects are. Refused, with
`file:line:column`: what is no YAML or JSON, invalid UTF-8, alias bombs, YAML too large to parse in
reasonable time.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from netpolc.core.errors import Problems, listing
from netpolc.manifests import json_format, yaml_format
from netpolc.manifests.documents import Document, Likely, ManifestSource
from netpolc.manifests.files import File, reason
from netpolc.manifests.syntax import Elements, SyntaxProblem

MAX_YAML_BYTES = 64 << 20
"""PyYAML reads about 1 MB/s; JSON, which kubectl prints as well, has no such limit."""


Content = bytes | OSError | MemoryError
"""What a file holds, or why it cannot be read."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """What tells objects apart; `items` is there in lists only."""

    apiVersion: str | None = None
    kind: str | None = None
    items: list[msgspec.Raw] | None = None


def content_of(file: File) -> Content:
    """The whole content of a file; nothing is raised."""
    try:
        return file.read()
    except (OSError, MemoryError) as error:
        return error


def documents_of(
    file: File, data: Content, problems: Problems, likely: type[Likely] = Head
) -> Iterator[Document]:
    """The objects of one file; a broken text gives none, a broken object hides no other."""
    try:
        if not isinstance(data, bytes):
            raise data
        reader = _Splitter(file, data, problems, likely)
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
        if len(data) > MAX_YAML_BYTES:
            size = f"{len(data) / 1e6:.0f} MB"
            text = f"{size} of YAML is too large; use JSON (kubectl get -o json)"
            problems.add(file.name, "", text)
            return
        yield from list(reader.yaml_documents())
    except SyntaxProblem as problem:
        place = f"{file.name}:{problem.line}:{problem.column}" if problem.line else file.name
        problems.add(place, "", problem.message)
    except (OSError, MemoryError) as error:
        problems.add(file.name, "", reason(error))


_HEAD = msgspec.json.Decoder(Head)


class _Splitter:
    """Splits one file into objects."""

    def __init__(self, file: File, data: bytes, problems: Problems, likely: type[Likely]) -> None:
        self._file, self._data, self._problems = file, data, problems
        self._likely = msgspec.json.Decoder(likely)

    def json_documents(self) -> Iterator[Document]:
        """The object of a JSON text, or the items of a list."""
        data = json_format.checked(self._data)
        yield from self._json(msgspec.Raw(data), (), None)

    def _json(
        self, raw: msgspec.Raw, at: Elements, group: Likely | None, likely: Likely | None = None
    ) -> Iterator[Document]:
        source = ManifestSource(self._file, 0, at, is_json=True)
        try:
            head = likely or _HEAD.decode(raw)
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
                below, found = (*at, "items", number), self._decoded(item)
                if found is not None and found.items is None and found.apiVersion and found.kind:
                    place = ManifestSource(self._file, 0, below, True)
                    yield Document(found.apiVersion, found.kind, item, (), place, found)
                else:
                    yield from self._json(item, below, head, found)
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
        for number, value, duplicates in yaml_format.documents(self._data):
            if value is not None:
                yield from self._yaml(number, value, duplicates, (), None)

    def _yaml(
        self,
        number: int,
        value: object,
        duplicates: list[Elements],
        at: Elements,
        group: Likely | None,
    ) -> Iterator[Document]:
        source = ManifestSource(self._file, number, at, is_json=False)
        if not isinstance(value, dict):
            self._no_object(source, "expected a map")
            return
        head = Head(_text(value.get("apiVersion")), _text(value.get("kind")))
        items = value.get("items")
        if items is not None and _is_list(head.kind):
            if not isinstance(items, list):
                self._no_object(source, "items are no list")
                return
            inside: dict[object, list[Elements]] = {}
            for path in duplicates:
                if len(path) > 2 and path[0] == "items":
                    inside.setdefault(path[1], []).append(path[2:])
            for index, item in enumerate(items):
                below = inside.get(index, [])
                yield from self._yaml(number, item, below, (*at, "items", index), head)
            return
        identity = self._identity(head, group, source)
        if identity is not None:
            yield Document(*identity, value, tuple(duplicates), source)

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

    def _no_object(self, source: ManifestSource, reason: str) -> None:
        self._problems.add(source.place(), "", f"not a Kubernetes object: {reason}")


def _is_list(kind: str | None) -> bool:
    return (kind or "List").endswith("List")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
