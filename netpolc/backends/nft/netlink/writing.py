"""A table of the model as the objects that the kernel has.

Comes in: the typed model. Goes out: tables, counters, sets with elements, chains and rules of
`entities.py`. Refused (`UnsupportedError`): what a ruleset must not hold (`wording.plain`).

Rules are made of the expressions that nft 1.1.3 makes of the same words. nft 1.0.6 says ranges as
two comparisons, and beside `meta l4proto` turns the bytes of a number of one byte (`Byteorder`),
which does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, inet_pton
from typing import assert_never

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import keys
from netpolc.backends.nft.netlink.elements import (
    write_decided,
    write_elements,
    write_keys,
    write_noted,
)
from netpolc.backends.nft.netlink.entities import (
    KernelChain,
    KernelCounter,
    KernelElement,
    KernelRule,
    KernelSet,
)
from netpolc.backends.nft.netlink.expressions import KernelVerdict
from netpolc.backends.nft.netlink.rules import code, expressions
from netpolc.backends.nft.wording import plain
from netpolc.core.nets import IPV6, Family, Span, split_ports

HOOKS = {"forward": 2, "postrouting": 4}
"""NF_INET_FORWARD, NF_INET_POST_ROUTING."""
_EVERY_PROTOCOL = bytes(4), b"\xff" + bytes(3)


@dataclass(frozen=True, slots=True)
class NotedSet:
    """A set of addresses with a comment on each, which no rule asks; `listed` gives all of them,
    for whoever needs more than the form of one.
    """

    name: str
    family: Family
    listed: Callable[[], tuple[tuple[int, str], ...]]

    @property
    def elements(self) -> tuple[tuple[int, str], ...]:
        """The addresses, and what is said of each."""
        return self.listed()


Members = model.NamedSet | model.NamedMap | NotedSet
"""Whatever has elements."""


def kernel_counter(entry: model.Counter) -> KernelCounter:
    """A counter that has counted nothing."""
    return KernelCounter(entry.name, plain(entry.comment))


def kernel_chain(entry: model.Chain) -> KernelChain:
    """A chain without its rules."""
    if entry.hook is None:
        return KernelChain(entry.name)
    return KernelChain(entry.name, HOOKS[entry.hook.name], entry.hook.priority)


def kernel_rules(entry: model.Chain) -> Iterator[KernelRule]:
    """The rules of a chain."""
    for rule in entry.rules:
        yield KernelRule(entry.name, expressions(rule), plain(rule.comment))


def kernel_set(entry: Members) -> KernelSet:
    """A set or map without its elements."""
    size: int | None = model.room(len(members(entry)))
    verdicts = counted = False
    parts: tuple[keys.KeyPart, ...]
    match entry:
        case model.AddressSet():
            parts, counted = (keys.SOURCE[entry.family],), entry.counted
        case NotedSet():
            parts = (keys.SOURCE[entry.family],)
        case model.AddressMap():
            parts, verdicts = (keys.SOURCE[entry.family],), True
        case model.NetworkSet():
            parts, size = (keys.SOURCE[entry.family], keys.PROTOCOL), None
        case model.NetworkMap():
            parts, size, verdicts = (keys.SOURCE[entry.family], keys.PROTOCOL), None, True
        case model.PairSet():
            parts = keys.SOURCE[entry.family], keys.DESTINATION[entry.family]
        case model.LinkSet():
            parts = (keys.LINK,)
        case model.PortMap(interval=True):
            parts, size, verdicts = (keys.PORT, keys.PROTOCOL), None, True
        case model.PortMap():
            parts, verdicts = (keys.PROTOCOL, keys.PORT), True
        case _:
            assert_never(entry)
    return keys.declared(entry.name, parts, size, verdicts, counted)


def members(entry: Members) -> tuple[object, ...]:
    """What is in a set or map."""
    return entry.spans if isinstance(entry, model.NetworkSet) else entry.elements


def kernel_elements(entry: Members) -> Iterator[KernelElement]:
    """The elements of a set or map."""
    match entry:
        case model.AddressSet():
            yield from map(KernelElement, map(_address, entry.elements))
        case NotedSet():
            for number, note in entry.elements:
                yield KernelElement(on_wire(number), comment=plain(note))
        case model.AddressMap():
            for address, verdict in entry.elements:
                yield KernelElement(_address(address), verdict=decision(verdict))
        case model.NetworkSet():
            for span in entry.spans:
                yield KernelElement(*_block(span))
        case model.NetworkMap():
            for span, verdict in entry.elements:
                yield KernelElement(*_block(span), decision(verdict))
        case model.PairSet():
            for source, destination in entry.elements:
                yield KernelElement(_address(source) + _address(destination))
        case model.LinkSet():
            for name in entry.elements:
                yield KernelElement(plain(name).encode("ascii").ljust(keys.LINK.length, b"\0"))
        case model.PortMap():
            for span, verdict in entry.elements:
                yield KernelElement(*_ports(span, entry.interval), decision(verdict))
        case _:
            assert_never(entry)


def element_messages(table: str, entry: Members) -> Iterator[bytes]:
    """The messages with the elements of a set or map."""
    if isinstance(entry, model.AddressSet):
        yield from write_keys(table, entry.name, list(map(_address, entry.elements)))
    elif isinstance(entry, NotedSet):
        noted = ((on_wire(address), plain(note)) for address, note in entry.elements)
        yield from write_noted(table, entry.name, noted)
    elif isinstance(entry, model.AddressMap):
        decisions = {own: decision(own) for own in {own for _, own in entry.elements}}
        decided = ((_address(text), decisions[own]) for text, own in entry.elements)
        yield from write_decided(table, entry.name, decided)
    else:
        yield from write_elements(table, entry.name, kernel_elements(entry))


def decision(verdict: model.Verdict) -> KernelVerdict:
    """A verdict."""
    return KernelVerdict(code(verdict.action), verdict.chain)


def on_wire(address: int) -> bytes:
    """An address of the line as packets have it."""
    return address.to_bytes(4, "big") if address < IPV6 else (address - IPV6).to_bytes(16, "big")


def _address(text: str) -> bytes:
    """The bytes of canonical text."""
    return inet_pton(AF_INET6 if ":" in text else AF_INET, text)


def _block(span: Span) -> tuple[bytes, bytes]:
    first, last = (on_wire(own) for own in span)
    return first + _EVERY_PROTOCOL[0], last + _EVERY_PROTOCOL[1]


def _ports(span: Span, interval: bool) -> tuple[bytes, bytes | None]:
    protocol, first, last = split_ports(span)
    number = bytes((protocol,)) + bytes(3)
    low, high = (port.to_bytes(2, "big") + bytes(2) for port in (first, last))
    return (low + number, high + number) if interval else (number + low, None)
