"""Whatever stages there are, sets of flows agree with the semantics, flow by flow.

In: random stages over four pods. Out: matcher, reach, candidates and what an unknown pod gets, as
`core.semantics` says of single flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.analysis.connectivity.candidates import Candidates
from netpolc.analysis.connectivity.reach import Reach
from netpolc.analysis.connectivity.table import Table
from netpolc.core.cluster import Cluster, Pod
from netpolc.core.ir import ANY, Action, Direction, Origin, Tier
from netpolc.core.nets import NOTHING, Ranges, format_address, parse_address, parse_cidr, ports
from netpolc.core.program import Combination, Identity, Match, ResolvedRule, Stage
from netpolc.core.semantics import Flow, Reason, decide_unknown, evaluate
from tests.backends.matcher.agreement import check as agree
from tests.backends.matcher.agreement import evaluated, telling_rows
from tests.helpers.tiers import guarded


class Nowhere:
    def place(self, elements: object = (), at_key: bool = False) -> str:
        return "nowhere:1:1"

    def excerpt(self, elements: object = ()) -> tuple[tuple[int, str], ...]:
        return ()


ORIGIN = Origin("Test", "", "test", (), Nowhere())
PODS = [
    Pod("default", f"p{n}", {}, (parse_address(f"10.0.0.{n}"),), "", (), False, (), ORIGIN)
    for n in range(4)
]
PORTS = (80, 81, 82)
BLOCKS = ("10.0.0.0/31", "10.0.0.2/32", "192.0.2.0/24")


@st.composite
def rules(draw: st.DrawFn, actions: Iterable[Action]) -> ResolvedRule:
    action = draw(st.sampled_from(list(actions)))
    own = draw(st.sets(st.sampled_from(PORTS)))
    numbers = Ranges.of(ports(6, port, port) for port in own) if own else ANY
    if draw(st.integers(0, 4)) == 0:
        return ResolvedRule(Match(ANY, ANY, numbers), action, ORIGIN)
    peers = draw(st.frozensets(st.integers(0, 3), min_size=1))
    blocks = draw(st.sets(st.sampled_from(BLOCKS), max_size=1))
    networks = Ranges.of(map(parse_cidr, blocks)) if blocks else NOTHING
    return ResolvedRule(Match(peers, networks, numbers), action, ORIGIN)


@st.composite
def combinations(draw: st.DrawFn, direction: Direction, subjects: frozenset[int]) -> Combination:
    stages = []
    for tier in Tier:
        if tier is Tier.NETWORK_POLICY:
            own = draw(st.lists(rules([Action.ACCEPT]), max_size=3))
            default = Action.DENY
        else:
            own = draw(st.lists(rules(Action), max_size=6))
            default = Action.PASS
        if draw(st.booleans()):
            stages.append(Stage.of(tier, own, default, (ORIGIN,)))
    if not stages:
        stages = [Stage.of(Tier.ADMIN, [], Action.PASS, (ORIGIN,))]
    return Combination(direction, subjects, tuple(stages))


@st.composite
def programs(draw: st.DrawFn) -> netpolc.Program:
    made = [
        draw(combinations(direction, subjects))
        for direction in Direction
        for subjects in (frozenset((0, 1)), frozenset((2,)))
    ]
    identities = tuple(Identity(number, (pod,), ()) for number, pod in enumerate(PODS))
    program = netpolc.Program(Cluster({}, {}, tuple(PODS)), identities, tuple(made))
    program.verify()
    return program


@given(programs())
def test_matcher_agrees_with_the_semantics(program: netpolc.Program) -> None:
    rows = list(telling_rows(program))
    agree(program, rows, evaluated(program, rows))


@given(programs())
def test_reach_agrees_with_the_semantics(program: netpolc.Program) -> None:
    """The ports of every pair, who decides each, and no pair with a connection left out."""
    reach = Reach(program)
    outside = parse_address("192.0.2.7")
    places = {pod.addresses[0]: reach.places.at(n, pod.addresses[0]) for n, pod in enumerate(PODS)}
    places[outside] = reach.places.at(None, outside)
    for source, destination in product(places, repeat=2):
        if source == destination:
            continue
        admitted = reach.ports(places[source], places[destination])
        for port in (*PORTS, 83):
            own = Flow(format_address(source), format_address(destination), "TCP", port)
            verdict, number = evaluate(program, own), ports(6, port, port)[0]
            assert (number in admitted) is verdict.allowed
            for decision, subject, peer in (
                (verdict.egress, source, destination),
                (verdict.ingress, destination, source),
            ):
                ruling = reach.admission(decision.direction, places[subject], places[peer])
                decided = ruling.ruling(number)
                assert (decided.action is Action.ACCEPT) is decision.allowed
                first = [rule for rule, own in ruling.deciding if number in own]
                assert tuple(own for own in first if own.action is not Action.PASS) == decided.rules
                if decision.rule is None:
                    assert decided.rules == ()
                else:
                    assert decided.rules[0] is decision.rule
                    assert {rule.action for rule in decided.rules} == {decision.rule.action}


@given(programs())
def test_an_unknown_pod_gets_what_any_of_them_would(program: netpolc.Program) -> None:
    """Allowed only if every pod, whoever the peer is, would get it; a NetworkPolicy alone decides
    nothing else than before.
    """
    for direction, port in product(Direction, (*PORTS, 83)):
        own = Flow("fe80::1", "fe80::2", "TCP", port)
        decision = decide_unknown(program, direction, PODS, own)
        verdicts = []
        for pod, peer in product(
            PODS, (*(p.addresses[0] for p in PODS), parse_address("192.0.2.7"))
        ):
            if peer != pod.addresses[0]:
                ends = pod.addresses[0], peer
                one, other = ends if direction is Direction.EGRESS else ends[::-1]
                asked = Flow(format_address(one), format_address(other), "TCP", port)
                verdict = evaluate(program, asked)
                side = verdict.egress if direction is Direction.EGRESS else verdict.ingress
                verdicts.append(side.allowed)
        if decision.allowed:
            assert all(verdicts)
        assert decision.reason in (Reason.NOT_ISOLATED, Reason.ANYBODY, Reason.UNKNOWN)


def test_candidates_of_an_admin_tier_are_those_it_accepts() -> None:
    """web is isolated, so only whom a rule accepts is worth asking; api is not."""
    table = Table(netpolc.compile(guarded()))
    parties = table.parties
    candidates = Candidates(table.reach, parties)
    number = {party.name.rpartition("/")[2]: n for n, party in enumerate(parties)}
    web, api = (
        next(n for name, n in number.items() if name.startswith(own)) for own in ("web", "api")
    )
    to_web = {parties[n].name for n in range(len(parties)) if web in candidates.destinations(n)}
    assert {name.partition("[")[0] for name in to_web} == {"shop/api", "shop/db", "lab/probe"}
    assert all(api in candidates.destinations(n) for n in range(len(parties)))
