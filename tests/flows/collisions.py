"""Words that collide in the tables of the scanners on purpose (ext/flow_words.h)."""

from __future__ import annotations

import struct
from random import Random


def colliding_words(count: int) -> list[bytes]:
    """Of eight bytes that JSON has as they are, and that have one place in any table."""
    inverse, random = pow(0xBF58476D1CE4E5B9, -1, 1 << 64), Random(5)
    found: dict[bytes, None] = {}
    while len(found) < count:
        half = random.getrandbits(32)
        word = (((half << 32 | half ^ 7) * inverse) % (1 << 64) ^ 8).to_bytes(8, "little")
        if all(b" " < own < b"\x7f" and own not in b'"\\' for own in struct.unpack("8c", word)):
            found[word] = None
    return list(found)
