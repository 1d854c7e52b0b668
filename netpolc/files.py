"""Every file that netpolc writes, where others may write too.

Comes in: paths and what to write. Goes out: files that appear whole or not at all. A new file has a
name that nobody can guess, is made where nothing was (`O_EXCL`), in a folder that is held open by
its descriptor, and is then renamed; so whoever owns that folder can neither have another file
overwritten nor read what is not for them. Links are followed only where this user or root made
them, as with the kernel's `fs.protected_symlinks`. Refused (`OSError`): links of others, folders
that should be private and are not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from errno import EISDIR, ELOOP, EPERM
from pathlib import Path
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_STEPS = 5_000
"""Folders and links on the way to a file; more is a ring of links."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A stream to a file that takes the place of `path` when the block ends well.

    Of a link its target is replaced; the mode of a file that was there is kept. What is no file (a
    pipe, a terminal) is written to.
    """
    with _folder_of(os.fspath(path)) as (folder, name):
        mode = _mode(folder, name)
        if mode is not None and not stat.S_ISREG(mode):
            with os.fdopen(os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder), "wb") as out:
                yield out
            return
        temporary = unguessable(name)
        with created(folder, temporary, 0o666) as out:
            try:
                if mode is not None:
                    os.fchmod(out.fileno(), stat.S_IMODE(mode))
                yield out
                out.flush()
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            finally:
                with suppress(FileNotFoundError):  # it has its name
                    os.unlink(temporary, dir_fd=folder)


def unguessable(name: str) -> str:
    """A hidden name beside `name`, no longer than a name can be."""
    return f".{name[:80]}.{os.urandom(8).hex()}.tmp"


def created(folder: int, name: str, mode: int = 0o600) -> BinaryIO:
    """A new file in an open folder; `FileExistsError` where anything is, be it a link."""
    return os.fdopen(os.open(name, _NEW, mode, dir_fd=folder), "wb")


@contextmanager
def opened(path: str) -> Iterator[int]:
    """The descriptor of a folder, made with all above it where it is not there."""
    os.makedirs(path, exist_ok=True)
    with _folder_of(os.path.join(path, unguessable("folder"))) as (folder, _):
        yield folder


@contextmanager
def scratch(folder: int) -> Iterator[int]:
    """The descriptor of a new folder in an open one, for this user alone; it is removed."""
    name = unguessable("netpolc")
    os.mkdir(name, 0o700, dir_fd=folder)
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
        try:
            _check_private(descriptor, name)
            yield descriptor
        finally:
            for left in os.listdir(descriptor):
                os.unlink(left, dir_fd=descriptor)
            os.close(descriptor)
    finally:
        os.rmdir(name, dir_fd=folder)


def write_tree(folder: Path, contents: Mapping[str, bytes], links: Mapping[str, str]) -> None:
    """Fill a new folder of this user, given without links in its path, with files and links by
    their names below it. Links that would lead out of it are left out.
    """
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    made: list[Path] = []
    for name, target in links.items():  # after the files: none of those goes through a link
        path = folder / name
        if path.parent.resolve().is_relative_to(folder) and not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
            made.append(path)
    for path in made:
        if not path.resolve().is_relative_to(folder):
            path.unlink()


def private(path: Path) -> None:
    """Make a folder of this user where it is not there; `OSError` when others could write in it.

    What is in such a folder was put there by this user, if its parent is root's.
    """
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    descriptor = os.open(path, _FOLDER)
    try:
        _check_private(descriptor, str(path))
    finally:
        os.close(descriptor)


def _check_private(descriptor: int, name: str) -> None:
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        raise OSError(EPERM, f"{name} belongs to another user ({found.st_uid})")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(EPERM, f"others may write in {name} (mode {stat.S_IMODE(found.st_mode):o})")


def _mode(folder: int, name: str) -> int | None:
    """The mode of what is there; None where nothing is."""
    try:
        return os.stat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return None


@contextmanager
def _folder_of(path: str) -> Iterator[tuple[int, str]]:
    """The open folder of a path, and the last name; links on the way are those of trusted users.

    The last name is a link only where that leads to what has no path (`/dev/stdout` of a pipe).
    """
    with ExitStack() as stack:
        folder = _enter(stack, "/" if path.startswith("/") else ".", None)
        steps = _steps(path)
        for _ in range(MAX_STEPS):
            if not steps:
                raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
            name = steps.pop()
            target = _link(folder, name)
            if target is not None and (steps or not _has_no_path(folder, target)):
                steps += _steps(target)
                if target.startswith("/"):
                    folder = _enter(stack, "/", None)
            elif steps:
                folder = _enter(stack, name, folder)
            else:
                yield folder, name
                return
        raise OSError(ELOOP, os.strerror(ELOOP))


def _steps(path: str) -> list[str]:
    """The names in a path, the last one first."""
    return [step for step in path.split("/") if step not in ("", ".")][::-1]


def _enter(stack: ExitStack, name: str, above: int | None) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=above)
    stack.callback(os.close, descriptor)
    return descriptor


def _link(folder: int, name: str) -> str | None:
    """Where a link leads; None where there is none."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(found.st_mode):
        return None
    if found.st_uid not in (0, os.geteuid()):
        raise OSError(EPERM, f"{name} is a link of another user ({found.st_uid})")
    return os.readlink(name, dir_fd=folder)


def _has_no_path(folder: int, target: str) -> bool:
    """Whether it is what /proc says of pipes and sockets: `pipe:[1234]`."""
    return ":[" in target and _mode(folder, target) is None
