"""What the ruleset of a node follows from, as one digest, with nothing of it understood.

Comes in: what a command was given, and the files that this names. Goes out: `Inputs`, and digests
by which a table may say what it was made of (`backends/nft/rollout/state/made.py`). Nothing is
refused: where something may decide that is not in the digest there is none, and the long way is
taken.

In it are: the files that are found, in their order, by name and content; how they are read; the
options of the table; the node, and where it follows from the name of this host that name; the
addresses of this host; a secret of this host (`runtime.secret`); and the code: every file of
netpolc and of what decodes for it, by size and by when it was written and put there, as
interpreters tell whether a module is still the one that they compiled. Standard input and pipes can
be read only once. A live cluster is no file, and kustomizations and charts are made by other
programs.

How odd objects are treated is not in it, because nothing is noted where there is one; nor is
whether what was ignored is named, because nothing is noted where anything is said.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator, Sequence
from hashlib import file_digest, sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING

from netpolc._version import __version__
from netpolc.backends.nft.options import Options
from netpolc.backends.nft.rollout import runtime
from netpolc.cli.host import candidates, read_addresses
from netpolc.cli.settings import NOTHING
from netpolc.core.errors import Problems, SystemRefusal
from netpolc.core.nets import format_address

if TYPE_CHECKING:
    from netpolc.backends.nft.rollout.state.made import Made
    from netpolc.cli.options import Reading
    from netpolc.core.cluster import Snapshot
    from netpolc.manifests import File
    from netpolc.manifests.splitting import Content

FORM = 1
"""Of what is digested; another number for another order, or for more."""
Files = list[tuple[str, bool, str]]
"""Names, whether they were found in a folder, and digests of what they hold."""
_DECODERS = ("msgspec", "yaml")
_OPENED = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class Inputs:
    """What a command was asked to make a ruleset of; `locals` are the nodes that this host may be,
    the likeliest first (None: every pod is local), `addresses` those of this host.
    """

    def __init__(
        self,
        paths: Sequence[str],
        reading: Reading,
        node: str | None,
        all_pods: bool,
        secret: bytes,
    ) -> None:
        self._paths, self._reading, self._secret = tuple(paths), reading, secret
        host = socket.gethostname()
        self._host = host if node is None and not all_pods else None
        self.locals: Sequence[str | None] = (
            (None,) if all_pods else candidates(host) if node is None else (node,)
        )
        self.addresses = frozenset[int]() if all_pods else read_addresses()
        self._code = sha256(repr(_code()).encode()).hexdigest()

    @classmethod
    def of(
        cls,
        paths: Sequence[str],
        reading: Reading,
        node: str | None,
        all_pods: bool,
        *,
        notes: bool = False,
    ) -> Inputs | None:
        """What is asked; None where a digest could not tell all of it, or it is a usage error, or
        nothing was ever noted on this host and whoever asks `notes` nothing.
        """
        is_plain = reading.is_configured and reading.settings is NOTHING and not reading.raw
        is_of_files = reading.values is None and reading.cluster is None
        if not (is_plain and is_of_files) or (all_pods and node is not None):
            return None
        if "-" in paths or not all(map(_lasts, paths)):
            return None
        try:
            secret = runtime.secret(make=notes)
            return cls(paths, reading, node, all_pods, secret) if secret is not None else None
        except (OSError, SystemRefusal):
            return None  # said by whoever needs what cannot be read

    def files(self) -> Files | None:
        """The files that would be read now; None where there is anything to say of them."""
        from netpolc.manifests import different, excluding, find
        from netpolc.manifests.files import states

        excluded = excluding(self._reading.exclude)
        problems = Problems()
        try:
            found = list(find(self._paths, problems, excluded))
            before = states(found)
            digests = [(own.name, own.in_folder, _digest(own.name)) for own in different(found)]
            settled = before == states(find(self._paths, problems, excluded))
        except (OSError, ValueError):
            return None
        told = problems.diagnostics or problems.not_followed or problems.passed_over
        return digests if settled and not told else None

    def digest(self, files: Files, local: str | None, options: Options) -> str:
        """Names all that decides, if these are the files and this is the node."""
        own = self._reading
        how = own.semantics, own.strict, own.exclude, own.default_namespace, own.unread
        told = options.describe(), options.describe_bridges(), options.describe_pending()
        where = local, self._host, sorted(map(format_address, self.addresses))
        host = FORM, self._secret, self._code, own.node_addresses
        every = host, files, how, options.table, told, where
        return sha256(repr(every).encode()).hexdigest()

    def nodes(self, files: Files, made: Made, options: Options) -> list[str | None]:
        """For which nodes a table of these options was made of these files; none where it is
        another, or says nothing of that.
        """
        return [own for own in self.locals if made.is_of(self.digest(files, own, options))]


class Seen:
    """The files that a snapshot was read from, as it was read."""

    def __init__(self) -> None:
        self.files: Files = []
        self._is_whole = True

    def __call__(self, file: File, content: Content) -> None:
        """One more."""
        if isinstance(content, bytes) and file.data is None:
            self.files.append((file.name, file.in_folder, sha256(content).hexdigest()))
        else:
            self._is_whole = False

    def of_silent(self, snapshot: Snapshot) -> Files | None:
        """The same, unless anything is said of the snapshot."""
        told = (
            snapshot.warnings,
            snapshot.ignored,
            snapshot.passed_over,
            snapshot.not_followed,
            snapshot.odd,
            snapshot.unread,
        )
        return self.files if self._is_whole and not any(told) else None


def _lasts(path: str) -> bool:
    """Whether it can be read again: a file or folder, and no pipe."""
    return os.path.isdir(path) or os.path.isfile(path)


def _digest(name: str) -> str:
    """Of a regular file, which is never waited for."""
    with open(os.open(name, _OPENED), "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(f"{name} is not a regular file")
        return file_digest(stream, sha256).hexdigest()


def _code() -> tuple[object, ...]:
    """What makes rulesets of files here."""
    import netpolc

    folders = [os.path.dirname(os.path.realpath(netpolc.__file__))]
    for name in _DECODERS:
        found = find_spec(name)
        folders += (found.submodule_search_locations or []) if found is not None else []
    return __version__, sys.version, [(own, sorted(_modules(own))) for own in folders]


def _modules(folder: str) -> Iterator[tuple[str, int, int, int]]:
    """Every file of a package: its path, its size, when it was written and when it came there."""
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _modules(entry.path)
        else:
            own = entry.stat()
            yield entry.path, own.st_size, own.st_mtime_ns, own.st_ctime_ns
