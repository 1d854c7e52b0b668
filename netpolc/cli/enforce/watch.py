"""`netpolc apply --watch`: applies folders of manifests, again whenever they change, and brings the
table back when somebody else changes it.

Comes in: folders, what applies them once, and what restores the table that was applied last. Goes
out: nothing until SIGTERM or SIGINT, which leave the table as it is. Bad input is told, the table
in force stays, and it is tried again, as where a program owns a table by our name; when the system
says no otherwise the command ends, and whoever started it starts it again.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from math import inf
from select import POLLIN, poll

from netpolc.agent.pace import PACE, Pace
from netpolc.backends.nft.rollout.netfilter.monitor import Monitor
from netpolc.backends.nft.rollout.state.loaded import Owned
from netpolc.cli.enforce.changes import FolderWatch
from netpolc.cli.enforce.service import reloading, tell_systemd
from netpolc.cli.refusals import tell
from netpolc.cli.terminal import warn
from netpolc.core.errors import NetpolcError, SystemRefusal, UsageError

RETRY = 60.0
"""Seconds after which what was refused is tried again, though no file has changed."""
INTERVAL = 10.0
"""Seconds between two looks at the table, though nobody was heard to change it."""


def keep_applied(
    folders: Iterable[str],
    apply_once: Callable[[], str],
    restore: Callable[[], str] = str,
    table: str | None = None,
    say: Callable[[str], None] = lambda said: None,
    follow: Callable[[], None] = lambda: None,
) -> None:
    """Apply now and after every change; `apply_once` gives lines that say what it did, for `say`.

    `restore` brings back what was applied last and says so, or gives nothing where nothing differs.
    It is called whenever somebody changed `table`, and every few seconds. `follow` gets ready for
    the next change, once all is said of one.
    """
    folders = tuple(folders)
    for folder in folders:
        if not os.path.isdir(folder):
            raise UsageError(f"--watch needs folders, and {folder} is none")
    gc.enable()  # this process lives long
    with ExitStack() as stack:
        changes = stack.enter_context(closing(FolderWatch(folders)))
        monitor = stack.enter_context(closing(Monitor(table))) if table is not None else None
        stopped = stack.enter_context(_stop_signals())
        watch = _Watch(changes, monitor, stopped, apply_once, restore, say)
        watch.apply()
        follow()
        while watch.wait():
            watch.apply()
            follow()
        tell_systemd("STOPPING=1")


class _Watch:
    """The loop of `keep_applied`."""

    def __init__(
        self,
        changes: FolderWatch,
        monitor: Monitor | None,
        stopped: socket.socket,
        apply_once: Callable[[], str],
        restore: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        self._changes, self._monitor, self._stopped = changes, monitor, stopped
        self._apply_once, self._restore, self._say = apply_once, restore, say
        self._pace = Pace()
        self._ready = self._refused = False
        self._trouble = ""
        self._look = inf
        self._by = ""

    def apply(self) -> None:
        """Read the folders and apply them; what is refused is told."""
        self._changes.watch()  # before reading, so that no change falls between the two
        if self._ready:
            reloading()
        try:
            said = self._apply_once()
            # Before anything is said: who reads it may change the table at once.
            self._forget_who()
            self._ready, self._refused = True, False
            self._say(said)
        except Owned as error:
            said, self._refused = f"refused: {tell(error)}", True
        except SystemRefusal:
            raise
        except NetpolcError as error:
            said, self._refused = f"refused: {tell(error)}", True
        status = said.partition("\n")[0]
        tell_systemd(*(["READY=1"] if self._ready else []), f"STATUS={status}")
        if self._changes.trouble != self._trouble:
            self._trouble = self._changes.trouble
            if self._trouble:
                warn(f"netpolc: {self._trouble}")
        self._look = min(self._look, time.monotonic() + INTERVAL)

    def wait(self) -> bool:
        """Restore the table until the folders are to be applied again; False when a signal says
        stop.
        """
        retry = time.monotonic() + RETRY if self._refused else inf
        while not self._changes.over() and time.monotonic() < retry:
            if time.monotonic() >= self._look:
                self._restored()
            until = min(self._changes.due(), self._look, retry)
            if not self._heard(until):
                return False
        return True

    def _heard(self, until: float) -> bool:
        """Wait for whatever comes first, and take note of it; False when a signal says stop."""
        polled = poll()
        sources = (self._stopped, self._monitor, self._changes)
        for source in sources:
            descriptor = source.fileno() if source is not None else None
            if descriptor is not None:
                polled.register(descriptor, POLLIN)
        left = None if until == inf else max(0.0, until - time.monotonic()) * 1000
        found = {descriptor for descriptor, _ in polled.poll(left)}
        if self._stopped.fileno() in found:
            return False
        self._hear()
        if self._changes.fileno() is None or self._changes.fileno() in found:
            self._changes.take()
        return True

    def _hear(self) -> None:
        """Take note of who changed the table; it is to be looked at then, whoever it was."""
        for change in self._monitor.changes() if self._monitor is not None else ():
            if change.process:
                self._by = f"{change.process} {'deleted' if change.deleted else 'changed'} it"
            self._look = min(self._look, self._pace.next())

    def _forget_who(self) -> None:
        """What was heard until now was this watch; it looks once more, in case it was not."""
        self._hear()
        self._by = ""

    def _restored(self) -> None:
        """Bring the table back, if it is another than the one that was applied."""
        self._hear()
        self._look = time.monotonic() + INTERVAL
        by, self._by = self._by, ""
        try:
            said = self._restore()
        except Owned as error:  # when that program ends the table goes, and that is heard
            tell_systemd(f"STATUS=refused: {tell(error)}")
            self._look = time.monotonic() + RETRY
            return
        if not said:
            return
        said += f": {by or 'it was not what had been applied'}"
        if self._pace.spend():
            said += f"; somebody changes it again and again, it is restored every {PACE:g} s"
        self._forget_who()
        warn(said)
        tell_systemd(f"STATUS={said}")


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
