"""How long to wait before the server is asked again, as client-go's reflector does it.

Times are seconds of a monotonic clock.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

FIRST, FACTOR, CAP = 0.8, 2.0, 30.0
JITTER = 1.0
"""A wait is up to so much longer, as a part of itself."""
RESET = 120.0
"""After so long without a failure the first wait is the shortest again."""

Clock = Callable[[], float]
Random = Callable[[], float]
"""From 0 to 1."""


class Backoff:
    """Growing waits: 0.8 s, twice that each time up to 30 s, each with its jitter."""

    def __init__(self, clock: Clock = time.monotonic, chance: Random = random.random) -> None:
        self._clock, self._chance = clock, chance
        self._base, self._last = FIRST, float("-inf")

    def next(self, least: float = 0.0) -> float:
        """The next wait; at least what the server asked for."""
        now = self._clock()
        if now - self._last > RESET:
            self._base = FIRST
        self._last = now
        wait = self._base * (1.0 + self._chance() * JITTER)
        self._base = min(self._base * FACTOR, CAP)
        return max(wait, least)


class Gate:
    """What all kinds share: where the server itself is away, one of them asks for all.

    `delay` is 0 for who may ask now. Whoever gets that while the server is away has the next turn
    moved on; the gate opens for all when an answer comes.
    """

    def __init__(self, clock: Clock = time.monotonic, chance: Random = random.random) -> None:
        self._clock = clock
        self._backoff = Backoff(clock, chance)
        self._lock = threading.Lock()
        self._next: float | None = None

    def delay(self) -> float:
        """Seconds until it is worth to ask whether one may."""
        with self._lock:
            if self._next is None:
                return 0.0
            now = self._clock()
            if now < self._next:
                return min(self._next - now, 1.0)
            self._next = now + self._backoff.next()
            return 0.0

    def failed(self, retry_after: float = 0.0) -> None:
        """The server did not answer, or was too busy to."""
        with self._lock:
            now = self._clock()
            if self._next is None:
                self._next = now + self._backoff.next()
            self._next = max(self._next, now + retry_after)

    def worked(self) -> None:
        """An answer came."""
        with self._lock:
            self._next = None
