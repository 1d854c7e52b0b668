"""Notices that files below some folders changed, by inotify; by looking where that is used up.

Comes in: folders. Goes out: when a burst of changes is over. A folder that is gone is looked for
until it is back. Refused (`SystemRefusal`): a machine without inotify_simple.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from errno import EMFILE, ENOENT, ENOSPC, ENOTDIR
from math import inf
from typing import Any

from netpolc.core.errors import SystemRefusal
from netpolc.manifests import is_manifest

QUIET = 0.5
"""Seconds without a change after which a burst of changes is over."""
PATIENCE = 5.0
"""Seconds after which changes are applied even if there is no end of them."""
WRITING = 30.0
"""Seconds that a manifest may be open and half written before it is read all the same."""
POLL = 2.0
"""Seconds between two looks where inotify cannot be had."""
_SYSCTLS = {EMFILE: "fs.inotify.max_user_instances", ENOSPC: "fs.inotify.max_user_watches"}


class FolderWatch:
    """Changes below some folders."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        try:
            import inotify_simple
        except ImportError as error:
            text = "inotify_simple is missing: pip install 'netpolc[node]'"
            raise SystemRefusal(text) from error
        self._library = inotify_simple
        flag = self._flag = inotify_simple.flags
        self._mask = flag.CLOSE_WRITE | flag.CREATE | flag.DELETE | flag.ATTRIB | flag.MODIFY
        self._mask |= flag.MOVED_FROM | flag.MOVED_TO | flag.DELETE_SELF | flag.MOVE_SELF
        self._folders = folders
        self._inotify: Any = None
        self._writing: set[tuple[int, str]] = set()
        self._first = self._last = self._looked = 0.0
        self._state: object = None
        self.trouble = ""

    def fileno(self) -> int | None:
        """What can be read after a change; None where folders are looked at instead."""
        return self._inotify.fileno() if self._inotify is not None else None

    def close(self) -> None:
        """Watch no more."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._writing.clear()

    def watch(self) -> None:
        """From now on changes count; to be called before the folders are read.

        `trouble` then says why they are looked at every few seconds, if they are.
        """
        self._first = 0.0
        self._state, self._looked = self._look(), time.monotonic()
        self.trouble = ""
        try:
            if self._inotify is None:
                self._inotify = self._library.INotify()
            for folder in self._folders:
                self._add(folder)
        except OSError as error:
            self.close()
            if error.errno not in (ENOENT, ENOTDIR):  # that is said by whoever reads the folder
                why = f"inotify: {error.strerror}"
                if error.errno in _SYSCTLS:
                    why = f"inotify is used up, raise the sysctl {_SYSCTLS[error.errno]}"
                self.trouble = f"{why}; until then folders are looked at every {POLL:g} s"

    def _add(self, folder: str) -> None:
        """Watch a folder before its names are read, then all below it."""
        self._inotify.add_watch(folder, self._mask)
        for path, is_folder in _below(folder):
            # Gone since its name was read, which is a change of the folder above.
            with suppress(FileNotFoundError):
                if is_folder:
                    self._inotify.add_watch(path, self._mask)

    def take(self) -> None:
        """Take note of what inotify told, or of what has changed since the last look."""
        now = time.monotonic()
        if self._inotify is None:
            state = self._look()
            changed, self._state, self._looked = state != self._state, state, now
        else:
            told = list(map(self._told, self._inotify.read(timeout=0)))
            changed = any(told)
        if changed:
            self._first, self._last = self._first or now, now

    def _told(self, event: Any) -> bool:
        """Whether an event is a change; a file that is still being written is none yet."""
        flag, file = self._flag, (event.wd, event.name)
        if event.mask & flag.MODIFY:
            if is_manifest(event.name):
                self._writing.add(file)
            return False
        if event.mask & flag.IGNORED:
            self._writing = {own for own in self._writing if own[0] != event.wd}
        elif not event.mask & (flag.ATTRIB | flag.CREATE):
            self._writing.discard(file)
        return True

    def due(self) -> float:
        """When to call `take` or, with a burst that is over, to read the folders."""
        if not self._first:
            return inf if self._inotify is not None else self._looked + POLL
        over = min(self._last + QUIET, self._first + PATIENCE)
        return self._first + WRITING if self._writing else over

    def over(self) -> bool:
        """Whether there were changes and they are over."""
        return bool(self._first) and time.monotonic() >= self.due()

    def _look(self) -> object:
        """What tells whether anything has changed, without inotify."""
        return {
            _stat(path)
            for folder in self._folders
            for path in (folder, *(path for path, _ in _below(folder)))
        }


def _below(folder: str) -> Iterator[tuple[str, bool]]:
    """All that is below a folder, and whether it is one; a folder before what is in it.

    What cannot be listed is passed over: whoever reads the manifests says it. Not `os.walk`, which
    recurses: folders may lie in each other by the thousand.
    """
    open_folders = [folder]
    while open_folders:
        with suppress(OSError), os.scandir(open_folders.pop()) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder:
                    open_folders.append(entry.path)
                yield entry.path, is_folder


def _stat(path: str) -> tuple[str, int, int, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        return path, error.errno or 0, 0, 0, 0
    return path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
