"""All resources of a cluster, each followed by a thread of its own; events come on one queue."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from queue import SimpleQueue

from netpolc.apiserver.access.server import Access
from netpolc.apiserver.client import Client
from netpolc.apiserver.events import Event
from netpolc.apiserver.follow.backoff import Gate
from netpolc.apiserver.follow.reflector import WATCH_SECONDS, Reflector
from netpolc.apiserver.resources import RESOURCES, Resource


class Followed:
    """Follows resources from `start` to `stop`; `events` is what they tell, unless `tell` is given,
    which is told from several threads.
    """

    def __init__(
        self,
        access: Access,
        resources: Iterable[Resource] = RESOURCES,
        *,
        tell: Callable[[Event], None] | None = None,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self.events: SimpleQueue[Event] = SimpleQueue()
        gate = Gate()
        self.reflectors = tuple(
            Reflector(
                Client(access), own, gate, tell or self.events.put, watch_seconds=watch_seconds
            )
            for own in resources
        )
        self._threads = [
            threading.Thread(target=own.run, name=f"follow {own.resource.plural}", daemon=True)
            for own in self.reflectors
        ]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """End all threads; waits for each so long at most."""
        for own in self.reflectors:
            own.stop()
        for thread in self._threads:
            thread.join(seconds)

    def counts(self) -> dict[str, Counter[str]]:
        """By plural: lists, watches, events, and troubles by their reason."""
        return {own.resource.plural: own.counts.copy() for own in self.reflectors}
