"""Rulesets in the kernel: both written forms are one, and the nodes' rulesets are the whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import pytest

import netpolc
from netpolc.core.nets import IPV6, format_address
from tests.helpers import scenarios
from tests.helpers.lab import Flow, Injector, Router
from tests.helpers.manifests import Manifest, namespace, node, pod, policy
from tests.helpers.scenarios import Scenario, everything

pytestmark = pytest.mark.kernel
ALL_OPTIONS = (
    netpolc.Options(),
    netpolc.Options(hook="postrouting", priority=50, log="3/hour"),
    netpolc.Options(table="netpolc_x", deny="reject", log="10/second"),
    netpolc.Options(established="recheck", mark_mask=0xFF00),
    netpolc.Options(established="recheck", hook="postrouting"),
)


@pytest.fixture(scope="module")
def router() -> Iterator[Router]:
    with Router() as router:
        yield router


@pytest.mark.parametrize("options", ALL_OPTIONS, ids=netpolc.Options.describe)
def test_json_and_text_load_to_the_same_ruleset(router: Router, options: netpolc.Options) -> None:
    """But for the table's comment and `typeof`, which nft 1.0.6 cannot read from JSON."""
    step = 1 if options == netpolc.Options() else 8
    for scenario in everything()[::step]:
        ruleset = scenario.program().ruleset(options=options)
        listings = []
        for arguments, text in (("-f",), ruleset.text()), (("-j", "-f"), ruleset.json()):
            router.flush()
            router.run("nft", *arguments, "-", text=text)
            listings.append(re.sub(r"\n\t\ttype(?:of)? (?!filter).*", "", router.ruleset()))
        wanted = listings[0].replace('\tcomment "netpolc"\n', "", 1)
        assert wanted == listings[1], scenario.name


def test_loading_again_leaves_one_copy(router: Router) -> None:
    ruleset = everything()[0].program().ruleset()
    listings = set()
    router.flush()
    for _ in range(3):
        router.load(ruleset.text())
        listings.add(router.ruleset())
    assert len(listings) == 1


MANY_NODES = [s for s in everything() if len(s.program().cluster.nodes) > 1]


@pytest.mark.parametrize("scenario", MANY_NODES, ids=lambda s: s.name)
def test_the_nodes_together_are_the_whole(scenario: Scenario, injector: Injector) -> None:
    """A packet that every node's ruleset lets pass is one that the policies allow."""
    program = scenario.program()
    injector.flush()
    for number, name in enumerate(program.cluster.nodes):
        options = netpolc.Options(table=f"netpolc_{number}")
        injector.load(program.ruleset(name, options).text())
    flows, wanted = [], []
    for expected in scenario.expected:
        for flow in expected.flows(program):
            if scenarios.forwarded(program, flow):
                flows.append(_packet(flow))
                wanted.append(expected.allowed)
    assert injector.judge(flows) == wanted


def test_a_node_judges_its_own_pods_only(injector: Injector) -> None:
    closed = policy("closed", podSelector={}, policyTypes=["Ingress", "Egress"])
    objects: list[Manifest] = [
        node("node-a", "192.0.2.10"),
        node("node-b", "192.0.2.11"),
        pod("a", "10.9.0.1", "fd00:9::1", on="node-a"),
        pod("b", "10.9.0.2", "fd00:9::2", on="node-b"),
        closed,
    ]
    program = netpolc.compile(netpolc.load_objects(objects))
    injector.flush()
    injector.load(program.ruleset("node-a").text())
    flows = [("10.9.0.9", "10.9.0.1", 6, 80), ("fd00:9::9", "fd00:9::1", 132, 80)]
    assert injector.judge(flows) == [False, False]
    flows = [("10.9.0.9", "10.9.0.2", 6, 80), ("fd00:9::2", "fd00:9::9", 17, 80)]
    assert injector.judge(flows) == [True, True]


def test_every_layout_judges_alike(injector: Injector) -> None:
    """Many port ranges, many peer sets, large and small, many blocks: each branch of layout.py."""
    objects: list[Manifest] = [namespace("default")]
    for number in range(1, 160):
        size = next(
            name for limit, name in ((80, "big"), (155, "mid"), (999, "few")) if number < limit
        )
        labels = {"size": size, "mod": str(number % 7), "own": str(number)}
        address = f"10.9.{number // 100}.{number % 100 + 1}"
        objects.append(pod(f"p{number}", address, f"fd00:9::{number:x}", **labels))
    objects.append(pod("target", "10.10.0.1", "fd00:10::1", role="target"))
    peers = [{"podSelector": {"matchLabels": {"mod": str(n)}}} for n in range(5)]
    peers += [{"podSelector": {"matchLabels": {"size": "big"}}}]
    peers += [{"podSelector": {"matchLabels": {"own": str(n)}}} for n in (97, 104, 111, 132)]
    blocks = [{"ipBlock": {"cidr": f"203.0.113.{8 * n}/29"}} for n in range(0, 32, 2)]
    blocks += [{"ipBlock": {"cidr": f"2001:db8:{n}::/48"}} for n in range(16)]
    for number, peer in enumerate([*peers, *blocks]):
        ports = [{"port": 1000 + 10 * number, "endPort": 1015 + 10 * number}, {"port": 80}]
        rules = [{"from": [peer], "ports": ports[: 1 + number % 2]}]
        name = f"np-{number:02}"
        selector = {"matchLabels": {"role": "target"}}
        objects.append(policy(name, podSelector=selector, ingress=rules))
    program = netpolc.compile(netpolc.load_objects(objects))
    table = program.ruleset().table
    assert {entry.name[0] for entry in table.maps} == {"v", "i"}
    assert {entry.name[:2] for entry in table.sets} >= {"s4", "s6", "c4", "c6", "se"}
    injector.flush()
    injector.load(program.ruleset().text())
    sources = [format_address(a) for p in program.cluster.pods for a in p.addresses]
    sources += ["203.0.113.15", "203.0.113.16", "203.0.113.32", "2001:db8:3::1", "2001:db8:8::1"]
    flows = [
        netpolc.Flow(source, "fd00:10::1" if ":" in source else "10.10.0.1", protocol, port)
        for source, protocol, port in product(
            sources, ("TCP", "UDP"), (79, 80, 999, 1000, 1015, 1016, 1105, 1200, 1255, 1256)
        )
    ]
    wanted = [netpolc.evaluate(program, flow).allowed for flow in flows]
    assert 0.05 < sum(wanted) / len(wanted) < 0.95
    assert injector.judge([_packet(flow) for flow in flows]) == wanted


def _packet(flow: netpolc.Flow) -> Flow:
    assert (flow.source < IPV6) == (flow.destination < IPV6)
    ends = format_address(flow.source), format_address(flow.destination)
    return *ends, flow.protocol, flow.port
