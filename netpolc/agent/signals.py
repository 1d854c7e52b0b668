"""Signals for one loop that polls: which came, once it is ready to hear of them.

Comes in: SIGTERM and SIGINT (end), SIGUSR1 (compare with what is made from scratch). Goes out: a
descriptor to poll. Work in hand is finished first.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

ENDING = (signal.SIGTERM, signal.SIGINT)
CHECKING = signal.SIGUSR1


class Signals:
    """What came since it was asked last."""

    def __init__(self, readable: socket.socket) -> None:
        self._readable = readable

    def fileno(self) -> int:
        """What can be read when a signal came."""
        return self._readable.fileno()

    def came(self) -> set[int]:
        """The numbers of all that came."""
        try:
            return set(self._readable.recv(1 << 12))
        except BlockingIOError:
            return set()


@contextmanager
def heard() -> Iterator[Signals]:
    """Hear signals until the end; only of the main thread."""
    readable, written = socket.socketpair()
    with readable, written:
        readable.setblocking(False)
        written.setblocking(False)
        wakeup = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        numbers = (*ENDING, CHECKING)
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        try:
            yield Signals(readable)
        finally:
            for number, own in before.items():
                signal.signal(number, own)
            signal.set_wakeup_fd(wakeup)
