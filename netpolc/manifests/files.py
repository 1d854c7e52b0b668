"""Which files are read: those that paths name, those in folders, standard input, pipes.

Comes in: paths. Goes out: `File`s, not read yet unless they can be read only once. In folders only
regular files are opened, and never waited for. What cannot be listed or read is a problem.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from errno import EFBIG, EINVAL
from fnmatch import fnmatchcase
from glob import escape
from io import FileIO
from typing import BinaryIO, Protocol

from netpolc.core.errors import Problems

SUFFIXES = {".yaml", ".yml", ".json"}
KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
CHART = "Chart.yaml"
MAX_BYTES = 4 << 30
PIECE = 1 << 20
"""Bytes asked for at once where the size is not known."""


Field = Sequence[str | int]


class Whereabouts(Protocol):
    """Where an object was written."""

    def place(self, elements: Field = (), at_key: bool = False) -> str:
        """`file:line:column` of a field."""
        ...

    def excerpt(self, elements: Field = ()) -> tuple[tuple[int, str], ...]:
        """The numbered lines of a field."""
        ...


Trace = Callable[["File", int, Field, Field], tuple[Whereabouts, Field] | None]
"""Of a file, the number of a document in it, the object there and a field: where that was written,
None where nobody knows."""


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """A file by the name the user gave; `data` is kept only where it cannot be read again."""

    name: str
    data: bytes | None = None
    in_folder: bool = False
    """Found there: it may hold what is no manifest. A file that is named must be one."""
    trace: Trace | None = None
    """Of what was made from other files: finds an object and its field there."""

    def read(self) -> bytes:
        """The whole content; `OSError` when it cannot be read."""
        if self.data is not None:
            return self.data
        # Without waiting: what was a file when it was found may be a pipe without a writer by now.
        descriptor = os.open(self.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(EINVAL, "is not a regular file")
            return _all_of(stream, status.st_size)


def _all_of(stream: BinaryIO | FileIO, expected: int = 0) -> bytes:
    """Everything up to `MAX_BYTES`, never asking for memory that the content does not need."""
    pieces = []
    size, wanted = 0, max(expected + 1, PIECE)
    while piece := stream.read(min(wanted, MAX_BYTES + 1)):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BYTES:
            raise OSError(EFBIG, f"larger than {MAX_BYTES >> 30} GiB")
        wanted = PIECE
    return b"".join(pieces)


Excluded = Callable[[str], bool]
"""Whether a file or folder inside a folder that is read is passed over, by its path."""


def nothing(_: str) -> bool:
    """Excludes nothing."""
    return False


def excluding(patterns: Iterable[str], base: str | os.PathLike[str] = ".") -> Excluded:
    """What shell patterns exclude: `*` stands for any characters, also `/`.

    A pattern without `/` is compared with the name of each file and folder; one with `/` with its
    whole path, and is relative to `base`.
    """
    every = [pattern.rstrip("/") for pattern in patterns]
    names = [pattern for pattern in every if "/" not in pattern]
    start = os.path.realpath(base)
    paths = [os.path.normpath(os.path.join(escape(start), own)) for own in every if "/" in own]

    def excluded(path: str) -> bool:
        if any(fnmatchcase(os.path.basename(path), pattern) for pattern in names):
            return True
        if not paths:
            return False
        folder, name = os.path.split(path)
        whole = os.path.join(os.path.realpath(folder or "."), name)
        return any(fnmatchcase(whole, pattern) for pattern in paths)

    return excluded if every else nothing


Given = str | os.PathLike[str] | File
"""Where to read: a path, or a file that is already in memory."""


def states(files: Iterable[File]) -> set[tuple[str, int, int, int]]:
    """What tells whether files have changed."""
    found = set()
    for file in files:
        try:
            own = os.stat(file.name) if file.data is None else None
        except OSError:
            own = None
        if own is not None:
            found.add((file.name, own.st_ino, own.st_size, own.st_mtime_ns))
    return found


def lasting(path: Given, problems: Problems) -> list[Given]:
    """The same, in memory if it can be read only once: standard input and pipes."""
    if isinstance(path, File):
        return [path]
    only_once = path == "-" or (os.path.exists(path) and not os.path.isdir(path))
    return list(find([path], problems)) if only_once and not os.path.isfile(path) else [path]


def find(
    paths: Iterable[Given], problems: Problems, excluded: Excluded = nothing, raw: bool = False
) -> Iterator[File]:
    """The files that paths name, those of folders in sorted order but for what is excluded.

    A kustomization or chart in a folder is a problem, because its files are not what is applied.
    If `raw`, those of kustomizations are read as they are, and charts passed over.
    """
    for given in paths:
        if isinstance(given, File):
            yield given
            continue
        path = os.fspath(given)
        try:
            if path == "-":
                path = "<stdin>"
                yield File(path, _all_of(sys.stdin.buffer))
            elif os.path.isdir(path):
                before = len(problems.diagnostics)
                found = sorted(_below(path, problems, excluded, raw))
                if not found and len(problems.diagnostics) == before:
                    problems.add(path, "", "holds no .yaml, .yml or .json file")
                yield from (File(name, in_folder=True) for name in found)
            elif stat.S_ISREG(os.stat(path).st_mode):
                yield File(path)
            else:  # a pipe, as in `netpolc compile <(kustomize build .)`: it is read only once
                with open(path, "rb") as stream:
                    yield File(path, _all_of(stream))
        except (OSError, ValueError, MemoryError) as error:
            problems.add(path, "", reason(error))


def reason(error: OSError | ValueError | MemoryError) -> str:
    """Why a file cannot be read, in words."""
    if isinstance(error, MemoryError):
        return "does not fit in the memory there is"
    if isinstance(error, PermissionError) and error.filename is not None:
        return f"{error.strerror}{_whose(os.fspath(error.filename))}"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _whose(path: str) -> str:
    """Who may read a file, for whoever may not: root as well, in a service without that right."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    own, mode = os.geteuid(), stat.S_IMODE(found.st_mode)
    lacks = " without CAP_DAC_OVERRIDE" if own == 0 else ""
    return f": it is user {found.st_uid}'s with mode {mode:04o}, and this is user {own}{lacks}"


def is_manifest(name: str) -> bool:
    """Whether a file of this name is read inside a folder."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _below(folder: str, problems: Problems, excluded: Excluded, raw: bool) -> Iterator[str]:
    """Manifests in a folder; what cannot be listed or is no file is a problem, never left out."""

    open_folders = [folder]  # no recursion: folders may lie in each other by the thousand
    while open_folders:
        try:
            path = open_folders.pop()
            with os.scandir(path) as found:
                entries = [own for own in found if not excluded(own.path)]
            if not _is_rendered(path, {own.name for own in entries}, problems, raw):
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_file(follow_symlinks=False):  # as nearly all are: no more is asked
                        if is_manifest(entry.name):
                            yield entry.path
                    elif entry.is_dir(follow_symlinks=False):
                        open_folders.append(entry.path)
                    elif os.path.isdir(entry.path):
                        if not _is_inside(entry.path, folder):
                            problems.not_followed.append(entry.path)
                    elif is_manifest(entry.name):
                        if os.path.isfile(entry.path) or not os.path.exists(entry.path):
                            yield entry.path
                        else:
                            problems.add(entry.path, "", "is not a regular file")
        except OSError as error:
            problems.add(str(error.filename), "", reason(error))


def _is_inside(link: str, folder: str) -> bool:
    """Whether a link leads to a folder that is read anyway."""
    real, top = os.path.realpath(link), os.path.realpath(folder)
    return os.path.commonpath([real, top]) == top


def _is_rendered(folder: str, names: set[str], problems: Problems, raw: bool) -> bool:
    """Whether a folder is not to be read as it is; that is a problem, unless it is so told."""
    if CHART in names:
        if raw:
            problems.passed_over.append(os.path.join(folder, CHART))
        else:
            text = "is a Helm chart: give netpolc what `helm template` prints"
            problems.add(folder, "", text)
        return True
    if raw or names.isdisjoint(KUSTOMIZATIONS):
        return False
    text = "is a kustomization: give netpolc what `kustomize build` prints, or --raw"
    problems.add(folder, "", text)
    return True
