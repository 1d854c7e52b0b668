"""The messages that transactions are made of.

Comes in: names, and objects of the model. Goes out: messages, each with what it is about, in the
order in which the kernel takes them: what is led to comes before what leads there. Refused
(`UnsupportedError`): what a ruleset must not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import entities, writing
from netpolc.backends.nft.netlink.attributes import packed, zero_ended
from netpolc.backends.nft.netlink.elements import write_elements
from netpolc.backends.nft.netlink.entities import KernelElement, KernelTable
from netpolc.backends.nft.netlink.wire import APPEND, CREATE, Message
from netpolc.backends.nft.objects import Kind

Entry = model.Counter | model.Chain | writing.Members
"""An object of a table."""
_COMMENT = "netpolc"
_COUNTER = packed(3, (1).to_bytes(4, "big"))  # NFTA_OBJ_TYPE: NFT_OBJECT_COUNTER
_DELETE = {
    "map": (entities.DELETE_SET, 2),
    "set": (entities.DELETE_SET, 2),
    "chain": (entities.DELETE_CHAIN, 3),
    "counter": (entities.DELETE_OBJECT, 2),
}
"""The message that deletes an object, and its attribute with the name."""


def without_table(table: str) -> Iterator[Message]:
    """No table of this name is there, whether or not there was one."""
    about = f"table inet {table}"
    bare = entities.write_table(KernelTable(table))
    yield Message(entities.NEW_TABLE, CREATE, bare, about)  # so that there is one to delete
    yield deleted_table(table)


def deleted_table(table: str) -> Message:
    """A table goes, with all that is in it."""
    return Message(entities.DELETE_TABLE, 0, packed(1, zero_ended(table)), f"table inet {table}")


def emptied_table(table: str) -> Iterator[Message]:
    """A new table takes the place of the old one."""
    yield from without_table(table)
    body = entities.write_table(KernelTable(table, _COMMENT))
    yield Message(entities.NEW_TABLE, CREATE, body, f"table inet {table}")


def flushed_chain(table: str, name: str) -> Message:
    """A chain loses its rules."""
    body = packed(1, zero_ended(table)) + packed(2, zero_ended(name))
    return Message(entities.DELETE_RULE, 0, body, f"chain {name}")


def deleted(table: str, kind: Kind, name: str) -> Message:
    """An object goes."""
    number, attribute = _DELETE[kind]
    body = packed(1, zero_ended(table)) + packed(attribute, zero_ended(name))
    if kind == "counter":
        body += _COUNTER
    return Message(number, 0, body, f"{kind} {name}")


def made(
    table: str, entries: Iterable[Entry], filled: Iterable[model.Chain] = ()
) -> Iterator[Message]:
    """Objects come; chains that are there, and empty, are `filled`."""
    entries = tuple(entries)
    chains = [own for own in entries if isinstance(own, model.Chain)]
    for own in entries:
        if isinstance(own, model.Counter):
            body = entities.write_counter(table, writing.kernel_counter(own))
            yield Message(entities.NEW_OBJECT, CREATE, body, f"counter {own.name}")
    for own in chains:
        body = entities.write_chain(table, writing.kernel_chain(own))
        yield Message(entities.NEW_CHAIN, CREATE, body, f"chain {own.name}")
    number = 0
    for own in entries:
        if not isinstance(own, model.Counter | model.Chain):
            number += 1
            yield from _made_set(table, own, number)
    for own in (*chains, *filled):
        for rule in writing.kernel_rules(own):
            body = entities.write_rule(table, rule)
            about = f"a rule of chain {own.name} ({rule.comment})"
            yield Message(entities.NEW_RULE, CREATE | APPEND, body, about)


def element_changes(
    table: str, name: str, elements: Iterable[KernelElement], *, gone: bool, is_map: bool
) -> Iterator[Message]:
    """Elements come, or are `gone`."""
    kind, flags = (entities.DELETE_ELEMENTS, 0) if gone else (entities.NEW_ELEMENTS, CREATE)
    for body in write_elements(table, name, elements):
        yield Message(kind, flags, body, f"{'map' if is_map else 'set'} {name}")


def _made_set(table: str, own: writing.Members, number: int) -> Iterator[Message]:
    known = writing.kernel_set(own)
    about = f"{'map' if known.flags & entities.MAP else 'set'} {own.name}"
    yield Message(entities.NEW_SET, CREATE, entities.write_set(table, known, number), about)
    for body in writing.element_messages(table, own):
        yield Message(entities.NEW_ELEMENTS, CREATE, body, about)
