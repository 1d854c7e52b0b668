"""A `Kernel` that has a fake below it: what it decides is its own, what it sends runs in memory.

No lock is taken, since nobody else can change the tables, and no flow is open.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import cast

from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.libnftables.session import Reply, Session
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from tests.helpers.fake_nftables import listing
from tests.helpers.fake_nftables.refusal import Refusal, Unmodelled, missing
from tests.helpers.fake_nftables.tables import Table
from tests.helpers.fake_nftables.transaction import FakeNftables

_LIST = re.compile(r"list (counters )?(table|set|map) inet (\w+)(?: (\w+))?")


class FakeSession:
    """Answers as libnftables does."""

    def __init__(self, nftables: FakeNftables) -> None:
        self._nftables = nftables

    def ask(
        self,
        text: str,
        locks: Collection[int] = (),
        *,
        json: bool = False,
        stateless: bool = False,
        numeric: bool = False,
        dry: bool = False,
    ) -> Reply:
        """Run or list; the switches are those of `session.Session.ask`."""
        try:
            if text.startswith("list "):
                return Reply(0, self._list(text, json), "")
            self._nftables.run(text, dry=dry)
        except Refusal as refusal:
            return Reply(-1, "", str(refusal))
        return Reply(0, "", "")

    def _list(self, text: str, json: bool) -> str:
        found = _LIST.fullmatch(text)
        if found is None or not (json or found[2] == "table"):
            raise Unmodelled(text)
        counters, kind, name, own = found.groups()
        table = self._nftables.tables.get(name)
        if table is None:
            raise missing(text)
        if kind != "table":
            return _set(name, table, own, text)
        if counters:
            return listing.counters_as_json(name, table)
        return (listing.as_json if json else listing.as_text)(name, table)


def _set(name: str, table: Table, own: str, text: str) -> str:
    if own not in table.sets:
        raise missing(text)
    return listing.set_as_json(name, own, table.sets[own])


class _FakeGeneration:
    """The number of the last transaction."""

    def __init__(self, nftables: FakeNftables) -> None:
        self._nftables = nftables

    def read(self) -> int:
        return self._nftables.generation


class _FakeChannel(Channel):
    """Asks the fake instead of libnftables and the kernel."""

    def __init__(self, nftables: FakeNftables) -> None:
        self._nft = cast(Session, FakeSession(nftables))
        self.generation = cast(Generation, _FakeGeneration(nftables))


class FakeKernel(Kernel):
    """Loads, updates and reads tables in memory; several may share one `FakeNftables`."""

    def __init__(self, nftables: FakeNftables) -> None:
        super().__init__(_FakeChannel(nftables))

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody else is there to wait for."""
        yield
