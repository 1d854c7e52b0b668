"""A `Kernel` that has a fake below it: what it decides is its own, what it sends runs in memory.

No lock is taken, since nobody else can change the tables, and no flow is open.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from json import loads
from typing import cast

from netpolc.backends.nft.model import AddressSet
from netpolc.backends.nft.netlink.reading.meaning import Listed
from netpolc.backends.nft.netlink.record import TableRecord
from netpolc.backends.nft.objects import Written
from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.libnftables.session import Reply, Session
from netpolc.backends.nft.rollout.loader import Via
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from netpolc.backends.nft.rollout.state.loaded import Counters, counters_of
from netpolc.backends.nft.rollout.state.reading import LoadedTables
from netpolc.core.nets import Family
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


class _FakeTables:
    """What the kernel would say of itself, from what libnftables would list."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session

    def objects(self, table: str, *, owners: bool = True) -> list[Written] | None:
        """Every object of a table."""
        answer = self._session.ask(f"list table inet {table}", stateless=True)
        return parse_listing(answer.output, table) if answer.code == 0 else None

    def record(self, table: str) -> TableRecord:
        """Nothing that could be copied: no packet passes here."""
        return TableRecord(table, ())

    def counters(self, table: str) -> Counters | None:
        """The counters of a table."""
        answer = self._session.ask(f"list counters table inet {table}", json=True)
        return counters_of(answer.output) if answer.code == 0 else None

    def members(self, table: str, name: str) -> Listed | None:
        """A set of addresses with a comment on each."""
        answer = self._session.ask(f"list set inet {table} {name}", json=True)
        if answer.code != 0:
            return None
        (found,) = (own["set"] for own in loads(answer.output)["nftables"] if "set" in own)
        elements = [own["elem"] for own in found.get("elem", []) if "elem" in own]
        version = next(own for own in Family if str(own.value) == name[-1])
        addresses = tuple(own["val"] for own in elements)
        comments = tuple(own.get("comment", "") for own in elements)
        return Listed(AddressSet(name, version, addresses), found.get("size"), comments)


class _FakeChannel(Channel):
    """Asks the fake instead of libnftables and the kernel."""

    def __init__(self, nftables: FakeNftables) -> None:
        session = FakeSession(nftables)
        self._nft = cast(Session, session)
        self.reading = cast(LoadedTables, _FakeTables(session))
        self.generation = cast(Generation, _FakeGeneration(nftables))


class FakeKernel(Kernel):
    """Loads, updates and reads tables in memory; several may share one `FakeNftables`."""

    def __init__(self, nftables: FakeNftables) -> None:
        super().__init__(_FakeChannel(nftables), Via.NFT)

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody else is there to wait for."""
        yield
