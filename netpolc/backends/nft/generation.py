"""The generation of nf_tables: a number that grows with every transaction of anybody.

Goes out: the number for one network namespace. If it is what it was, nothing was changed, by
whomever. `SystemRefusal` when the kernel does not answer. It is one netlink message
(`NFT_MSG_GETGEN`, linux/netfilter/nf_tables.h), which libnftables has no command for.
"""

from __future__ import annotations

import os
import socket
import struct
import weakref

from netpolc.errors import SystemRefusal

_NETFILTER = 12  # NETLINK_NETFILTER
_NEW_GENERATION, _GET_GENERATION = 10 << 8 | 15, 10 << 8 | 16  # NFNL_SUBSYS_NFTABLES << 8 | type
_GENERATION_ID = 1  # NFTA_GEN_ID
_ERROR = 2  # NLMSG_ERROR
_HEADERS = struct.Struct("=IHHII4x")  # nlmsghdr and nfgenmsg
_TIMEOUT = 5.0
_REQUEST = 1  # NLM_F_REQUEST


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

    def read(self) -> int:
        """The number of the last transaction."""
        try:
            self._stream.send(_HEADERS.pack(_HEADERS.size, _GET_GENERATION, _REQUEST, 0, 0))
            return _read(self._stream.recv(4096))
        except OSError as error:
            raise _refusal(error) from error


def _refusal(error: OSError) -> SystemRefusal:
    return SystemRefusal(f"nf_tables does not tell its generation: {error}")


def _read(answer: bytes) -> int:
    length, kind, *_ = _HEADERS.unpack_from(answer)
    if kind == _ERROR:
        (number,) = struct.unpack_from("=i", answer, 16)
        raise OSError(-number, os.strerror(-number))
    at = _HEADERS.size
    while kind == _NEW_GENERATION and at < length:
        size, attribute = struct.unpack_from("=HH", answer, at)
        if attribute == _GENERATION_ID:
            return int.from_bytes(answer[at + 4 : at + 8], "big")
        at += max(4, size + 3 & ~3)
    raise OSError(f"answer {kind} has no generation")
