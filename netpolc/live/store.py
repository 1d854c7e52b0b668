"""The objects of a cluster, each as it was read, by kind, namespace and name.

Comes in: documents as an API server gives them. Goes out: what each says (`OneObject`), before and
after a change. An object that cannot be read keeps its last good version, and without one stands
for itself in the strict direction (docs/odd-objects.md); either is told in `refused`, and so is an
item of a list that is passed over. Refused: a change of what is no object, has no name, or is of
another kind than `KINDS` (`InputError`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, ValuesView
from typing import Any, NamedTuple

from netpolc.core.errors import InputError, Problems
from netpolc.core.ir import Key
from netpolc.frontends import Semantics
from netpolc.frontends.fields import DEFAULT_NAMESPACE
from netpolc.frontends.single import ObjectReader, OneObject
from netpolc.manifests import Document, File, ManifestSource
from netpolc.manifests.given import plain_objects

KINDS = (
    "Namespace",
    "Node",
    "Pod",
    "NetworkPolicy",
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
)
"""The kinds of objects that verdicts depend on."""
_ITEM = "items["
"""How the name of an item of a list begins that is passed over."""
KEPT = "its last good version stays"
_SOURCE = ManifestSource(File("<live>", b"{}"), 0, (), is_json=True)
"""Where every object comes from: an API server, which has no lines."""


class Event(NamedTuple):
    """What an object said before an event, and what it says now; None where there is none."""

    key: Key
    before: OneObject | None
    after: OneObject | None


class Store:
    """The objects there are."""

    def __init__(self, semantics: Semantics) -> None:
        self._reader = ObjectReader(semantics)
        self._objects: dict[Key, OneObject] = {}
        self._keys: dict[str, dict[Key, None]] = {kind: {} for kind in KINDS}
        self.refused: dict[Key, str] = {}
        """What is done about each odd object, and why."""

    def __len__(self) -> int:
        return len(self._objects)

    def all(self) -> ValuesView[OneObject]:
        """Every object."""
        return self._objects.values()

    def put(self, document: Mapping[str, Any]) -> Event:
        """An object that is new or has changed."""
        return self._put(_document(document))

    def _put(self, read: Document) -> Event:
        key = read.kind, *self._reader.name(read)
        before, found = self._objects.get(key), self._reader.read(read)
        if found.failed and before is not None and not before.failed:
            self.refused[key] = f"{KEPT}: {'; '.join(found.reasons)}"
            return Event(key, before, before)
        self.refused.pop(key, None)
        if found.odd:
            told = (own.treatment for own in found.odd)
            self.refused[key] = ": ".join(filter(None, ("; ".join(told), "; ".join(found.reasons))))
        self._objects[key] = found
        self._keys[read.kind][key] = None
        return Event(key, before, found)

    def keep(self, key: Key, own: OneObject) -> Event:
        """An object that somebody else read, in which nothing is odd."""
        self.refused.pop(key, None)
        before = self._objects.get(key)
        self._objects[key] = own
        self._keys[key[0]][key] = None
        return Event(key, before, own)

    def drop(self, key: Key) -> Event:
        """An object that is gone; nothing happens where there was none."""
        self.refused.pop(key, None)
        self._keys[key[0]].pop(key, None)
        return Event(key, self._objects.pop(key, None), None)

    def replace(self, kind: str, documents: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
        """All objects of a kind: what is not among them is gone. Changes one after the other.

        One without a name stands for itself, under a name that is made up; what is of no such kind
        is passed over, and so is what cannot be read at all, unless its name was there already:
        then its last version stays. None of them stops the others.
        """
        left = dict(self._keys[kind])
        for passed in [key for key in self.refused if key[0] == kind and key[2].startswith(_ITEM)]:
            del self.refused[passed]
        for number, document in enumerate(documents):
            try:
                read = _document(document, is_named=False)
            except InputError as error:
                why = "; ".join(own.message for own in error.diagnostics)
                known = next((key for key in _likely_keys(kind, document) if key in left), None)
                if known is None:
                    self.refused[kind, "", f"{_ITEM}{number}]"] = f"it is passed over: {why}"
                else:
                    del left[known]
                    self.refused[known] = f"{KEPT}: {why}"
                continue
            left.pop((kind, *self._reader.name(read)), None)
            yield self._put(read)
        for key in left:
            yield self.drop(key)


def _likely_keys(kind: str, given: object) -> Iterator[Key]:
    """Whose item of a list this may be, although it cannot be read."""
    if not isinstance(given, Mapping) or given.get("kind") != kind:
        return
    metadata = given.get("metadata")
    if isinstance(metadata, Mapping):
        name, namespace = metadata.get("name"), metadata.get("namespace") or DEFAULT_NAMESPACE
        if isinstance(name, str) and isinstance(namespace, str):
            yield kind, namespace, name
            yield kind, "", name  # of what is in no namespace


def _document(given: Mapping[str, Any], *, is_named: bool = True) -> Document:
    problems = Problems()
    plain = plain_objects([given], problems)
    problems.raise_errors()
    (content,) = plain
    kind, version = content.get("kind"), content.get("apiVersion")
    metadata = content.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if kind not in KINDS or not isinstance(version, str):
        problems.add("<live>", "kind", f"{version} {kind} is none of {', '.join(KINDS)}")
    elif is_named and (not isinstance(name, str) or not name):
        problems.add("<live>", "metadata.name", f"a {kind} without a name")
    problems.raise_errors()
    return Document(version, kind, content, (), _SOURCE)
