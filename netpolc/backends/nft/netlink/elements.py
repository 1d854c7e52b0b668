"""The elements of sets and maps as the kernel has them, and the messages that carry them.

Comes in: elements, or the attributes of a message. Goes out: the other one of the two. Refused
(`RulesetError`): elements with what netpolc's never have, such as timeouts.

Elements go in as many messages as they need: a list of them is one attribute
(`attributes.LONGEST`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from netpolc.backends.nft.netlink._netlink import single_keys
from netpolc.backends.nft.netlink.attributes import (
    by_type,
    each_attribute,
    nested,
    packed,
    zero_ended,
)
from netpolc.backends.nft.netlink.entities import (
    KernelElement,
    comment,
    read_comment,
    refuse,
)
from netpolc.backends.nft.netlink.expressions import (
    CountPacket,
    KernelVerdict,
    read_expression,
    read_verdict,
    write_verdict,
)
from netpolc.core.errors import RulesetError

_ELEMENT = 1  # NFTA_LIST_ELEM
_MOST = 0xF000
"""Bytes of elements in one message."""


def write_elements(table: str, name: str, elements: Iterable[KernelElement]) -> Iterator[bytes]:
    """What NFT_MSG_NEWSETELEM or NFT_MSG_DELSETELEM says: as many messages as they need."""
    yield from _messages(table, name, (nested(_ELEMENT, _write_element(own)) for own in elements))


def write_keys(table: str, name: str, keys: Sequence[bytes]) -> Iterator[bytes]:
    """The same of elements that are nothing but keys of one length, a multiple of four."""
    if not keys:
        return
    head = packed(1, zero_ended(table)) + packed(2, zero_ended(name))
    length = len(keys[0])
    before = nested(_ELEMENT, nested(1, packed(1, bytes(length))))[:_HEADS]
    many = _MOST // (_HEADS + length)
    for at in range(0, len(keys), many):
        part = keys[at : at + many]
        yield head + nested(3, before, before.join(part))


def write_noted(table: str, name: str, noted: Iterable[tuple[bytes, str]]) -> Iterator[bytes]:
    """The same of keys with a comment each, of which many are of one length."""
    parts = (
        b"".join((before, key, between, said.encode("ascii"), after))
        for key, said in noted
        for before, between, after in (_around(len(key), len(said)),)
    )
    yield from _messages(table, name, parts)


def write_decided(
    table: str, name: str, decided: Iterable[tuple[bytes, KernelVerdict]]
) -> Iterator[bytes]:
    """The same of keys of one length with a verdict each, of which many are one object."""
    known: dict[int, tuple[KernelVerdict, tuple[bytes, bytes]]] = {}  # by id: to hash costs more

    def parts() -> Iterator[bytes]:
        for key, verdict in decided:
            sides = known.get(id(verdict))
            if sides is None:
                whole = nested(_ELEMENT, _write_element(KernelElement(key, verdict=verdict)))
                sides = known[id(verdict)] = verdict, (whole[:_HEADS], whole[_HEADS + len(key) :])
            yield key.join(sides[1])

    yield from _messages(table, name, parts())


def _messages(table: str, name: str, elements: Iterable[bytes]) -> Iterator[bytes]:
    """Elements in as many messages as they need."""
    head = packed(1, zero_ended(table)) + packed(2, zero_ended(name))
    parts: list[bytes] = []
    length = 0
    for part in elements:
        if length + len(part) > _MOST:
            yield head + nested(3, *parts)
            parts, length = [], 0
        parts.append(part)
        length += len(part)
    if parts:
        yield head + nested(3, *parts)


@lru_cache(256)
def _around(key: int, said: int) -> tuple[bytes, bytes, bytes]:
    """What stands before a key, between it and its comment, and after that."""
    own = KernelElement(b"k" * key, comment="c" * said)
    whole = nested(_ELEMENT, _write_element(own))
    at, to = whole.index(own.key), whole.rindex(own.comment.encode()) if said else len(whole)
    return whole[:at], whole[at + key : to], whole[to + said :]


def _write_element(own: KernelElement) -> bytes:
    parts = nested(1, packed(1, own.key))
    if own.end is not None:
        parts += nested(10, packed(1, own.end))
    if own.verdict is not None:
        parts += write_verdict(2, own.verdict)
    return parts + comment(6, own.comment)


def read_elements(content: bytes, length: int) -> list[KernelElement]:
    """What NFT_MSG_NEWSETELEM said of a set with keys of so many bytes."""
    return [_read_element(own, length) for _, own in each_attribute(by_type(content).get(3, b""))]


def columns(content: bytes, length: int) -> tuple[list[bytes], list[str]] | None:
    """Keys, and a comment of each if there are any, where elements have nothing else; None where
    they have, or where keys are padded.
    """
    return single_keys(by_type(content).get(3, b""), length)


_HEADS = 12
"""Bytes of the headers of an element, of its key and of the key's value."""


def _read_element(content: bytes, length: int) -> KernelElement:
    found = by_type(content)
    key = by_type(found.get(1, b"")).get(1, b"")
    end = by_type(found[10]).get(1, b"") if 10 in found else None
    if len(key) != length or (end is not None and len(end) != length):
        raise RulesetError(f"netlink: a key of {len(key)} bytes where one has {length}")
    refuse(found, f"element {key.hex()}", {3: "flags", 4: "timeout", 9: "object", 11: "statements"})
    verdict = read_verdict(found[2]) if 2 in found else None
    counter = read_expression(found[7]) if 7 in found else None
    if counter is not None and not isinstance(counter, CountPacket):
        raise RulesetError(f"not of netpolc's making: element {key.hex()} has a statement")
    return KernelElement(key, end, verdict, read_comment(found.get(6, b"")), counter)
