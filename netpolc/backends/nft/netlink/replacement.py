"""Loads a table whole, in one transaction, and counts what is there then.

Comes in: objects of the model, as a ruleset has them. Goes out: how many objects and elements were
sent, which are those that the kernel has. Refused (`SystemRefusal`): what the kernel refuses, named
by object and element; the table that was there before is then in force.

A message with a wrong length in it is no error for the kernel, which takes it and adds nothing: so
whatever is sent is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import entities, writing
from netpolc.backends.nft.netlink.attributes import by_type, each_attribute, packed, zero_ended
from netpolc.backends.nft.netlink.entities import KernelElement, KernelSet, KernelTable
from netpolc.backends.nft.netlink.listing import Inspector
from netpolc.backends.nft.netlink.wire import APPEND, CREATE, Message, Refused, Wire
from netpolc.core.errors import SystemRefusal
from netpolc.core.nets import IPV6, format_address

_COMMENT = "netpolc"
_ATTRIBUTE, _ELEMENTS = 4, 3  # the size of nlattr; NFTA_SET_ELEM_LIST_ELEMENTS


@dataclass(frozen=True, slots=True)
class Replacement:
    """A table as it shall be; `noted` are sets of addresses with a comment on each."""

    table: str
    counters: Sequence[model.Counter]
    sets: Sequence[model.NamedSet | model.NamedMap]
    chains: Sequence[model.Chain]
    noted: Mapping[str, tuple[KernelSet, Sequence[KernelElement]]]

    def messages(self) -> Iterator[Message]:
        """The transaction: what is led to comes before what leads there."""
        name = self.table
        bare, own = (entities.write_table(KernelTable(name, said)) for said in ("", _COMMENT))
        about = f"table inet {name}"
        yield Message(entities.NEW_TABLE, CREATE, bare, about)  # so that there is one to delete
        yield Message(entities.DELETE_TABLE, 0, packed(1, zero_ended(name)), about)
        yield Message(entities.NEW_TABLE, CREATE, own, about)
        for counter in self.counters:
            body = entities.write_counter(name, writing.kernel_counter(counter))
            yield Message(entities.NEW_OBJECT, CREATE, body, f"counter {counter.name}")
        for chain in self.chains:
            body = entities.write_chain(name, writing.kernel_chain(chain))
            yield Message(entities.NEW_CHAIN, CREATE, body, f"chain {chain.name}")
        sets = [(writing.kernel_set(own), writing.element_messages(name, own)) for own in self.sets]
        sets += [
            (known, entities.write_elements(name, known.name, elements))
            for known, elements in self.noted.values()
        ]
        for number, (known, bodies) in enumerate(sets, 1):
            about = f"{'map' if known.flags & entities.MAP else 'set'} {known.name}"
            own = entities.write_set(name, known, number)
            yield Message(entities.NEW_SET, CREATE, own, about)
            for body in bodies:
                yield Message(entities.NEW_ELEMENTS, CREATE, body, about)
        for chain in self.chains:
            for rule in writing.kernel_rules(chain):
                body = entities.write_rule(name, rule)
                about = f"a rule of chain {chain.name} ({rule.comment})"
                yield Message(entities.NEW_RULE, CREATE | APPEND, body, about)

    def counts(self) -> dict[str, int]:
        """How many elements each set has, and rules each chain that has any; counters have none."""
        found = dict.fromkeys((f"counter {own.name}" for own in self.counters), 0)
        found |= {f"set {own.name}": len(writing.members(own)) for own in self.sets}
        found |= {f"set {name}": len(elements) for name, (_, elements) in self.noted.items()}
        return found | {f"chain {own.name}": len(own.rules) for own in self.chains if own.rules}


def replace_table(connection: Wire, replacement: Replacement) -> None:
    """Replace the table, and count what is there."""
    try:
        connection.commit(list(replacement.messages()))
        there = loaded_counts(connection, replacement.table)
    except Refused as error:
        raise SystemRefusal(f"the kernel refused: {error.strerror}{_element(error)}") from error
    except OSError as error:
        raise SystemRefusal(f"the kernel does not answer: {error}") from error
    sent = replacement.counts()
    wrong = [own for own in sent.keys() | there.keys() if sent.get(own) != there.get(own)]
    if wrong:
        key = min(wrong)
        raise SystemRefusal(
            f"table inet {replacement.table} is not what was sent: {key} has "
            f"{there.get(key, 'nothing')} where {sent.get(key, 'nothing')} was sent"
        )


def loaded_counts(connection: Wire, table: str) -> dict[str, int]:
    """What `Replacement.counts` says, as the kernel has it."""
    inspector = Inspector(connection)
    asked = packed(1, zero_ended(table))
    found = dict.fromkeys((f"counter {own.name}" for own in inspector.counters(table) or ()), 0)
    for body in connection.listed(entities.GET_SET, asked):
        known = entities.read_set(body)
        count = entities.set_count(body)
        if count is None:  # an older kernel does not tell
            listed = inspector.members(table, known)
            count = len(listed.keys) + len(listed.elements)
        found[f"set {known.name}"] = count
    rules = Counter(
        entities.read_rule(own).chain for own in connection.listed(entities.GET_RULE, asked)
    )
    return found | {f"chain {name}": count for name, count in rules.items()}


def _element(error: Refused) -> str:
    """The element that a refusal is about, where the kernel says it."""
    message, at = error.message, error.offset
    if message is None or at is None or message.kind != entities.NEW_ELEMENTS:
        return ""
    start = 0
    for kind, content in each_attribute(message.body):
        start += _ATTRIBUTE
        if kind == _ELEMENTS and start <= at < start + len(content):
            return _at(content, at - start)
        start += len(content) + 3 & ~3
    return ""


def _at(elements: bytes, at: int) -> str:
    start = 0
    for _, content in each_attribute(elements):
        end = start + _ATTRIBUTE + (len(content) + 3 & ~3)
        if start <= at < end:
            key = by_type(by_type(content).get(1, b"")).get(1, b"")
            return f": element {_key(key)}"
        start = end
    return ""


def _key(key: bytes) -> str:
    """An address as text, any other key as bytes."""
    if len(key) == 4:
        return format_address(int.from_bytes(key, "big"))
    if len(key) == 16:
        return format_address(IPV6 + int.from_bytes(key, "big"))
    return f"0x{key.hex()}"
