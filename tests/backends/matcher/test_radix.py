"""RadixTree against a scan of `ipaddress` networks, and against lists written by hand."""

from __future__ import annotations

import copy
import pickle
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given
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


@given(tables, numbers)
@example({IPv4Network("0.0.0.0/0"): 1, IPv6Network("::/0"): 2**31 - 1}, [])
@example({IPv6Network("::/1"): 1, IPv6Network("8000::/1"): 1, IPv6Network("ffff::/16"): 2}, [])
@example({IPv6Network("2001:db8::/127"): 1, IPv6Network("2001:db8::2/127"): 2}, [])
@example({IPv4Network("10.0.0.0/15"): 1, IPv4Network("10.1.0.0/16"): 1}, [])
def test_lookups_agree_with_a_scan(golden: Golden, extra: list[int]) -> None:
    tree = RadixTree(golden.items())
    random_addresses = [address_of(6, n) for n in extra] + [
        address_of(4, n & TOP[4]) for n in extra
    ]
    assert_contents(tree, golden)
    assert_agrees(tree, golden, edges(list(golden)) + random_addresses)


@given(st.lists(st.tuples(st.sampled_from("iiidl"), networks(), values), max_size=30))
def test_inserts_and_deletes_between_lookups(steps: list[tuple[str, Network, int]]) -> None:
    tree, golden = RadixTree(), Golden()
    for action, network, value in steps:
        if action == "i":
            tree.insert(network, value)
            golden[network] = value
        elif network in golden and action == "d":
            tree.delete(network)
            del golden[network]
        elif action == "d":
            with pytest.raises(KeyError):
                tree.delete(network)
        else:
            assert tree.get(network) == golden.get(network)
            assert (network in tree) == (network in golden)
            assert_agrees(tree, golden, edges([network]))
    assert_contents(tree, golden)
    assert_agrees(tree, golden, edges(list(golden)))


@given(tables)
def test_pickles_and_copies_are_equal(golden: Golden) -> None:
    tree = RadixTree(golden.items())
    buffers: list[pickle.PickleBuffer] = []
    out_of_band = pickle.dumps(tree, protocol=5, buffer_callback=buffers.append)
    twins = [pickle.loads(pickle.dumps(tree, protocol=p)) for p in range(2, 6)]
    twins += [pickle.loads(out_of_band, buffers=buffers), copy.deepcopy(tree)]
    for twin in twins:
        assert_contents(twin, golden)
        assert_agrees(twin, golden, edges(list(golden)))


def test_many_deletes_leave_the_rest() -> None:
    tree = RadixTree((f"10.{i >> 8}.{i & 255}.0/24", i) for i in range(5000))
    for i in range(0, 5000, 3):
        tree.delete(f"10.{i >> 8}.{i & 255}.0/24")
    assert len(tree) == 5000 - len(range(0, 5000, 3))
    for i in range(5000):
        wanted = None if i % 3 == 0 else i
        assert tree.get(f"10.{i >> 8}.{i & 255}.0/24") == wanted
        assert tree.lookup(f"10.{i >> 8}.{i & 255}.77") == wanted


def test_many_ipv6_hosts_and_networks() -> None:
    hosts = [(f"2001:db8:{i:x}::{i:x}", i) for i in range(3000)]
    nodes = [(f"2001:db8:{i:x}::/48", 100_000 + i) for i in range(0, 3000, 2)]
    tree = RadixTree(hosts + nodes)
    for i in range(3000):
        assert tree.lookup(f"2001:db8:{i:x}::{i:x}") == i
        beside = tree.lookup(f"2001:db8:{i:x}::{i + 1:x}")
        assert beside == (100_000 + i if i % 2 == 0 else None)


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


def test_defaults() -> None:
    tree = RadixTree([("10.0.0.0/8", 0)])
    assert tree.lookup("10.0.0.1", -1) == 0
    assert tree.lookup("11.0.0.1") is None
    assert tree.lookup("11.0.0.1", "none") == "none"
    assert tree.get("10.0.0.0/9") is None
    assert tree.get("10.0.0.0/9", default=5) == 5


def test_iteration_is_over_a_copy() -> None:
    tree = RadixTree([("10.0.0.0/8", 1), ("11.0.0.0/8", 2)])
    seen = []
    for prefix, value in tree.items():
        tree.delete(prefix)
        tree.insert("12.0.0.0/8", 3)
        seen.append(value)
    assert seen == [1, 2]
    assert list(tree) == ["12.0.0.0/8"]


def test_batch_writes_to_out_and_returns_it() -> None:
    tree = RadixTree([("10.0.0.0/8", 1), ("::/0", 2)])
    out = array("i", [9, 9, 9])
    assert tree.lookup_batch(array("I", [0x0A000001, 0, 0x0AFFFFFF]), out) is out
    assert list(out) == [1, -1, 1]
    rows = memoryview(bytes(16) + IPv6Address("::ffff:10.1.1.1").packed + bytes(16))
    tree.lookup_batch(rows.cast("B", (3, 16)), out=out, missing=0)
    assert list(out) == [2, 1, 2]
    assert list(tree.lookup_batch(array("I"))) == []


@pytest.mark.parametrize(
    "column",
    [
        bytes(16),
        array("i", [1]),
        array("Q", [1]),
        array("f", [1.0]),
        memoryview(bytes(8)).cast("B", (2, 4)),
        memoryview(array("I", [1, 2])).cast("B").cast("I", (1, 2)),
    ],
)
def test_batch_refuses_other_columns(column: array[int]) -> None:
    with pytest.raises(ValueError, match="a column of addresses"):
        RadixTree().lookup_batch(column)


@pytest.mark.parametrize("out", [array("i"), array("i", [0, 0]), array("I", [0]), bytearray(4)])
def test_batch_refuses_other_outputs(out: array[int]) -> None:
    with pytest.raises(ValueError, match="out must be"):
        RadixTree().lookup_batch(array("I", [1]), out)


def test_batch_refuses_strides_and_read_only_outputs() -> None:
    column = array("I", [1, 2, 3, 4])
    with pytest.raises(BufferError):
        RadixTree().lookup_batch(memoryview(column)[::2])
    with pytest.raises(BufferError):
        RadixTree().lookup_batch(column, memoryview(array("i", [0] * 4)).toreadonly())
    with pytest.raises(TypeError):
        RadixTree().lookup_batch(5)  # type: ignore[call-overload]


def test_batch_takes_numpy_columns() -> None:
    np = pytest.importorskip("numpy")
    tree = RadixTree([("10.0.0.0/8", 1), ("2001:db8::/32", 2)])
    column = np.array([0x0A000001, 0x0B000000], dtype=np.uint32)
    out = np.empty(2, dtype=np.int32)
    assert tree.lookup_batch(column, out) is out
    assert out.tolist() == [1, -1]
    rows = np.zeros((3, 16), dtype=np.uint8)
    rows[1, :4] = (0x20, 0x01, 0x0D, 0xB8)
    assert np.asarray(tree.lookup_batch(rows)).tolist() == [-1, 2, -1]
    unaligned = np.frombuffer(b"\0" + column.tobytes(), dtype=np.uint32, offset=1)
    assert list(tree.lookup_batch(unaligned)) == [1, -1]
    assert tree.lookup(np.uint32(0x0A000001)) == 1
    with pytest.raises(ValueError, match="byte order"):
        tree.lookup_batch(column.astype(column.dtype.newbyteorder()))


def test_batches_in_threads_survive_rebuilds() -> None:
    tree = RadixTree([("10.0.0.0/8", 0)])
    column = array("I", range(0x0A000000, 0x0A000000 + 200_000))

    def batch(_: int) -> set[int]:
        return set(tree.lookup_batch(column))

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(batch, i) for i in range(10)]
        for value in range(1, 60):
            tree.insert("10.0.0.0/8", value)
            tree.lookup("10.0.0.1")
        assert all(len(job.result()) == 1 for job in jobs)


def test_damaged_pickles_are_refused() -> None:
    reduced: Any = RadixTree([("10.0.0.0/8", 1)]).__reduce_ex__(4)
    restore, (version, order, state) = reduced
    assert list(restore(version, order, state)) == ["10.0.0.0/8"]
    other = "big" if order == "little" else "little"
    for arguments in ((version + 1, order, state), (version, other, state)):
        with pytest.raises(ValueError, match="another version"):
            restore(*arguments)
    with pytest.raises(ValueError, match="another version"):
        restore(version, order, state[:-1])
    for position in (0, 8, 20, 21):
        damaged = bytearray(state)
        damaged[position] = 1
        with pytest.raises(ValueError, match="damaged"):
            restore(version, order, bytes(damaged))
