"""`netpolc apply --watch`: applies folders of manifests, and again whenever they change.

Comes in: folders, and what applies them once. Goes out: nothing until SIGTERM or SIGINT, which
leave the table as it is. Bad input is told, and the table in force stays; when the system says no,
or a watched folder is gone, the command ends, and whoever started it starts it again.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from select import POLLIN, poll
from typing import Any

from netpolc.cli.refusals import tell
from netpolc.cli.service import reloading, tell_systemd
from netpolc.errors import NetpolcError, SystemRefusal, UsageError

QUIET = 0.5
"""Seconds without a change after which a burst of changes is over."""
PATIENCE = 5.0
"""Seconds after which changes are applied even if there is no end of them."""


def keep_applied(folders: Iterable[str], apply_once: Callable[[], str]) -> None:
    """Apply now and after every change; `apply_once` gives a line that says what it did."""
    folders = tuple(folders)
    for folder in folders:
        if not os.path.isdir(folder):
            raise UsageError(f"--watch needs folders, and {folder} is none")
    gc.enable()  # this process lives long
    ready = False
    with _Changes(folders) as changes:
        while True:
            changes.watch()  # before reading, so that no change falls between the two
            if ready:
                reloading()
            try:
                said, ready = apply_once(), True
            except SystemRefusal:
                raise
            except NetpolcError as error:
                said = f"refused: {tell(error)}"
            tell_systemd(*(["READY=1"] if ready else []), f"STATUS={said}")
            if not changes.wait():
                tell_systemd("STOPPING=1")
                return


class _Changes:
    """Changes below some folders, until a signal says stop; a context manager."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self._folders = folders
        self._stack = ExitStack()

    def __enter__(self) -> _Changes:
        try:
            import inotify_simple
        except ImportError as error:
            text = "inotify_simple is missing: pip install 'netpolc[node]'"
            raise SystemRefusal(text) from error
        flag = inotify_simple.flags
        self._mask = flag.CLOSE_WRITE | flag.CREATE | flag.DELETE | flag.ATTRIB
        self._mask |= flag.MOVED_FROM | flag.MOVED_TO | flag.DELETE_SELF | flag.MOVE_SELF
        with ExitStack() as stack:
            self._inotify: Any = stack.enter_context(inotify_simple.INotify())
            self._stopped = stack.enter_context(_stop_signals())
            self._stack = stack.pop_all()
        self._poll = poll()
        self._poll.register(self._inotify, POLLIN)
        self._poll.register(self._stopped, POLLIN)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def watch(self) -> None:
        """Watch every folder there is now; a folder is watched before its names are read."""
        for folder in self._folders:
            try:
                self._inotify.add_watch(folder, self._mask)
            except OSError as error:
                raise SystemRefusal(f"cannot watch {folder}: {error.strerror}") from error
            for where, names, _ in os.walk(folder):
                for name in names:
                    self._watch_below(os.path.join(where, name))

    def _watch_below(self, folder: str) -> None:
        try:
            self._inotify.add_watch(folder, self._mask)
        except FileNotFoundError:
            return  # gone since its name was read, which is a change of the folder above
        except OSError as error:
            raise SystemRefusal(f"cannot watch {folder}: {error.strerror}") from error

    def wait(self) -> bool:
        """Wait for changes and for their end; False when a signal says stop."""
        timeout, deadline = None, 0.0
        while found := self._poll.poll(timeout):
            if any(descriptor == self._stopped.fileno() for descriptor, _ in found):
                return False
            self._inotify.read(timeout=0)
            deadline = deadline or time.monotonic() + PATIENCE
            timeout = min(QUIET, deadline - time.monotonic()) * 1000
            if timeout <= 0:
                break
        return True


@contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """A socket that can be read once SIGTERM or SIGINT came; work in hand is finished first."""
    readable, written = socket.socketpair()
    with readable, written:
        written.setblocking(False)
        wakeup = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        try:
            yield readable
        finally:
            for number, own in before.items():
                signal.signal(number, own)
            signal.set_wakeup_fd(wakeup)
