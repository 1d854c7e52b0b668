"""The manifests of `apply --watch` as they were read last, so that a change costs what changed.

Comes in: folders, and how they are read. Goes out: the snapshot that they are, and the ruleset that
a compilation of it has, made from what differs (`netpolc.live`). None wherever anything is to be
said of them, or is not known for sure: then the folders are read as a whole, which alone refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netpolc.backends.nft import Options, Ruleset
from netpolc.cli import host, options
from netpolc.compiler import Program, compile
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import NetpolcError
from netpolc.frontends import Semantics
from netpolc.frontends.fields import DEFAULT_NAMESPACE
from netpolc.frontends.reading import lacking
from netpolc.live import Live
from netpolc.live.files import Changes, ReadFiles


def says_nothing(snapshot: Snapshot) -> bool:
    """Whether reading a snapshot noticed nothing, and all of it is what policies speak about."""
    own = snapshot.cluster
    others = (own.owners, own.services, own.published, own.service_ranges, own.unseen)
    noticed = (snapshot.warnings, snapshot.ignored, snapshot.odd, snapshot.unread)
    files = (snapshot.passed_over, snapshot.not_followed, snapshot.expectations)
    return not any((*others, *noticed, *files)) and not lacking(own, snapshot.policies)


class FollowedRuleset(NamedTuple):
    """What some folders hold: a ruleset, and what it was made of, for who asks for that."""

    ruleset: Ruleset
    snapshot: Callable[[], Snapshot]
    program: Program | None
    """None where none was made."""
    enforces: bool
    """Whether there are pods and policies to enforce for sure; else the snapshot tells."""


class FollowedFolders:
    """The folders at some paths, and the ruleset of one node."""

    def __init__(
        self, paths: tuple[str, ...], reading: options.Reading, node: str, chosen: Options
    ) -> None:
        self._paths, self._reading, self.node = paths, reading, node
        self._listed = frozenset(address for _, address in reading.node_addresses)
        self._files = ReadFiles(reading.strict, reading.default_namespace or DEFAULT_NAMESPACE)
        self._live = Live(node, chosen)
        self._sure = False
        """Whether what was taken last left the snapshot silent, and with somebody isolated."""
        self._silent: Snapshot | None = None
        """The last one that was looked at; what changed since gave it nothing to say, and no other
        nodes. None where that is not known."""

    @staticmethod
    def may_follow(reading: options.Reading, node: str) -> bool:
        """Whether these options can be followed: policies of today, addresses of this node."""
        is_own = all(own == node for own, _ in reading.node_addresses)
        return is_own and reading.semantics == Semantics.CURRENT

    def current(self, wanted: str | None) -> FollowedRuleset | None:
        """What the folders hold now, for the node that is `wanted` (None: this host); None where
        only a reading of all files can tell.

        `NetpolcError` where a ruleset cannot be made, after which nothing of this is to be believed
        again; what is wrong with files is left to whoever reads all.
        """
        changed = self._taken()
        if changed is None or not self._is_plain(wanted):
            return None
        live = self._live
        self._know_addresses()
        snapshot = live.moment()
        if live.stale and any(kind != "Pod" for kind, *_ in changed):
            # Who is asked to prove it needs this, and it takes no longer; then it gets ready.
            program = compile(snapshot())
            ruleset = program.ruleset(self.node, live.options)
            return FollowedRuleset(ruleset, snapshot, program, enforces=False)
        ruleset = live.ruleset()
        return FollowedRuleset(ruleset, snapshot, None, self._sure and bool(ruleset.owners.local))

    def begin(self) -> None:
        """Read the folders, and get ready for what changes in them. `NetpolcError` as of `current`,
        to which all is left that is not plain.
        """
        if self._taken() is not None and self._is_plain(self.node):
            self.get_ready()

    def get_ready(self) -> None:
        """Compile the node for whatever changes after what was `current`, if it has to be."""
        if self._live.stale:
            self._know_addresses()
            self._live.ruleset()

    def _know_addresses(self) -> None:
        self._live.know(self._listed.union(host.addresses()))

    def _taken(self) -> Changes | None:
        """What changed since the last time, which is known now; None where a file is not plain, and
        then it is still the time before.
        """
        try:
            contents = self._reading.contents(self._paths)
            changed = self._files.changes(contents) if contents is not None else None
        except NetpolcError:  # whoever reads all files meets it again, and says it
            return None
        if changed:
            self._sure = self._live.take(changed)
            self._silent = self._silent if self._sure else None
        return changed

    def _is_plain(self, wanted: str | None) -> bool:
        """Whether there is nothing to say of what was taken, which is of our node."""
        snapshot = self._silent or self._live.snapshot()
        if not says_nothing(snapshot) or self.node not in snapshot.cluster.nodes:
            return False
        self._silent = snapshot
        return self.node == (host.called(snapshot.cluster) if wanted is None else wanted)
