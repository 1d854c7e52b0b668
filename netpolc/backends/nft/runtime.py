"""What netpolc keeps in /run/netpolc while it runs: locks, and tables to go back to.

Comes in: names of tables, tokens of rollouts that wait to be confirmed. Goes out: a lock for each
network namespace and table, which the kernel takes back from a process that was killed; the text of
a replaced table, written whole or not at all. Refused (`SystemRefusal`): a /run that cannot be
written.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netpolc.errors import SystemRefusal

FOLDER = Path("/run/netpolc")


@contextmanager
def lock(table: str) -> Iterator[None]:
    """One writer at a time for a table of this thread's network namespace; others wait.

    The namespace is part of the name, because /run is shared between network namespaces.
    """
    namespace = os.stat("/proc/thread-self/ns/net").st_ino
    path = FOLDER / f"{table}-{namespace}.lock"
    try:
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise SystemRefusal(f"cannot lock {path}: {error.strerror}; root is needed") from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def kept(token: str) -> Path:
    """Where the table is that an unconfirmed one replaced, for `nft -f`."""
    return FOLDER / f"previous-{token}.nft"


def keep(token: str, text: str) -> None:
    """Write that file, whole or not at all."""
    path = kept(token)
    temporary = path.with_suffix(".tmp")
    try:
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SystemRefusal(f"cannot write {path}: {error.strerror}") from error
