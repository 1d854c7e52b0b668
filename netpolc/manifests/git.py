"""Manifests as they were at a git revision.

Comes in: a revision and paths, in whatever repository each is in. Goes out: `File`s named
`REVISION:path`, of the same names that a folder is searched for. Links are followed inside the
revision. Refused: what git does not know, paths that are not in the revision, links that lead out
of it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from netpolc.errors import UsageError
from netpolc.manifests import SUFFIXES, File


def at_revision(revision: str, paths: Sequence[str]) -> list[File]:
    """The manifests of these paths at a revision; `UsageError` when it cannot be had."""
    return [file for path in paths for file in _files(revision, path)]


def _files(revision: str, path: str) -> Iterator[File]:
    if path == "-":
        raise UsageError("standard input has no revision: give paths in a git repository")
    real = Path(os.path.realpath(path))
    top = Path(os.fsdecode(_git(_existing(real), "rev-parse", "--show-toplevel").rstrip(b"\n")))
    commit = _commit(top, revision)
    inside = real.relative_to(os.path.realpath(top)).as_posix()
    found = _git(top, "ls-tree", "-r", "-z", "--name-only", commit, "--", inside)
    names = [os.fsdecode(name) for name in found.split(b"\0") if name]
    if not names:
        raise UsageError(f"{path} is not in revision {revision}")
    wanted = names if names == [inside] else [n for n in names if _is_manifest(n, inside)]
    if not wanted:
        raise UsageError(f"{path} holds no .yaml, .yml or .json file at revision {revision}")
    for name in wanted:
        yield File(f"{revision}:{name}", _content(top, commit, name))


def _commit(top: Path, revision: str) -> str:
    try:
        found = _git(top, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    except UsageError:
        raise UsageError(f"{revision!r} is no revision of the repository {top}") from None
    return found.decode().strip()


def _is_manifest(name: str, folder: str) -> bool:
    below = PurePosixPath(name).relative_to(folder)
    hidden = any(part.startswith(".") for part in below.parts)
    return below.suffix.lower() in SUFFIXES and not hidden


def _content(top: Path, commit: str, name: str) -> bytes:
    """One file, through links."""
    if "\n" in name:
        raise UsageError(f"the name {name!r} has a line break")
    request = os.fsencode(f"{commit}:{name}\n")
    output = _git(top, "cat-file", "--batch", "--follow-symlinks", given=request)
    head, _, rest = output.partition(b"\n")
    words = head.split()
    if len(words) != 3 or words[1] != b"blob":
        raise UsageError(f"{name} is no file at that revision, or a link that leads out of it")
    return rest[: int(words[2])]


def _existing(path: Path) -> Path:
    """The nearest folder that is there: what is asked for may be gone from the tree."""
    return next(p for p in (path, *path.parents) if p.is_dir())


def _git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], input=given, capture_output=True, check=True
        )
    except FileNotFoundError:
        raise UsageError("git is not installed") from None
    except subprocess.CalledProcessError as error:
        text = os.fsdecode(error.stderr).strip() or f"exit code {error.returncode}"
        raise UsageError(f"git: {text}") from None
    return done.stdout
