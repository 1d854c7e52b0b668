"""Every layout of a chain: chosen where it is the cheapest, and no different from the policies.

In: snapshots made for one layout each, in both directions and families; counts. Out: the objects
that the layout is made of, no difference in the proof; the choice that follows by hand from the
costs of single rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import netpolc
from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower import cost
from netpolc.backends.nft.lower.cost import PortLayout
from netpolc.backends.nft.lower.peers import atoms
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.proof import Proof
from netpolc.core.nets import Ranges
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

PEERS = 128
Allowed = list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]
"""Peers and the ports they are admitted on."""


def has(bit: int, value: int = 1) -> dict[str, Any]:
    """The half of the peers whose number has a bit, or has it not."""
    return {"podSelector": {"matchLabels": {f"bit{bit}": str(value)}}}


def part(number: int) -> dict[str, Any]:
    """A tenth of the peers, in no other part."""
    return {"podSelector": {"matchLabels": {"mod": str(number % 10)}}}


def snapshot(allowed: Allowed) -> list[Manifest]:
    """A pod that some peers may reach, and that may reach the same."""
    objects: list[Manifest] = [namespace("default"), node("node-a", "192.0.2.10")]
    for number in range(PEERS):
        labels = {f"bit{bit}": str(number >> bit & 1) for bit in range(6)}
        labels["mod"] = str(number % 10)
        objects.append(pod(f"p{number}", f"10.9.0.{number + 1}", f"fd00:9::{number:x}", **labels))
    objects.append(pod("target", "10.10.0.1", "fd00:10::1"))
    for number, (peers, ports) in enumerate(allowed):
        rule = {"ports": ports} if ports else {}
        objects.append(
            policy(
                f"policy-{number}",
                podSelector={"matchLabels": {"name": "target"}},
                policyTypes=["Ingress", "Egress"],
                ingress=[{"from": peers, **rule}],
                egress=[{"to": peers, **rule}],
            )
        )
    return objects


def inline() -> Allowed:
    """One peer a port."""
    return [([part(0)], [{"port": 80}]), ([part(1)], [{"port": 443}])]


def jumps() -> Allowed:
    """Three sets a port; one port is inside the range of another."""
    ports = {"port": 80}, {"port": 70, "endPort": 90}, {"port": 443}
    return [([part(3 * at + own)], [port]) for at, port in enumerate(ports) for own in range(3)]


def ports_map() -> Allowed:
    """Ten single ports in a hash, and a range around one of them."""
    single: Allowed = [([part(at)], [{"port": 100 * at}]) for at in range(1, 11)]
    return [*single, ([part(9)], [{"port": 390, "endPort": 410}])]


def range_map() -> Allowed:
    """More ranges than are worth comparing."""
    single: Allowed = [([part(at)], [{"port": 100 * at}]) for at in range(1, 11)]
    return single + [
        ([part(at)], [{"port": 1000 * at, "endPort": 1000 * at + 20}]) for at in range(2, 8)
    ]


def source_map() -> Allowed:
    """Twelve sets of half of the peers each, on three ports; two peers on all; and a block."""
    block = {"ipBlock": {"cidr": "10.9.0.0/30"}}
    own: Allowed = [
        ([has(bit, value)], [{"port": 100 * ((bit + value) % 3 + 1)}])
        for bit in range(6)
        for value in (0, 1)
    ]
    few = {"podSelector": {"matchExpressions": [
        {"key": "name", "operator": "In", "values": ["p0", "p3"]}
    ]}}  # fmt: skip
    return [*own, ([few], []), ([block], [{"port": 300}])]


def overlapping() -> Allowed:
    """Ranges inside and across each other: what they cut each other into is their number squared.
    The first has more peers than a comparison, one is within another, and two are the same.
    """
    block = {"ipBlock": {"cidr": "10.9.0.64/26", "except": ["10.9.0.80/28", "10.9.0.100/32"]}}
    several = [part(0), part(1), block]
    ranges = [{"port": 1000 + at, "endPort": 1040 + at} for at in range(0, 80, 2)]
    own: Allowed = [([part(at)], [ports]) for at, ports in enumerate(ranges)]
    inside: Allowed = [([part(3)], [{"port": 1010, "endPort": 1011}]), ([part(9)], [ranges[5]])]
    return [(several, [ranges[0]]), *own, *inside]


LAYOUTS: dict[str, Callable[[], Allowed]] = {
    made.__name__: made for made in (inline, jumps, ports_map, range_map, source_map, overlapping)
}


def objects_of(table: nft.Table) -> set[str]:
    """What a table finds ports and peers by."""
    found = set()
    for entry in table.maps:
        if isinstance(entry, nft.PortMap):
            found.add("port map with ranges" if entry.interval else "port map")
        elif entry.name[0] == "a":
            found.add("source map")
    for chain in table.chains:
        for rule in chain.rules:
            jump = any(
                isinstance(own, nft.Verdict) and own.action is nft.Action.JUMP
                for own in rule.statements
            )
            if any(isinstance(match, nft.PortMatch) for match in rule.matches):
                found.add("port and jump" if jump else "port and peer")
    return found


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("inline", {"port and peer"}),
        ("jumps", {"port and jump"}),
        ("ports_map", {"port map", "port and jump"}),
        ("range_map", {"port map with ranges"}),
        # The ports of a group, and those of the block.
        ("source_map", {"source map", "port and peer"}),
        ("overlapping", {"port and jump", "port and peer"}),
    ],
)
def test_the_layout_is_there_and_means_what_the_policies_mean(name: str, wanted: set[str]) -> None:
    program = netpolc.compile(netpolc.load_objects(snapshot(LAYOUTS[name]())))
    ruleset = program.ruleset()
    assert objects_of(ruleset.table) == wanted
    proof = Proof(program, parse_text.parse(ruleset.text()), None)
    assert [str(found) for found in proof.differences()] == []
    assert proof.cases > 0


@pytest.mark.parametrize(
    ("rules", "spans", "wanted"),
    [
        (0, 0, True),
        (4, 4, True),
        (3, 1, False),  # 36 ns against a comparison and a jump, 28
        (6, 6, True),
        (7, 7, False),  # 84 ns against 82 for a hash
    ],
)
def test_when_port_and_peer_share_a_rule(rules: int, spans: int, wanted: bool) -> None:
    assert cost.inline_ports(rules, spans) is wanted


@pytest.mark.parametrize(
    ("spans", "singles", "ranges", "wanted"),
    [
        (5, 5, 0, PortLayout.JUMPS),  # 76 ns against 82
        (6, 6, 0, PortLayout.MAP),  # 88
        (12, 10, 2, PortLayout.MAP),  # 133 against 160 and 172
        (15, 10, 5, PortLayout.RANGE_MAP),  # 172 against 210 and 196
        (13, 0, 13, PortLayout.JUMPS),  # 172 each: the simpler
        (14, 0, 14, PortLayout.RANGE_MAP),
    ],
)
def test_the_cheapest_way_to_find_a_port(
    spans: int, singles: int, ranges: int, wanted: PortLayout
) -> None:
    assert cost.port_layout(spans, singles, ranges) is wanted


def overlapping_lines(count: int) -> int:
    """Lines of the ruleset of rules that each have a range of ports, across all others, and a block
    of their own.
    """
    rules = [
        {
            "from": [{"ipBlock": {"cidr": f"20.{at // 100}.{at % 100}.0/24"}}],
            "ports": [{"port": 1000 + at, "endPort": 1000 + at + count}],
        }
        for at in range(count)
    ]
    objects = [namespace("default"), node("node-a"), pod("target", "10.10.0.1")]
    snapshot = netpolc.load_objects([*objects, policy("tenant", podSelector={}, ingress=rules)])
    return netpolc.compile(snapshot).ruleset().text().count("\n")


def test_overlapping_ranges_are_written_once_and_not_in_every_part() -> None:
    assert overlapping_lines(400) - overlapping_lines(200) == 200


def test_parts_are_given_up_when_they_need_more_rules_than_a_bound() -> None:
    across = [Ranges(((at, at + 3),)) for at in range(3)]  # parts: 0 01 012 012 12 2
    assert atoms(across, [1, 1, 1], most=8) is None
    parts = atoms(across, [1, 1, 1], most=9)
    assert parts is not None
    covered = [(span, parts.coverings[number]) for span, number in parts.spans]
    assert covered == [
        ((0, 0), (0,)),
        ((1, 1), (0, 1)),
        ((2, 3), (0, 1, 2)),
        ((4, 4), (1, 2)),
        ((5, 5), (2,)),
    ]


def test_four_blocks_are_compared_and_five_looked_up() -> None:
    assert [cost.inline_blocks(count) for count in (0, 1, 4, 5)] == [True, True, True, False]


def test_a_source_map_must_load_faster_than_the_sets() -> None:
    assert not cost.source_map(everybody=100, looked_up=100, rules=0)
    assert cost.source_map(everybody=100, looked_up=200, rules=0)
    assert not cost.source_map(everybody=100, looked_up=200, rules=5)


def test_sets_that_other_chains_use_count_in_part() -> None:
    """The peers of `source_map` for eight pods with ports of their own: sets load once for all."""
    objects = snapshot(source_map())
    for number in range(8):
        name = f"other-{number}"
        first = 1000 + 10 * number
        objects.append(pod(name, f"10.11.0.{number}", f"fd00:11::{number}"))
        for bit in range(6):
            objects.append(
                policy(
                    f"{name}-{bit}",
                    podSelector={"matchLabels": {"name": name}},
                    ingress=[{"from": [has(bit)], "ports": [{"port": first + bit}]}],
                )
            )
    table = netpolc.compile(netpolc.load_objects(objects)).ruleset().table
    assert "source map" not in objects_of(table)


def test_pods_for_whom_a_tier_is_tried_share_no_chain_of_peers() -> None:
    """What their policies admit leads elsewhere, though they ask the same of the same peers."""
    rules = [
        {"from": [part(at - own) for own in (0, 1, 2, 3)], "ports": [{"port": 100 * at}]}
        for at in range(3, 10)
    ]
    both = {"matchExpressions": [{"key": "bit0", "operator": "DoesNotExist"}]}
    tried = {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "tried"},
        "spec": {
            "tier": "Admin",
            "priority": 1,
            "subject": {
                "pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"tried": "yes"}}}
            },
            "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}],
        },
    }
    objects = [
        *snapshot([]),
        pod("second", "10.10.0.2", "fd00:10::2", tried="yes"),
        policy("both", podSelector=both, ingress=rules),
        tried,
    ]
    loaded = netpolc.load_objects(objects)
    policies = (replace(own, audited=own.origin.name == "tried") for own in loaded.policies)
    program = netpolc.compile(replace(loaded, policies=tuple(policies)))
    assert program.tried
    ruleset = program.ruleset()
    chains = [own.name for own in ruleset.table.chains if own.name.startswith("p_")]
    assert len(chains) == 2 * len(rules)
    proof = Proof(program, parse_text.parse(ruleset.text()), None)
    assert [str(found) for found in proof.differences()] == []
    assert proof.cases > 0


@pytest.mark.parametrize(
    ("addresses", "wanted"),
    [
        (("10.10.0.1",), (2, 0, 1, 0)),
        (("fd00:10::1",), (0, 2, 0, 1)),
        (("10.10.0.1", "fd00:10::1"), (2, 2, 1, 1)),
    ],
)
def test_blocks_of_a_family_that_no_subject_has_are_nowhere(
    addresses: tuple[str, ...], wanted: tuple[int, ...]
) -> None:
    """A block of each family on a port of its own, and both on any port."""
    v4, v6 = ({"ipBlock": {"cidr": own}} for own in ("192.0.2.0/24", "2001:db8::/32"))
    rules: list[dict[str, Any]] = [
        {"from": [v4], "ports": [{"port": 80}]},
        {"from": [v6], "ports": [{"port": 443}]},
        {"from": [v4, v6]},
    ]
    objects = [
        namespace("default"),
        node("node-a"),
        pod("subject", *addresses),
        policy("tenant", podSelector={}, ingress=rules),
    ]
    program = netpolc.compile(netpolc.load_objects(objects))
    text = program.ruleset().text()
    compared = ("ip saddr 192.0.2.0/24", "ip6 saddr 2001:db8::/32", "dport 80 ", "dport 443 ")
    assert tuple(map(text.count, compared)) == wanted
    proof = Proof(program, parse_text.parse(text), None)
    assert [str(found) for found in proof.differences()] == []
    assert proof.cases > 0


@pytest.mark.parametrize("address", ["10.10.0.1", "fd00:10::1"])
def test_ports_that_admit_blocks_of_another_family_alone_are_not_looked_up(address: str) -> None:
    """Seven ports, which would be a map where there is anything to admit on them."""
    other = "2001:db8:{}::/48" if ":" not in address else "192.0.{}.0/24"
    rules = [
        {"from": [{"ipBlock": {"cidr": other.format(own)}}], "ports": [{"port": 100 + own}]}
        for own in range(1, 8)
    ]
    objects = [
        namespace("default"),
        node("node-a"),
        pod("subject", address),
        policy("tenant", podSelector={}, ingress=rules),
    ]
    program = netpolc.compile(netpolc.load_objects(objects))
    table = program.ruleset().table
    assert objects_of(table) == set()
    assert not [own.name for own in table.chains if own.name.startswith("p_")]


@pytest.mark.parametrize(
    ("elements", "wanted"),
    [(0, 16), (12, 24), (19, 24), (20, 48), (39, 48), (40, 96), (1_000, 1_536), (10_000, 24_576)],
)
def test_a_set_has_room_for_a_quarter_more_and_uses_its_buckets(elements: int, wanted: int) -> None:
    """A kernel makes a hash for `size` elements of the next power of two from a third more."""
    size = nft.room(elements)
    assert size == wanted
    assert size >= elements + elements // 4
    buckets = size * 4 // 3
    assert buckets.bit_count() == 1 or size == 16
