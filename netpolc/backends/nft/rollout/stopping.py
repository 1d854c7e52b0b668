"""Signals that come while a table is changed: noted, and obeyed where it is safe.

Comes in: SIGINT, SIGTERM and SIGHUP, unless they are ignored. Goes out: what they did before is
done at a point that the change can be taken back from, never in the middle of taking it back: the
exception that somebody's handler raises, nothing where it raises none (`apply --watch`), and
`Interrupted` where the signal would have ended the process.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from netpolc.core.errors import Interrupted

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_Handler = Callable[[int, FrameType | None], Any] | int


class Stops:
    """Catches the signals; a context manager. Only the main thread can, in others they wait."""

    def __init__(self) -> None:
        self._came: list[int] = []
        self._at_once = False
        self._before: dict[int, _Handler] = {}

    def __enter__(self) -> Stops:
        if threading.current_thread() is threading.main_thread():
            for number in _NUMBERS:
                before = signal.getsignal(number)
                if before == signal.SIG_DFL or callable(before):
                    signal.signal(number, self._note)
                    self._before[number] = before
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._came.append(number)
        if self._at_once:
            self._at_once = False
            self.check()

    def check(self) -> None:
        """Obey the signals that have come."""
        while self._came:
            number = self._came.pop(0)
            before = self._before[number]
            if not callable(before):
                raise Interrupted(number, signal.Signals(number).name)
            before(number, None)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Obey a signal wherever it comes, for what takes long."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
