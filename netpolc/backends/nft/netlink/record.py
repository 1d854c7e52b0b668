"""A table exactly as the kernel lists it, whoever wrote it, and the messages that bring it back.

Comes in: the name of a table, or bytes that `TableRecord.to_bytes` gave. Goes out: a `TableRecord`.
Refused: what the kernel refuses (`OSError`), bytes that are no record (`RulesetError`).

Nothing is understood of it but where the kernel tells handles, numbers of users and the like, which
it does not take again, and which chains rules and maps lead to. So whatever somebody put into the
table comes back as well, with what was counted.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from netpolc.backends.nft.netlink import commands, entities
from netpolc.backends.nft.netlink.attributes import (
    NESTED,
    as_number,
    by_type,
    each_attribute,
    packed,
    text,
    zero_ended,
)
from netpolc.backends.nft.netlink.wire import APPEND, CREATE, EXCLUSIVE, Message, Wire
from netpolc.core.errors import RulesetError

_PART = struct.Struct(">BI")
_TAKEN = {
    entities.NEW_TABLE: {1, 2, 6},
    entities.NEW_OBJECT: {1, 2, 3, 4, 8},
    entities.NEW_CHAIN: {1, 3, 4, 5, 7, 8, 10, 12},
    entities.NEW_FLOWTABLE: {1, 2, 3, 7},
    entities.NEW_SET: {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 17, 18},
    entities.NEW_ELEMENTS: {1, 2, 3},
    entities.NEW_RULE: {1, 2, 4, 5, 7},
}
"""The kinds of messages in the order in which the kernel takes them, and the attributes that say
what an object is; the others are handles, numbers of users, positions.
"""
_FLAGS = {entities.NEW_TABLE: (2, 1), entities.NEW_CHAIN: (10, 3)}
"""The attribute of flags, and those that can be said again: the table is nobody's own
(NFT_TABLE_F_...), a chain has a name (NFT_CHAIN_...).
"""
_OWNER = 2
"""NFT_TABLE_F_OWNER."""
_CHANGING = 0x10 | 0x20
"""NFT_SET_TIMEOUT, NFT_SET_EVAL."""
_NAMES = {
    entities.NEW_TABLE: ("table inet", 1),
    entities.NEW_OBJECT: ("object", 2),
    entities.NEW_CHAIN: ("chain", 3),
    entities.NEW_FLOWTABLE: ("flowtable", 2),
    entities.NEW_SET: ("set", 2),
    entities.NEW_ELEMENTS: ("set", 2),
    entities.NEW_RULE: ("a rule of chain", 2),
}


@dataclass(frozen=True, slots=True)
class TableRecord:
    """What a table is made of: kinds of messages, and what each says. Nothing where there is no
    table.
    """

    table: str
    parts: tuple[tuple[int, bytes], ...]

    def messages(self, without: Collection[str] = ()) -> Iterator[Message]:
        """The transaction that brings it back, but for objects `without` which it shall be."""
        yield from commands.without_table(self.table)
        yield from self._made(without)

    def copied(self, name: str) -> Iterator[Message]:
        """The transaction that makes the same under another name, which no table has, for as long
        as the socket is open that it is sent over (NFT_TABLE_F_OWNER, since Linux 5.12).
        """
        parts = tuple((kind, _renamed(kind, body, name)) for kind, body in self.parts)
        for message in TableRecord(name, parts)._made(()):
            is_table = message.kind == entities.NEW_TABLE
            yield replace(message, flags=CREATE | EXCLUSIVE) if is_table else message

    def _made(self, without: Collection[str]) -> Iterator[Message]:
        for number, (kind, body) in enumerate(self.parts, 1):
            found = by_type(body)
            what, attribute = _NAMES[kind]
            name = text(found.get(attribute, b""))
            if kind == entities.NEW_OBJECT and name in without:
                continue
            if kind == entities.NEW_SET:
                body += packed(10, number.to_bytes(4, "big"))  # NFTA_SET_ID
            flags = CREATE | APPEND if kind == entities.NEW_RULE else CREATE
            yield Message(kind, flags, body, f"{what} {name}")

    def counts(self, without: Collection[str] = ()) -> dict[str, int]:
        """How many elements each set has and rules each chain, and which other objects there are;
        of sets that packets or the time change, only that they are there.
        """
        found: Counter[str] = Counter()
        counted: set[str] = set()
        for kind, body in self.parts:
            own = by_type(body)
            what, attribute = _NAMES[kind]
            name = text(own.get(attribute, b""))
            if kind == entities.NEW_OBJECT and name in without:
                continue
            if kind == entities.NEW_SET and not as_number(own.get(3, bytes(4))) & _CHANGING:
                counted.add(name)
            key = f"{what} {_numbered(name)}"
            if kind == entities.NEW_ELEMENTS:
                found[key] += len(list(each_attribute(own.get(3, b"")))) if name in counted else 0
            else:
                found[key] += kind == entities.NEW_RULE
        return dict(found)

    def to_bytes(self) -> bytes:
        """All of it, for another process."""
        return b"".join(_PART.pack(kind, len(body)) + body for kind, body in self.parts)


def record_from(table: str, data: bytes) -> TableRecord:
    """What `TableRecord.to_bytes` gave."""
    parts, at = [], 0
    while at < len(data):
        if len(data) - at < _PART.size:
            raise RulesetError("a record of a table is cut off")
        kind, size = _PART.unpack_from(data, at)
        at += _PART.size
        if kind not in _TAKEN or size > len(data) - at:
            raise RulesetError("a record of a table is not whole")
        parts.append((kind, data[at : at + size]))
        at += size
    return TableRecord(table, tuple(parts))


def recorded(wire: Wire, table: str) -> TableRecord:
    """A table as it is; of one moment, if nobody changes anything meanwhile."""
    named = packed(1, zero_ended(table))
    own = wire.one(entities.GET_TABLE, named)
    if own is None:
        return TableRecord(table, ())
    objects = wire.listed(entities.GET_OBJECT, named)
    flowtables = wire.listed(entities.GET_FLOWTABLE, named)
    sets = wire.listed(entities.GET_SET, named)
    elements: list[bytes] = []
    leading: list[bytes] = []
    named_sets = 0
    for one in map(by_type, sets):
        flags = as_number(one.get(3, bytes(4)))
        named_sets += not flags & entities.ANONYMOUS
        found = wire.listed(entities.GET_ELEMENTS, named + packed(2, one.get(2, b"")))
        elements += found
        if flags & entities.MAP:
            leading += found
    rules = wire.listed(entities.GET_RULE, named)
    use = as_number(by_type(own).get(3, bytes(4)))
    count = use - len(objects) - len(flowtables) - named_sets  # a set in a rule is the rule's
    names = {*map(entities.chain_of_rule, rules), *_led_to(rules, leading)}
    chains = _chains(wire, table, names, count)
    bodies = {
        entities.NEW_TABLE: [own],
        entities.NEW_OBJECT: objects,
        entities.NEW_CHAIN: chains,
        entities.NEW_FLOWTABLE: flowtables,
        entities.NEW_SET: sets,
        entities.NEW_ELEMENTS: elements,
        entities.NEW_RULE: rules,
    }
    return TableRecord(
        table, tuple((kind, _taken(kind, body)) for kind in _TAKEN for body in bodies[kind])
    )


def _renamed(kind: int, body: bytes, table: str) -> bytes:
    """The same of another table, which is somebody's own. All attributes 1 are names of tables."""
    found = {**by_type(body), 1: zero_ended(table)}
    if kind == entities.NEW_TABLE:
        found[2] = (as_number(found.get(2, bytes(4))) | _OWNER).to_bytes(4, "big")
    return _packed(kind, found.items())


def _packed(kind: int, attributes: Iterable[tuple[int, bytes]]) -> bytes:
    """Attributes of a message, with the flag of those that hold attributes."""
    return b"".join(
        packed(own | (NESTED if (kind, own) in _NESTS else 0), content)
        for own, content in attributes
    )


def _numbered(name: str) -> str:
    """Without the number of a set or chain that has no name of its own: it may get another."""
    return name.rstrip("0123456789") if name.startswith("__") else name


def _chains(wire: Wire, table: str, names: Iterable[str], count: int) -> list[bytes]:
    """In the order in which they were made. All of the family are listed only where the table has
    another number of them than something leads to.
    """
    named = packed(1, zero_ended(table))
    asked = (wire.one(entities.GET_CHAIN, named + packed(3, zero_ended(own))) for own in names)
    found = [own for own in asked if own is not None]
    if len(found) != count:
        every = wire.listed(entities.GET_CHAIN)
        found = [own for own in every if text(by_type(own).get(1, b"")) == table]
    return sorted(found, key=lambda own: by_type(own).get(2, b""))  # NFTA_CHAIN_HANDLE


def _led_to(rules: Iterable[bytes], elements: Iterable[bytes]) -> Iterator[str]:
    for body in rules:
        for _, own in each_attribute(by_type(body).get(4, b"")):
            found = by_type(own)
            if text(found.get(1, b"")) == "immediate":
                yield from _chain_of(by_type(found.get(2, b"")).get(2, b""))
    for body in elements:
        for _, own in each_attribute(by_type(body).get(3, b"")):
            yield from _chain_of(by_type(own).get(2, b""))


def _chain_of(data: bytes) -> Iterator[str]:
    """The chain that a verdict leads to; `data` may be another value."""
    for kind, verdict in each_attribute(data):
        if kind == 2 and (name := by_type(verdict).get(2)):  # NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN
            yield text(name)


def _taken(kind: int, body: bytes) -> bytes:
    """What the kernel takes again of what it said."""
    attribute, kept = _FLAGS.get(kind, (0, 0))
    found = {own: said for own, said in by_type(body).items() if own in _TAKEN[kind]}
    if attribute in found:
        found[attribute] = (as_number(found[attribute]) & kept).to_bytes(4, "big")
    return _packed(kind, found.items())


_NESTS = {
    (entities.NEW_OBJECT, 4),
    (entities.NEW_CHAIN, 4),
    (entities.NEW_CHAIN, 8),
    (entities.NEW_FLOWTABLE, 3),
    (entities.NEW_SET, 9),
    (entities.NEW_SET, 17),
    (entities.NEW_SET, 18),
    (entities.NEW_ELEMENTS, 3),
    (entities.NEW_RULE, 4),
    (entities.NEW_RULE, 5),
}
"""Attributes of attributes."""
