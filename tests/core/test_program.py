"""`Program.verify` refuses every kind of broken Program, and matches mean what they say.

In: Programs made by hand, each with one invariant broken. Out: `InvariantError` that names it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from netpolc.core.cluster import Cluster
from netpolc.core.ir import ANY, Action, Direction, Origin, Tier
from netpolc.core.nets import NOTHING, PORTS, Protocol, Ranges, ports
from netpolc.core.program import (
    Combination,
    Identity,
    InvariantError,
    Match,
    Program,
    ResolvedRule,
    Run,
    Stage,
    joined_runs,
    runs_of,
)


class Nowhere:
    """A source without a file."""

    def place(self, elements: Sequence[str | int] = (), at_key: bool = False) -> str:
        return "nowhere"

    def excerpt(self, elements: Sequence[str | int] = ()) -> tuple[tuple[int, str], ...]:
        return ()


ORIGIN = Origin("NetworkPolicy", "default", "p", ("spec", "ingress", 0), Nowhere())
TCP_80 = Ranges.of([ports(Protocol.TCP, 80, 80)])
MATCH = Match(frozenset((0,)), Ranges.of([(1, 5), (7, 9)]), TCP_80)
RULE = ResolvedRule(MATCH, Action.ACCEPT, ORIGIN)
TIER = Stage.of(Tier.NETWORK_POLICY, (RULE,), Action.DENY, (ORIGIN,))
COMBINATION = Combination(Direction.INGRESS, frozenset((0,)), (TIER,))
IDENTITIES = (Identity(0, (), ()), Identity(1, (), ()))


def program(*combinations: Combination, identities: tuple[Identity, ...] = IDENTITIES) -> Program:
    return Program(Cluster({}, {}, ()), identities, combinations)


def stage(*rules: ResolvedRule, tier: Tier = Tier.NETWORK_POLICY) -> Stage:
    return Stage.of(tier, rules, Action.DENY, (ORIGIN,))


def with_match(match: Match) -> Program:
    return program(replace(COMBINATION, tiers=(stage(replace(RULE, match=match)),)))


def test_a_good_program_passes() -> None:
    egress = replace(COMBINATION, direction=Direction.EGRESS)
    program(COMBINATION, egress, replace(COMBINATION, subjects=frozenset((1,)))).verify()
    program().verify()
    with_match(Match(ANY, ANY, ANY)).verify()
    with_match(Match(frozenset(), NOTHING, Ranges.of([ports(Protocol.SCTP)]))).verify()


def test_identities_are_numbered_in_order() -> None:
    for broken in ((Identity(1, (), ()),), (*reversed(IDENTITIES),), (IDENTITIES[0],) * 2):
        with pytest.raises(InvariantError, match="numbered in order"):
            program(identities=broken).verify()


def test_one_combination_judges_an_identity_in_a_direction() -> None:
    again = replace(COMBINATION, subjects=frozenset((0, 1)))
    for broken in ((COMBINATION, again), (replace(COMBINATION, subjects=frozenset()),)):
        with pytest.raises(InvariantError, match="one combination per identity"):
            program(*broken).verify()


def test_subjects_exist() -> None:
    with pytest.raises(InvariantError, match="subjects exist"):
        program(replace(COMBINATION, subjects=frozenset((2,)))).verify()


def test_tiers_are_in_order() -> None:
    admin, baseline = (
        replace(TIER, tier=Tier.ADMIN),
        replace(TIER, tier=Tier.BASELINE),
    )
    program(replace(COMBINATION, tiers=(admin, TIER, baseline))).verify()
    for broken in ((), (TIER, admin), (TIER, TIER), (baseline, TIER)):
        with pytest.raises(InvariantError, match="tiers are in order"):
            program(replace(COMBINATION, tiers=broken)).verify()


@pytest.mark.parametrize("action", [Action.DENY, Action.PASS])
def test_network_policy_only_accepts(action: Action) -> None:
    rule = replace(RULE, action=action)
    for rules in ((rule,), (RULE, rule), (rule, RULE)):
        with pytest.raises(InvariantError, match="NetworkPolicy only accepts"):
            program(replace(COMBINATION, tiers=(stage(*rules),))).verify()
        program(replace(COMBINATION, tiers=(stage(*rules, tier=Tier.ADMIN),))).verify()


def test_a_stage_is_cut_where_the_action_changes() -> None:
    deny, pass_ = (replace(RULE, action=own) for own in (Action.DENY, Action.PASS))
    rules = (RULE, RULE, deny, pass_, pass_, RULE)
    own = stage(*rules, tier=Tier.ADMIN)
    assert [(run.action.name, len(run.rules)) for run in own.runs] == [
        ("ACCEPT", 2),
        ("DENY", 1),
        ("PASS", 2),
        ("ACCEPT", 1),
    ]
    assert own.rules == rules
    assert stage().runs == ()
    assert stage().rules == ()


def test_runs_are_of_one_action_and_as_long_as_can_be() -> None:
    deny = replace(RULE, action=Action.DENY)
    for runs, invariant in (
        ((Run(Action.DENY, (deny, RULE)),), "a run has one action"),
        ((Run(Action.ACCEPT, (deny,)),), "a run has one action"),
        ((Run(Action.DENY, (deny,)), Run(Action.DENY, (deny,))), "runs differ in action"),
        ((Run(Action.DENY, ()),), "runs have rules"),
    ):
        broken = replace(stage(tier=Tier.ADMIN), runs=runs)
        with pytest.raises(InvariantError, match=invariant):
            program(replace(COMBINATION, tiers=(broken,))).verify()


def test_any_peer_is_any_address() -> None:
    for match in (replace(MATCH, identities=ANY), replace(MATCH, networks=ANY)):
        with pytest.raises(InvariantError, match="any peer is any address"):
            with_match(match).verify()


def test_peers_exist() -> None:
    with pytest.raises(InvariantError, match="peers exist"):
        with_match(replace(MATCH, identities=frozenset((0, 2)))).verify()


@pytest.mark.parametrize("spans", [((5, 1),), ((1, 2), (3, 4)), ((3, 4), (1, 2)), ((1, 3), (3, 4))])
def test_networks_are_canonical(spans: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(InvariantError, match="networks are canonical"):
        with_match(replace(MATCH, networks=Ranges(spans))).verify()


@pytest.mark.parametrize(
    "spans",
    [
        ((6 << 16, 17 << 16),),
        ((1 << 16, 1 << 16 | 80),),
        ((6 << 16 | 80, 6 << 16 | 79),),
        ((6 << 16 | 80, 6 << 16 | 80), (6 << 16 | 81, 6 << 16 | 81)),
    ],
    ids=["two protocols", "ICMP", "backwards", "not merged"],
)
def test_ports_are_canonical(spans: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(InvariantError, match="ports are canonical"):
        with_match(replace(MATCH, ports=Ranges(spans))).verify()


def test_a_rule_in_two_combinations_is_checked_in_each_tier() -> None:
    broken = replace(RULE, match=replace(MATCH, identities=frozenset((9,))))
    other = replace(COMBINATION, subjects=frozenset((1,)), tiers=(stage(broken),))
    with pytest.raises(InvariantError, match="peers exist"):
        program(COMBINATION, other).verify()


def test_what_is_isolated_is_not_tried() -> None:
    tried = dataclasses.replace(program(), tried=(COMBINATION,))
    tried.verify()
    assert tried.combination_of == {}
    with pytest.raises(InvariantError, match="what is isolated is not tried"):
        dataclasses.replace(tried, combinations=(COMBINATION,)).verify()
    with pytest.raises(InvariantError, match="subjects exist"):
        dataclasses.replace(tried, tried=(replace(COMBINATION, subjects=frozenset((2,))),)).verify()


def test_what_a_match_includes() -> None:
    assert MATCH.has_peer(0, 100)
    assert MATCH.has_peer(None, 7)
    assert MATCH.has_peer(1, 5)
    assert not MATCH.has_peer(1, 6)
    assert not MATCH.has_peer(None, 6)
    assert MATCH.has_port(6, 80)
    assert not MATCH.has_port(17, 80)
    assert not MATCH.has_port(6, 81)
    assert not MATCH.has_port(1, None)
    anybody = Match(ANY, ANY, ANY)
    assert anybody.has_peer(None, 0)
    assert anybody.has_port(1, None)
    every_tcp = replace(MATCH, ports=Ranges.of([ports(Protocol.TCP)]))
    assert every_tcp.has_port(6, 0)
    assert every_tcp.has_port(6, PORTS - 1)
    assert not every_tcp.has_port(1, None)


ACTIONS = st.lists(st.sampled_from(Action), max_size=6)


@given(st.lists(ACTIONS, max_size=5))
def test_runs_behind_each_other_are_those_of_all_their_rules(several: list[list[Action]]) -> None:
    lists = [[replace(RULE, action=action) for action in actions] for actions in several]
    found = joined_runs(runs_of(rules) for rules in lists)
    assert [rule for run in found for rule in run.rules] == [r for rules in lists for r in rules]
    actions = [run.action for run in found]
    assert all(before is not after for before, after in pairwise(actions))
    assert all(rule.action is run.action for run in found for rule in run.rules)


def test_a_broken_run_that_stages_share_is_found() -> None:
    shared = Run(Action.PASS, (replace(RULE, action=Action.DENY),))
    tiers = [Stage(tier, (shared,), Action.PASS, ()) for tier in (Tier.ADMIN, Tier.BASELINE)]
    with pytest.raises(InvariantError, match="one action"):
        program(replace(COMBINATION, tiers=tuple(tiers))).verify()
