"""`RadixTree` and what it is given: every spelling of an address and of a prefix, and refusals.

In: texts, numbers, bytes and objects of `ipaddress`. Out: canonical prefixes; errors that say why.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.backends.matcher import RadixTree
from tests.backends.matcher.radix import MAPPED, Address, Network


def spellings() -> list[tuple[object, object]]:
    v4, v6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")
    return [
        ("192.0.2.1", v4),
        (0xC0000201, v4),
        (v4.packed, v4),
        (v4, v4),
        ("::ffff:192.0.2.1", v4),
        ("::FFFF:c000:201", v4),
        (MAPPED | 0xC0000201, v4),
        (IPv6Address(MAPPED | 0xC0000201), v4),
        (IPv6Address(MAPPED | 0xC0000201).packed, v4),
        ("2001:db8::1", v6),
        ("2001:0DB8:0:0:0:0:0:1", v6),
        ("2001:db8::0.0.0.1", v6),
        (int(v6), v6),
        (v6.packed, v6),
        (v6, v6),
    ]


@pytest.mark.parametrize(("spelling", "address"), spellings())
def test_every_spelling_of_an_address(
    spelling: str | int | bytes | Address, address: Address
) -> None:
    tree = RadixTree([("0.0.0.0/0", 0), ("::/0", 1), ("192.0.2.1", 4), ("2001:db8::1", 6)])
    assert tree.lookup(spelling) == address.version
    assert tree.lookup_prefix(spelling) == (str(ip_network(address)), address.version)


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.1", "192.0.2.1/32"),
        (IPv4Network("0.0.0.0/0"), "0.0.0.0/0"),
        (IPv4Address("192.0.2.1"), "192.0.2.1/32"),
        (0xC0000201, "192.0.2.1/32"),
        (1 << 32, "::1:0:0/128"),
        (bytes(4), "0.0.0.0/32"),
        (bytes(16), "::/128"),
        ("2001:0DB8:0000::/32", "2001:db8::/32"),
        ("1:0:0:2:0:0:0:3", "1:0:0:2::3/128"),
        ("1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0/128"),
        ("0:0:1::", "0:0:1::/128"),
        ("64:ff9b::192.0.2.0/120", "64:ff9b::c000:200/120"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0/128"),
        (IPv6Network("::/0"), "::/0"),
    ],
)
def test_every_spelling_of_a_prefix(
    spelling: str | int | bytes | Address | Network, canonical: str
) -> None:
    tree = RadixTree([(spelling, 7)])
    assert list(tree.items()) == [(canonical, 7)]
    assert spelling in tree
    assert tree.get(canonical) == 7
    tree.delete(spelling)
    assert len(tree) == 0


NOT_AN_ADDRESS = "not an IPv4 or IPv6 address"

BAD_ADDRESSES: list[tuple[object, str]] = [
    *((text, NOT_AN_ADDRESS) for text in ("", " 192.0.2.1", "192.0.2.1 ", "192.0.2.1\0")),
    *((text, NOT_AN_ADDRESS) for text in ("192.0.2", "192.0.2.1.", "192.0..1", "+1.0.0.0")),
    *((text, NOT_AN_ADDRESS) for text in ("0x7f.0.0.1", "\u0663.0.0.1", "\ud800", "[::1]")),
    *((text, NOT_AN_ADDRESS) for text in (":", ":::", "1::2::3", "::12345", "::g", "1:2:3:4")),
    *((text, NOT_AN_ADDRESS) for text in ("1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::")),
    *((text, NOT_AN_ADDRESS) for text in ("1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7:192.0.2.1")),
    ("010.0.0.1", "leading zeros"),
    ("10.0.0.00", "leading zeros"),
    ("::ffff:10.0.0.01", "leading zeros"),
    ("10.0.0.256", "octet is above 255"),
    ("10.0.0.4294967296", "octet is above 255"),
    ("fe80::1%eth0", "scope ids"),
    (IPv6Address("fe80::1%1"), "scope ids"),
    (b"abc", "4 or 16 bytes, not 3"),
    (-1, "integer from 0 to"),
    (-(2**70), "integer from 0 to"),
    (2**128, "integer from 0 to"),
]

BAD_PREFIXES: list[tuple[object, str]] = [
    ("10.0.0.0/33", "length is above"),
    ("10.0.0.0/99999999999999999999", "length is above"),
    ("::/129", "length is above"),
    ("10.0.0.0/", "decimal number"),
    ("10.0.0.0/-1", "decimal number"),
    ("10.0.0.0/+8", "decimal number"),
    ("10.0.0.0/8/8", "decimal number"),
    ("10.0.0.0/255.0.0.0", "decimal number"),
    ("10.0.0.0/08", "prefix length must not have leading zeros"),
    ("10.0.0.1/8", "bits are set"),
    ("0.0.0.1/0", "bits are set"),
    ("2001:db8::1/64", "bits are set"),
    ("2001:db8::1/127", "bits are set"),
    ("::ffff:10.0.0.0/104", "IPv4-mapped"),
    ("::ffff:10.0.0.1", "IPv4-mapped"),
    (MAPPED, "IPv4-mapped"),
    ("/8", "not an IPv4 or IPv6 address"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_ADDRESSES)
def test_refused_addresses(bad: str, message: str) -> None:
    tree = RadixTree()
    for call in (tree.lookup, tree.lookup_prefix, tree.get, tree.delete, tree.__contains__):
        with pytest.raises(ValueError, match=message):
            call(bad)


@pytest.mark.parametrize(("bad", "message"), BAD_PREFIXES)
def test_refused_prefixes(bad: str, message: str) -> None:
    tree = RadixTree()
    with pytest.raises(ValueError, match=message):
        tree.insert(bad, 1)
    assert len(tree) == 0


@pytest.mark.parametrize(
    "bad", [None, True, 1.5, [], memoryview(bytes(4)), ip_interface("192.0.2.1/24")]
)
def test_refused_types(bad: str) -> None:
    tree = RadixTree()
    calls: list[Callable[[str], object]] = [tree.lookup, tree.get]
    for call in calls:
        with pytest.raises(TypeError, match=type(bad).__name__):
            call(bad)


def test_a_network_is_not_an_address() -> None:
    with pytest.raises(TypeError, match="IPv4Network"):
        RadixTree().lookup(ip_network("192.0.2.1/32"))  # type: ignore[call-overload]


def test_refused_values() -> None:
    tree = RadixTree()
    for bad in (-1, 2**31, 2**70):
        with pytest.raises(ValueError, match="value is an integer"):
            tree.insert("10.0.0.0/8", bad)
    with pytest.raises(TypeError):
        tree.insert("10.0.0.0/8", "1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bits are set"):
        tree.update([("10.0.0.0/8", 1), ("10.0.0.1/8", 2), ("11.0.0.0/8", 3)])
    assert list(tree.items()) == [("10.0.0.0/8", 1)]


def is_plain_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


@pytest.mark.parametrize(
    ("short", "whole"),
    [("10/8", "10.0.0.0/8"), ("172.16/12", "172.16.0.0/12"), ("192.168.7/24", "192.168.7.0/24")],
)
def test_octets_that_are_left_out_are_told(short: str, whole: str) -> None:
    with pytest.raises(ValueError, match=f"'{short}': .*: write {whole}$"):
        RadixTree([(short, 1)])
    assert RadixTree([(whole, 1)]).lookup(whole.partition("/")[0]) == 1


@pytest.mark.parametrize(
    "text",
    ["10", "10.1", "10/", "10/33", "10.1/8", "256/8", "010/8", "10./8", "/8", "::/8/8", "a/8"],
)
def test_what_is_no_prefix_with_more_octets_either(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!.*: write ).*$"):
        RadixTree([(text, 1)])


def test_one_prefix_or_a_mapping_is_no_list_of_pairs() -> None:
    given: list[tuple[Any, str]] = [
        ("10.0.0.0/8", r"'10.0.0.0/8' is no list of pairs: give \[\(prefix, value\)\]"),
        ({"10.0.0.0/8": 1}, r"a dict is no list of pairs: give its items\(\)"),
        (RadixTree([("10.0.0.0/8", 1)]), "a RadixTree is no list"),
    ]
    for items, told in given:
        with pytest.raises(TypeError, match=told):
            RadixTree(items)
    assert dict(RadixTree(RadixTree({"10.0.0.0/8": 1}.items()).items()).items()) == {
        "10.0.0.0/8": 1
    }


address_text = st.one_of(
    st.text(alphabet="0123456789abF:.%/", max_size=24),
    st.lists(st.integers(0, 300).map(str), min_size=3, max_size=5).map(".".join),
    st.lists(st.sampled_from(["", "0", "1", "0db8", "ffff", "1.2.3.4"]), max_size=9).map(":".join),
    st.ip_addresses().map(str),
)


@given(address_text)
def test_accepts_what_ipaddress_accepts(text: str) -> None:
    tree = RadixTree([("0.0.0.0/0", 4), ("::/0", 6)])
    if not is_plain_address(text):
        with pytest.raises(ValueError, match=": "):
            tree.lookup(text)
        return
    address = ip_address(text)
    assert tree.lookup(text) == tree.lookup(address)
    if isinstance(address, IPv4Address) or address.ipv4_mapped is None:
        assert tree.lookup(text) == address.version
        assert list(RadixTree([(text, 0)])) == [str(ip_network(address))]
