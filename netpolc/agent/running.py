"""Which agent enforces a table here, which is next, and how they are: locks and files in
/run/netpolc.

Comes in: what an agent says of itself. Goes out: the same, for whoever asks. The lock ends with the
process that holds it, whatever ends that; the network namespace is part of its name, as that of the
file, because /run is shared between network namespaces.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from netpolc import files
from netpolc.backends.nft.rollout import runtime
from netpolc.core.errors import SystemRefusal

FIRST_SYNC, STANDS_BY, ENFORCES = "first sync", "stands by", "enforces"
"""What an agent does: not all kinds were listed yet; another enforces; it does."""
_DUTY, _NEXT = "", ("next.", *(f"next{number}." for number in range(2, 9)))
"""Of the files: of the agent that enforces, and of those that wait."""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of itself; `since`, `synced` and `changed` are moments in UTC."""

    process: int
    node: str
    since: str
    ready: bool
    phase: str = ENFORCES
    waits: str = ""
    synced: str = ""
    digest: str = ""
    objects: dict[str, int] = {}
    refused: dict[str, str] = {}
    trouble: dict[str, str] = {}


class Duty:
    """The right to enforce a table: one agent of a network namespace has it, others stand by. Those
    can be seen, too, as many as there are places in `_NEXT`.
    """

    def __init__(self, table: str) -> None:
        self._duty = _Place(table, _DUTY)
        self._next = [_Place(table, which) for which in _NEXT]

    def taken(self) -> bool:
        """Whether it is this agent's; takes it if it is nobody's."""
        if not self._duty.taken():
            return False
        self._leave_next()
        return True

    def tell(self, state: Running) -> bool:
        """Let others know how this agent is; whether it is heard."""
        held = (place for place in (self._duty, *self._next) if place.held)
        place = next(held, None) or next((own for own in self._next if own.taken()), None)
        if place is None:
            return False
        place.tell(state)
        return True

    def leave(self) -> None:
        """Let another agent take it."""
        self._duty.leave()
        self._leave_next()

    def _leave_next(self) -> None:
        for own in self._next:
            own.leave()


class _Place:
    """A lock, and a file that its holder writes."""

    def __init__(self, table: str, which: str) -> None:
        self._path = _path(table, which, "lock")
        self._state = _path(table, which, "json")
        self._lock: BinaryIO | None = None

    @property
    def held(self) -> bool:
        """Whether this process has it."""
        return self._lock is not None

    def taken(self) -> bool:
        """Whether this process has it now; takes it if nobody has."""
        if self._lock is not None:
            return True
        try:
            files.private(runtime.FOLDER)
            flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            stream = os.fdopen(os.open(self._path, flags, 0o600), "rb")
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.close()
                return False
            if not _is_at(stream, self._path):  # somebody swept it away meanwhile
                stream.close()
                return False
        except OSError as error:
            raise SystemRefusal(f"cannot lock {self._path}: {error.strerror}") from error
        self._lock = stream
        return True

    def tell(self, state: Running) -> None:
        """Write what is to be known."""
        try:
            with files.replacing(self._state) as out:
                out.write(msgspec.json.encode(state))
        except OSError as error:
            raise SystemRefusal(f"cannot write {self._state}: {error.strerror}") from error

    def leave(self) -> None:
        """Have it no longer."""
        if self._lock is not None:
            self._state.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


def running(table: str) -> Running | None:
    """The agent that enforces a table here; None if there is none, or nobody may know."""
    return _told(table, _DUTY)


def waiting(table: str) -> list[Running]:
    """The agents here that do not enforce a table yet; none as of `running`."""
    found = (_told(table, which) for which in _NEXT)
    return [own for own in found if own is not None]


def _told(table: str, which: str) -> Running | None:
    try:
        lock = os.open(_path(table, which, "lock"), os.O_RDONLY | os.O_NOFOLLOW)
        with open(lock, "rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(_path(table, which, "json").read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        pass  # it has just begun or ended, or only root may see it
    return None


def _path(table: str, which: str, ending: str) -> Path:
    namespace = os.stat("/proc/thread-self/ns/net").st_ino
    return runtime.FOLDER / f"agent-{table}-{namespace}.{which}{ending}"


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.lstat())
    except FileNotFoundError:
        return False
