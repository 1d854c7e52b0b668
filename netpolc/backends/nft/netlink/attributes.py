"""Netlink attributes, as the kernel lays them out: length, type, content, padded to four bytes.

Comes in: bytes of the kernel, or contents to be packed. Goes out: contents by type, or bytes.
Refused: attributes that do not fill what they are in to its last byte (`RulesetError`), because the
kernel neither writes them nor tells of them; contents longer than a length can say
(`UnsupportedError`). See linux/netlink.h; numbers of nf_tables are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from netpolc.core.errors import RulesetError, UnsupportedError

NESTED = 0x8000
"""NLA_F_NESTED; the kernel wants it from who writes, and leaves it out in most of what it says."""
LONGEST = 0xFFFF
"""Bytes that an attribute can have with its header: its length has 16 bits."""
_TYPE = 0x3FFF  # NLA_TYPE_MASK: without the flags for nested and for byte order
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


def each_attribute(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Every attribute in order, with its type."""
    at, end = 0, len(content)
    while at < end:
        if end - at < _HEADER.size:
            raise RulesetError(f"netlink: {end - at} bytes after the last attribute")
        length, kind = _HEADER.unpack_from(content, at)
        if not _HEADER.size <= length <= end - at:
            raise RulesetError(f"netlink: an attribute of {length} bytes where {end - at} are left")
        yield kind & _TYPE, content[at + _HEADER.size : at + length]
        at += length + 3 & ~3


def by_type(content: bytes) -> dict[int, bytes]:
    """The attributes by their types; the last one of each."""
    return dict(each_attribute(content))


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
