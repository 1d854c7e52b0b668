"""Files as they were read, object by object, and what of them is another when they are read again.

Comes in: what all files hold. Goes out: the objects that came, changed or went, for a `Live`. Files
of the same bytes are not parsed again, and objects of the same text not read again; no date of a
file is believed. Refused (`NotPlain`): whatever a reading of all files at once has anything to say
of, or reads otherwise: broken files, odd objects, two of one name, kinds of which no `Live` knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

import msgspec

from netpolc.core.errors import NetpolcError, Problems
from netpolc.core.ir import Key
from netpolc.frontends import Semantics
from netpolc.frontends.cluster.pods import scan
from netpolc.frontends.fields import DEFAULT_NAMESPACE
from netpolc.frontends.naming import ANY
from netpolc.frontends.objects import PodItem
from netpolc.frontends.reading import within
from netpolc.frontends.single import ObjectReader, OneObject
from netpolc.live.store import KINDS
from netpolc.manifests import Content, Document, File, documents_of

Changes = dict[Key, OneObject | None]
"""Objects that are new or others than before; None for those that are gone."""


class NotPlain(NetpolcError):
    """Something that only a reading of all files can say, or judge."""


class _ReadObject(NamedTuple):
    digest: bytes
    """Of its text and whatever decides how that is read; empty where nobody can be sure."""
    own: OneObject


class _ReadFile(NamedTuple):
    digest: bytes
    objects: dict[Key, _ReadObject]


class ReadFiles:
    """All files as they were when they were read last and nothing was to be said of them."""

    def __init__(self, strict: bool = True, default_namespace: str = DEFAULT_NAMESPACE) -> None:
        self._reader = ObjectReader(Semantics.CURRENT, strict)
        self._namespace = default_namespace
        self._files: dict[str, _ReadFile] = {}
        self._keys = set[Key]()

    def changes(self, contents: Iterable[tuple[File, Content]]) -> Changes:
        """What changed since the last time; after `NotPlain` it is still the time before."""
        before, now = self._files, dict[str, _ReadFile]()
        for file, data in contents:
            now[file.name] = self._file(file, data, before.get(file.name))
        gone, there, count = dict[Key, _ReadObject](), dict[Key, _ReadObject](), 0
        for name in before.keys() | now.keys():
            old, new = before.get(name), now.get(name)
            if old is not new:
                gone.update(old.objects if old is not None else {})
                there.update(new.objects if new is not None else {})
                count += len(new.objects) if new is not None else 0
        if len(there) != count or any(key in self._keys and key not in gone for key in there):
            raise NotPlain("two objects of one name")
        self._keys.difference_update(gone)
        self._keys.update(there)
        self._files = now
        found: Changes = {key: None for key in gone if key not in there}
        found.update((key, new.own) for key, new in there.items() if gone.get(key) is not new)
        return found

    def _file(self, file: File, data: Content, before: _ReadFile | None) -> _ReadFile:
        if not isinstance(data, bytes):
            raise NotPlain(f"{file.name}: it cannot be read")
        digest = sha256(data).digest()
        if before is not None and before.digest == digest:
            return before
        known = {} if before is None else _by_text(before)
        problems, found, count = Problems(), dict[Key, _ReadObject](), 0
        for document in self._documents(file, data, problems):
            key, own = self._object(document, known)
            found[key] = own
            count += 1
        if problems.diagnostics or problems.passed_over:
            raise NotPlain(f"{file.name}: something is to be said of it")
        if len(found) != count:
            raise NotPlain(f"{file.name}: two objects of one name")
        return _ReadFile(digest, found)

    def _documents(self, file: File, data: bytes, problems: Problems) -> Iterator[Document]:
        found = documents_of(file, data, problems, PodItem, scan)
        return found if self._namespace == DEFAULT_NAMESPACE else within(found, self._namespace)

    def _object(
        self, document: Document, known: dict[bytes, tuple[Key, _ReadObject]]
    ) -> tuple[Key, _ReadObject]:
        digest = _digest(document)
        found = known.get(digest) if digest else None
        if found is not None:
            return found
        if document.kind not in KINDS or not self._reader.reads(document):
            raise NotPlain(f"{document.source.file.name}: {document.api_version} {document.kind}")
        own = self._reader.read(document)
        key = _key(own) or (document.kind, *self._reader.name(document))
        if self._reader.told or own.failed or own.odd or ANY in key[2]:
            raise NotPlain(f"{document.source.file.name}: something is to be said of {key}")
        return key, _ReadObject(digest, own)


def _by_text(file: _ReadFile) -> dict[bytes, tuple[Key, _ReadObject]]:
    return {own.digest: (key, own) for key, own in file.objects.items()}


def _digest(document: Document) -> bytes:
    """Equal ones of two objects of a file: one is read as the other."""
    if not isinstance(document.content, msgspec.Raw) or document.duplicates or document.tags:
        return b""
    found = sha256(document.content)
    form = document.api_version, document.kind, document.source.is_json
    found.update(repr(form).encode())
    return found.digest()


def _key(own: OneObject) -> Key | None:
    """The name of an object that says something."""
    said = own.policy or own.pod or own.namespace or own.node
    origin = said.origin if said is not None else None
    return origin.key if origin is not None else None
