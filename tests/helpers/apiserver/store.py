"""The objects of the fake API server: one version for all changes, and what happened before.

Versions grow by one with each change, as those of etcd do. `forget` empties the window of watches,
`compact` makes old pages of lists expire.
"""

from __future__ import annotations

import json
import threading
import uuid
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from tests.helpers.apiserver.resources import BUILTIN, CUSTOM, Served

Document = dict[str, Any]
Key = tuple[str, str]
"""Namespace ("" of what is in none) and name."""
WINDOW = 100_000
"""Events of a resource that are remembered at most."""


@dataclass(frozen=True)
class Stored:
    """An object at one version; nobody changes the document."""

    document: Document
    custom: bool

    @cached_property
    def text(self) -> bytes:
        """As a watch tells it."""
        return json.dumps(self.document, separators=(",", ":")).encode()

    @cached_property
    def item(self) -> bytes:
        """As a list has it."""
        if self.custom:
            return self.text
        own = {k: v for k, v in self.document.items() if k not in ("kind", "apiVersion")}
        return json.dumps(own, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Change:
    """One change of one object: None before it was made, and after it was deleted."""

    version: int
    key: Key
    old: Stored | None
    new: Stored | None
    last: Stored | None = None
    """Of a deletion: the object as it was, with the version of the deletion."""


class Store:
    """Objects by resource; all methods may be called from any thread."""

    def __init__(self, version: int = 1000) -> None:
        self.version = version
        self.changed = threading.Condition()
        self.served: list[Served] = [*BUILTIN, *CUSTOM]
        self.compacted = 0
        self.forgotten = 0
        self.lost: dict[Served, int] = {}
        """The last version of each resource of which the change is not remembered."""
        self._objects: dict[Served, dict[Key, Stored]] = {}
        self._history: dict[Served, list[Change]] = {}
        self._sorted: tuple[Served, int, list[tuple[Key, Stored]]] | None = None

    def resource(self, api_version: str, kind: str) -> Served:
        """Who has objects of a kind."""
        for own in self.served:
            if (own.api_version, own.kind) == (api_version, kind):
                return own
        raise LookupError(f"no resource of {api_version} {kind}")

    def apply(self, document: Document, keep_version: bool = False) -> Document:
        """Create or replace an object; it comes back with its version."""
        own = self.resource(document["apiVersion"], document["kind"])
        metadata = dict(document["metadata"])
        key = (metadata.get("namespace") or "" if own.namespaced else "", metadata["name"])
        with self.changed:
            old = self._objects.get(own, {}).get(key)
            self.version += 1
            before = old.document["metadata"] if old else {}
            metadata.setdefault("uid", before.get("uid") or str(uuid.uuid4()))
            if not keep_version:
                metadata["resourceVersion"] = str(self.version)
            made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            metadata.setdefault("creationTimestamp", before.get("creationTimestamp") or made)
            if own.kind == "Namespace":
                labels = metadata.get("labels") or {}
                metadata["labels"] = {**labels, "kubernetes.io/metadata.name": metadata["name"]}
            rest = {
                k: v for k, v in document.items() if k not in ("kind", "apiVersion", "metadata")
            }
            head = {"kind": own.kind, "apiVersion": own.api_version, "metadata": metadata}
            new = Stored({**head, **rest}, own.custom)
            self._objects.setdefault(own, {})[key] = new
            self._remember(own, Change(self.version, key, old, new))
            return new.document

    def apply_all(self, documents: Iterable[Document]) -> None:
        """Create or replace objects, one after another."""
        for document in documents:
            self.apply(document)

    def delete(self, own: Served | str, namespace: str, name: str) -> Document | None:
        """Delete an object, named by its resource or its kind; None if it is not there."""
        if isinstance(own, str):
            own = next(one for one in self.served if one.kind == own)
        with self.changed:
            old = self._objects.get(own, {}).pop((namespace, name), None)
            if old is None:
                return None
            self.version += 1
            metadata = {**old.document["metadata"], "resourceVersion": str(self.version)}
            last = Stored({**old.document, "metadata": metadata}, own.custom)
            self._remember(own, Change(self.version, (namespace, name), old, None, last))
            return last.document

    def get(self, own: Served, namespace: str, name: str) -> Stored | None:
        """An object as it is now."""
        with self.changed:
            return self._objects.get(own, {}).get((namespace, name))

    def at(self, own: Served, version: int) -> list[tuple[Key, Stored]]:
        """All objects of a resource as they were at a version, sorted by their keys."""
        with self.changed:
            if self._sorted and self._sorted[:2] == (own, version):
                return self._sorted[2]
            objects = dict(self._objects.get(own, {}))
            for change in reversed(self.after(own, version)):
                if change.old is None:
                    objects.pop(change.key, None)
                else:
                    objects[change.key] = change.old
            found = sorted(objects.items())
            self._sorted = (own, version, found)
            return found

    def after(self, own: Served, version: int) -> list[Change]:
        """What happened to a resource since a version."""
        with self.changed:
            history = self._history.get(own, [])
            return history[bisect_right(history, version, key=lambda change: change.version) :]

    def last(self, own: Served) -> int:
        """The version of the last change of a resource."""
        history = self._history.get(own)
        return history[-1].version if history else self.version

    def compact(self) -> None:
        """Pages of lists that have begun expire, as after a compaction of etcd."""
        with self.changed:
            self.compacted = self.version

    def forget(self) -> None:
        """Watches can begin only from now on, as after a restart or a flood of events."""
        with self.changed:
            self.forgotten = self.version
            self.lost |= {own: each[-1].version for own, each in self._history.items()}
            self._history.clear()

    def _remember(self, own: Served, change: Change) -> None:
        history = self._history.setdefault(own, [])
        history.append(change)
        if len(history) > WINDOW:
            self.forgotten = self.compacted = history[WINDOW // 2].version
            self.lost[own] = self.forgotten
            del history[: WINDOW // 2 + 1]
        self.changed.notify_all()
