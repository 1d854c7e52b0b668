"""Addresses, CIDRs and ports as sets of numbers.

Every address is one `int` on one line: IPv4 at its own value, IPv6 at 2**128 plus its value. The
two families therefore never touch (an IPv6 block cannot match an IPv4 packet), keep their
alignment, and share one algebra, `Ranges`. Ports are on a line of their own: `protocol << 16 |
port`.

Refused, with the API server's own words (Kubernetes `apimachinery/pkg/util/validation`): leading
zeros, IPv4-mapped IPv6, host bits, anything that is not a canonical address or prefix.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from enum import IntEnum
from ipaddress import IPv6Address
from socket import AF_INET, AF_INET6, inet_ntoa, inet_ntop, inet_pton

from msgspec import Struct

Span = tuple[int, int]
IPV6 = 1 << 128
"""Where the IPv6 half of the address line begins."""
PORTS = 1 << 16
LINK_LOCAL: Span = (IPV6 + (0xFE80 << 112), IPV6 + (0xFEC0 << 112) - 1)
"""fe80::/10, which no router forwards (RFC 4291, section 2.5.6)."""
_MAPPED = 0xFFFF
_DOTTED = re.compile(r"\d+(\.\d+){3}", re.ASCII)
_PORTS = re.compile(
    r"(?:(?P<before>[a-z]+)/)?(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?(?:/(?P<after>[a-z]+))?",
    re.ASCII | re.IGNORECASE,
)


class Protocol(IntEnum):
    """The transport protocols NetworkPolicy knows, by their IANA numbers."""

    TCP = 6
    UDP = 17
    SCTP = 132


class Family(IntEnum):
    """An address family; the value is the IP version."""

    IPV4 = 4
    IPV6 = 6


FAMILIES = tuple(Family)
"""To go through where it is done often: the members of a class are looked up anew each time."""
GROUPS: dict[Family, Span] = {
    Family.IPV4: (0xE0 << 24, (1 << 32) - 1),
    Family.IPV6: (IPV6 + (0xFF << 120), 2 * IPV6 - 1),
}
"""224.0.0.0/3 and ff00::/8: groups, limited broadcast, and what is reserved (RFC 5771, 4291)."""


def family(address: int) -> Family:
    """The family of an address on the line."""
    return Family.IPV6 if address >= IPV6 else Family.IPV4


def parse_address(text: str) -> int:
    """An address on the line; `ValueError` for anything but one canonical IPv4 or IPv6 address."""
    try:
        if ":" not in text:
            return int.from_bytes(inet_pton(AF_INET, text), "big")
        value = int.from_bytes(inet_pton(AF_INET6, text), "big")
    except (OSError, ValueError):
        if _sloppy(text) is not None:
            raise ValueError("must not have leading 0s in IP") from None
        raise ValueError("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)") from None
    if value >> 32 == _MAPPED:
        raise ValueError("must not have an IPv4-mapped IPv6 address")
    return IPV6 + value


def readable_address(text: str) -> int | None:
    """The address that API servers before 1.36 read in a text with leading zeros or IPv4 mapped to
    IPv6, which `parse_address` refuses; None of what is no address.
    """
    sloppy = _sloppy(text)
    if sloppy is not None:
        return sloppy
    try:
        value = int.from_bytes(inet_pton(AF_INET6, text), "big")
    except (OSError, ValueError):
        return None
    return value & 0xFFFFFFFF if value >> 32 == _MAPPED else IPV6 + value


def format_address(address: int) -> str:
    """The canonical text of an address (RFC 5952 for IPv6)."""
    if address < IPV6:
        return inet_ntoa(address.to_bytes(4, "big"))
    value = address - IPV6
    if value >> 32 == 0:  # where C libraries differ: some write the last 32 bits as IPv4
        return str(IPv6Address(value))
    return inet_ntop(AF_INET6, value.to_bytes(16, "big"))


def _sloppy(text: str) -> int | None:
    """The value of a dotted IPv4 address with leading zeros, as pre-1.36 API servers read it."""
    if not _DOTTED.fullmatch(text):
        return None
    octets = [int(part) for part in text.split(".")]
    if max(octets) > 255:
        return None
    return int.from_bytes(bytes(octets), "big")


def parse_cidr(text: str, *, masked: bool = False) -> Span:
    """First and last address of a CIDR block; `ValueError` carries the API server's message.

    `masked` takes host bits for what API servers before 1.36 read in them: nothing.
    """
    invalid = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    head, slash, tail = text.partition("/")
    if not slash or not tail.isascii() or not tail.isdigit() or len(tail) > 4:
        raise ValueError(invalid)
    version = AF_INET6 if ":" in head else AF_INET
    try:
        packed = inet_pton(version, head)
    except (OSError, ValueError):
        sloppy = _sloppy(head)
        if sloppy is None:
            raise ValueError(invalid) from None
        packed = sloppy.to_bytes(4, "big")
    bits = len(packed) * 8
    length = int(tail)
    if length > bits:
        raise ValueError(invalid)
    if tail != str(length) or (version == AF_INET and head != ".".join(map(str, packed))):
        raise ValueError("must not have leading 0s in IP or prefix length")
    first = int.from_bytes(packed, "big")
    if bits == 128 and first >> 32 == _MAPPED:
        raise ValueError("must not have an IPv4-mapped IPv6 address")
    size = 1 << bits - length
    if first & size - 1 and masked:
        first -= first & size - 1
    elif first & size - 1:
        raise ValueError("must not have bits set beyond the prefix length")
    first += IPV6 if bits == 128 else 0
    return first, first + size - 1


def format_span(span: Span) -> str:
    """A block as an address, a CIDR when it is one, or `first-last`."""
    first, last = span
    if first == last:
        return format_address(first)
    length = prefix_length(span)
    if length is None:
        return f"{format_address(first)}-{format_address(last)}"
    return f"{format_address(first)}/{length}"


def prefix_length(span: Span) -> int | None:
    """The prefix length of a block, or None when no single CIDR covers exactly it."""
    first, last = span
    size = last - first + 1
    if size & size - 1 or first & size - 1:
        return None
    return (128 if first >= IPV6 else 32) - size.bit_length() + 1


class Ranges(Struct, frozen=True, gc=False):
    """A set of numbers as sorted, disjoint, merged (first, last) spans, both ends included."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, spans: Iterable[Span]) -> Ranges:
        """The union of arbitrary spans."""
        merged: list[Span] = []
        end = -2  # before every number, and not next to one
        for span in sorted(spans):
            first, last = span
            if first > end + 1:
                merged.append(span)  # itself: a copy of thousands wakes the garbage collector
                end = last
            elif last > end:
                merged[-1] = merged[-1][0], last
                end = last
        return cls(tuple(merged))

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.spans, number, key=lambda span: span[0])
        return at > 0 and number <= self.spans[at - 1][1]

    @classmethod
    def union(cls, several: Iterable[Ranges]) -> Ranges:
        """All of them at once: to add one after the other would cost their number squared."""
        distinct = {id(ranges): ranges for ranges in several if ranges.spans}
        if len(distinct) <= 1:
            return next(iter(distinct.values()), NOTHING)
        return cls.of(span for ranges in distinct.values() for span in ranges.spans)

    def __or__(self, other: Ranges) -> Ranges:
        if not other.spans or not self.spans:
            return self if self.spans else other
        return Ranges.of(self.spans + other.spans)

    def __sub__(self, other: Ranges) -> Ranges:
        kept: list[Span] = []
        holes = other.spans
        at = 0
        for first, last in self.spans:
            while at < len(holes) and holes[at][1] < first:
                at += 1
            hole = at
            while hole < len(holes) and holes[hole][0] <= last:
                if holes[hole][0] > first:
                    kept.append((first, holes[hole][0] - 1))
                first = holes[hole][1] + 1
                hole += 1
            if first <= last:
                kept.append((first, last))
        return Ranges(tuple(kept))

    def __and__(self, other: Ranges) -> Ranges:
        found: list[Span] = []
        mine, others = iter(self.spans), iter(other.spans)
        own, also = next(mine, None), next(others, None)
        while own is not None and also is not None:
            first, last = max(own[0], also[0]), min(own[1], also[1])
            if first <= last:
                found.append((first, last))
            if own[1] < also[1]:
                own = next(mine, None)
            else:
                also = next(others, None)
        return Ranges(tuple(found))

    def of_family(self, version: Family) -> Ranges:
        """The spans of one address family."""
        return Ranges(tuple(span for span in self.spans if family(span[0]) is version))


NOTHING = Ranges()
EVERYWHERE = Ranges(((0, (1 << 32) - 1), (IPV6, IPV6 + (1 << 128) - 1)))
"""Every address of both families."""
EVERY_PORT = Ranges(((0, 255 << 16 | PORTS - 1),))
"""The whole port line: what a rule without `ports` admits, protocols without ports included."""


def split(sets: Iterable[Ranges]) -> Iterator[tuple[Span, int]]:
    """Disjoint spans of a line, in order, each with a bit for each of the sets that hold it."""
    holding = start = 0
    for edge, changing in edges(sets):
        if holding:
            yield (start, edge - 1), holding
        for number in changing:
            holding ^= 1 << number
        start = edge


def edges(sets: Iterable[Ranges]) -> list[tuple[int, list[int]]]:
    """Where on a line some sets begin or end to hold, in order, with the numbers of these sets."""
    found: dict[int, list[int]] = {}
    for number, ranges in enumerate(sets):
        for first, last in ranges:
            found.setdefault(first, []).append(number)
            found.setdefault(last + 1, []).append(number)
    return sorted(found.items())


def numbers(bits: int) -> Iterator[int]:
    """The numbers of the bits that are set, in order."""
    text = bin(bits)[:1:-1]  # from the lowest on
    at = text.find("1")
    while at >= 0:
        yield at
        at = text.find("1", at + 1)


def as_key(bits: int) -> bytes:
    """A set of bits as a key of a dict: many such sets have one hash as numbers, which is their
    remainder by 2**61 - 1, where a run of bits comes back every 61.
    """
    return bits.to_bytes(bits.bit_length() + 7 >> 3, "little")


def ports(protocol: int, first: int = 0, last: int = PORTS - 1) -> Span:
    """A span of the port line; without numbers, every port of the protocol."""
    return protocol << 16 | first, protocol << 16 | last


def parse_ports(text: str) -> tuple[Protocol | None, int, int]:
    """`80`, `TCP/80`, `80/tcp`, `UDP/8000-8100`: protocol, if one is named, first and last port.

    `ValueError` says of anything else how it is written.
    """
    found = _PORTS.fullmatch(text)
    named = (found["before"] or found["after"] or "").upper() if found else ""
    first, last = (int(found["first"]), int(found["last"] or found["first"])) if found else (0, -1)
    both = found is not None and found["before"] and found["after"]
    if both or (named and named not in Protocol.__members__) or not 0 <= first <= last < PORTS:
        raise ValueError(f"{text!r} is no port: give 80, TCP/80 or 80/tcp")
    return Protocol[named] if named else None, first, last


def split_ports(span: Span) -> tuple[Protocol, int, int]:
    """Protocol, first and last port of a span, which never reaches over two protocols."""
    return Protocol(span[0] >> 16), span[0] & PORTS - 1, span[1] & PORTS - 1


_PROTOCOL_NAMES = {int(protocol): protocol.name for protocol in Protocol}


def protocol_name(protocol: int) -> str:
    """`TCP`, or `protocol 47` for one that policies have no name for."""
    return _PROTOCOL_NAMES.get(protocol, f"protocol {protocol}")


def format_service(protocol: int, port: int | None) -> str:
    """`TCP/80`, or the protocol alone where it has no ports."""
    return protocol_name(protocol) if port is None else f"{protocol_name(protocol)}/{port}"


def format_ports(span: Span) -> str:
    """`TCP 80`, `UDP 5000-5010`, or `SCTP` for every port of a protocol."""
    protocol, first, last = split_ports(span)
    if (first, last) == (0, PORTS - 1):
        return protocol.name
    return f"{protocol.name} {first}" if first == last else f"{protocol.name} {first}-{last}"


_UNUSED = Ranges(
    (
        (parse_address("240.0.0.0"), parse_address("255.255.255.254")),
        (parse_address("100::"), parse_address("100::ffff:ffff:ffff:ffff")),
    )
)
"""Addresses that nobody has: reserved (RFC 1112), and for discarding (RFC 6666)."""


def free_addresses(
    networks: Iterable[Ranges], owned: Collection[int], version: Family, least: int = 1 << 16
) -> Iterator[int]:
    """Addresses of a family that nobody owns, in as few of the networks as can be; where there is
    a choice, such as are given to nobody.

    There are at least `least` of them.
    """
    classes: dict[int, list[Span]] = {}
    for span, held in split([EVERYWHERE.of_family(version), *networks]):
        if family(span[0]) is version:
            classes.setdefault(held, []).append(span)
    wanted = len(owned) + least
    found = [(held.bit_count(), Ranges.of(spans)) for held, spans in classes.items()]
    large = [(held, own) for held, own in found if _size(own) >= wanted]
    _, best = min(large or found, key=lambda entry: (entry[0], -_size(entry[1])))
    unused = best & _UNUSED
    if _size(unused) >= wanted:
        best = unused
    for first, last in sorted(best, key=lambda span: span[0] - span[1]):
        middle = (first + last) // 2  # away from the ends, where networks have their own
        yield from (own for own in range(middle, last + 1) if own not in owned)
        yield from (own for own in range(first, middle) if own not in owned)


def _size(addresses: Ranges) -> int:
    return sum(last - first + 1 for first, last in addresses)
