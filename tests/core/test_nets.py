"""The number line of addresses and ports: its algebra against Python sets, its texts against
`ipaddress`.

In: drawn spans, addresses and blocks, and tables written by hand. Out: equal sets, equal texts.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netpolc.core.nets import (
    IPV6,
    NOTHING,
    PORTS,
    Family,
    Protocol,
    Ranges,
    Span,
    family,
    format_address,
    format_ports,
    format_span,
    parse_address,
    parse_cidr,
    ports,
    prefix_length,
    split_ports,
)

SMALL = 40
spans = st.lists(
    st.tuples(st.integers(0, SMALL), st.integers(0, SMALL)).map(lambda two: (min(two), max(two))),
    max_size=8,
)
addresses4 = st.integers(0, 2**32 - 1).map(IPv4Address)
addresses6 = st.one_of(
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**33),
    st.lists(st.sampled_from([0, 1, 0xDB8, 0xFFFF]), min_size=8, max_size=8).map(
        lambda groups: sum(group << 16 * place for place, group in enumerate(groups))
    ),
).map(IPv6Address)
networks4 = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
    lambda drawn: IPv4Network(drawn, strict=False)
)
networks6 = st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(
    lambda drawn: IPv6Network(drawn, strict=False)
)


def numbers(ranges: Ranges) -> set[int]:
    """All members, one by one."""
    return {number for first, last in ranges for number in range(first, last + 1)}


def members(drawn: list[Span]) -> set[int]:
    return {number for first, last in drawn for number in range(first, last + 1)}


def assert_canonical(ranges: Ranges) -> None:
    assert all(first <= last for first, last in ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


@given(spans)
def test_the_union_of_spans_is_canonical(drawn: list[Span]) -> None:
    ranges = Ranges.of(drawn)
    assert_canonical(ranges)
    assert numbers(ranges) == members(drawn)
    assert bool(ranges) is bool(drawn)


@given(spans, spans)
@example([(0, 10)], [(3, 4)])
@example([(0, 10)], [(0, 10)])
@example([(0, 1), (3, 4)], [(2, 2)])
def test_set_algebra(left: list[Span], right: list[Span]) -> None:
    one, other = Ranges.of(left), Ranges.of(right)
    a, b = members(left), members(right)
    for result, expected in ((one | other, a | b), (one - other, a - b), (one & other, a & b)):
        assert_canonical(result)
        assert numbers(result) == expected
    assert (one == other) is (a == b)
    if a == b:
        assert hash(one) == hash(other)


@given(spans)
def test_membership(drawn: list[Span]) -> None:
    ranges = Ranges.of(drawn)
    assert {n for n in range(-2, SMALL + 3) if n in ranges} == members(drawn)


def test_ranges_by_hand() -> None:
    assert Ranges.of([]) == NOTHING == Ranges()
    assert Ranges.of([(5, 6), (1, 2), (3, 3)]).spans == ((1, 3), (5, 6))
    assert Ranges.of([(1, 9), (2, 3)]).spans == ((1, 9),)
    assert (Ranges.of([(0, 9)]) - Ranges.of([(2, 3), (5, 5)])).spans == ((0, 1), (4, 4), (6, 9))
    assert (Ranges.of([(0, 9), (20, 29)]) & Ranges.of([(5, 24)])).spans == ((5, 9), (20, 24))
    assert (Ranges.of([(0, 3), (6, 9)]) - Ranges.of([(0, 9)])).spans == ()
    assert 2**129 in Ranges.of([(2**128, 2**130)])


@given(st.one_of(addresses4, addresses6))
def test_addresses_against_ipaddress(address: IPv4Address | IPv6Address) -> None:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        with pytest.raises(ValueError, match="IPv4-mapped"):
            parse_address(str(address))
        return
    number = parse_address(str(address))
    assert number == int(address) + (IPV6 if address.version == 6 else 0)
    assert family(number) == address.version
    assert parse_address(format_address(number)) == number
    assert ip_address(format_address(number)) == address
    if isinstance(address, IPv6Address):
        assert parse_address(address.exploded.upper()) == number


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("::1", "::1"),
        ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
    ],
)
def test_addresses_print_canonically(text: str, canonical: str) -> None:
    """RFC 5952, sections 4.1 to 4.3."""
    assert format_address(parse_address(text)) == canonical


@given(st.one_of(networks4, networks6))
def test_blocks_against_ipaddress(network: IPv4Network | IPv6Network) -> None:
    text = str(network)
    start = network.network_address
    if isinstance(start, IPv6Address) and start.ipv4_mapped is not None:
        with pytest.raises(ValueError, match="IPv4-mapped"):
            parse_cidr(text)
        return
    base = IPV6 if network.version == 6 else 0
    span = parse_cidr(text)
    assert span == (int(start) + base, int(network.broadcast_address) + base)
    assert prefix_length(span) == network.prefixlen
    single = network.prefixlen == network.max_prefixlen
    printed = format_span(span)
    assert ip_network(printed) == network  # glibc prints ::0.8.0.0 where others have ::8:0
    assert ("/" in printed) is not single


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_host_bits_are_refused(number: int, length: int) -> None:
    text = f"{IPv4Address(number)}/{length}"
    if number % 2 ** (32 - length) == 0:
        assert parse_cidr(text)[0] == number
        return
    with pytest.raises(ValueError, match="must not have bits set beyond the prefix length"):
        parse_cidr(text)


@given(st.text(st.sampled_from("0123456789abcdef:./% x"), max_size=22))
@example("1.2.3.4/0x8")
@example("10.0.0.0/8/8")
@example("::/0")
@example("::1%1")
def test_what_is_read_is_what_ipaddress_reads(text: str) -> None:
    """Never more than the strict reading of the standard library, in either form."""
    for read, strict in ((parse_cidr, ip_network), (parse_address, ip_address)):
        try:
            found = read(text)
        except ValueError:
            continue
        network = strict(text)
        first = found[0] if isinstance(found, tuple) else found
        value = network.network_address if hasattr(network, "network_address") else network
        assert first % IPV6 == int(value)


INVALID = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
ZEROS = "must not have leading 0s in IP or prefix length"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", INVALID),
        ("/", INVALID),
        ("10.0.0.0", INVALID),
        ("10.0.0.0/", INVALID),
        ("10.0.0.0/33", INVALID),
        ("10.0.0.0/-1", INVALID),
        ("10.0.0.0/+8", INVALID),
        ("10.0.0.0/8 ", INVALID),
        (" 10.0.0.0/8", INVALID),
        ("10.0.0.0/8/8", INVALID),
        ("10.0.0/8", INVALID),
        ("10.0.0.256/32", INVALID),
        ("0x0a.0.0.0/8", INVALID),
        ("::/129", INVALID),
        ("fe80::%1/64", INVALID),
        ("10.0.0.0/٨", INVALID),
        ("10.0.0.0\0/8", INVALID),
        ("\ud800/8", INVALID),
        ("010.0.0.0/8", ZEROS),
        ("10.0.0.00/8", ZEROS),
        ("10.0.0.0/08", ZEROS),
        ("::/00", ZEROS),
        ("10.0.0.1/24", "must not have bits set beyond the prefix length"),
        ("::1/64", "must not have bits set beyond the prefix length"),
        ("::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
        ("::ffff:a00:0/104", "must not have an IPv4-mapped IPv6 address"),
    ],
)
def test_blocks_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="must") as refused:
        parse_cidr(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "text", ["", "10.0.0", "10.0.0.256", "10.0.0.1/32", "1.2.3.4.5", ":::", "fe80::1%eth0", "web",
             "10.0.0.1\n", "10.0.0.1\0", "١٠.0.0.1", "\ud800"],
)  # fmt: skip
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be a valid IP address"):
        parse_address(text)


def test_leading_zeros_are_told_apart() -> None:
    with pytest.raises(ValueError, match="must not have leading 0s in IP"):
        parse_address("010.0.0.1")


def test_the_two_families_never_touch() -> None:
    everything4, everything6 = parse_cidr("0.0.0.0/0"), parse_cidr("::/0")
    both = Ranges.of([everything4, everything6])
    assert both.spans == (everything4, everything6)
    assert both.of_family(Family.IPV4).spans == (everything4,)
    assert both.of_family(Family.IPV6).spans == (everything6,)
    assert parse_address("::10.0.0.1") not in Ranges.of([everything4])
    assert (
        format_span((parse_address("10.0.0.1"), parse_address("10.0.0.6"))) == "10.0.0.1-10.0.0.6"
    )
    assert prefix_length((1, 2)) is None
    assert prefix_length(everything4) == prefix_length(everything6) == 0


@given(st.sampled_from(Protocol), st.integers(0, PORTS - 1), st.integers(0, PORTS - 1))
def test_the_line_of_ports(protocol: Protocol, one: int, other: int) -> None:
    first, last = sorted((one, other))
    span = ports(protocol, first, last)
    assert split_ports(span) == (protocol, first, last)
    assert span[1] - span[0] == last - first
    for another in Protocol:
        if another is not protocol:
            assert not Ranges.of([span]) & Ranges.of([ports(another)])


def test_ports_print() -> None:
    assert format_ports(ports(Protocol.TCP, 80, 80)) == "TCP 80"
    assert format_ports(ports(Protocol.UDP, 5000, 5010)) == "UDP 5000-5010"
    assert format_ports(ports(Protocol.SCTP)) == "SCTP"
    assert format_ports(ports(Protocol.TCP, 1, 65535)) == "TCP 1-65535"
