"""One resource, followed for ever: a list or a WatchList, then a watch, and again what is needed.

Comes in: a server. Goes out: events. Versions, times and waits are those of client-go's reflector
(`tools/cache/reflector.go`): a first list may be of the cache (`resourceVersion=0`), one after that
is not older than what was seen, and only where the server does not know that version it is asked
for the newest. What was told stands until the next event: an outage empties nothing.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from netpolc.apiserver.client import Client
from netpolc.apiserver.errors import ApiRefusal, Silent, Unreachable
from netpolc.apiserver.events import Absent, Ended, Event, Listed, Trouble
from netpolc.apiserver.follow.backoff import Backoff, Clock, Gate, Random
from netpolc.apiserver.follow.watching import Watching
from netpolc.apiserver.listing import PAGE, Lister
from netpolc.apiserver.resources import Resource
from netpolc.core.errors import SystemRefusal

WATCH_SECONDS = 300.0
"""A watch is asked to end after so long, at most twice that."""
GRACE_SECONDS = 10.0
"""So much later a watch that has not ended, and says nothing, is given up."""
FIRST_SECONDS = 30.0
"""A WatchList that says nothing for so long has no end marker: an older server."""
SHORT_SECONDS = 1.0
"""A watch that ends earlier, without an event, counts as a failure."""


class Reflector:
    """Follows one resource; `steps` does the work, `run` in a thread of its own."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        gate: Gate,
        tell: Callable[[Event], None],
        *,
        clock: Clock = time.monotonic,
        chance: Random = random.random,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self.resource, self.kind = resource, resource.kind
        self.counts: Counter[str] = Counter()
        """lists, watches, events; and what went wrong, by its reason."""
        self._client, self._gate, self._tell = client, gate, tell
        self._clock, self._chance, self._watch_seconds = clock, chance, watch_seconds
        self._lister = Lister(client, resource)
        self._backoff = Backoff(clock, chance)
        self._stopped = threading.Event()
        self._version, self._unavailable = "", False
        self._must_list, self._was_listed, self._streams = True, False, True
        self._absent = ""

    def run(self) -> None:
        """Follow until `stop`; `Ended` is told where it ends otherwise."""
        try:
            for wait in self.steps():
                if self._stopped.wait(wait):
                    break
        finally:
            self._client.close()
            if not self._stopped.is_set():
                self._tell(Ended(self.kind))

    def stop(self) -> None:
        """End, wherever it waits; from any thread."""
        self._stopped.set()
        self._client.interrupt()

    def steps(self) -> Iterator[float]:
        """Ask the server; each value is how many seconds to wait before the next step."""
        while not self._stopped.is_set():
            wait = self._gate.delay()
            if wait:
                yield wait
                continue
            begun = self._clock()
            try:
                yield self._step()
            except Silent as error:
                self._trouble("silent", str(error))
                yield self._backoff.next()
            except Unreachable as error:
                if self._stopped.is_set():
                    return
                yield self._lost(error, self._clock() - begun)
            except ApiRefusal as error:
                yield self._refused(error)

    def _step(self) -> float:
        """List if that is needed, then watch until that ends; how long to wait after it."""
        if self._must_list:
            if self._watch_list():
                return 0.0
            self._list()
        return self._watch()

    def _watch_list(self) -> bool:
        """List and watch in one request, where the server can; whether that was done."""
        if not self._streams:
            return False
        known = "" if self._unavailable else self._version
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        watching = self._watching()
        missing: ApiRefusal | None = None
        for _ in self._lister.versions():
            try:
                for event in watching.initial(_query(query, known), FIRST_SECONDS):
                    self._hear(event, watching.version)
                return True
            except Silent:
                if watching.is_synced:
                    raise
                self._streams = False  # it knows no such thing
                return False
            except ApiRefusal as error:
                if error.code == 404:
                    missing = missing or error
                    continue
                if watching.is_synced or error.is_of_server or error.code in (401, 403):
                    raise
                return False
        assert missing is not None
        raise missing

    def _list(self) -> None:
        known = "" if self._unavailable else self._version or "0"
        self.counts["lists"] += 1
        try:
            documents, version = self._lister.listed(known, 0 if known else PAGE)
        except ApiRefusal as error:
            if not (known and (error.is_expired or error.is_too_large)):
                raise
            self._unavailable = True
            documents, version = self._lister.listed()
        self._gate.worked()
        self._hear(Listed(self.kind, documents, version), version)

    def _watch(self) -> float:
        watching = self._watching()
        begun = self._clock()
        for event in watching.events(_query({}, self._version)):
            self._hear(event, watching.version)
        self._version = watching.version
        if self._clock() - begun < SHORT_SECONDS and not watching.count:
            self._trouble("short", "a watch ended at once, without an event")
            return self._backoff.next()
        return 0.0

    def _watching(self) -> Watching:
        self.counts["watches"] += 1
        seconds = self._watch_seconds * (1.0 + self._chance())
        return Watching(
            self._client, self._lister, self._version, seconds, GRACE_SECONDS, self._gate.worked
        )

    def _hear(self, event: Event | None, version: str) -> None:
        """Tell an event; None is a bookmark."""
        self._version = version
        if event is None:
            return
        if isinstance(event, Listed):
            self._unavailable = self._must_list = False
            self._was_listed, self._absent = True, ""
        else:
            self.counts["events"] += 1
        self._tell(event)

    def _lost(self, error: Unreachable, lasted: float) -> float:
        """A connection that broke while it was used is made again at once; else the server is away,
        for all kinds.
        """
        self._trouble("lost", str(error))
        if not self._must_list and lasted > SHORT_SECONDS:
            return 0.0
        self._gate.failed()
        return 0.0

    def _refused(self, error: ApiRefusal) -> float:
        if error.is_of_server:
            self._trouble("busy", str(error))
            self._gate.failed(error.retry_after)
            return 0.0
        self._gate.worked()
        if error.is_expired or error.is_too_large:
            self._trouble("expired", str(error))
            self._must_list = True
            self._unavailable = self._unavailable or error.is_too_large
        elif self._lacks(error):
            self._must_list = True
            self._say_absent(error)
        else:
            self._trouble("refused", str(error))
            self._must_list = True
        return self._backoff.next(error.retry_after)

    def _lacks(self, error: ApiRefusal) -> bool:
        """Whether the kind counts as empty: not where RBAC forbids one that the server has."""
        if self.resource.required or error.code not in (403, 404):
            return False
        if error.code == 404:
            return True
        try:
            return not (self._was_listed or self._lister.is_served())
        except SystemRefusal:  # nobody can tell now; it is asked again
            return False

    def _say_absent(self, error: ApiRefusal) -> None:
        reason = f"{self.resource.plural}: {error}"
        self._was_listed = False
        if reason != self._absent:
            self._absent = reason
            self._tell(Absent(self.kind, reason))

    def _trouble(self, why: str, message: str) -> None:
        self.counts[why] += 1
        self._tell(Trouble(self.kind, message))


def _query(more: dict[str, str], version: str) -> dict[str, str]:
    """What a watch is asked with."""
    return {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version, **more}
