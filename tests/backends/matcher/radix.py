"""What tests of `RadixTree` share: drawn prefixes, and a scan over all of them as the answer."""

from __future__ import annotations

from array import array
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
)
from typing import TypeAlias

from hypothesis import strategies as st

from netpolc.backends.matcher import RadixTree

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Golden: TypeAlias = dict[Network, int]

MAPPED = 0xFFFF << 32
TOP = {4: 2**32 - 1, 6: 2**128 - 1}


def address_of(version: int, number: int) -> Address:
    return IPv4Address(number) if version == 4 else IPv6Address(number)


def network_of(version: int, number: int, length: int) -> Network:
    bits = 32 if version == 4 else 128
    start = number >> (bits - length) << (bits - length)
    return IPv4Network((start, length)) if version == 4 else IPv6Network((start, length))


def scan(golden: Golden, address: Address) -> tuple[str, int] | None:
    """The longest prefix that holds the address, by looking at each of them."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    holders = [n for n in golden if n.version == address.version and address in n]
    if not holders:
        return None
    longest = max(holders, key=lambda n: n.prefixlen)
    return str(longest), golden[longest]


def edges(networks: list[Network]) -> list[Address]:
    """First and last address of each prefix, and the neighbours of both."""
    numbers = {
        (n.version, int(end) + step)
        for n in networks
        for end in (n.network_address, n.broadcast_address)
        for step in (-1, 0, 1)
    }
    numbers |= {(4, 0), (4, TOP[4]), (6, 0), (6, TOP[6]), (6, MAPPED + 1)}
    return [address_of(v, n) for v, n in sorted(numbers) if 0 <= n <= TOP[v]]


def column4(addresses: list[Address]) -> array[int]:
    return array("I", [int(a) for a in addresses if a.version == 4])


def column6(addresses: list[Address]) -> memoryview:
    rows = [a.packed for a in addresses if a.version == 6]
    return memoryview(b"".join(rows)).cast("B", (len(rows), 16))


def assert_agrees(tree: RadixTree, golden: Golden, addresses: list[Address]) -> None:
    answers = [scan(golden, a) for a in addresses]
    values = [None if a is None else a[1] for a in answers]
    assert [tree.lookup(str(a)) for a in addresses] == values
    assert [tree.lookup_prefix(a) for a in addresses] == answers
    for version, batch in (
        (4, tree.lookup_batch(column4(addresses), missing=-9)),
        (6, tree.lookup_batch(column6(addresses), missing=-9)),
    ):
        wanted = [v for a, v in zip(addresses, values, strict=True) if a.version == version]
        assert list(batch) == [-9 if v is None else v for v in wanted]


def assert_contents(tree: RadixTree, golden: Golden) -> None:
    order = sorted(golden, key=lambda n: (n.version, int(n.network_address), n.prefixlen))
    assert list(tree) == [str(n) for n in order]
    assert list(tree.items()) == [(str(n), golden[n]) for n in order]
    assert len(tree) == len(golden)


# Few bases and short random tails: prefixes nest, touch and repeat.
BASES = {
    4: [0, 0x0A000000, 0x0A01FF00, 0xC0000200, 0xFFFF0000, 0xFFFFFFFF],
    6: [int(IPv6Address(a)) for a in ("::", "::1:0:0:0:0", "2001:db8::", "2001:db8:1:ff::")]
    + [TOP[6], TOP[6] - 0xFFFFFF, 0xFE80 << 112],
}


@st.composite
def networks(draw: st.DrawFn) -> Network:
    version = draw(st.sampled_from([4, 6]))
    bits = 32 if version == 4 else 128
    tail = draw(st.integers(0, 0x1FF)) << draw(st.integers(0, bits - 9))
    number = draw(st.sampled_from(BASES[version])) ^ tail
    found = network_of(version, number, draw(st.integers(0, bits)))
    if found.version == 6 and int(found.network_address) >> 32 == 0xFFFF:
        return IPv6Network("::/0")
    return found


values = st.one_of(st.integers(0, 3), st.sampled_from([255, 65536, 2**31 - 1]))
tables = st.dictionaries(networks(), values, max_size=40)
numbers = st.lists(st.integers(0, TOP[6]), max_size=10)
