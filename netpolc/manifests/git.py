"""Manifests as they were at a git revision.

Comes in: a revision and paths, in whatever repository each is in. Goes out: `File`s named
`REVISION:path`, of the same names that a folder is searched for. Links are followed inside the
revision. Refused: what git does not know, paths that are not in the revision, links that lead out
of it, repositories of other users.

What is read may be a proposal of strangers, so no configuration in it is believed. git looks for a
repository in the folder where it is started, and believes what looks like one: it is started in the
root and told which one it is, that of the nearest `.git`, which no revision can contain. Of its
commands only those are used that run no filter and no textconv; what a configuration may name as
a command besides is switched off, `GIT_...` of the environment is not handed on, and nothing is
fetched.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from netpolc.core.errors import UsageError
from netpolc.manifests import SUFFIXES, Excluded, File, nothing
from netpolc.manifests.files import CHART, KUSTOMIZATIONS


def at_revision(
    revision: str, paths: Sequence[str], excluded: Excluded = nothing, raw: bool = False
) -> list[File]:
    """The manifests of these paths at a revision; `UsageError` when it cannot be had."""
    return [file for path in paths for file in _files(revision, path, excluded, raw)]


def _files(revision: str, path: str, excluded: Excluded, raw: bool) -> Iterator[File]:
    if path == "-":
        raise UsageError("standard input has no revision: give paths in a git repository")
    real = Path(os.path.realpath(path))
    top = _top(real)
    commit = _commit(top, revision)
    inside = real.relative_to(top).as_posix()
    listed = _git(top, "ls-tree", "-r", "-z", "--full-tree", "--name-only", commit, "--", inside)
    names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    if not names:
        raise UsageError(f"{path} is not in revision {revision}")
    is_file = names == [inside]
    if is_file:
        wanted = names
    else:
        found = [name for name in names if _is_manifest(name, inside)]
        made = {CHART, *KUSTOMIZATIONS}.intersection(PurePosixPath(own).name for own in names)
        if made and not raw:
            raise UsageError(
                f"{path} holds a {min(made)} at revision {revision}: render both, and compare those"
            )
        wanted = [name for name in found if not _is_excluded(top, name, inside, excluded)]
    if not wanted:
        raise UsageError(f"{path} holds no .yaml, .yml or .json file at revision {revision}")
    for name in wanted:
        yield File(f"{revision}:{name}", _content(top, commit, name), not is_file)


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


def _is_excluded(top: Path, name: str, folder: str, excluded: Excluded) -> bool:
    """Whether it is, or a folder between it and the one that was given."""
    below = PurePosixPath(name).relative_to(folder).parts
    start = top / folder
    return any(excluded(str(start.joinpath(*below[:count]))) for count in range(1, len(below) + 1))


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


def _top(path: Path) -> Path:
    """The nearest folder with a `.git`, of this user or one that `safe.directory` names."""
    for top in (path, *path.parents):
        own = top / ".git"
        if own.exists():
            users = {os.geteuid(), int(os.environ.get("SUDO_UID", os.geteuid()))}
            if own.stat().st_uid not in users and not _is_safe(top):
                raise UsageError(
                    f"the git repository {top} belongs to another user: git config --global "
                    f"--add safe.directory {top}"
                )
            return top
    raise UsageError(f"{path}: not a git repository, nor is any folder above")


def _is_safe(top: Path) -> bool:
    """What git itself asks of repositories that belong to others (git-config(1))."""
    words = ("config", "--get-all", "safe.directory")
    done = _run(*words, environment=_environment())
    return bool({"*", str(top)} & set(os.fsdecode(done.stdout).splitlines()))


_OFF = {
    "core.alternateRefsCommand": "",
    "core.attributesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.gitProxy": "",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.sshCommand": "false",
    "credential.helper": "",
    "diff.external": "",
    "gpg.program": "false",
    "protocol.allow": "never",
    "safe.bareRepository": "explicit",
}
"""What could name a command, or reach a network; these go before every file of configuration."""
_CLOSED = {
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}


def _environment() -> dict[str, str]:
    return {name: own for name, own in os.environ.items() if not name.startswith("GIT_")}


def _git(top: Path, *arguments: str, given: bytes = b"") -> bytes:
    settings = [word for name, value in _OFF.items() for word in ("-c", f"{name}={value}")]
    flags = ("--no-pager", "--literal-pathspecs", f"--git-dir={top / '.git'}")
    environment = {**_environment(), **_CLOSED}
    done = _run(*settings, *flags, *arguments, given=given, environment=environment)
    if done.returncode:
        text = os.fsdecode(done.stderr).strip() or f"exit code {done.returncode}"
        raise UsageError(f"git: {text}")
    return done.stdout


def _run(
    *arguments: str, environment: dict[str, str], given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = ["git", *arguments]
    try:
        return subprocess.run(
            command, input=given, capture_output=True, check=False, cwd="/", env=environment
        )
    except FileNotFoundError:
        raise UsageError("git is not installed") from None
