"""What netpolc keeps in /run/netpolc: locks while it runs, tables to go back to, and a secret.

Comes in: names of tables, tokens of rollouts that wait to be confirmed. Goes out: a lock for each
network namespace and table, which the kernel takes back from a process that was killed; the text of
a replaced table, written whole or not at all. Refused (`SystemRefusal`): a /run that cannot be
written, a folder there in which others could. Whoever only reads needs none of it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EACCES, EPERM
from pathlib import Path
from secrets import token_bytes
from typing import BinaryIO

from netpolc import files
from netpolc.core.errors import SystemRefusal

FOLDER = Path("/run/netpolc")
_LOCK = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
"""A lock is never written to, so nothing that lies there can be emptied."""
_SECRET = 32


@contextmanager
def lock(table: str) -> Iterator[int]:
    """One writer at a time for a table of this thread's network namespace; others wait.

    Gives its descriptor: whoever else is handed it holds the lock as well, until it is closed.
    The namespace is part of the name, because /run is shared between network namespaces. The file
    is gone when nobody holds the lock; so are those that were left by processes that were killed.
    """
    namespace = os.stat("/proc/thread-self/ns/net").st_ino
    path = FOLDER / f"{table}-{namespace}.lock"
    try:
        files.private(FOLDER)
        held = _held(path)
    except OSError as error:
        raise _refusal("lock", path, error) from error
    try:
        with held:
            yield held.fileno()
    finally:
        _sweep()


def _held(path: Path) -> BinaryIO:
    """The locked file. One that was removed while this process waited for it locks nothing."""
    while True:
        with ExitStack() as stack:
            stream = stack.enter_context(_opened(path, os.O_CREAT))
            fcntl.flock(stream, fcntl.LOCK_EX)
            if _is_at(stream, path):
                stack.pop_all()
                return stream


def _opened(path: Path, flags: int) -> BinaryIO:
    return os.fdopen(os.open(path, _LOCK | flags, 0o600), "rb")


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _sweep() -> None:
    """Remove the locks that nobody holds: the own one, those of namespaces that are gone."""
    for path in FOLDER.glob("*.lock"):
        with suppress(OSError), _opened(path, 0) as stream:  # one is held, or gone by itself
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(stream, path):
                path.unlink()


def _refusal(verb: str, path: Path, error: OSError) -> SystemRefusal:
    why = error.strerror
    if isinstance(error, FileExistsError | NotADirectoryError):
        why = f"{FOLDER} is no folder"
    elif error.errno in (EACCES, EPERM) and os.geteuid() != 0:
        why = f"{why}; root is needed"
    return SystemRefusal(f"cannot {verb} {path}: {why}")


def kept(token: str) -> Path:
    """Where the table is that an unconfirmed one replaced, for `nft -f`."""
    return FOLDER / f"previous-{token}.nft"


def secret(*, make: bool) -> bytes | None:
    """What nobody but this user knows, until the host starts anew; None where there is none, and
    none is to be made. It goes into the notes of tables (`state/made.py`), so that who may change
    tables, and no file, cannot write one.
    """
    path = FOLDER / "secret"
    try:
        if make:
            files.private(FOLDER)
        try:
            with os.fdopen(os.open(path, _LOCK), "rb") as stream:
                found = stream.read()
                status = os.fstat(stream.fileno())
            is_own = status.st_uid == os.geteuid() and not status.st_mode & 0o77
            if is_own and len(found) == _SECRET:
                return found
        except FileNotFoundError:
            pass
        if not make:
            return None
        found, made = token_bytes(_SECRET), files.unguessable(path.name)
        with files.opened(os.fspath(FOLDER)) as folder:
            with files.created(folder, made) as out:
                out.write(found)
            os.replace(made, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        raise _refusal("keep", path, error) from error
    return found


def keep(token: str, text: str) -> None:
    """Write that file, whole or not at all."""
    path = kept(token)
    try:
        files.private(FOLDER)
        with files.replacing(path) as out:
            out.write(text.encode())
    except OSError as error:
        raise _refusal("write", path, error) from error
