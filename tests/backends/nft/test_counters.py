"""Counters mapped to policies and pods, their rates, and Prometheus' format: by hand."""

from __future__ import annotations

import netpolc
from netpolc.backends.nft.signals.counters import (
    AddressCounter,
    Counters,
    PodCount,
    attribute_counters,
    prometheus,
    rates,
)
from netpolc.backends.nft.signals.drops import Drops
from netpolc.core.nets import parse_address
from tests.helpers.manifests import Manifest, namespace, pod, policy
from tests.helpers.tiers import guarded

NAMES = [f"policy-with-a-rather-long-name-{number:02}" for number in range(9)]


def program(*objects: Manifest) -> netpolc.Program:
    return netpolc.compile(netpolc.load_objects([namespace("default"), *objects]))


def address(text: str, packets: int, chain: str = "i_1") -> AddressCounter:
    return AddressCounter("ingress", parse_address(text), chain, packets, packets * 60)


def test_addresses_of_one_pod_are_counted_together() -> None:
    web = pod("default/web", "10.9.0.1", "fd00:9::1")
    found = attribute_counters(
        "netpolc",
        [Drops("i_1", 7, 420, "default/closed")],
        [address("10.9.0.1", 3), address("fd00:9::1", 4), address("10.9.0.99", 0)],
        program(web, policy("default/closed", podSelector={})),
    )
    (chain,) = found.chains
    assert chain.pods == ("10.9.0.99", "default/web")
    counts = {own.pod: (own.packets, own.bytes, own.policies) for own in found.pods}
    assert counts["default/web"] == (7, 420, ("default/closed",))
    assert counts["10.9.0.99"] == (0, 0, ("default/closed",))


def test_a_snapshot_completes_the_policies_that_a_comment_cut() -> None:
    objects = [pod("default/web", "10.9.0.1"), *(policy(name, podSelector={}) for name in NAMES)]
    comment = program(*objects).ruleset().table.counters[0].comment
    assert "more" in comment
    drops = [Drops("i_1", 1, 60, comment)]
    (chain,) = attribute_counters("netpolc", drops, [], program(*objects)).chains
    assert chain.policies == tuple(f"default/{name}" for name in NAMES)
    (alone,) = attribute_counters("netpolc", drops, []).chains
    assert len(alone.policies) < len(NAMES)
    assert alone.policies[-1].endswith("more")


def test_what_is_loaded_is_believed_before_the_snapshot() -> None:
    """A table older than the snapshot: its chain and its policy, not what would be loaded now."""
    web = pod("default/web", "10.9.0.1")
    drops = [Drops("i_old", 1, 60, "default/old", audited=True)]
    now = program(web, policy("default/new", podSelector={}))
    (own,) = attribute_counters("netpolc", drops, [address("10.9.0.1", 1, "i_old")], now).pods
    assert (own.pod, own.policies, own.audited) == ("default/web", ("default/old",), True)


def test_a_rule_that_denies_is_counted_for_itself() -> None:
    """Ordered tiers: api is isolated by no NetworkPolicy, so its chain has no counter, and what was
    denied to it is counted by its address and by the rule.
    """
    own = netpolc.compile(guarded())
    table = own.ruleset("node-a").table
    (chain,) = {
        verdict.chain
        for entry in table.maps
        for at, verdict in entry.elements
        if entry.name == "in4" and at == "10.0.0.2"
    }
    assert not any(entry.name.endswith(chain) for entry in table.counters)
    told = {entry.comment: entry.name for entry in table.counters}
    rule = told["ClusterNetworkPolicy/guard ingress[2]"].removeprefix("drop_")
    drops = [Drops(rule, 5, 300, "ClusterNetworkPolicy/guard ingress[2]")]
    read = [address("10.0.0.2", 5, chain)]
    found = attribute_counters("netpolc", drops, read, own)
    assert [(c.chain, c.direction, c.packets, c.policies) for c in found.chains] == [
        (rule, "ingress", 5, ("ClusterNetworkPolicy/guard ingress[2]",))
    ]
    judging = ("ClusterNetworkPolicy/guard", "ClusterNetworkPolicy/floor")
    assert found.pods == (PodCount("shop/api", "ingress", False, 5, 300, judging),)
    (alone,) = attribute_counters("netpolc", drops, read).pods
    assert (alone.pod, alone.packets, alone.policies) == ("10.0.0.2", 5, ())


def reading(**packets: int) -> Counters:
    pods = (PodCount(name, "ingress", False, n, 0, ("x/p",)) for name, n in packets.items())
    return Counters("netpolc", (), tuple(pods))


def test_rates_are_the_growth_by_the_second() -> None:
    found = rates(reading(a=10, b=10, c=500), reading(a=12, b=20, c=500, d=4), 2.0)
    assert [(own.count.pod, own.per_second) for own in found] == [
        ("b", 5.0),
        ("d", 2.0),
        ("a", 1.0),
        ("c", 0.0),
    ]


def test_a_table_that_was_loaded_anew_counts_from_nothing() -> None:
    (found,) = rates(reading(a=1000), reading(a=6), 2.0)
    assert found.per_second == 3.0


def test_prometheus_by_the_letter() -> None:
    found = attribute_counters(
        "netpolc_lab",
        [Drops("e_2", 5, 300, "x/a"), Drops("i_1", 2, 120, "x/b, x/c", audited=True)],
        [AddressCounter("egress", parse_address("fd00::1"), "e_2", 5, 300)],
        invalid=7,
    )
    lines = prometheus("netpolc_lab", found).splitlines()
    labels = 'table="netpolc_lab",direction='
    assert lines[2] == 'netpolc_loaded{table="netpolc_lab"} 1'
    assert lines[4:6] == [
        "# TYPE netpolc_invalid_packets_total counter",
        'netpolc_invalid_packets_total{table="netpolc_lab"} 7',
    ]
    assert lines[6:9] == [
        "# HELP netpolc_denied_packets_total Packets denied.",
        "# TYPE netpolc_denied_packets_total counter",
        f'netpolc_denied_packets_total{{{labels}"egress",chain="e_2",policies="x/a"}} 5',
    ]
    audited = f'{{{labels}"ingress",chain="i_1",policies="x/b,x/c"}} 120'
    assert f"netpolc_audited_bytes_total{audited}" in lines
    by_pod = f'netpolc_pod_denied_bytes_total{{{labels}"egress",namespace="",pod="fd00::1"}} 300'
    assert by_pod in lines
    odd = Counters("netpolc", (), (PodCount('x/a"\\\n', "ingress", False, 1, 0, ()),))
    assert 'pod="a\\"\\\\\\n"} 1' in prometheus("netpolc", odd)
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families)) == 11
    assert prometheus("netpolc", None).splitlines()[2:] == ['netpolc_loaded{table="netpolc"} 0']
