"""What a table of the kernel's is for the model.

Comes in: the objects of a table as they were read. Goes out: the same as the model has them.
Refused (`RulesetError`): what netpolc never makes: other keys, parts of keys that are not what they
always are, counters of elements where elements have none.

It is by what keys are, not by what nft notes of them, that a set is known: so it does not matter
which nft wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from socket import AF_INET, inet_ntop

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import keys, writing
from netpolc.backends.nft.netlink._netlink import ipv4_texts
from netpolc.backends.nft.netlink.entities import (
    INTERVAL,
    MAP,
    KernelChain,
    KernelCounter,
    KernelElement,
    KernelRule,
)
from netpolc.backends.nft.netlink.expressions import CountPacket, KernelVerdict
from netpolc.backends.nft.netlink.reading import recognition
from netpolc.backends.nft.netlink.reading.listing import Content, ListedSet
from netpolc.core.errors import RulesetError
from netpolc.core.nets import IPV6, Family, Protocol, Span, format_address

Entry = model.Counter | model.NamedSet | model.NamedMap | model.Chain
_HOOKS = {number: name for name, number in writing.HOOKS.items()}
_NO_PROTOCOL, _EVERY_PROTOCOL = bytes(4), b"\xff" + bytes(3)
_WIDTH = {Family.IPV4: 4, Family.IPV6: 16}


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of the model; of a set or map also how many elements fit, and the comments of its
    elements where they have any, and of a counted one what each counted.
    """

    entry: Entry
    size: int | None = None
    comments: tuple[str, ...] = ()
    counts: tuple[CountPacket, ...] = ()


def listed(content: Content) -> Iterator[Listed]:
    """Every object of a table."""
    for counter in content.counters:
        yield Listed(named_counter(counter))
    for members in content.sets:
        yield named_set(members)
    for own, rules in content.chains:
        yield Listed(named_chain(own, rules))


def named_counter(own: KernelCounter) -> model.Counter:
    """A counter, whatever it counted."""
    return model.Counter(own.name, own.comment)


def named_chain(own: KernelChain, rules: tuple[KernelRule, ...]) -> model.Chain:
    """A chain with its rules."""
    hook = None
    if own.hook is not None:
        if own.hook not in _HOOKS:
            raise RulesetError(f"not of netpolc's making: chain {own.name} at hook {own.hook}")
        hook = model.Hook(_HOOKS[own.hook], own.priority)
    read = (recognition.recognised(one.expressions, one.comment) for one in rules)
    return model.Chain(own.name, tuple(read), hook)


def named_set(members: ListedSet) -> Listed:
    """A set or map with its elements."""
    own = members.declared
    flags = bool(own.flags & INTERVAL), bool(own.flags & MAP)
    kind = own.key_type, own.key_length, *flags
    make = _KINDS.get(kind)
    parts = _PARTS.get(kind[:2], ()) if flags[0] else own.fields
    if make is None or (own.size is None) != flags[0] or own.fields != parts:
        raise RulesetError(f"not of netpolc's making: set {own.name} has other keys")
    comments = members.comments if any(members.comments) else ()
    if not members.elements and kind in _ADDRESSES and not own.counted:
        version = _ADDRESSES[kind]
        if version is Family.IPV4 and not comments:
            addresses = ipv4_texts(members.keys)
        else:
            addresses = tuple(map(_TEXT[version], members.keys))
        return Listed(model.AddressSet(own.name, version, addresses), own.size, comments)
    elements = (*map(KernelElement, members.keys), *members.elements)
    _check(members, elements)
    entry = make(own.name, elements, own.counted)
    if own.counted and not isinstance(entry, model.AddressSet):
        raise RulesetError(f"not of netpolc's making: elements of {own.name} count")
    comments = (*(comments or [""] * len(members.keys)), *(one.comment for one in members.elements))
    counts = tuple(one.counter for one in elements if one.counter is not None)
    return Listed(entry, own.size, comments if any(comments) else (), counts)


def _check(members: ListedSet, elements: tuple[KernelElement, ...]) -> None:
    """Elements have what a set says of them, and nothing else."""
    own = members.declared
    interval, verdicts = bool(own.flags & INTERVAL), bool(own.flags & MAP)
    for one in elements:
        had = one.end is not None, one.verdict is not None, one.counter is not None
        if had != (interval, verdicts, own.counted):
            raise RulesetError(f"not of netpolc's making: an element of {own.name}")


_Made = model.NamedSet | model.NamedMap
_Make = Callable[[str, tuple[KernelElement, ...], bool], _Made]


def _addresses(version: Family) -> _Make:
    text = _TEXT[version]
    return lambda name, elements, counted: model.AddressSet(
        name, version, tuple(text(own.key) for own in elements), counted
    )


def _address_map(version: Family) -> _Make:
    text = _TEXT[version]
    return lambda name, elements, _: model.AddressMap(
        name, version, tuple((text(own.key), _verdict(own.verdict)) for own in elements)
    )


def _networks(version: Family) -> _Make:
    return lambda name, elements, _: model.NetworkSet(
        name, version, tuple(_block(own, version) for own in elements)
    )


def _network_map(version: Family) -> _Make:
    return lambda name, elements, _: model.NetworkMap(
        name,
        version,
        tuple((_block(own, version), _verdict(own.verdict)) for own in elements),
    )


def _pairs(version: Family) -> _Make:
    text, width = _TEXT[version], _WIDTH[version]
    return lambda name, elements, _: model.PairSet(
        name,
        version,
        tuple((text(own.key[:width]), text(own.key[width:])) for own in elements),
    )


def _links(name: str, elements: tuple[KernelElement, ...], counted: bool) -> model.LinkSet:
    return model.LinkSet(name, tuple(_link(own.key) for own in elements))


def _ports(name: str, elements: tuple[KernelElement, ...], counted: bool) -> model.PortMap:
    return model.PortMap(
        name, False, tuple((_port(own), _verdict(own.verdict)) for own in elements)
    )


def _port_spans(name: str, elements: tuple[KernelElement, ...], counted: bool) -> model.PortMap:
    return model.PortMap(
        name, True, tuple((_port_span(own), _verdict(own.verdict)) for own in elements)
    )


def _long(key: bytes) -> str:
    return format_address(IPV6 + int.from_bytes(key, "big"))


_TEXT: dict[Family, Callable[[bytes], str]] = {
    Family.IPV4: partial(inet_ntop, AF_INET),
    Family.IPV6: _long,
}


def _key(parts: tuple[keys.KeyPart, ...]) -> tuple[int, int]:
    return keys.key_type(parts), keys.key_length(parts)


_KINDS: dict[tuple[int, int, bool, bool], _Make] = {
    (*_key((keys.LINK,)), False, False): _links,
    (*_key((keys.PROTOCOL, keys.PORT)), False, True): _ports,
    (*_key((keys.PORT, keys.PROTOCOL)), True, True): _port_spans,
}
"""What a set is, by the type and length of its keys, and whether it has intervals and verdicts."""
_BOUNDED = ((keys.PORT, keys.PROTOCOL), *((own, keys.PROTOCOL) for own in keys.SOURCE.values()))
_PARTS = {_key(parts): tuple(own.length for own in parts) for parts in _BOUNDED}
"""The bytes of the parts of keys that have bounds: the kernel compares each part for itself, so
others are another set.
"""
_ADDRESSES = {(*_key((own,)), False, False): version for version, own in keys.SOURCE.items()}
for _version in Family:
    _own, _other = keys.SOURCE[_version], keys.DESTINATION[_version]
    _KINDS |= {
        (*_key((_own,)), False, False): _addresses(_version),
        (*_key((_own,)), False, True): _address_map(_version),
        (*_key((_own, keys.PROTOCOL)), True, False): _networks(_version),
        (*_key((_own, keys.PROTOCOL)), True, True): _network_map(_version),
        (*_key((_own, _other)), False, False): _pairs(_version),
    }


def _verdict(own: KernelVerdict | None) -> model.Verdict:
    action = recognition.action(own)
    return model.Verdict(action, own.chain if own is not None else "")


def _block(own: KernelElement, version: Family) -> Span:
    """A block; the second part of its key is every protocol."""
    width, base = _WIDTH[version], IPV6 if version is Family.IPV6 else 0
    end = own.end or b""
    if (own.key[width:], end[width:]) != (_NO_PROTOCOL, _EVERY_PROTOCOL) or own.key > end:
        raise RulesetError(f"not of netpolc's making: a block of {own.key.hex()}")
    return base + int.from_bytes(own.key[:width], "big"), base + int.from_bytes(end[:width], "big")


def _link(key: bytes) -> str:
    name = key.rstrip(b"\0")
    if not name or not name.isascii() or not name.decode("ascii").isprintable():
        raise RulesetError(f"not of netpolc's making: an interface {key!r}")
    return name.decode("ascii")


def _port(own: KernelElement) -> Span:
    protocol, port = own.key[:4], own.key[4:]
    return (_on_line(protocol, port),) * 2


def _port_span(own: KernelElement) -> Span:
    end = own.end or b""
    if own.key[4:] != end[4:]:
        raise RulesetError(f"not of netpolc's making: ports of {own.key.hex()}")
    first, last = _on_line(own.key[4:], own.key[:4]), _on_line(end[4:], end[:4])
    if first > last:
        raise RulesetError(f"not of netpolc's making: ports of {own.key.hex()}")
    return first, last


def _on_line(protocol: bytes, port: bytes) -> int:
    if any(protocol[1:]) or any(port[2:]) or protocol[0] not in _PROTOCOLS:
        raise RulesetError(f"not of netpolc's making: port {port.hex()} of {protocol.hex()}")
    return protocol[0] << 16 | int.from_bytes(port[:2], "big")


_PROTOCOLS = frozenset(map(int, Protocol))
