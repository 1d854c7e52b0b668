"""RadixTree against a scan of `ipaddress` networks, and against lists written by hand."""

from __future__ import annotations

import copy
import pickle
from ipaddress import (
    IPv4Network,
    IPv6Network,
)
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netpolc.backends.matcher import RadixTree
from tests.backends.matcher.radix import (
    TOP,
    Golden,
    Network,
    address_of,
    assert_agrees,
    assert_contents,
    edges,
    networks,
    numbers,
    tables,
    values,
)


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
