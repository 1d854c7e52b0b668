"""The tables' own invariants: odd tiers and addresses, forms and bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

import netpolc
from netpolc.backends.matcher import Matcher, tables
from netpolc.core.cluster import Cluster, Node, Pod
from netpolc.core.errors import UnsupportedError
from netpolc.core.ir import ANY, Action, Direction, Origin, Tier
from netpolc.core.nets import NOTHING, Ranges, parse_address, parse_cidr, ports
from netpolc.core.program import Combination, Identity, Match, ResolvedRule, Stage
from tests.backends.matcher.agreement import Row, check, evaluated, factored, telling_rows
from tests.helpers import manifests


class Nowhere:
    """A source for objects that were never read."""

    def place(self, elements: object = (), at_key: bool = False) -> str:
        return "nowhere:1:1"

    def excerpt(self, elements: object = ()) -> tuple[tuple[int, str], ...]:
        return ()


ORIGIN = Origin("Test", "default", "test", (), Nowhere())


def pod(name: str, addresses: Iterable[str], node: str = "", hosts: Iterable[str] = ()) -> Pod:
    lines = tuple(map(parse_address, addresses))
    own = tuple(map(parse_address, hosts))
    return Pod("default", name, {}, lines, node, own, False, (), ORIGIN)


def program_of(
    pods: list[Pod], combinations: Iterable[Combination], nodes: dict[str, list[str]] | None = None
) -> netpolc.Program:
    """Each pod an identity of its own."""
    found = {
        name: Node(name, frozenset(map(parse_address, own))) for name, own in (nodes or {}).items()
    }
    identities = tuple(Identity(number, (one,), ()) for number, one in enumerate(pods))
    program = netpolc.Program(Cluster({}, found, tuple(pods)), identities, tuple(combinations))
    program.verify()
    return program


def rule(
    action: Action, identities: Iterable[int], cidrs: Iterable[str] = (), port: int | None = None
) -> ResolvedRule:
    networks = Ranges.of(map(parse_cidr, cidrs))
    own = ANY if port is None else Ranges((ports(6, port, port),))
    return ResolvedRule(Match(frozenset(identities), networks, own), action, ORIGIN)


def closed(direction: Direction, subjects: Iterable[int], *rules: ResolvedRule) -> Combination:
    tier = Stage.of(Tier.NETWORK_POLICY, rules, Action.DENY, (ORIGIN,))
    return Combination(direction, frozenset(subjects), (tier,))


def agree(program: netpolc.Program) -> None:
    rows = list(telling_rows(program))
    assert len(rows) < 50_000
    check(program, rows, evaluated(program, rows))


def test_tiers_in_order() -> None:
    anyone = ResolvedRule(Match(ANY, ANY, Ranges((ports(6, 443, 443),))), Action.PASS, ORIGIN)
    admin = Stage.of(
        Tier.ADMIN,
        (
            rule(Action.ACCEPT, [1], port=80),
            rule(Action.PASS, [1], port=81),
            rule(Action.DENY, [1, 2]),
            anyone,
            rule(Action.ACCEPT, [], ["192.0.2.0/24"]),
            rule(Action.DENY, [], ["192.0.2.128/25"], port=443),
        ),
        Action.PASS,
        (ORIGIN,),
    )
    policies = Stage.of(
        Tier.NETWORK_POLICY, (rule(Action.ACCEPT, [1, 3], port=81),), Action.DENY, (ORIGIN,)
    )
    baseline = Stage.of(
        Tier.BASELINE,
        (rule(Action.DENY, [3], port=443), rule(Action.ACCEPT, [3])),
        Action.PASS,
        (ORIGIN,),
    )
    pods = [pod(f"p{n}", [f"10.0.0.{n}", f"2001:db8::{n}"]) for n in range(1, 5)]
    for tiers in ((admin,), (admin, policies), (admin, baseline), (baseline,), (admin, policies)):
        combinations = [Combination(d, frozenset({0, 3}), tiers) for d in Direction]
        agree(program_of(pods, combinations))


def test_a_pod_with_two_addresses_of_a_family_reaches_itself() -> None:
    pods = [
        pod("two", ["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"], "n"),
        pod("one", ["10.0.0.3"], "n"),
    ]
    combinations = [closed(d, {0, 1}, rule(Action.ACCEPT, [1], port=80)) for d in Direction]
    program = program_of(pods, combinations, {"n": ["172.16.0.1", "2001:db8:1::1"]})
    agree(program)
    assert Matcher(program).verdict("10.0.0.1", "10.0.0.2", "TCP", 1)


def test_equal_pods_do_not_reach_each_other_for_being_one() -> None:
    pods = [pod("a", ["10.0.0.1"]), pod("b", ["10.0.0.2"])]
    identities = (Identity(0, tuple(pods), ()),)
    combinations = tuple(closed(d, {0}) for d in Direction)
    program = netpolc.Program(Cluster({}, {}, tuple(pods)), identities, combinations)
    agree(program)
    assert not Matcher(program).verdict("10.0.0.1", "10.0.0.2", "TCP", 1)
    assert Matcher(program).verdict("10.0.0.1", "10.0.0.1", "TCP", 1)


@pytest.mark.parametrize(
    ("nodes", "hosts"),
    [
        ({"n": ["172.16.0.1"], "m": ["172.16.0.1"]}, []),
        ({"n": ["172.16.0.1", "10.0.0.4"], "m": ["172.16.0.2"]}, []),
        ({"n": ["172.16.0.1"]}, ["172.16.0.9"]),
        ({}, ["172.16.0.1", "2001:db8::9"]),
        ({"n": ["10.0.0.1"], "m": ["10.0.0.2", "2001:db8::1"]}, []),
        ({"n": ["172.16.0.1", "172.16.0.2", "2001:db8:1::1"], "m": ["172.16.0.2"]}, []),
    ],
    ids=["shared", "a pod's", "untold", "no nodes", "its own pod's", "overlapping"],
)
def test_whatever_addresses_nodes_claim(nodes: dict[str, list[str]], hosts: list[str]) -> None:
    pods = [
        pod("p1", ["10.0.0.1", "2001:db8::1"], "n", hosts),
        pod("p2", ["10.0.0.2"], "m"),
        pod("p3", ["10.0.0.3"], "", hosts[:1]),
        pod("p4", ["10.0.0.4"], "m"),
    ]
    for subjects in ({0}, {0, 1}, {0, 1, 2, 3}):
        for directions in ((Direction.INGRESS,), (Direction.EGRESS,), tuple(Direction)):
            combinations = [
                closed(d, subjects, rule(Action.ACCEPT, [3], ["10.0.0.2/31"], port=80))
                for d in directions
            ]
            agree(program_of(pods, combinations, nodes))


def test_a_shared_node_address_is_open_to_its_own_pods_only() -> None:
    """Equal pods on other nodes stay closed, though all of them are one identity."""
    pods = [
        pod("p1", ["10.0.0.1"], "n"),
        pod("p2", ["10.0.0.2"], "m"),
        pod("p3", ["10.0.0.3"], "", ["172.16.0.1"]),
    ]
    nodes = {"n": ["172.16.0.1", "172.16.0.2"], "m": ["172.16.0.3"]}
    own = {name: Node(name, frozenset(map(parse_address, a))) for name, a in nodes.items()}
    combinations = tuple(closed(d, {0}) for d in Direction)
    program = netpolc.Program(
        Cluster({}, own, tuple(pods)), (Identity(0, tuple(pods), ()),), combinations
    )
    agree(program)
    assert not Matcher(program).verdict("10.0.0.2", "172.16.0.1", "TCP", 1)


def test_blocks_at_the_ends_of_the_address_lines() -> None:
    pods = [pod("low", ["0.0.0.0", "::"]), pod("high", ["255.255.255.255", f"ffff{':ffff' * 7}"])]
    cidrs = ["0.0.0.0/0", "255.255.255.254/31", "::/0", "ffff::/16"]
    for chosen in (cidrs, cidrs[:1], cidrs[1:2], cidrs[2:3], cidrs[3:]):
        combinations = [closed(d, {0, 1}, rule(Action.ACCEPT, [], chosen)) for d in Direction]
        agree(program_of(pods, combinations))


def test_nothing_at_all() -> None:
    program = netpolc.compile(netpolc.load_objects([]))
    agree(program)
    assert Matcher(program).classes == (1, 1)


def test_equal_classes_are_one() -> None:
    """Ten pods behind two policies that say the same are one class beside the rest."""
    pods = [pod(f"p{n}", [f"10.0.0.{n}"]) for n in range(10)]
    each = [closed(Direction.INGRESS, {n}, rule(Action.ACCEPT, range(10))) for n in range(10)]
    assert Matcher(program_of(pods, each)).classes == (2, 1)


def test_what_no_rule_can_match() -> None:
    pods = [pod("p", ["10.0.0.1"]), pod("none", [])]
    nothing = ResolvedRule(Match(frozenset({1}), NOTHING, ANY), Action.ACCEPT, ORIGIN)
    agree(program_of(pods, [closed(d, {0, 1}, nothing) for d in Direction]))


@pytest.fixture
def many() -> Callable[[int], netpolc.Program]:
    def make(count: int) -> netpolc.Program:
        """Pods that each accept the next one on a port of its own."""
        pods = [pod(f"p{n}", [f"10.0.{n >> 8}.{n & 255}"]) for n in range(count)]
        combinations = [
            closed(Direction.INGRESS, {n}, rule(Action.ACCEPT, [(n + 1) % count], port=1 + n))
            for n in range(count)
        ]
        return program_of(pods, combinations)

    return make


def test_hundreds_of_atoms_and_classes(many: Callable[[int], netpolc.Program]) -> None:
    program = many(400)
    rows: list[Row] = [
        (f"10.0.{(n + step) % 400 >> 8}.{(n + step) % 400 & 255}", f"10.0.{n >> 8}.{n & 255}",
         "TCP", 1 + n + off)
        for n in range(400)
        for step in (0, 1, 2)
        for off in (-1, 0, 1)
    ]  # fmt: skip
    check(program, rows, evaluated(program, rows))


def test_the_form_follows_the_size(many: Callable[[int], netpolc.Program]) -> None:
    program = many(200)
    assert not Matcher(program).factored
    assert factored(program).factored
    assert tables.build_tables(program, 2 * 200 * 200).factored
    assert not tables.build_tables(program, 2 * (201 * 201 + 1)).factored


def test_blocks_of_a_few_policies_are_not_squared() -> None:
    """600 blocks, each with a port of its own: the cells of the table are some for each of them."""
    rules = [
        {
            "from": [{"ipBlock": {"cidr": f"192.{n >> 8}.{n & 255}.0/24"}}],
            "ports": [{"port": 1 + n}],
        }
        for n in range(600)
    ]
    program = netpolc.compile(
        netpolc.load_objects(
            [
                manifests.namespace("a"),
                manifests.pod("a/p", "10.0.0.1"),
                manifests.policy("a/open", podSelector={}, ingress=rules),
            ]
        )
    )
    found = tables.build_tables(program)
    assert found.factored
    assert found.ingress_blocks.size + found.ingress_index.size < 10 * 600
    matcher = Matcher(program)
    for n in (0, 1, 299, 599):
        source = f"192.{n >> 8}.{n & 255}.9"
        assert [matcher.verdict(source, "10.0.0.1", "TCP", port) for port in (n, n + 1, n + 2)] == [
            False, True, False,
        ]  # fmt: skip


def test_too_many_hosts_for_a_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [pod(f"p{n}", [f"10.0.0.{n}"], f"n{n}") for n in range(40)]
    nodes = {f"n{n}": [f"172.16.0.{n}"] for n in range(40)}
    program = program_of(pods, [], nodes)
    assert Matcher(program).verdict("10.0.0.1", "172.16.0.1", "TCP", 1)
    monkeypatch.setattr(tables, "LEAF_BITS", 6)
    with pytest.raises(UnsupportedError, match="40 nodes"):
        Matcher(program)


def test_too_many_atoms(
    monkeypatch: pytest.MonkeyPatch, many: Callable[[int], netpolc.Program]
) -> None:
    monkeypatch.setattr("netpolc.backends.matcher.atoms.LIMIT", 50)
    with pytest.raises(UnsupportedError, match="101 groups of ports"):
        Matcher(many(100))


def test_too_many_sets(
    monkeypatch: pytest.MonkeyPatch, many: Callable[[int], netpolc.Program]
) -> None:
    monkeypatch.setattr(tables, "_SETS", 50)
    with pytest.raises(UnsupportedError, match="distinct sets"):
        Matcher(many(100))


def test_a_rule_of_another_origin_changes_nothing() -> None:
    """Provenance stays out of the tables: equal meanings give equal bytes."""
    pods = [pod("a", ["10.0.0.1"]), pod("b", ["10.0.0.2"])]
    first = rule(Action.ACCEPT, [1], port=80)
    second = replace(first, origin=Origin("Test", "x", "y", (), Nowhere()))
    built = [
        tables.build_tables(program_of(pods, [closed(Direction.INGRESS, {0}, own)]))
        for own in (first, second)
    ]
    assert built[0].pairs.tobytes() == built[1].pairs.tobytes()
