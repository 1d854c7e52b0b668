"""Hears who changes a table: the notifications that nf_tables sends after every transaction.

Comes in: the name of a table of the family inet. Goes out: a descriptor to poll, and the changes of
that table, each with the process that made it. Changes of other tables are passed over. Refused
(`SystemRefusal`): a kernel that does not let this process listen. It is the multicast group
NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h), which `nft monitor` listens to as well; the last
message of a transaction is NFT_MSG_NEWGEN.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from errno import ENOBUFS

from netpolc.backends.nft.rollout.netfilter.netlink import attributes
from netpolc.core.errors import SystemRefusal

_NETFILTER, _SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP = 12, 270, 1, 7
_SUBSYSTEM, _INET = 10, 1  # NFNL_SUBSYS_NFTABLES, NFPROTO_INET
_NEW_TABLE, _DELETE_TABLE, _NEW_GENERATION = 0, 2, 15  # NFT_MSG_NEWTABLE, ...
_TABLE = 1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, ...: it is 1 in all of them
_GENERATION, _PROCESS, _NAME = 1, 2, 3  # NFTA_GEN_ID, NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME
_HEADERS = struct.Struct("=IHHIIB3x")  # nlmsghdr, and nfgenmsg with its family
_LARGEST = 1 << 17
_SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h
_ROOM = 4 << 20


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
    """Listens in the network namespace it was made in, until it is closed."""

    def __init__(self, table: str) -> None:
        self._table = table.encode()
        self._touched = self._deleted = False
        try:
            self._stream = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
            self._stream.bind((0, 0))
            _enlarge(self._stream)
            self._stream.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
        except OSError as error:
            raise SystemRefusal(f"cannot hear who changes nf_tables: {error.strerror}") from error
        self._stream.setblocking(False)

    def fileno(self) -> int:
        """What can be read when anybody changed anything."""
        return self._stream.fileno()

    def close(self) -> None:
        """Listen no more."""
        self._stream.close()

    def changes(self) -> list[Transaction]:
        """The changes of the table since the last call.

        Where messages were lost (ENOBUFS) there is one that names nobody: the table has to be
        looked at.
        """
        found: list[Transaction] = []
        while True:
            try:
                data = self._stream.recv(_LARGEST)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise SystemRefusal(f"nf_tables tells nothing any more: {error}") from error
                found.append(Transaction(False, ""))
                continue
            found.extend(self._read(data))

    def _read(self, data: bytes) -> Iterator[Transaction]:
        at = 0
        while at + _HEADERS.size <= len(data):
            length, kind, _, _, _, family = _HEADERS.unpack_from(data, at)
            body = data[at + _HEADERS.size : at + length]
            at += max(_HEADERS.size, length + 3 & ~3)
            is_end = kind & 0xFF == _NEW_GENERATION
            if kind >> 8 != _SUBSYSTEM or not (is_end or family == _INET):
                continue
            found = attributes(body)
            if kind & 0xFF == _NEW_GENERATION:
                if self._touched:
                    number = int.from_bytes(found.get(_GENERATION, b""), "big")
                    yield Transaction(self._deleted, _process(found), number)
                self._touched = self._deleted = False
            elif family == _INET and found.get(_TABLE, b"").rstrip(b"\0") == self._table:
                self._touched = True
                if kind & 0xFF in (_NEW_TABLE, _DELETE_TABLE):
                    self._deleted = kind & 0xFF == _DELETE_TABLE


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


def _enlarge(stream: socket.socket) -> None:
    """Room for the messages of large transactions of others."""
    try:
        stream.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
    except OSError:  # it takes CAP_NET_ADMIN in the first user namespace
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)


def _process(found: dict[int, bytes]) -> str:
    name = found.get(_NAME, b"").rstrip(b"\0").decode("ascii", "replace")
    number = int.from_bytes(found.get(_PROCESS, b""), "big")
    return f"{name if name.isprintable() else '?'} (process {number})"
