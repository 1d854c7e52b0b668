"""The objects of a table as the kernel has them, and the messages that make and list them.

Comes in: objects, or the attributes of a message. Goes out: the other one of the two. Refused
(`RulesetError`): attributes that netpolc's objects never have, such as timeouts of sets or flags of
tables. Attributes that Linux 6.18 does not know are passed over, and so is what only informs: how
full a set is, handles. Numbers and names are those of linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from netpolc.backends.nft.netlink.attributes import (
    as_number,
    by_type,
    each_attribute,
    nested,
    packed,
    text,
    zero_ended,
)
from netpolc.backends.nft.netlink.expressions import (
    CountPacket,
    Expression,
    KernelVerdict,
    read_expression,
    read_expressions,
    write_expression,
    write_expressions,
)
from netpolc.core.errors import RulesetError

NEW_TABLE, GET_TABLE, DELETE_TABLE = 0, 1, 2
NEW_CHAIN, GET_CHAIN, DELETE_CHAIN = 3, 4, 5
NEW_RULE, GET_RULE, DELETE_RULE = 6, 7, 8
NEW_SET, GET_SET, DELETE_SET = 9, 10, 11
NEW_ELEMENTS, GET_ELEMENTS, DELETE_ELEMENTS = 12, 13, 14
NEW_GENERATION, GET_GENERATION = 15, 16
NEW_OBJECT, GET_OBJECT, DELETE_OBJECT = 18, 19, 20
NEW_FLOWTABLE, GET_FLOWTABLE = 22, 23
ANONYMOUS, INTERVAL, MAP, CONCATENATED = 0x1, 0x4, 0x8, 0x80
"""Flags of sets (NFT_SET_...)."""
_COUNTER = 1  # NFT_OBJECT_COUNTER
_VERDICTS = 0xFFFFFF00  # NFT_DATA_VERDICT


class KernelTable(Struct, frozen=True, gc=False):
    """A table; `use` is how many sets, chains and objects it has, and 0 in what is written."""

    name: str
    comment: str = ""
    use: int = 0


class KernelCounter(Struct, frozen=True, gc=False):
    """A named counter."""

    name: str
    comment: str
    packets: int = 0
    size: int = 0
    """Bytes."""


class KernelSet(Struct, frozen=True, gc=False):
    """A set or map: what its keys are (`keys.py`), and how many fit (None: not said).

    `notes` are nft's alone: by which expressions it is asked. Of a `counted` one each element
    counts.
    """

    name: str
    flags: int
    key_type: int
    key_length: int
    size: int | None
    fields: tuple[int, ...]
    counted: bool
    notes: bytes = b""


class KernelElement(Struct, frozen=True, gc=False):
    """An element: its key, or the first and last of its keys."""

    key: bytes
    end: bytes | None = None
    verdict: KernelVerdict | None = None
    comment: str = ""
    counter: CountPacket | None = None


class KernelChain(Struct, frozen=True, gc=False):
    """A chain; one with a hook is a base chain of type filter and policy accept."""

    name: str
    hook: int | None = None
    priority: int = 0


class KernelRule(Struct, frozen=True, gc=False):
    """A rule; rules of a chain are in order."""

    chain: str
    expressions: tuple[Expression, ...]
    comment: str = ""


# Comments
# ----------------------------------------------------------------------------------------------

COMMENT = 0  # NFTNL_UDATA_...COMMENT (libnftnl/udata.h): type, length, text and a zero


def comment(kind: int, own: str) -> bytes:
    """User data with a comment in it; nothing for none."""
    data = zero_ended(own)
    return packed(kind, bytes((COMMENT, len(data))) + data) if own else b""


def read_comment(data: bytes) -> str:
    """The comment in user data; empty if there is none.

    User data decides nothing. What else programs leave there is passed over: newer nft writes its
    version and build into the tables that it makes. `RulesetError` for what is no user data.
    """
    found, at = "", 0
    while at < len(data):
        kind, rest = data[at], data[at + 1 :]
        if not rest or rest[0] > len(rest) - 1:
            raise RulesetError(f"not of netpolc's making: user data {data.hex()}")
        if kind == COMMENT:
            found = text(rest[1 : 1 + rest[0]])
        at += 2 + rest[0]
    return found


# Tables, counters, chains, rules
# ----------------------------------------------------------------------------------------------


def write_table(own: KernelTable) -> bytes:
    """What NFT_MSG_NEWTABLE says."""
    flags = packed(2, bytes(4))
    return packed(1, zero_ended(own.name)) + flags + comment(6, own.comment)


def read_table(content: bytes) -> KernelTable:
    """What NFT_MSG_NEWTABLE said."""
    found = by_type(content)
    refuse(found, "table", {2: "flags", 7: "owner"})
    name, use = text(found.get(1, b"")), as_number(found.get(3, bytes(4)))
    return KernelTable(name, read_comment(found.get(6, b"")), use)


def write_counter(table: str, own: KernelCounter) -> bytes:
    """What NFT_MSG_NEWOBJ says."""
    head = packed(1, zero_ended(table)) + packed(2, zero_ended(own.name))
    head += packed(3, _COUNTER.to_bytes(4, "big")) + comment(8, own.comment)
    counts = packed(1, own.size.to_bytes(8, "big")) + packed(2, own.packets.to_bytes(8, "big"))
    return head + nested(4, counts)


def read_counter(content: bytes) -> KernelCounter:
    """What NFT_MSG_NEWOBJ said."""
    found = by_type(content)
    if as_number(found.get(3, b"")) != _COUNTER:
        raise RulesetError(f"not of netpolc's making: object {text(found.get(2, b''))} no counter")
    counts = by_type(found.get(4, b""))
    size, packets = (as_number(counts.get(own, bytes(8)), 8) for own in (1, 2))
    return KernelCounter(text(found.get(2, b"")), _told(found.get(8, b"")), packets, size)


def _told(data: bytes) -> str:
    """The comment of a counter; what somebody else keeps there in another form hides nothing of
    what is loaded.
    """
    try:
        return read_comment(data)
    except RulesetError:
        return f"user data {data.hex()}"


def write_chain(table: str, own: KernelChain) -> bytes:
    """What NFT_MSG_NEWCHAIN says."""
    head = packed(1, zero_ended(table)) + packed(3, zero_ended(own.name))
    if own.hook is None:
        return head
    where = packed(1, own.hook.to_bytes(4, "big"))
    where += packed(2, (own.priority & 0xFFFFFFFF).to_bytes(4, "big"))
    accept = packed(5, (1).to_bytes(4, "big"))
    return head + packed(7, zero_ended("filter")) + accept + nested(4, where)


def read_chain(content: bytes) -> KernelChain:
    """What NFT_MSG_NEWCHAIN said."""
    found = by_type(content)
    name = text(found.get(3, b""))
    refuse(found, f"chain {name}", {8: "counters", 12: "user data"})
    if 4 not in found:
        return KernelChain(name)
    where = by_type(found[4])
    policy, kind = as_number(found.get(5, b"")), text(found.get(7, b""))
    if policy != 1 or kind != "filter" or where.keys() != {1, 2}:
        raise RulesetError(f"not of netpolc's making: base chain {name}")
    priority = as_number(where[2])
    return KernelChain(name, as_number(where[1]), priority - (priority >> 31 << 32))


def write_rule(table: str, own: KernelRule) -> bytes:
    """What NFT_MSG_NEWRULE says."""
    head = packed(1, zero_ended(table)) + packed(2, zero_ended(own.chain))
    return head + write_expressions(4, own.expressions) + comment(7, own.comment)


def read_rule(content: bytes) -> KernelRule:
    """What NFT_MSG_NEWRULE said."""
    found = by_type(content)
    chain = text(found.get(2, b""))
    refuse(found, f"rule of {chain}", {5: "compat"})
    return KernelRule(chain, read_expressions(found.get(4, b"")), read_comment(found.get(7, b"")))


def chain_of_rule(content: bytes) -> str:
    """The chain that NFT_MSG_NEWRULE said a rule of; nothing else is looked at."""
    for kind, own in each_attribute(content):
        if kind == 2:
            return text(own)
    return ""


def refuse(found: Mapping[int, bytes], what: str, attributes: Mapping[int, str]) -> None:
    """`RulesetError` if one of these attributes is there and says something."""
    for kind, name in attributes.items():
        if any(found.get(kind, b"")):
            raise RulesetError(f"not of netpolc's making: {what} has {name}")


# Sets
# ----------------------------------------------------------------------------------------------

_SET_REFUSED = {8: "policy", 11: "timeout", 12: "gc interval", 15: "objects", 18: "expressions"}


def write_set(table: str, own: KernelSet, number: int) -> bytes:
    """What NFT_MSG_NEWSET says; `number` is the set's in its transaction."""
    head = packed(1, zero_ended(table)) + packed(2, zero_ended(own.name))
    for kind, value in ((3, own.flags), (4, own.key_type), (5, own.key_length)):
        head += packed(kind, value.to_bytes(4, "big"))
    if own.flags & MAP:
        head += packed(6, _VERDICTS.to_bytes(4, "big")) + packed(7, bytes(4))
    head += packed(10, number.to_bytes(4, "big"))
    said = packed(1, own.size.to_bytes(4, "big")) if own.size is not None else b""
    if own.fields:
        lengths = (nested(1, packed(1, length.to_bytes(4, "big"))) for length in own.fields)
        said += nested(2, *lengths)
    head += nested(9, said) if said else b""
    if own.notes:
        head += packed(13, own.notes)
    return head + (write_expression(17, CountPacket()) if own.counted else b"")


def read_set(content: bytes) -> KernelSet:
    """What NFT_MSG_NEWSET said."""
    found = by_type(content)
    name = text(found.get(2, b""))
    refuse(found, f"set {name}", _SET_REFUSED)
    flags, described = as_number(found.get(3, bytes(4))), by_type(found.get(9, b""))
    verdicts = as_number(found.get(6, _VERDICTS.to_bytes(4, "big"))) == _VERDICTS
    if flags & ~(INTERVAL | MAP | CONCATENATED) or not verdicts:
        raise RulesetError(f"not of netpolc's making: set {name} has flags {flags:#x}")
    counted, lengths = 17 in found, described.get(2, b"")
    if counted and not isinstance(read_expression(found[17]), CountPacket):
        raise RulesetError(f"not of netpolc's making: set {name} has a statement")
    return KernelSet(
        name,
        flags,
        as_number(found.get(4, b"")),
        as_number(found.get(5, b"")),
        as_number(described[1]) if 1 in described else None,
        tuple(as_number(by_type(own).get(1, b"")) for _, own in each_attribute(lengths)),
        counted,
        found.get(13, b""),
    )


def set_count(content: bytes) -> int | None:
    """How many elements NFT_MSG_NEWSET said there are; None where the kernel does not say it."""
    found = by_type(content).get(20)
    return None if found is None else as_number(found)
