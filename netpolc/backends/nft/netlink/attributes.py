"""Netlink attributes, as the kernel lays them out: length, type, content, padded to four bytes.

Comes in: bytes of the kernel, or contents to be packed. Goes out: contents by type, or bytes.
Refused: attributes that do not fill what they are in to its last byte (`RulesetError`), because the
kernel neither writes them nor tells of them; contents longer than a length can say
(`UnsupportedError`). See linux/netlink.h; numbers of nf_tables are big-endian.
"""

from __future__ import annotations

import struct

from netpolc.backends.nft.netlink._netlink import by_type as by_type
from netpolc.backends.nft.netlink._netlink import each_attribute as each_attribute
from netpolc.core.errors import RulesetError, UnsupportedError

NESTED = 0x8000
"""NLA_F_NESTED; the kernel wants it from who writes, and leaves it out in most of what it says."""
LONGEST = 0xFFFF
"""Bytes that an attribute can have with its header: its length has 16 bits."""
_HEADER = struct.Struct("=HH")


def packed(kind: int, content: bytes) -> bytes:
    """One attribute."""
    length = _HEADER.size + len(content)
    if length > LONGEST:
        raise UnsupportedError(f"a netlink attribute of {length} bytes: {LONGEST} can be said")
    return _HEADER.pack(length, kind) + content + bytes(-length & 3)


def nested(kind: int, *content: bytes) -> bytes:
    """One attribute of attributes."""
    return packed(kind | NESTED, b"".join(content))


def text(content: bytes) -> str:
    """A text of the kernel, with or without the zero at its end. What somebody else wrote may be
    any bytes; those that are no UTF-8 are shown as escapes.
    """
    return content.removesuffix(b"\0").decode("utf-8", "backslashreplace")


def zero_ended(own: str) -> bytes:
    """A text with the zero at its end."""
    return own.encode() + b"\0"


def as_number(content: bytes, size: int = 4) -> int:
    """A number of so many bytes, big-endian."""
    if len(content) != size:
        raise RulesetError(f"netlink: {len(content)} bytes where a number has {size}")
    return int.from_bytes(content, "big")
