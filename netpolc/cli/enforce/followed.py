"""The manifests of `apply --watch` as they were read last, so that a change costs what changed.

Comes in: folders, and how they are read. Goes out: the snapshot that they are, and the ruleset that
a compilation of it has, made from what differs (`netpolc.live`). None wherever anything is to be
said of them, or is not known for sure: then the folders are read as a whole, which alone refuses.
"""

from __future__ import annotations

from contextlib import suppress

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


class FollowedFolders:
    """The folders at some paths, and the ruleset of one node."""

    def __init__(
        self, paths: tuple[str, ...], reading: options.Reading, node: str, chosen: Options
    ) -> None:
        self._paths, self._reading, self.node = paths, reading, node
        self._listed = frozenset(address for _, address in reading.node_addresses)
        self._files = ReadFiles(reading.strict, reading.default_namespace or DEFAULT_NAMESPACE)
        self._live = Live(node, chosen)

    @staticmethod
    def may_follow(reading: options.Reading, node: str) -> bool:
        """Whether these options can be followed: policies of today, addresses of this node."""
        is_own = all(own == node for own, _ in reading.node_addresses)
        return is_own and reading.semantics == Semantics.CURRENT

    def current(self, wanted: str | None) -> tuple[Snapshot, Program | None, Ruleset] | None:
        """What the folders hold now, for the node that is `wanted` (None: this host), with the
        Program if one was made; None where only a reading of all files can tell.
        """
        try:
            changed = self._taken()
            snapshot = self._live.snapshot() if changed is not None else None
            if changed is None or snapshot is None or not self._is_plain(snapshot, wanted):
                return None
            if self._live.know(self._listed.union(host.addresses())):
                snapshot = self._live.snapshot()
            if not self._live.stale or all(kind == "Pod" for kind, *_ in changed):
                return snapshot, None, self._live.ruleset()
            # Cheaper than to get ready for pods that change: that is for the next who does.
            program = compile(snapshot)
            return snapshot, program, program.ruleset(self.node, self._live.options)
        except NetpolcError:  # whoever reads all files meets it again, and says it
            return None

    def begin(self) -> None:
        """Read the folders, to know what changes in them; that may be left to `current` as well."""
        with suppress(NetpolcError):  # as above
            self._taken()

    def _taken(self) -> Changes | None:
        """What changed since the last time, which is known now."""
        contents = self._reading.contents(self._paths)
        changed = self._files.changes(contents) if contents is not None else None
        for key, own in changed.items() if changed is not None else ():
            self._live.take(key, own)
        return changed

    def _is_plain(self, snapshot: Snapshot, wanted: str | None) -> bool:
        if not says_nothing(snapshot) or self.node not in snapshot.cluster.nodes:
            return False
        return host.local_node(snapshot, wanted, False) == self.node
