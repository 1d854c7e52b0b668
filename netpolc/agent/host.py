"""Follows the addresses of this host, of which no event of the API server tells.

Comes in: a function that reads them. Goes out: `Live` knows them, and whether that changes
anything. Where they cannot be read, those of before stay, and the log tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import inf

from netpolc.agent.telling.report import Report
from netpolc.core.errors import NetpolcError
from netpolc.live import Live

EVERY = 10.0
"""Seconds between two looks; an event of the own Node asks for one at once."""


class HostAddresses:
    """Those of one node; nothing is followed without a function that reads them."""

    def __init__(
        self,
        live: Live,
        report: Report,
        read: Callable[[], Iterable[int]] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live, self._report, self._read, self._clock = live, report, read, clock
        self._at = inf if read is None else -inf
        self._told = ""

    def soon(self) -> None:
        """Look as soon as may be."""
        self._at = min(self._at, self._clock())

    def look(self) -> bool:
        """Look, if that is due; whether they are others than before."""
        if self._read is None or self._clock() < self._at:
            return False
        self._at = self._clock() + EVERY
        try:
            found = self._read()
        except NetpolcError as error:
            if str(error) != self._told:
                self._report.log.warning(f"the addresses of this host stay as known: {error}")
            self._told = str(error)
            return False
        self._told = ""
        return self._live.know(found)
