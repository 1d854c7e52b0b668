"""Lists of the fake API server: versions, pages, and tokens that go on or expire."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from tests.helpers.apiserver import refusals
from tests.helpers.apiserver.chaos import Chaos
from tests.helpers.apiserver.refusals import Refusal
from tests.helpers.apiserver.resources import Served
from tests.helpers.apiserver.selectors import Chooses, chooser
from tests.helpers.apiserver.store import Document, Key, Store, Stored


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a list or a watch."""

    served: Served
    namespace: str
    own: dict[str, str]
    chosen: Chooses
    selects: bool

    @classmethod
    def of(cls, served: Served, namespace: str, own: dict[str, str]) -> Query:
        """Checked as far as both need it."""
        labels, fields = own.get("labelSelector", ""), own.get("fieldSelector", "")
        for name in ("resourceVersion", "limit", "timeoutSeconds"):
            if not (own.get(name) or "0").isdigit():
                raise Refusal(400, "BadRequest", f"{name}: Invalid value: {own[name]!r}")
        return cls(served, namespace, own, chooser(labels, fields), bool(labels or fields))

    @property
    def watch(self) -> bool:
        return self.own.get("watch") in ("1", "true")

    @property
    def version(self) -> str:
        return self.own.get("resourceVersion", "")

    def selected(self, document: Document) -> bool:
        """Whether an object is in the namespace, and selected."""
        own = document["metadata"].get("namespace", "")
        return self.namespace in ("", own) and self.chosen(document)


def listed(store: Store, chaos: Chaos, asked: Query) -> tuple[bytes, list[bytes], bytes]:
    """A page of a list: what comes before its items, they, and what comes after them."""
    limit = int(asked.own.get("limit") or 0)
    if asked.version == "0":
        limit = 0  # as the cache of a real server answers it
    if chaos.page and limit:
        limit = min(limit, chaos.page)
    with store.changed:
        version, start = _version(store, asked)
        found = [
            own
            for own in store.at(asked.served, version)
            if own[0] > start and asked.selected(own[1].document)
        ]
    page = found[:limit] if limit else found
    metadata: dict[str, object] = {"resourceVersion": str(version)}
    if len(page) < len(found):
        metadata["continue"] = _token(version, page[-1][0])
        if not asked.selects:
            metadata["remainingItemCount"] = len(found) - len(page)
        if chaos.compact_between_pages:
            store.version += 1
            store.compact()
    return _written(asked.served, metadata, page)


def _written(
    served: Served, metadata: dict[str, object], page: list[tuple[Key, Stored]]
) -> tuple[bytes, list[bytes], bytes]:
    head = {"kind": f"{served.kind}List", "apiVersion": served.api_version, "metadata": metadata}
    text = json.dumps(head, separators=(",", ":")).encode()
    return text[:-1] + b',"items":[', [own.item for _, own in page], b"]}\n"


def _version(store: Store, asked: Query) -> tuple[int, Key]:
    """At which version, and after which key."""
    token = asked.own.get("continue")
    if token:
        return _continued(store, token)
    wanted = int(asked.version or 0)
    if wanted > store.version:
        raise refusals.too_large(wanted, store.version)
    exact = asked.own.get("resourceVersionMatch") == "Exact"
    if wanted and (exact or (asked.own.get("limit") and "resourceVersionMatch" not in asked.own)):
        if wanted < max(store.compacted, store.forgotten):
            raise Refusal(410, "Expired", "The resourceVersion for the provided list is too old.")
        return wanted, ("", "")
    return store.version, ("", "")


def _continued(store: Store, token: str) -> tuple[int, Key]:
    try:
        own = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        *space, name = own["start"].removesuffix("\0").lstrip("/").split("/")
    except (ValueError, KeyError):
        raise Refusal(400, "BadRequest", "continue key is not valid") from None
    key = ("".join(space), name)
    if own["rv"] == -1:
        return store.version, key
    if own["rv"] < max(store.compacted, store.forgotten):
        raise refusals.expired_continue(_token(-1, key))
    return own["rv"], key


def _token(version: int, key: Key) -> str:
    """As the real server makes it: after this key, at this version (-1: the one of then)."""
    path = "/".join(filter(None, key))
    start = f"{path if version == -1 else '/' + path}\0"
    own = {"v": "meta.k8s.io/v1", "rv": version, "start": start}
    text = json.dumps(own, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
