"""A socket to nf_tables: listings that are whole, transactions that are atomic; and `Netlink`, what
any subsystem of netlink is asked over, such as connection tracking and routing.

Comes in: messages. Goes out: the bodies of what is listed; of a transaction nothing, when the
kernel has committed it. Refused: what the kernel refuses (`Refused`, an `OSError`, with the message
that it is about and what the kernel says of it); answers that do not come, or not whole
(`OSError`).

A batch is one datagram, so nothing splits it (linux/netfilter/nfnetlink.h). Its last message asks
to be acknowledged, which the kernel does after the commit and after every refusal; so answers are
read to that one. A dump during which somebody changed something (NLM_F_DUMP_INTR) is made again.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import EINTR, EMSGSIZE, ENOBUFS, ENOENT
from itertools import count
from typing import Self
from weakref import finalize

from netpolc.backends.nft.netlink.attributes import by_type, text
from netpolc.core.errors import RulesetError

NETFILTER, ROUTE = 12, 0
"""Protocols of netlink (NETLINK_...)."""
_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK = 10, 11  # NETLINK_CAP_ACK, NETLINK_EXT_ACK: refusals name what they are about
_ADD_MEMBERSHIP, _DROP_MEMBERSHIP = 1, 2  # NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP
_GROUP = 7  # NFNLGRP_NFTABLES
# SO_SNDBUFFORCE, SO_RCVBUFFORCE: beyond the limit of the system, as root may
_SEND_BUFFER_FORCE, _RECEIVE_BUFFER_FORCE = 32, 33
_ROOM = 4 << 20
_NFTABLES, _INET = 10 << 8, 1  # NFNL_SUBSYS_NFTABLES << 8, NFPROTO_INET
_BATCH_BEGIN, _BATCH_END = 16, 17
_ERROR, _DONE, _OVERRUN = 2, 3, 4
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
"""Families of tables (NFPROTO_...)."""
REQUEST, ACKNOWLEDGE, DUMP = 0x1, 0x4, 0x300
"""Flags of a message (NLM_F_...)."""
REPLACE, EXCLUSIVE, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
_INTERRUPTED, _ACK_TLVS = 0x10, 0x200  # NLM_F_DUMP_INTR, NLM_F_ACK_TLVS
_MESSAGE, _OFFSET = 1, 2  # NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("=BBH")  # nfgenmsg: family, version, resource
_CODE = struct.Struct("=i")
_HEADERS = _HEADER.size + _FAMILY.size
_WITHIN_ONE = {7, 10, 13}  # NFT_MSG_GETRULE, NFT_MSG_GETSET, NFT_MSG_GETSETELEM
"""What is listed by places in one table. Other listings go on by places among the objects of all
tables, so that one is passed over where somebody deletes his own (net/netfilter/nf_tables_api.c).
"""
_BUFFER = 1 << 18
_TIMEOUT = 30.0
_TRIES = 50
_NUMBERS = 1 << 32


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be done to an object: the type within nf_tables, flags, attributes; `subject` says
    what it is about, for whoever reads a refusal.
    """

    kind: int
    flags: int
    body: bytes
    subject: str


class Refused(OSError):
    """What the kernel refuses; `message` is what it is about, `offset` where in its body."""

    def __init__(self, code: int, said: str, message: Message | None, offset: int | None) -> None:
        about = f"{message.subject}: " if message is not None else ""
        super().__init__(code, f"{about}{os.strerror(code)}{f' ({said})' if said else ''}")
        self.message, self.offset = message, offset


class Netlink:
    """A socket in the network namespace it was made in, to one of the protocols; a context manager.

    The kinds of its messages have their subsystem in them, the contents their header.
    """

    def __init__(self, protocol: int = NETFILTER) -> None:
        self._stream = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._end = finalize(self, self._stream.close)
        self._stream.settimeout(_TIMEOUT)
        for option in (_CAP_ACK, _EXT_ACK):
            self._stream.setsockopt(_SOL_NETLINK, option, 1)
        self._numbers = count(1)
        self._buffer = bytearray(_BUFFER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Speak no more."""
        self._end()

    def dumped(self, kind: int, content: bytes, *, whole: bool = True) -> list[bytes]:
        """What is said of every object of a kind, as of one moment; unless it has to be `whole`,
        also where something was changed meanwhile.
        """
        for _ in range(_TRIES):
            number = next(self._numbers) % _NUMBERS
            self._stream.send(_headed(kind, REQUEST | DUMP, number, content))
            found, settled = self._dumped(number, whole)
            if settled:
                return found
        raise OSError(EINTR, f"it was changed during each of {_TRIES} listings")

    def done(self, kind: int, content: bytes) -> None:
        """Have something done that is no transaction of nf_tables, and wait until it is."""
        number = next(self._numbers) % _NUMBERS
        self._stream.send(_headed(kind, REQUEST | ACKNOWLEDGE, number, content))
        for found, flags, own, said in self._answers():
            if own == number and found == _ERROR:
                if code := _code(said):
                    raise _refused(code, flags, said, None)
                return

    def asked(self, kind: int, content: bytes) -> bytes | None:
        """What is said of one object of any subsystem; None when it is not there."""
        number = next(self._numbers) % _NUMBERS
        self._stream.send(_headed(kind, REQUEST, number, content))
        for found, flags, own, said in self._answers():
            if own != number:
                continue
            if found not in (_ERROR, _DONE):
                return said
            code = _code(said)
            if code == ENOENT:
                return None
            raise _refused(code, flags, said, None)
        raise AssertionError("answers end with an exception")

    def _dumped(self, number: int, whole: bool) -> tuple[list[bytes], bool]:
        found: list[bytes] = []
        settled = True
        for kind, flags, own, content in self._answers():
            if own != number:
                continue  # of what was given up before
            settled = settled and not (whole and flags & _INTERRUPTED)
            if kind in (_DONE, _ERROR):
                code = _code(content)
                if code and code != EINTR:
                    raise Refused(code, "", None, None)
                return found, settled and not code
            found.append(content)
        raise AssertionError("answers end with an exception")

    def _answers(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Type, flags, number and content of each message, without an end."""
        while True:
            size, _, flags, _ = self._stream.recvmsg_into([self._buffer])
            if flags & socket.MSG_TRUNC:
                raise OSError(EMSGSIZE, f"an answer of the kernel is longer than {_BUFFER} bytes")
            yield from messages_of(bytes(memoryview(self._buffer)[:size]))


class Wire(Netlink):
    """One to nf_tables."""

    is_watched = False
    """Whether somebody hears of every change of the table that is read: then listings within it are
    whole during which another was changed, which the kernel does not tell apart."""

    def listed(self, kind: int, body: bytes = b"", family: int = _INET) -> list[bytes]:
        """The attributes of every object of a kind of nf_tables, as of one moment."""
        content = _FAMILY.pack(family, 0, 0) + body
        whole = not self.is_watched or kind not in _WITHIN_ONE
        found = self.dumped(_NFTABLES | kind, content, whole=whole)
        return [own[_FAMILY.size :] for own in found]

    def every(self, kind: int) -> list[tuple[int, bytes]]:
        """The family and attributes of every object of a kind, whatever its family."""
        found: list[tuple[int, bytes]] = []
        for family in FAMILIES:
            found += ((family, own) for own in self.listed(kind, family=family))
        return found

    def one(self, kind: int, body: bytes) -> bytes | None:
        """The attributes of one object of nf_tables; None when it is not there."""
        found = self.asked(_NFTABLES | kind, _FAMILY.pack(_INET, 0, 0) + body)
        return None if found is None else found[_FAMILY.size :]

    def await_commits(self) -> None:
        """Wait until whoever commits right now is done.

        The kernel tells of a generation before all of it can be listed: what an interval set has
        got comes last. A batch without a message waits for the lock that a commit has, and changes
        nothing; sending it returns when it was handled.
        """
        begin, end = next(self._numbers), next(self._numbers)
        parts = [(_BATCH_BEGIN, begin), (_BATCH_END, end)]
        self._stream.send(
            b"".join(_packed(own, REQUEST, at, 0, b"", _NFTABLES >> 8) for own, at in parts)
        )

    def commit(self, messages: Sequence[Message]) -> None:
        """Have all of it done, or nothing; `Refused` with the first thing that is refused."""
        if not messages:
            return
        begin = next(self._numbers)
        numbers = [next(self._numbers) for _ in messages]
        end = next(self._numbers)
        parts = [_packed(_BATCH_BEGIN, REQUEST, begin, 0, b"", _NFTABLES >> 8)]
        for message, number in zip(messages, numbers, strict=True):
            flags = message.flags | REQUEST | (ACKNOWLEDGE if number == numbers[-1] else 0)
            parts.append(_packed(_NFTABLES | message.kind, flags, number, _INET, message.body))
        parts.append(_packed(_BATCH_END, REQUEST, end, 0, b"", _NFTABLES >> 8))
        self._send(b"".join(parts))
        self._await(begin, dict(zip(numbers, messages, strict=True)))

    def _send(self, batch: bytes) -> None:
        # An eighth more is what the kernel counts for a datagram of many pages, about.
        room = 2 * len(batch) + (1 << 16)
        try:
            self._stream.setsockopt(socket.SOL_SOCKET, _SEND_BUFFER_FORCE, room)
        except PermissionError:  # it takes CAP_NET_ADMIN in the first user namespace
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        sent = self._stream.send(batch)
        if sent != len(batch):
            raise OSError(EMSGSIZE, f"{sent} of {len(batch)} bytes of a transaction were taken")

    def _await(self, begin: int, messages: dict[int, Message]) -> None:
        """Read answers until the last message is acknowledged, or the batch as a whole refused.

        Where so much is refused that answers are lost (ENOBUFS), those that are left are told.
        """
        refusals: list[Refused] = []
        lost: OSError | None = None
        try:
            self._collect(begin, messages, refusals)
        except OSError as error:
            if error.errno != ENOBUFS:
                raise
            lost = error
            self._stream.settimeout(0)
            try:
                with suppress(BlockingIOError):
                    self._collect(begin, messages, refusals)
            finally:
                self._stream.settimeout(_TIMEOUT)
        if refusals:
            raise refusals[0]
        if lost is not None:
            raise lost

    def _collect(self, begin: int, messages: dict[int, Message], refusals: list[Refused]) -> None:
        last = max(messages)
        for kind, flags, number, content in self._answers():
            if kind != _ERROR or (number != begin and number not in messages):
                continue
            code = _code(content)
            if code:
                refusals.append(_refused(code, flags, content, messages.get(number)))
            if number in (begin, last):
                return


class Subscription:
    """Hears what nf_tables tells after every transaction, in the network namespace it was made in,
    once it has joined; the last message of one is NEW_GENERATION.
    """

    def __init__(self) -> None:
        self._stream = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
        self._end = finalize(self, self._stream.close)
        self._stream.bind((0, 0))
        _enlarge(self._stream)
        self._stream.setblocking(False)

    def join(self) -> None:
        """Hear from now on."""
        self._stream.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)

    def leave(self) -> None:
        """Hear no more, until it joins again; what was not read yet is forgotten."""
        self._stream.setsockopt(_SOL_NETLINK, _DROP_MEMBERSHIP, _GROUP)
        while True:
            try:
                self._stream.recv(1)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise

    def fileno(self) -> int:
        """What can be read when anybody changed anything."""
        return self._stream.fileno()

    def close(self) -> None:
        """Listen no more."""
        self._end()

    def heard(self) -> Iterator[tuple[int, int, bytes]]:
        """Type within nf_tables, family and attributes of each message that has come; `OSError`
        (ENOBUFS) once where some were lost.
        """
        while True:
            try:
                data = self._stream.recv(_BUFFER)
            except BlockingIOError:
                return
            for kind, _, _, content in messages_of(data):
                if kind & ~0xFF == _NFTABLES:
                    yield kind & 0xFF, content[0], content[_FAMILY.size :]


def _enlarge(stream: socket.socket) -> None:
    """Room for the messages of large transactions of others."""
    try:
        stream.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _ROOM)
    except OSError:  # it takes CAP_NET_ADMIN in the first user namespace
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)


def messages_of(datagram: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages of a datagram: type, flags, number, content; `OSError` for half a message."""
    at = 0
    while at < len(datagram):
        length = 0
        if at + _HEADER.size <= len(datagram):
            length, kind, flags, number, _ = _HEADER.unpack_from(datagram, at)
        if not _HEADER.size <= length <= len(datagram) - at:
            raise OSError(EMSGSIZE, "an answer of the kernel ends inside a message")
        content = datagram[at + _HEADER.size : at + length]
        at += length + 3 & ~3
        if kind == _OVERRUN:
            raise OSError(ENOBUFS, "answers of the kernel were lost")
        yield kind, flags, number, content


def _packed(
    kind: int, flags: int, number: int, family: int, body: bytes, resource: int = 0
) -> bytes:
    content = _FAMILY.pack(family, 0, socket.htons(resource)) + body
    return _headed(kind, flags, number % _NUMBERS, content)


def _headed(kind: int, flags: int, number: int, content: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(content), kind, flags, number, 0) + content


def _code(content: bytes) -> int:
    """The number of an error; 0 for none."""
    if len(content) < _CODE.size:
        raise OSError(EMSGSIZE, "an answer of the kernel says nothing")
    return -int(_CODE.unpack_from(content)[0])


def _refused(code: int, flags: int, content: bytes, message: Message | None) -> Refused:
    """What the kernel says of a refusal, if it says something (`NETLINK_EXT_ACK`)."""
    said, offset = "", None
    if flags & _ACK_TLVS:
        try:
            found = by_type(content[4 + _HEADER.size :])
        except RulesetError as error:
            raise OSError(EMSGSIZE, f"a refusal of the kernel is not whole: {error}") from error
        said = text(found.get(_MESSAGE, b""))
        if _OFFSET in found:
            offset = int.from_bytes(found[_OFFSET], sys.byteorder) - _HEADERS
    return Refused(code, said, message, offset)
