"""What the keys of netpolc's sets and maps are: addresses, ports, protocols, names of interfaces.

Comes in: what the keys of a set or map consist of. Goes out: how the kernel has it declared.
Nothing is refused.

A key of several parts has each padded to four bytes (`NFT_REG32_SIZE`). The numbers of the types
(`datatype.h` of nft) and what is noted of the expressions by which a set is asked (`typeof`; types
`NFTNL_UDATA_SET_...` of libnftnl/udata.h) mean nothing to the kernel, and all to who lists the set.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

from netpolc.backends.nft.netlink.entities import CONCATENATED, INTERVAL, MAP, KernelSet
from netpolc.core.nets import Family

_REGISTER = 4
_TYPE_BITS = 6  # TYPE_BITS of nft: types of parts stand beside each other in one number


def _note(kind: int, content: bytes) -> bytes:
    return bytes((kind, len(content))) + content


def _native(value: int) -> bytes:
    return value.to_bytes(4, sys.byteorder)


def _payload_note(header: int, field: int) -> bytes:
    return _note(0, _native(7)) + _note(1, _note(0, _native(header)) + _note(1, _native(field)))


def _meta_note(field: int) -> bytes:
    return _note(0, _native(9)) + _note(1, _note(0, _native(field)))


@dataclass(frozen=True, slots=True)
class KeyPart:
    """A part of a key: the number of its type, its bytes, and how nft notes where it is from."""

    type: int
    length: int
    asked: bytes
    order: int
    """NFTNL_UDATA_SET_KEYBYTEORDER: 1 this machine's, 2 big-endian."""

    @property
    def room(self) -> int:
        """Its bytes with padding."""
        return self.length + (-self.length & _REGISTER - 1)


SOURCE = {
    Family.IPV4: KeyPart(7, 4, _payload_note(12, 11), 2),
    Family.IPV6: KeyPart(8, 16, _payload_note(13, 8), 2),
}
DESTINATION = {
    Family.IPV4: KeyPart(7, 4, _payload_note(12, 12), 2),
    Family.IPV6: KeyPart(8, 16, _payload_note(13, 9), 2),
}
PROTOCOL = KeyPart(12, 1, _meta_note(16), 1)
PORT = KeyPart(13, 2, _payload_note(11, 2), 2)
LINK = KeyPart(41, 16, _meta_note(6), 1)
_VERDICT_NOTE = _note(0, _native(1)) + _note(1, b"")


@lru_cache(256)
def declared(
    name: str, parts: tuple[KeyPart, ...], size: int | None, verdicts: bool, counted: bool
) -> KernelSet:
    """A set or map with such keys and room for so many elements; None: of intervals."""
    several, interval = len(parts) > 1, size is None
    notes = _note(0, _native(0 if several else parts[0].order))
    if verdicts:
        notes += _note(1, _native(0))
    asked = parts[0].asked
    if several:
        asked = b"".join(_note(at, own.asked) for at, own in enumerate(parts))
        asked = _note(0, _native(13)) + _note(1, asked)
    notes += _note(3, asked)
    if verdicts:
        notes += _note(4, _VERDICT_NOTE) + _note(6, _native(0))
    flags = (CONCATENATED | INTERVAL if interval else 0) | (MAP if verdicts else 0)
    fields = tuple(own.length for own in parts) if interval else ()
    return KernelSet(name, flags, key_type(parts), key_length(parts), size, fields, counted, notes)


def key_type(parts: Sequence[KeyPart]) -> int:
    """The number of the type of a key."""
    return reduce(lambda number, own: number << _TYPE_BITS | own.type, parts, 0)


def key_length(parts: Sequence[KeyPart]) -> int:
    """The bytes of a key."""
    return parts[0].length if len(parts) == 1 else sum(own.room for own in parts)
