"""Events of several threads for one that waits for them with `poll`.

Comes in: events, from any thread. Goes out: all that have come, in order, with when they came;
`fileno` can be read for as long as some wait.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from netpolc.apiserver import Event

Arrived = tuple[float, Event]
"""When an event came, in seconds of the clock, and the event."""


class Inbox:
    """Wakes whoever polls it; `close` ends that. `clock` tells when an event came."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[Arrived] = []
        self._readable = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, event: Event) -> None:
        """Add an event; from any thread."""
        with self._lock:
            self._waiting.append((self._clock(), event))
            if len(self._waiting) == 1 and self._readable >= 0:
                os.eventfd_write(self._readable, 1)

    def take(self) -> list[Arrived]:
        """All events that wait, oldest first."""
        with self._lock:
            found, self._waiting = self._waiting, []
            if found and self._readable >= 0:
                os.eventfd_read(self._readable)
        return found

    def fileno(self) -> int:
        """What to poll."""
        return self._readable

    def close(self) -> None:
        """Nobody waits any more; what is put later is kept, and wakes nobody."""
        with self._lock:
            os.close(self._readable)
            self._readable = -1
