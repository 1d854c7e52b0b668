"""Hears who changes a table: the notifications that nf_tables sends after every transaction.

Comes in: the name of a table of the family inet. Goes out: a descriptor to poll, and the changes of
that table, each with the process that made it. Changes of other tables are passed over. Refused
(`SystemRefusal`): a kernel that does not let this process listen. It is the multicast group
NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h), which `nft monitor` listens to as well; the last
message of a transaction is NFT_MSG_NEWGEN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from errno import ENOBUFS
from select import POLLIN, poll

from netpolc.backends.nft.netlink.attributes import by_type, each_attribute, text
from netpolc.backends.nft.netlink.entities import DELETE_TABLE, NEW_GENERATION, NEW_TABLE
from netpolc.backends.nft.netlink.wire import Subscription
from netpolc.core.errors import RulesetError, SystemRefusal

_INET = 1  # NFPROTO_INET
_TABLE = 1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, ...: it is 1 in all of them
_NUMBERS = 1 << 32
_SECONDS = 10.0
"""The kernel tells of a transaction as soon as it is committed; longer than that it never takes."""
_GENERATION, _PROCESS, _NAME = 1, 2, 3  # NFTA_GEN_ID, NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that touched the table, and whether the table is gone after it.

    `process` is empty where the kernel lost count; `generation` is that of nf_tables after it, 0
    where messages were lost.
    """

    deleted: bool
    process: str
    generation: int = 0


class Monitor:
    """Listens in the network namespace it was made in, or that its subscription was, until it is
    closed.
    """

    def __init__(self, table: str, subscription: Subscription | None = None) -> None:
        self._table = table
        self._touched = self._deleted = False
        self.heard = 0
        """The generation of the last transaction of anybody that was heard."""
        try:
            self._subscription = Subscription() if subscription is None else subscription
            self._subscription.join()
        except OSError as error:
            raise SystemRefusal(f"cannot hear who changes nf_tables: {error.strerror}") from error

    def fileno(self) -> int:
        """What can be read when anybody changed anything."""
        return self._subscription.fileno()

    def close(self) -> None:
        """Listen no more."""
        self._subscription.close()

    def changes(self) -> list[Transaction]:
        """The changes of the table since the last call.

        Where messages were lost (ENOBUFS) there is one that names nobody: the table has to be
        looked at.
        """
        found: list[Transaction] = []
        while True:
            try:
                for message in self._subscription.heard():
                    found.extend(self._read(*message))
                return found
            except (OSError, RulesetError) as error:
                if isinstance(error, OSError) and error.errno != ENOBUFS:
                    raise SystemRefusal(f"nf_tables tells nothing any more: {error}") from error
                found.append(Transaction(False, ""))

    def touched_until(self, generation: int) -> bool:
        """Whether anybody touched the table since the last call, or may have: `SystemRefusal` where
        nothing is heard of the transaction that led to a generation.
        """
        found = self.changes()
        while not found and (self.heard - generation) % _NUMBERS > _NUMBERS // 2:
            polled = poll()
            polled.register(self.fileno(), POLLIN)
            if not polled.poll(_SECONDS * 1000):
                raise SystemRefusal(f"nf_tables does not tell of its generation {generation}")
            found = self.changes()
        return bool(found)

    def _read(self, kind: int, family: int, body: bytes) -> Iterator[Transaction]:
        if kind == NEW_GENERATION:
            found = by_type(body)
            self.heard = int.from_bytes(found.get(_GENERATION, b""), "big")
            if self._touched:
                yield Transaction(self._deleted, _process(found), self.heard)
            self._touched = self._deleted = False
        elif family == _INET and _table_of(body) == self._table:
            self._touched = True
            if kind in (NEW_TABLE, DELETE_TABLE):
                self._deleted = kind == DELETE_TABLE


def _table_of(body: bytes) -> str:
    """The table of a message; the kernel says it first."""
    return next((text(own) for kind, own in each_attribute(body) if kind == _TABLE), "")


class Heard:
    """Which changes of the table are somebody else's: all but those that are claimed."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._waiting: list[Transaction] = []

    def fileno(self) -> int:
        """What can be read when anybody changed anything."""
        return self._monitor.fileno()

    def foreign(self) -> list[Transaction]:
        """The changes that nobody claimed, until `settled`."""
        self._waiting += self._monitor.changes()
        return self._waiting

    def claim(self, after: int, until: int) -> bool:
        """Whether the one change of the table after one generation, until another, is the own one,
        which was sent between the two; it counts as somebody else's no more.

        The kernel tells of a change before the answer to whoever sent it.
        """
        found = [own for own in self.foreign() if after < own.generation <= until]
        if len(found) != 1 or any(not own.generation for own in self._waiting):
            return False
        self._waiting.remove(found[0])
        return True

    def settled(self) -> None:
        """The table is looked at now, whatever became of it: what was heard counts no more."""
        self.foreign().clear()


def _process(found: dict[int, bytes]) -> str:
    name = text(found.get(_NAME, b""))
    number = int.from_bytes(found.get(_PROCESS, b""), "big")
    return f"{name if name.isprintable() else '?'} (process {number})"
