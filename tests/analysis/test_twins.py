"""What `check` finds by indexes is what comparing each with each finds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.analysis.findings import coverage
from netpolc.analysis.findings.coverage import meetings
from netpolc.analysis.findings.coverage.isolators import Isolators
from netpolc.analysis.findings.coverage.meetings import Meetings, ports_of
from netpolc.analysis.findings.coverage.twins import Twins
from netpolc.core.ir import (
    ANY,
    Action,
    Any_,
    Direction,
    NamedPort,
    Operator,
    Origin,
    PodPeer,
    Policy,
    Requirement,
    Rule,
    Selector,
    Tier,
)
from netpolc.core.nets import EVERYWHERE, IPV6, NOTHING, Protocol, Ranges
from netpolc.core.program import Match
from netpolc.passes.answers import PortNumbers
from tests.helpers.strategies import patient

PATIENT = patient(300)
SOURCE: Any = None
SUBJECT = PodPeer("a", Selector())
HALVES = (Ranges(((0, 1 << 31),)), EVERYWHERE - Ranges(((0, 9),)))
NETWORKS = (NOTHING, NOTHING, Ranges(((0, 9),)), Ranges(((5, 20),)), *HALVES, EVERYWHERE)
ADDRESSES = (0, 4, 5, 9, 10, 20, 21, 1 << 31, (1 << 31) + 1, IPV6, IPV6 + 7)
PODS = range(3)
PORTS = range(8)


@st.composite
def matches(draw: st.DrawFn) -> Match:
    first, last = sorted(draw(st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS))))
    ports: Ranges | Any_ = ANY if draw(st.booleans()) else Ranges(((first, last),))
    if draw(st.integers(0, 9)) == 0:
        return Match(ANY, ANY, ports)
    identities = frozenset(draw(st.sets(st.sampled_from(PODS))))
    networks = draw(st.sampled_from(NETWORKS))
    return Match(identities if identities or networks else frozenset({0}), networks, ports)


def origin(name: str, number: int | None = None) -> Origin:
    field = ("spec",) if number is None else ("spec", "ingress", number)
    return Origin("NetworkPolicy", "a", name, field, SOURCE)


def policy(name: str, rules: int = 0, **fields: Any) -> Policy:
    own = (
        Rule(Direction.INGRESS, Action.ACCEPT, ANY, ANY, origin(name, number))
        for number in range(rules)
    )
    isolates = fields.pop("isolates", frozenset({Direction.INGRESS}))
    subject = fields.pop("subject", SUBJECT)
    return Policy(Tier.NETWORK_POLICY, 0, subject, isolates, tuple(own), origin(name))


def admitted(own: list[Match]) -> set[tuple[int, str, int]]:
    """Each port with each address, and each pod, written out."""
    found = set()
    for port in PORTS:
        there = [match for match in own if port in ports_of(match)]
        spans = [EVERYWHERE if match.networks is ANY else match.networks for match in there]
        all_of_them = Ranges.of(span for networks in spans for span in networks)
        found |= {(port, "address", a) for a in ADDRESSES if a in all_of_them}
        pods = {pod for match in there if match.identities is not ANY for pod in match.identities}
        found |= {(port, "pod", pod) for pod in (PODS if all_of_them == EVERYWHERE else pods)}
        if all_of_them == EVERYWHERE:
            found.add((port, "everybody", 0))
    # A rule for every protocol admits ports that no other one names.
    everything = [match for match in own if match.ports is ANY]
    return found | ({(-1, str(admitted_on_one(everything)), 0)} if everything else set())


def admitted_on_one(everything: list[Match]) -> object:
    one = [Match(own.identities, own.networks, Ranges(((0, 0),))) for own in everything]
    return sorted(admitted(one))


@PATIENT
@given(st.lists(st.lists(matches(), max_size=4), min_size=2, max_size=6))
def test_twins_are_those_that_admit_the_same(several: list[list[Match]]) -> None:
    policies = [policy(f"p{at}", len(own)) for at, own in enumerate(several)]
    applied = [
        {
            rule.origin: [match]
            for one, own in zip(policies, several, strict=True)
            for rule, match in zip(one.rules, own, strict=True)
        }
    ]
    where = {rule: [0] for rule in applied[0]}
    expected = {}
    for at, own in enumerate(several):
        same = (n for n in range(at) if admitted(several[n]) == admitted(own))
        if (first := next(same, None)) is not None:
            expected[policies[at]] = policies[first]
    assert dict(Twins(applied, where, lambda rule: ()).among(policies)) == expected


def test_twins_may_be_written_in_two_ways() -> None:
    one = [Match(frozenset({1}), NOTHING, Ranges(((1, 4),)))]
    other = [Match(frozenset({1}), NOTHING, Ranges((own,))) for own in ((1, 2), (2, 3), (4, 4))]
    third = [*other[:2], Match(frozenset({2}), NOTHING, Ranges(((4, 4),)))]
    policies = [policy("a", 1), policy("b", 3), policy("c", 3)]
    rules = (rule.origin for own in policies for rule in own.rules)
    applied = [{rule: [match] for rule, match in zip(rules, one + other + third, strict=True)}]
    twins = Twins(applied, {rule: [0] for rule in applied[0]}, lambda rule: ())
    assert list(twins.among(policies)) == [(policies[1], policies[0])]


@PATIENT
@given(st.lists(matches(), min_size=1, max_size=12))
def test_those_that_meet_are_enough_to_tell_what_is_covered(several: list[Match]) -> None:
    rules = {origin("p", number): [match] for number, match in enumerate(several)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meetings, "FEW", 0)
        index = Meetings(rules)
        for name, [match] in rules.items():
            others = [(own, also) for own, [also] in rules.items() if own is not name]
            meeting = [(own, also) for own, also in index.of(match) if own is not name]
            found, expected = (coverage._cover(match, own) for own in (meeting, others))
            assert (found is None) == (expected is None)
            if match.identities is not ANY:  # of whom has all addresses, pods are not cited
                assert found == expected


NEEDS = [Requirement(key, Operator.IN, frozenset({value})) for key in "ab" for value in "xy"]


@st.composite
def subjects(draw: st.DrawFn) -> Policy:
    needs = frozenset(draw(st.sets(st.sampled_from(NEEDS), max_size=3)))
    subject = PodPeer(draw(st.sampled_from("ab")), Selector(needs))
    isolates = frozenset(draw(st.sets(st.sampled_from(Direction), min_size=1)))
    name = f"p{draw(st.integers(0, 999))}"
    return policy(name, draw(st.integers(0, 1)), subject=subject, isolates=isolates)


@PATIENT
@given(st.lists(subjects(), min_size=1, max_size=10), st.data())
def test_the_first_that_isolates_the_same_pods(policies: list[Policy], data: st.DataObject) -> None:
    index = Isolators(policies)
    left = list(policies)
    for asked in data.draw(st.permutations(policies)):
        cited = data.draw(st.lists(st.sampled_from(policies), max_size=3))
        for direction in sorted(asked.isolates):
            order = [own for own in cited if own in left] + left
            expected = next((own for own in order if isolates(own, asked, direction)), None)
            assert index.of(asked, direction, cited, denies=not asked.rules) is expected
        if data.draw(st.booleans()):
            left.remove(asked)
            index.remove(asked)


def isolates(other: Policy, asked: Policy, direction: Direction) -> bool:
    return (
        other is not asked
        and direction in other.isolates
        and other.subject.namespaces == asked.subject.namespaces
        and other.subject.pods.requirements <= asked.subject.pods.requirements
        and (bool(asked.rules) or not other.rules)
    )


LISTS = st.lists(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from((6, 17)), st.integers(1, 5))),
    max_size=6,
)


@PATIENT
@given(LISTS, st.sets(st.integers(0, 5)))
def test_numbers_behind_a_name(lists: list[list[tuple[str, int, int]]], members: set[int]) -> None:
    index = PortNumbers(map(tuple, lists))
    for name in "abc":
        expected = {
            number
            for member, ports in enumerate(lists)
            if member in members
            for called, protocol, number in ports
            if (called, protocol) == (name, 6)
        }
        found = index.behind(NamedPort(Protocol.TCP, name), frozenset(members))
        assert found == sorted(expected)
