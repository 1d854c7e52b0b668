"""When to act: at once after quiet, together in a burst, seldom where two undo each other.

Times are seconds of the monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

QUIET = 0.03
"""A burst is over when nothing came for so long."""
LATEST = 0.2
"""No event waits longer before its change is begun."""
TURNS = 4
"""So many changes may follow one another sooner; then there is one in `LATEST`."""
BURST, PACE = 10, 2.0
"""So many restorations follow one another at once; then there is one in so many seconds."""
FIRST_RETRY, LAST_RETRY = 0.5, 30.0


class Batch:
    """Events that wait to be applied together."""

    def __init__(self) -> None:
        self.first, self._last = inf, -inf
        self._applied, self._left = -inf, float(TURNS)

    def add(self, now: float) -> None:
        """An event came."""
        self.first, self._last = min(self.first, now), max(self._last, now)

    def due(self) -> float:
        """When they are to be applied; never while there are none."""
        if self.first == inf:
            return inf
        if self._turns(self.first) < 1:
            return self.first + LATEST
        if self.first - self._applied >= QUIET:
            return self.first
        return min(self._last + QUIET, self.first + LATEST)

    def applied(self, now: float) -> None:
        """All that came until now are in force."""
        self._left = self._turns(now) - 1
        self.first, self._last, self._applied = inf, -inf, now

    def _turns(self, now: float) -> float:
        """How many changes may follow one another at once."""
        return min(TURNS, self._left + (now - self._applied) / LATEST)


class Pace:
    """Bounds restorations, so that two programs that undo each other do not fill the machine."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left, self._since = float(BURST), clock()

    def next(self) -> float:
        """When the next one may be."""
        now = self._clock()
        self._left = min(BURST, self._left + (now - self._since) / PACE)
        self._since = now
        return now + max(0.0, 1 - self._left) * PACE

    def spend(self) -> bool:
        """Count one; whether it was the last of a burst."""
        self.next()
        self._left -= 1
        return 0 <= self._left < 1


class Retry:
    """When to try again what failed: sooner at first, then every half minute."""

    def __init__(self) -> None:
        self._wait, self.at = FIRST_RETRY, inf

    def failed(self, now: float) -> None:
        """It failed."""
        self.at, self._wait = now + self._wait, min(self._wait * 2, LAST_RETRY)

    def worked(self) -> None:
        """It did not."""
        self._wait, self.at = FIRST_RETRY, inf
