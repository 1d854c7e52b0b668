"""Loads a table whole, in one transaction, and counts what is there then.

Comes in: objects of the model, as a ruleset has them. Goes out: how many objects and elements were
sent, which are those that the kernel has. Refused (`SystemRefusal`): what the kernel refuses, named
by object and element; the table that was there before is then in force.

A message with a wrong length in it is no error for the kernel, which takes it and adds nothing: so
whatever is sent is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from errno import EAFNOSUPPORT, ENOENT, EOPNOTSUPP

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import commands, entities, writing
from netpolc.backends.nft.netlink.attributes import (
    by_type,
    each_attribute,
    packed,
    text,
    zero_ended,
)
from netpolc.backends.nft.netlink.commands import Entry
from netpolc.backends.nft.netlink.entities import KernelSet
from netpolc.backends.nft.netlink.reading.listing import Inspector
from netpolc.backends.nft.netlink.wire import Message, Refused, Wire
from netpolc.core.errors import SystemRefusal
from netpolc.core.nets import IPV6, format_address

_ATTRIBUTE, _ELEMENTS = 4, 3  # the size of nlattr; NFTA_SET_ELEM_LIST_ELEMENTS
_EXPRESSIONS = 4  # NFTA_RULE_EXPRESSIONS
_REFERRING = {"lookup", "immediate", "objref"}
"""Expressions that may be refused because what they lead to is not there."""
_OF_ELEMENTS = entities.NEW_ELEMENTS, entities.DELETE_ELEMENTS


@dataclass(frozen=True, slots=True)
class Replacement:
    """A table as it shall be."""

    table: str
    entries: tuple[Entry, ...]

    def messages(self) -> Iterator[Message]:
        """The transaction."""
        yield from commands.emptied_table(self.table)
        yield from commands.made(self.table, self.entries)

    def counts(self) -> dict[str, int]:
        """How many elements each set has, and rules each chain that has any; counters have none."""
        return {key: number for own in self.entries for key, number in counts_of(own)}


def counts_of(own: Entry) -> Iterator[tuple[str, int]]:
    """What is counted of an object, if anything is, and how many there are."""
    if isinstance(own, model.Counter):
        yield f"counter {own.name}", 0
    elif isinstance(own, model.Chain):
        if own.rules:
            yield f"chain {own.name}", len(own.rules)
    else:
        yield f"set {own.name}", len(writing.members(own))


def replace_table(connection: Wire, replacement: Replacement) -> None:
    """Replace the table, and count what is there."""
    try:
        connection.commit(list(replacement.messages()))
        there = loaded_counts(connection, replacement.table)
    except OSError as error:
        raise refusal(error) from error
    compare(replacement.table, replacement.counts(), there)


def compare(table: str, sent: Mapping[str, int], there: Mapping[str, int]) -> None:
    """`SystemRefusal` where something else is there than was sent."""
    wrong = [own for own in sent.keys() | there.keys() if sent.get(own) != there.get(own)]
    if wrong:
        key = min(wrong)
        raise SystemRefusal(
            f"table inet {table} is not what was sent: {key} has "
            f"{there.get(key, 'nothing')} where {sent.get(key, 'nothing')} was sent"
        )


def loaded_counts(connection: Wire, table: str) -> dict[str, int]:
    """What `Replacement.counts` says, as the kernel has it."""
    inspector = Inspector(connection)
    asked = packed(1, zero_ended(table))
    found = dict.fromkeys((f"counter {own.name}" for own in inspector.counters(table) or ()), 0)
    for body in connection.listed(entities.GET_SET, asked):
        known = entities.read_set(body)
        found[f"set {known.name}"] = _size(inspector, table, known, body)
    rules = Counter(map(entities.chain_of_rule, connection.listed(entities.GET_RULE, asked)))
    return found | {f"chain {name}": count for name, count in rules.items()}


def touched_counts(connection: Wire, table: str, keys: Iterable[str]) -> dict[str, int]:
    """The same of some of the sets and chains."""
    inspector, found = Inspector(connection), {}
    asked = packed(1, zero_ended(table))
    for key in keys:
        kind, _, name = key.partition(" ")
        named = asked + packed(2, zero_ended(name))
        if kind == "set":
            body = connection.one(entities.GET_SET, named)
            if body is not None:
                found[key] = _size(inspector, table, entities.read_set(body), body)
        elif kind == "chain" and (rules := len(connection.listed(entities.GET_RULE, named))):
            found[key] = rules
    return found


def _size(inspector: Inspector, table: str, known: KernelSet, body: bytes) -> int:
    count = entities.set_count(body)
    if count is None:  # an older kernel does not tell
        listed = inspector.members(table, known)
        count = len(listed.keys) + len(listed.elements)
    return count


def refusal(error: OSError) -> SystemRefusal:
    """What the kernel refused, by object and element."""
    if isinstance(error, Refused):
        if lacking := _lacking(error):
            return SystemRefusal(f"this kernel has no {lacking}: {error.strerror}")
        return SystemRefusal(f"the kernel refused: {error.strerror}{_element(error)}")
    return SystemRefusal(f"the kernel does not answer: {error}")


def _lacking(error: Refused) -> str:
    """The feature without which a kernel refuses so; empty for other refusals."""
    message = error.message
    if message is None or error.errno not in (EOPNOTSUPP, EAFNOSUPPORT, ENOENT):
        return ""
    if message.kind == entities.NEW_TABLE:
        return "nf_tables of family inet"
    if message.kind == entities.NEW_SET and error.errno == EOPNOTSUPP:
        return "sets of this kind"
    if message.kind == entities.NEW_RULE and error.offset is not None:
        names = _expression_names(message.body)
        name = names.get(error.offset, "")
        return f"expression {name}" if name and name not in _REFERRING else ""
    return ""


def _expression_names(rule: bytes) -> dict[int, str]:
    """The names of the expressions of a rule, by where each stands: where a kernel without it
    points.
    """
    found, at = {}, 0
    for kind, content in each_attribute(rule):
        inside = at + _ATTRIBUTE
        for _, own in each_attribute(content) if kind == _EXPRESSIONS else ():
            name = by_type(own).get(1, b"")  # NFTA_EXPR_NAME
            found[inside] = text(name)
            inside += _ATTRIBUTE + (len(own) + 3 & ~3)
        at += _ATTRIBUTE + (len(content) + 3 & ~3)
    return found


def _element(error: Refused) -> str:
    """The element that a refusal is about, where the kernel says it."""
    message, at = error.message, error.offset
    if message is None or at is None or message.kind not in _OF_ELEMENTS:
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
