"""The shape of ordered tiers in a ruleset: what is shared, what is named how, what a change costs.

In: the cluster of `tests.helpers.tiers`, and lists of rules made for one layout each. Out: chains
and maps by hand; what a delta touches; nothing that a rule's author wrote beyond plain words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from msgspec import structs

import netpolc
from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower import cost
from netpolc.backends.nft.lower.tiers.decisions import admitted_from_anybody
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.proof import Proof
from netpolc.backends.nft.write.delta import Delta, Fate, delta
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import ANY, Action, Direction, NetworkPeer, Policy, Tier
from netpolc.core.nets import EVERY_PORT, NOTHING, Protocol, Ranges, parse_cidr, ports
from tests.helpers import ordered
from tests.helpers.manifests import Manifest, namespace, node, pod
from tests.helpers.tiers import (
    ADDRESSES,
    FLOOR,
    GUARD,
    Written_,
    app,
    guarded,
    policy,
    snapshot,
    space,
)

COUNT = 60


def table_of(own: Snapshot, **options: str) -> nft.Table:
    return netpolc.compile(own).ruleset("node-a", netpolc.Options(**options)).table  # type: ignore[arg-type]


def chains(table: nft.Table) -> dict[str, nft.Chain]:
    return {own.name: own for own in table.chains}


def targets(chain: nft.Chain) -> list[str]:
    return [
        own.chain for rule in chain.rules for own in rule.statements if isinstance(own, nft.Verdict)
    ]


def test_a_list_in_two_combinations_is_one_chain() -> None:
    """web is isolated, api and db are not: all three ask the same Admin list, two the Baseline."""
    found = chains(table_of(guarded()))
    (admin,) = (name for name in found if name.startswith("i_admin_"))
    (floor,) = (name for name in found if name.startswith("i_baseline_"))
    asking = {name: targets(own) for name, own in found.items() if admin in targets(own)}
    assert len(asking) == 2
    assert sorted(floor in own for own in asking.values()) == [False, True]
    assert all(own[0] == admin for own in asking.values())


def test_nothing_is_asked_where_nothing_can_be_denied() -> None:
    passing = policy("p", Tier.ADMIN, [(Action.PASS, (space("lab"),), None)])
    accepting = policy("a", Tier.BASELINE, [(Action.ACCEPT, ANY, None)])
    assert table_of(snapshot(passing, accepting, manifests=[])).maps == ()


# Layouts


def cluster(rules: Sequence[tuple[Action, str, int | None]]) -> Snapshot:
    """`COUNT` pods by their label `app`, one more that a policy with these rules selects."""
    objects: list[Manifest] = [namespace("default"), node("node-a", "192.0.2.10")]
    objects += [
        pod(f"p{n}", f"10.9.0.{n + 1}", f"fd00:9::{n:x}", app=f"a{n % 20}") for n in range(COUNT)
    ]
    objects.append(pod("target", "10.10.0.1", "fd00:10::1", app="target"))
    read = netpolc.load_objects(objects)
    made = policy(
        "list",
        Tier.ADMIN,
        [(action, (app(name),), port) for action, name, port in rules],
        subject=app("target"),
    )
    return replace(read, policies=(made,))


def tier(own: Snapshot) -> nft.Chain:
    table = netpolc.compile(own).ruleset().table
    return next(chain for chain in table.chains if chain.name.startswith("i_admin_"))


FEW = [(Action.DENY, f"a{n}", 80) for n in range(2)]
MANY = [((Action.DENY, Action.ACCEPT)[n % 2], f"a{n % 20}", 80 + n) for n in range(40)]


def test_few_rules_are_compared_and_many_looked_up() -> None:
    few, many = tier(cluster(FEW)), tier(cluster(MANY))
    assert [type(rule.matches[0]) for rule in few.rules] == [nft.PortMatch] * 4
    assert [type(rule.statements[0]) for rule in many.rules] == [nft.AddressLookup] * 2
    assert [rule.matches for rule in many.rules] == [(), ()]


def test_a_packet_pays_the_same_for_any_number_of_rules() -> None:
    """The chain of the tier has two lookups at 40 rules and at 400; a peer meets its own alone."""
    large = cluster([(Action.DENY, f"a{n % 20}", 80 + n) for n in range(400)])
    assert len(tier(large).rules) == 2
    table = netpolc.compile(large).ruleset().table
    classes = [own for own in table.chains if own.name.startswith("k_")]
    assert len(classes) == 20
    assert {len(own.rules) for own in classes} == {1}  # by a map of ports
    elements = sum(len(m.elements) for m in table.maps if m.name.startswith(("m4_", "m6_")))
    assert elements == 2 * COUNT


def test_pods_in_a_block_are_told_apart_by_address() -> None:
    """A dual-stack pod in a denied IPv6 block is not hit over IPv4, and one that a rule before the
    block passes on is not hit at all.
    """
    read = netpolc.load_objects(
        [
            namespace("default"),
            pod("a", "10.9.0.1", "fd00:9::1", app="a"),
            pod("b", "10.9.0.2", "fd00:9::2", app="b"),
            pod("target", "10.9.0.3", "fd00:9::3", app="target"),
        ]
    )
    block = NetworkPeer(parse_cidr("fd00:9::/64"))
    rules: list[Written_] = [
        (Action.PASS, (app("b"),), None),
        (Action.DENY, (block,), None),
    ]
    egress = policy("e", Tier.ADMIN, rules, subject=app("target"), direction=Direction.EGRESS)
    own = replace(read, policies=(egress,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "linear", lambda asked, blocks: False)
        program = netpolc.compile(own)
        table = program.ruleset().table
    maps = {entry.name[:2]: entry.elements for entry in table.maps if entry.name[0] in "mn"}
    assert [(at, v.action) for at, v in maps["m6"]] == [("fd00:9::2", nft.Action.RETURN)]
    assert "m4" not in maps
    ((span, verdict),) = maps["n6"]
    assert span == parse_cidr("fd00:9::/64")
    assert verdict.chain.startswith("e_rule_")
    assert Proof(program, parse_text.parse(program.ruleset().text())).first() == []


@pytest.mark.parametrize(
    ("asked", "blocks", "linear"),
    [(82, False, True), (83, False, False), (254, True, True), (255, True, False)],
)
def test_the_cheaper_layout_is_taken(asked: int, blocks: bool, linear: bool) -> None:
    """By hand from the constants: one hash, and a map of ranges if there are blocks."""
    assert cost.linear(asked, blocks) is linear


ROOM = 2 * 96
"""What the maps of a list that names all 60 pods may need: 60 and a quarter more fit into sizes of
96, for addresses of each family.
"""


def layouts(own: Snapshot) -> list[bool]:
    """Of every list whether its peers are in maps; what is loaded is what the policies mean."""
    program = netpolc.compile(own)
    ruleset = program.ruleset()
    assert Proof(program, parse_text.parse(ruleset.text())).first() == []
    chains = [own for own in ruleset.table.chains if own.name.startswith("i_admin_")]
    return [isinstance(own.rules[0].statements[0], nft.AddressLookup) for own in chains]


@pytest.mark.parametrize(("room", "merged"), [(ROOM, True), (ROOM - 1, False)])
def test_maps_without_room_are_not_made(room: int, merged: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "MAPPED", room)
        assert layouts(cluster(MANY)) == [merged]


@pytest.mark.parametrize(("room", "merged"), [(4 * ROOM, [True] * 3), (4 * ROOM - 1, [False] * 3)])
def test_lists_of_a_node_share_the_room(room: int, merged: list[bool]) -> None:
    """Three lists have a quarter each: the fourth may come without a change of theirs."""
    own = cluster(MANY)
    rules = [(action, (app(name),), port) for action, name, port in MANY]
    lists = [policy(f"p{n}", Tier.ADMIN, rules, subject=app(f"a{n}")) for n in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "MAPPED", room)
        assert layouts(replace(own, policies=tuple(lists))) == merged


def test_few_pods_are_in_maps_beside_many() -> None:
    """A list that names two pods has maps where one that names all of them has none."""
    own = cluster(MANY)
    every = [(action, (app(name),), port) for action, name, port in MANY]
    few = [(Action.DENY, (app("a1"),), 80 + n) for n in range(20)]
    lists = (
        policy("every", Tier.ADMIN, every, subject=app("target")),
        policy("few", Tier.ADMIN, few, subject=app("a5")),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "MAPPED", ROOM)
        assert sorted(layouts(replace(own, policies=lists))) == [False, True]


@pytest.mark.parametrize(
    ("size", "lists", "fit"),
    [(786_432, 1, True), (786_433, 1, False), (6_144, 128, True), (6_145, 128, False)],
)
def test_maps_of_a_node_have_a_bound(size: int, lists: int, fit: bool) -> None:
    assert cost.mappable(size, lists) is fit


# What others wrote


@pytest.mark.parametrize("called", ordered.CALLED)
def test_a_name_of_a_rule_is_plain_words(called: str) -> None:
    rules = tuple(
        structs.replace(own, origin=structs.replace(own.origin, called=called))
        for own in GUARD.rules
    )
    program = netpolc.compile(snapshot(replace(GUARD, rules=rules), FLOOR))
    ruleset = program.ruleset("node-a", netpolc.Options(log="3/hour"))
    text = ruleset.text()
    parse_text.parse(text)
    told = {c.comment for c in ruleset.table.counters if "guard" in c.comment}
    wanted = {
        "": "",
        "allow dns": " (allow_dns)",
        'deny "all"; accept': " (deny__all___accept)",
        "näme\n::error::": " (n_me___error__)",
        "x" * 100: f" ({'x' * 40})",
    }[called]
    assert told == {f"ClusterNetworkPolicy/guard ingress[2]{wanted}"}
    assert f"_e604d943061cfede ClusterNetworkPolicy/guard ingress[2]{wanted}"[:90] in text


# Unknown addresses on a bridge


def test_what_nobody_denies_passes_by_unknown_addresses() -> None:
    """A tier that denies lab one port leaves all others, ICMP too, to whoever it may be."""
    guard = policy("g", Tier.ADMIN, [(Action.DENY, (space("lab"),), 22)])
    own = chains(table_of(snapshot(guard, manifests=[])))
    (rule,) = own["i_unknown"].rules
    (port,) = rule.matches
    assert isinstance(port, nft.PortMatch)
    assert (port.first, port.last) == (22, 22)
    assert targets(own["i_unknown"]) == ["i_unknown_denied"]
    assert own["i_unknown_denied"].rules[-1].statements[-1] == nft.DROP


def test_what_tiers_accept_from_anybody() -> None:
    program = netpolc.compile(guarded())
    tiers = {own.tiers for own in program.combinations}
    isolated = next(own for own in tiers if own[1].tier is Tier.NETWORK_POLICY)
    assert admitted_from_anybody(isolated) == NOTHING
    opened = policy("o", Tier.ADMIN, [(Action.ACCEPT, ANY, 80), (Action.DENY, (app("db"),), 443)])
    (own,) = netpolc.compile(snapshot(opened, manifests=[])).combinations
    denied = Ranges.of([ports(Protocol.TCP, 443, 443)])
    assert admitted_from_anybody(own.tiers) == EVERY_PORT - denied


# On trial


def test_what_is_tried_denies_and_accepts_nothing() -> None:
    """By hand: source, destination, port, whether it passes, whether it would be denied."""
    own = snapshot(replace(GUARD, audited=True), replace(FLOOR, audited=True))
    program = netpolc.compile(own)
    rows = [
        ("lab/probe", "shop/api", 22, True, True),  # by guard
        ("shop/db", "shop/api", 443, True, True),  # by floor
        ("shop/db", "shop/api", 80, True, False),
        ("lab/probe", "shop/web", 9090, False, False),  # guard would accept it
        ("shop/api", "shop/web", 80, True, False),
        ("shop/db", "shop/web", 80, False, False),
    ]
    for source, destination, port, allowed, would_deny in rows:
        flow = netpolc.Flow(ADDRESSES[source], ADDRESSES[destination], "TCP", port)
        verdict = netpolc.evaluate(program, flow)
        assert (verdict.allowed, verdict.would_deny) == (allowed, would_deny), flow
    ruleset = program.ruleset("node-a")
    counters = {
        own.name.partition("_")[0] for own in ruleset.table.counters if "guard" in own.comment
    }
    assert counters == {"audit"}
    assert Proof(program, parse_text.parse(ruleset.text()), "node-a").first() == []


# Changes


def change(before: Snapshot, after: Snapshot) -> Delta:
    """What `apply` would send."""
    old, new = (netpolc.compile(own).ruleset("node-a").objects for own in (before, after))
    found = delta("netpolc", old, new)
    assert found is not None
    return found


def touched(found: Delta) -> list[tuple[str, str]]:
    """The objects and their fates, notes left aside."""
    return sorted(
        (own.name.rpartition("_")[0] or own.name, str(own.fate))
        for own in found.touched
        if not own.name.startswith("meta_")
    )


def listed(rules: Sequence[tuple[Action, str, int | None]], priority: int, name: str) -> Policy:
    made = [(action, (app(own),), port) for action, own, port in rules]
    return policy(name, Tier.ADMIN, made, subject=app("target"), priority=priority)


def two(first: int, second: int, port: int = 80) -> Snapshot:
    read = cluster([])
    return replace(
        read,
        policies=(
            listed(
                [(Action.DENY, f"a{n % 20}", port if n == 3 else 80) for n in range(20)],
                first,
                "one",
            ),
            listed([(Action.ACCEPT, "a3", 80), (Action.ACCEPT, "a4", 80)], second, "two"),
        ),
    )


def test_an_edited_rule_touches_what_its_peers_meet() -> None:
    """One port of twenty rules: what its three pods meet, and what unknown addresses do."""
    found = change(two(1, 2), two(1, 2, port=81))
    assert touched(found) == [("i", Fate.REWRITTEN), ("k", Fate.REWRITTEN)]
    assert {own.name for own in found.touched if own.name.startswith("i_")} == {"i_unknown"}
    assert (found.added, found.removed) == (0, 0)


def test_a_swapped_priority_touches_those_who_meet_both() -> None:
    """`two` comes before `one`: a3 and a4 are accepted, what leads there stays. Nobody is denied
    by the two rules any more, so these go.
    """
    found = change(two(1, 2), two(2, 1))
    fates = touched(found)
    assert ("i_admin", Fate.REWRITTEN) not in fates
    assert {name for name, _ in fates} <= {"k", "i_rule", "drop_i_rule", "m4", "m6"}
    assert not any(
        own.name.startswith(("i_", "in")) and "_rule_" not in own.name for own in found.touched
    )


def test_a_change_back_leaves_what_was() -> None:
    for seed in range(6):
        own = ordered.snapshot(Random(seed))
        *rest, last = own.policies
        other = replace(own, policies=(*rest, replace(last, priority=last.priority + 7)))
        there, back = change(own, other), change(other, own)
        assert len(there.touched) == len(back.touched)
        assert change(own, own).touched == ()
