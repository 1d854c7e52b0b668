"""Manifests as they were at a git revision.

Comes in: a revision and paths, in whatever repository each is in. Goes out: `File`s named
`REVISION:path`, of the same names that a folder is searched for. Links are followed inside the
revision. Refused: what git does not know, links that lead out of the revision, repositories of
other users.

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
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from netpolc.core.errors import UsageError
from netpolc.files import write_tree
from netpolc.manifests import SUFFIXES, Excluded, File, nothing
from netpolc.manifests.files import CHART, KUSTOMIZATIONS

MOST_BYTES = 1 << 29
"""Of a tree that is written down to be rendered."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What a revision has at a path: `inside` is the path in the repository `top`, `names` are the
    files there, none where the revision does not have it.
    """

    revision: str
    top: Path
    commit: str
    inside: str
    names: tuple[str, ...]

    @property
    def is_file(self) -> bool:
        """Whether the path is that of a file."""
        return self.names == (self.inside,)

    @property
    def is_rendered(self) -> bool:
        """Whether it is a folder with a kustomization or a chart in it."""
        made = {CHART, *KUSTOMIZATIONS}.intersection(PurePosixPath(own).name for own in self.names)
        return bool(made) and not self.is_file

    def write(self, folder: Path) -> None:
        """Write the whole tree of the revision into a folder, but for links that lead out of it."""
        listed = _git(self.top, "ls-tree", "-r", "-z", "--full-tree", self.commit)
        entries = [own.split(b"\t", 1) for own in listed.split(b"\0") if own]
        blobs = [(head.split(), os.fsdecode(name)) for head, name in entries]
        blobs = [(head, name) for head, name in blobs if head[1] == b"blob"]
        request = b"\n".join(head[2] for head, _ in blobs) + b"\n"
        sizes = _git(self.top, "cat-file", "--batch-check=%(objectsize)", given=request).split()
        if not all(map(bytes.isdigit, sizes)):
            raise UsageError(f"files of revision {self.revision} are not here: fetch them first")
        if sum(map(int, sizes)) > MOST_BYTES:
            raise UsageError(f"revision {self.revision} is too large to be rendered: give folders")
        content = _git(self.top, "cat-file", "--batch", given=request) if blobs else b""
        found: dict[str, bytes] = {}
        links: dict[str, str] = {}
        at = 0
        for (mode, *_), name in blobs:
            end = content.index(b"\n", at)
            size = int(content[at:end].split()[2])
            data, at = content[end + 1 : end + 1 + size], end + size + 2
            if not {"..", ".git"}.isdisjoint(PurePosixPath(name).parts):  # no git makes these
                raise UsageError(f"revision {self.revision} has a file named {name!r}")
            if mode == b"120000":
                links[name] = os.fsdecode(data)
            else:
                found[name] = data
        write_tree(folder, found, links)


def tree_of(revision: str, path: str) -> Tree:
    """What a revision has at a path, which need not exist any more; `UsageError` when it cannot be
    had.
    """
    if path == "-":
        raise UsageError("standard input has no revision: give paths in a git repository")
    real = Path(os.path.realpath(path))
    top = _top(real)
    commit = _commit(top, revision)
    inside = real.relative_to(top).as_posix()
    listed = _git(top, "ls-tree", "-r", "-z", "--full-tree", "--name-only", commit, "--", inside)
    names = tuple(os.fsdecode(name) for name in listed.split(b"\0") if name)
    return Tree(revision, top, commit, inside, names)


def files_at(tree: Tree, excluded: Excluded = nothing) -> list[File]:
    """The manifests there, as they are."""
    wanted: Iterable[str] = tree.names
    if not tree.is_file:
        found = [name for name in tree.names if _is_manifest(name, tree.inside)]
        wanted = (n for n in found if not _is_excluded(tree.top, n, tree.inside, excluded))
    return [
        File(f"{tree.revision}:{n}", _content(tree.top, tree.commit, n), not tree.is_file)
        for n in wanted
    ]


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
