"""Requests to the kernel over a netlink socket, with the standard library alone.

Comes in: messages (linux/netlink.h) of netfilter's subsystems (linux/netfilter/nfnetlink.h) or of
routing (linux/rtnetlink.h), attributes packed already. Goes out: the answers, as bytes;
`attributes` takes them apart. Refused (`OSError`): whatever the kernel refuses.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Self

_NETFILTER = 12  # NETLINK_NETFILTER
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_FAMILY = struct.Struct("=BBH")  # nfgenmsg: family, version, resource
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length with its header, type
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300  # NLM_F_...
_TYPE = 0x3FFF  # NLA_TYPE_MASK: without the flags for nested and for byte order
NESTED = 0x8000
_BUFFER = 1 << 16
_TIMEOUT = 10.0


class Netlink:
    """A socket in the network namespace that this process is in; a context manager."""

    def __init__(self, protocol: int) -> None:
        self._stream = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._stream.settimeout(_TIMEOUT)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def listed(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Every object of a kind: the body of each message."""
        self._send(kind, _REQUEST | _DUMP, body)
        while True:
            for answer, found in self._receive():
                if answer == _DONE:
                    return
                yield found

    def done(self, kind: int, body: bytes) -> None:
        """Have something done, and wait until it is."""
        self._send(kind, _REQUEST | _ACK, body)
        for _ in self._receive():
            pass

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0)
        self._stream.send(header + body)

    def _receive(self) -> Iterator[tuple[int, bytes]]:
        """The messages of one datagram, with their types; `OSError` for one that says so."""
        answer = memoryview(self._stream.recv(_BUFFER))
        while answer:
            length, kind, _, sequence, _ = _HEADER.unpack_from(answer)
            body = bytes(answer[_HEADER.size : length])
            answer = answer[_aligned(length) :]
            if sequence != self._sequence:
                continue  # of a dump that nobody wanted to the end
            if kind in (_ERROR, _DONE):
                (code,) = struct.unpack_from("=i", body)
                if code < 0:
                    raise OSError(-code, os.strerror(-code))
            yield kind, body


class Netfilter(Netlink):
    """One that netfilter answers; families are those of sockets."""

    def __init__(self) -> None:
        super().__init__(_NETFILTER)

    def dump(self, kind: int, family: int, content: bytes = b"") -> Iterator[bytes]:
        """Every object of a kind: the attributes of each, as bytes."""
        for body in self.listed(kind, _FAMILY.pack(family, 0, 0) + content):
            yield body[_FAMILY.size :]

    def ask(self, kind: int, family: int, content: bytes) -> None:
        """Have something done, and wait until it is."""
        self.done(kind, _FAMILY.pack(family, 0, 0) + content)


def attribute(kind: int, content: bytes) -> bytes:
    """One attribute, padded."""
    length = _ATTRIBUTE.size + len(content)
    return _ATTRIBUTE.pack(length, kind) + content + bytes(_aligned(length) - length)


def attributes(content: bytes) -> dict[int, bytes]:
    """The attributes of a message or of a nested attribute, by type."""
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(content):
        length, kind = _ATTRIBUTE.unpack_from(content, at)
        found[kind & _TYPE] = content[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, _aligned(length))
    return found


def _aligned(length: int) -> int:
    return length + 3 & ~3
