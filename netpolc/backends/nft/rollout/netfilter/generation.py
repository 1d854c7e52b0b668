"""The generation of nf_tables, a number that grows with every transaction of anybody; and which
tables there are.

Goes out: the number for one network namespace. If it is what it was, nothing was changed, by
whomever. `SystemRefusal` when the kernel does not answer. It is one netlink message
(`NFT_MSG_GETGEN`, linux/netfilter/nf_tables.h), which libnftables has no command for. The tables
(`NFT_MSG_GETTABLE`) and the comment of a counter (`NFT_MSG_GETOBJ`) are asked for here for when
libnftables dies of one of them.
"""

from __future__ import annotations

import os
import socket
import struct
import weakref
from collections.abc import Callable, Iterator
from errno import ENOENT
from itertools import count
from typing import TypeVar

from netpolc.backends.nft.rollout.netfilter.netlink import attribute
from netpolc.core.errors import SystemRefusal

T = TypeVar("T")
_READINGS = 50
_NETFILTER = 12  # NETLINK_NETFILTER
_NEW_TABLE, _GET_TABLE = 10 << 8, 10 << 8 | 1  # NFNL_SUBSYS_NFTABLES << 8 | type
_NEW_GENERATION, _GET_GENERATION = 10 << 8 | 15, 10 << 8 | 16
_GENERATION_ID, _TABLE_NAME = 1, 1  # NFTA_GEN_ID, NFTA_TABLE_NAME
_NEW_OBJECT, _GET_OBJECT = 10 << 8 | 18, 10 << 8 | 19
_OBJECT_TABLE, _OBJECT_NAME, _OBJECT_TYPE, _OBJECT_DATA = 1, 2, 3, 8  # NFTA_OBJ_..., USERDATA
_COUNTER = (1).to_bytes(4, "big")  # NFT_OBJECT_COUNTER
_COMMENT = 0  # NFTNL_UDATA_OBJ_COMMENT (libnftnl/udata.h): type, length, text and a zero
_INET = 1  # NFPROTO_INET
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_HEADERS = struct.Struct("=IHHIIB3x")  # nlmsghdr, and nfgenmsg with its family
_TIMEOUT = 5.0
_REQUEST, _DUMP = 0x1, 0x300  # NLM_F_REQUEST, NLM_F_DUMP
_LARGEST = 1 << 16
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}  # NFPROTO_*


class Generation:
    """Asks for the generation in the network namespace this object was made in.

    The socket stays open: to close one waits for the kernel to free what the last transaction
    removed, milliseconds after a large one.
    """

    def __init__(self) -> None:
        try:
            self._stream = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        except OSError as error:
            raise _refusal(error) from error
        weakref.finalize(self, self._stream.close)
        self._stream.settimeout(_TIMEOUT)
        self._numbers = count(1)

    def read(self) -> int:
        """The number of the last transaction."""
        try:
            for kind, _, body in self._answers(_GET_GENERATION, _REQUEST):
                if kind == _NEW_GENERATION and _GENERATION_ID in (found := _attributes(body)):
                    return int.from_bytes(found[_GENERATION_ID], "big")
                raise OSError(f"answer {kind} has no generation")
            raise OSError("there is no answer")
        except OSError as error:
            raise _refusal(error) from error

    def consistent(self, read: Callable[[], T], *, passing: tuple[type[Exception], ...] = ()) -> T:
        """What `read` gives; made again if anybody changed anything in the meantime, also where it
        then raises one of the `passing` exceptions.
        """
        for _ in range(_READINGS):
            before = self.read()
            try:
                found = read()
            except passing:
                if self.read() == before:
                    raise
                continue
            if self.read() == before:
                return found
        raise SystemRefusal(f"nf_tables was changed during each of {_READINGS} readings")

    def tables(self) -> list[str]:
        """Every table there is, by family and name: `ip nat`."""
        try:
            return [
                f"{_FAMILIES.get(family, family)} {name.rstrip(bytes(1)).decode(errors='replace')}"
                for kind, family, body in self._answers(_GET_TABLE, _REQUEST | _DUMP)
                if kind == _NEW_TABLE and (name := _attributes(body).get(_TABLE_NAME))
            ]
        except OSError as error:
            raise _refusal(error) from error

    def comment(self, table: str, counter: str) -> str | None:
        """The comment of a counter in an inet table; None when there is none."""
        asked = attribute(_OBJECT_TABLE, table.encode() + bytes(1))
        asked += attribute(_OBJECT_NAME, counter.encode() + bytes(1))
        asked += attribute(_OBJECT_TYPE, _COUNTER)
        try:
            for kind, _, body in self._answers(_GET_OBJECT, _REQUEST, _INET, asked):
                data = _attributes(body).get(_OBJECT_DATA, b"")
                if kind == _NEW_OBJECT and data[:1] == bytes([_COMMENT]):
                    return data[2 : 2 + data[1]].rstrip(bytes(1)).decode(errors="replace")
        except OSError as error:
            if error.errno != ENOENT:
                raise _refusal(error) from error
        return None

    def _answers(
        self, kind: int, flags: int, family: int = 0, content: bytes = b""
    ) -> Iterator[tuple[int, int, bytes]]:
        """Type, family and attributes of each message of an answer, one or all of a dump.

        Late answers to an earlier question are passed over: they have another number.
        """
        number = next(self._numbers)
        length = _HEADERS.size + len(content)
        self._stream.send(_HEADERS.pack(length, kind, flags, number, 0, family) + content)
        while True:
            answer = self._stream.recv(_LARGEST)
            at = 0
            while at + _HEADERS.size <= len(answer):
                length, kind, _, own, _, family = _HEADERS.unpack_from(answer, at)
                message = answer[at : at + length]
                at += max(_HEADERS.size, length + 3 & ~3)
                if own != number:
                    continue
                if kind == _ERROR:
                    (code,) = struct.unpack_from("=i", message, 16)
                    raise OSError(-code, os.strerror(-code))
                if kind == _DONE:
                    return
                yield kind, family, message[_HEADERS.size :]
                if not flags & _DUMP:
                    return


def _refusal(error: OSError) -> SystemRefusal:
    return SystemRefusal(f"nf_tables does not tell its generation, tables or counters: {error}")


def _attributes(body: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(body):
        size, kind = struct.unpack_from("=HH", body, at)
        found[kind] = body[at + 4 : at + size]
        at += max(4, size + 3 & ~3)
    return found
