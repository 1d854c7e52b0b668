"""Watches of the fake API server: events, bookmarks, WatchList, and how they end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.helpers.apiserver import refusals
from tests.helpers.apiserver.listing import Query
from tests.helpers.apiserver.refusals import Refusal
from tests.helpers.apiserver.store import Change

if TYPE_CHECKING:
    from tests.helpers.apiserver.server import ApiServer

INITIAL_END = "k8s.io/initial-events-end"


class Cut(Exception):
    """The connection ends in the middle of a chunk."""


def watched(api: ApiServer, asked: Query) -> Iterator[bytes]:
    """The lines of a watch, each as one chunk; empty ones are nothing to send."""
    begun = time.monotonic()
    wants_all = _wants_all(api, asked)
    store = api.store
    with store.changed:
        given, current, forgotten = int(asked.version or 0), store.version, store.forgotten
        initial = store.at(asked.served, current) if wants_all or not given else []
    if given and not wants_all and given < forgotten:
        yield _expired(given, forgotten)
        return
    if given > current and wants_all:
        raise refusals.too_large(given, current)
    for _, own in initial:
        if asked.selected(own.document):
            yield _line(b"ADDED", own.text)
    marks = api.chaos.bookmarks and asked.own.get("allowWatchBookmarks") in ("1", "true")
    if marks and (wants_all or asked.version == "0"):
        shown = current if wants_all else store.last(asked.served)
        yield _bookmark(asked, shown, {INITIAL_END: "true"})
    yield b""
    yield from _events(api, asked, current if initial or not given else given, begun)


def _wants_all(api: ApiServer, asked: Query) -> bool:
    """Whether the initial events are asked for; a 422 where that is not understood."""
    if "sendInitialEvents" not in asked.own or api.chaos.watch_list == "ignored":
        return False
    problem = ""
    if api.chaos.watch_list == "forbidden":
        problem = (
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        )
    elif asked.own.get("resourceVersionMatch") != "NotOlderThan":
        problem = "resourceVersionMatch is required when sendInitialEvents is set"
    if problem:
        message = f'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: {problem}'
        raise Refusal(422, "Invalid", message)
    return asked.own["sendInitialEvents"] == "true"


def _events(api: ApiServer, asked: Query, last: int, begun: float) -> Iterator[bytes]:
    store, chaos, epoch = api.store, api.chaos, api.epoch
    end = begun + int(asked.own.get("timeoutSeconds") or 1800) * chaos.pace
    marks = asked.own.get("allowWatchBookmarks") in ("1", "true")
    marked, mark_epoch, seen, said = begun, api.bookmark_epoch, False, False
    while True:
        with store.changed:
            now = time.monotonic()
            changes = [] if chaos.silent else store.after(asked.served, last)
            wanted = mark_epoch != api.bookmark_epoch
            due = seen and now >= marked + chaos.bookmark_seconds
            closing = seen and not said and now >= end - chaos.pace
            if api.epoch != epoch:
                raise Cut
            lost = last < store.lost.get(asked.served, 0)
            marking = marks and chaos.bookmarks and not chaos.silent and (wanted or due or closing)
            if now >= end and not changes:
                return
            if not changes and not marking and not lost:
                store.changed.wait(min(end - now, 0.5))
                continue
            current = store.version
        if lost:
            yield _expired(last, store.forgotten)
            return
        for change in changes:
            last, seen = change.version, True
            line = _told(asked, change)
            if line:
                yield line
        if marking and not changes:
            mark_epoch, marked, said = api.bookmark_epoch, now, said or closing
            yield _bookmark(asked, current, {})


def _told(asked: Query, change: Change) -> bytes:
    """The event of a change for who watches a part; empty where it is none of theirs."""
    old = change.old is not None and asked.selected(change.old.document)
    new = change.new is not None and asked.selected(change.new.document)
    after = change.new or change.last
    assert after is not None
    if new:
        return _line(b"MODIFIED" if old else b"ADDED", after.text)
    return _line(b"DELETED", after.text) if old else b""


def _bookmark(asked: Query, version: int, annotations: dict[str, str]) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if annotations:
        metadata["annotations"] = annotations
    served = asked.served
    head = {"kind": served.kind, "apiVersion": served.api_version, "metadata": metadata}
    return _line(b"BOOKMARK", json.dumps({**head, **served.empty}, separators=(",", ":")).encode())


def _expired(given: int, oldest: int) -> bytes:
    return _line(b"ERROR", json.dumps(refusals.too_old(given, oldest).document()).encode())


def _line(kind: bytes, text: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind, text)
