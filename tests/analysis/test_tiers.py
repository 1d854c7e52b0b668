"""Ordered tiers in everything that reads a Program: no reader asks which kind a policy is of.

In: the cluster of `tests.helpers.tiers`, whose flows are decided by hand. Out: semantics, matcher,
list, diff, explain and check say what the hand-written rows say.
"""

from __future__ import annotations

import pytest

import netpolc
from netpolc.analysis.connectivity.changes import Changes, lines
from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.connectivity.ports import describe_ports
from netpolc.analysis.connectivity.table import Table
from netpolc.analysis.explain import explain, formats
from netpolc.analysis.explain import policy as policies
from netpolc.analysis.explain.model import RulePart
from netpolc.analysis.findings import check
from netpolc.backends.matcher import Matcher
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import ANY, Action, Direction, Policy, Tier
from netpolc.core.semantics import Flow, evaluate
from netpolc.frontends.odd import isolating
from tests.backends.matcher.agreement import check as agree
from tests.backends.matcher.agreement import evaluated, telling_rows
from tests.helpers.tiers import (
    ADDRESSES,
    FLOOR,
    FLOWS,
    GUARD,
    KIND,
    WEB,
    Row,
    app,
    guarded,
    policy,
    snapshot,
    space,
)

each_row = pytest.mark.parametrize("row", FLOWS, ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}")


def flow(source: str, destination: str, port: int) -> Flow:
    return Flow(ADDRESSES[source], ADDRESSES[destination], "TCP", port)


@each_row
def test_semantics(row: Row) -> None:
    source, destination, port, allowed, by = row
    decision = evaluate(netpolc.compile(guarded()), flow(source, destination, port)).ingress
    assert decision.allowed is allowed
    assert str(decision.rule.origin if decision.rule is not None else "") == by


def test_matcher() -> None:
    program = netpolc.compile(guarded())
    matcher = Matcher(program)
    for source, destination, port, allowed, _ in FLOWS:
        found = matcher.verdict(ADDRESSES[source], ADDRESSES[destination], "TCP", port)
        assert found is allowed, (source, destination, port)
    rows = list(telling_rows(program))
    agree(program, rows, evaluated(program, rows))


def test_list() -> None:
    """By hand: Admin cuts lab off but for 9090, db comes to web and api by 80 alone."""
    found = {
        (own.source.name, own.destination.name): describe_ports(own.ports)
        for own in Table(netpolc.compile(guarded())).connections()
        if own.source.namespace and own.destination.namespace
    }
    names = {"shop/web": "web", "shop/api": "api", "shop/db": "db", "lab/probe": "probe"}
    ends = {end for pair in found for end in pair}
    called = {name: next(end for end in ends if name in end) for name in names.values()}
    assert {
        (source, destination): found.get((called[source], called[destination]), "")
        for source, destination in (
            ("probe", "web"),
            ("probe", "api"),
            ("api", "web"),
            ("db", "web"),
            ("db", "api"),
        )
    } == {
        ("probe", "web"): "TCP 9090",
        ("probe", "api"): "TCP 9090",
        ("api", "web"): "TCP 80,443",
        ("db", "web"): "TCP 80",
        ("db", "api"): "TCP 80",
    }
    assert found[called["web"], called["api"]] == found[called["api"], called["db"]] == "all"


def explained(row: tuple[str, str, int], own: Snapshot | None = None) -> list[str]:
    """The lines about the ingress of the destination."""
    own = guarded() if own is None else own
    found = explain(netpolc.compile(own), own, flow(*row))
    text = [line.text for line in formats.text([found])]
    start = next(n for n, line in enumerate(text) if line.startswith("ingress of "))
    return [line for line in text[start:] if " | " not in line]


def test_explain_a_denial_by_a_rule() -> None:
    """What came close is what was asked before; what would have decided next is not asked."""
    assert explained(("lab/probe", "shop/api", 22)) == [
        f"ingress of shop/api: denied by {KIND}/guard ingress[2]",
        f"  {KIND}/guard judges it in the Admin tier, at guard.yaml:0:1",
        "    ingress[0] does not match: peer yes, port no, at guard.yaml:1:1",
        "    ingress[1] does not match: peer no, port no, at guard.yaml:2:1",
        "    ingress[2] denies through from[0], which decides, at guard.yaml:3:1",
        "    ingress[3] does not match: peer no, port no, at guard.yaml:4:1",
        f"  {KIND}/floor judges it in the Baseline tier, at floor.yaml:0:1",
        "    ingress[0] does not match: peer no, port yes, at floor.yaml:1:1",
        "  without that rule: allowed, every tier passed",
        "  what came close:",
        f"    {KIND}/guard ingress[0].from[0] at guard.yaml:1:1",
        "      + the pod matches",
        "      - asked for TCP port 22, the rule admits TCP port 9090",
        f"    {KIND}/guard ingress[1].from[0] at guard.yaml:2:1",
        "      + the namespace matches",
        "      - label app=api is needed, lab/probe has app=probe",
        "      - asked for TCP port 22, the rule passes on TCP port 80",
    ]


def test_explain_a_rule_that_passes() -> None:
    place = evaluate(netpolc.compile(guarded()), flow("shop/api", "shop/web", 80)).ingress.rule
    assert place is not None
    web = guarded().policies[0].origin
    assert explained(("shop/api", "shop/web", 80)) == [
        "ingress of shop/web: allowed by shop/web ingress[0]",
        f"  {KIND}/guard judges it in the Admin tier, at guard.yaml:0:1",
        "    ingress[0] does not match: peer no, port no, at guard.yaml:1:1",
        "    ingress[1] passes through from[0] to the next tier, at guard.yaml:2:1",
        "    ingress[2] does not match: peer no, port yes, at guard.yaml:3:1",
        "    ingress[3] does not match: peer no, port yes, at guard.yaml:4:1",
        f"  shop/web isolates, at {web.place()}",
        f"    ingress[0] accepts through from[0], which decides, at {place.origin.place()}",
        f"  {KIND}/floor judges it in the Baseline tier, at floor.yaml:0:1",
        "    ingress[0] does not match: peer no, port yes, at floor.yaml:1:1",
        f"  without that rule: denied, isolated, and no rule accepts (shop/web at {web.place()})",
    ]


def test_explain_what_is_not_asked_any_more() -> None:
    text = explained(("shop/db", "shop/api", 80))
    assert text[0] == f"ingress of shop/api: allowed by {KIND}/guard ingress[3]"
    later = "    ingress[0] denies through from[0], but is not asked any more, at floor.yaml:1:1"
    floor = f"denied, {KIND}/floor ingress[0] at floor.yaml:1:1"
    assert text[-2:] == [later, f"  without that rule: {floor}"]
    closed = explained(("shop/db", "shop/web", 443))
    assert closed[0] == "ingress of shop/web: denied, isolated, and no rule accepts"
    assert later in closed  # the NetworkPolicy ended it
    assert f"  without what isolates: {floor}" in closed
    assert not any("floor" in line for line in closed[closed.index("  what came close:") :])


def test_explain_several_rules_that_agree() -> None:
    twice = [(Action.DENY, (space("lab"),), None), (Action.DENY, (app("probe"),), 22)]
    own = snapshot(policy("twice", Tier.ADMIN, [*twice, (Action.ACCEPT, ANY, None)]))
    assert [line.partition(", at")[0] for line in explained(("lab/probe", "shop/api", 22), own)][
        2:5
    ] == [
        "    ingress[0] denies through from[0], which decides",
        "    ingress[1] denies through from[0] too",
        "    ingress[2] accepts, but is not asked any more",
    ]


def test_explain_for_programs() -> None:
    own = guarded()
    found = explain(netpolc.compile(own), own, flow("shop/db", "shop/api", 443))
    assert found.ingress.accepting == ()
    side = formats.document(found)["ingress"]
    assert (side["allowed"], side["rule"]) == (False, f"{KIND}/floor ingress[0]")
    rules = [
        (own["rule"], own["action"], own["part"]) for p in side["policies"] for own in p["rules"]
    ]
    assert rules == [
        (f"{KIND}/guard ingress[0]", "accept", "does not match"),
        (f"{KIND}/guard ingress[1]", "pass", "does not match"),
        (f"{KIND}/guard ingress[2]", "deny", "does not match"),
        (f"{KIND}/guard ingress[3]", "accept", "does not match"),
        (f"{KIND}/floor ingress[0]", "deny", "decides"),
    ]


def test_explain_a_policy() -> None:
    text = list(policies.text(policies.describe(guarded(), GUARD)))
    assert text[0] == f"{KIND} guard, at guard.yaml:0:1"
    said = " ".join(text[2:])
    assert "asked before every NetworkPolicy, with priority 10 in the Admin tier" in said
    assert "ingress[1] passes on TCP port 80 from" in said
    assert "ingress[2] denies every port and protocol from" in said
    floor = " ".join(policies.text(policies.describe(guarded(), FLOOR)))
    assert "asked where no NetworkPolicy isolates" in floor
    assert policies.find_policy(guarded(), f"{KIND}/floor") is not None


def test_check_raises_nothing_false() -> None:
    """No code of NetworkPolicies speaks of the others: not that of 1.6, which isolate nothing."""
    found = {(own.code, own.object) for own in check(guarded(), netpolc.compile(guarded()))}
    assert found == {
        ("NP501", "Namespace lab"),
        ("NP501", "Namespace shop"),
        ("NP502", "Namespace lab"),
        ("NP502", "Namespace shop"),
        ("NP806", f"{KIND} guard"),  # what follows its second rule is about lab and db, not api
    }


def codes(own: Snapshot) -> list[tuple[str, str, str]]:
    found = check(own, netpolc.compile(own))
    return sorted((o.code, o.object, o.field) for o in found if o.code not in ("NP501", "NP502"))


def test_check_of_what_any_policy_says() -> None:
    nobody = policy("guard", Tier.ADMIN, [(Action.DENY, ANY, None)], subject=app("gone"))
    assert codes(snapshot(nobody)) == [("NP101", f"{KIND} guard", "spec.subject")]
    gone = policy("guard", Tier.ADMIN, [(Action.DENY, (space("gone"), app("gone")), None)])
    assert codes(snapshot(gone)) == [
        ("NP102", f"{KIND} guard", "spec.ingress[0].from[1]"),
        ("NP103", f"{KIND} guard", "spec.ingress[0].from[0]"),
    ]
    opened = policy("guard", Tier.ADMIN, [(Action.ACCEPT, ANY, 80), (Action.DENY, ANY, None)])
    assert codes(snapshot(opened)) == [("NP701", f"{KIND} guard", "spec.ingress[0]")]


@pytest.mark.parametrize(
    ("action", "forgotten"), [(None, True), (Action.ACCEPT, False), (Action.DENY, True)]
)
def test_check_asks_every_tier_for_dns(action: Action | None, forgotten: bool) -> None:
    silent = {
        **WEB,
        "spec": {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{"ports": [{"port": 443}]}],
        },
    }
    first = [] if action is None else [(action, ANY, None)]
    guard = policy("guard", Tier.ADMIN, first, direction=Direction.EGRESS)
    found = codes(snapshot(guard, manifests=[silent]))
    assert any(code == "NP503" for code, _, _ in found) is forgotten


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    found = Difference(netpolc.compile(before), netpolc.compile(after))
    return [text for text, _ in lines(Changes(found.changes(), (), ()))]


def test_diff_names_rules_that_deny() -> None:
    """Added: a rule that denies. Changed: one that hands on, so that the next tier denies."""
    deny = policy("deny", Tier.BASELINE, [(Action.DENY, (app("api"),), None)], subject=app("db"))
    causes = [line.strip() for line in changes(snapshot(), snapshot(deny)) if "denied by" in line]
    assert causes == [f"ingress denied by {KIND}/deny ingress[0] (deny.yaml:1:1)"]
    causes = [line.strip() for line in changes(snapshot(deny), snapshot()) if "denied by" in line]
    assert causes == [f"ingress was denied by {KIND}/deny ingress[0] (deny.yaml:1:1)"]


def test_diff_names_what_decided_on_both_sides() -> None:
    def of(action: Action) -> Policy:
        return policy("guard", Tier.ADMIN, [(action, (app("db"),), 443)], subject=app("web"))

    def causes(before: Snapshot, after: Snapshot) -> list[str]:
        return [line.strip() for line in changes(before, after) if line.startswith("      ")]

    accept, pass_, deny = (snapshot(of(own)) for own in (Action.ACCEPT, Action.PASS, Action.DENY))
    admits = f"admitted by {KIND}/guard ingress[0] (guard.yaml:1:1)"
    assert causes(pass_, accept) == [f"ingress {admits}"]
    assert causes(accept, pass_) == [f"ingress was {admits}"]
    assert causes(accept, deny) == [
        f"ingress denied by {KIND}/guard ingress[0] (guard.yaml:1:1)",
        f"ingress was {admits}",
    ]
    assert causes(pass_, deny) == []  # the NetworkPolicy denied it before


def test_what_is_odd_never_admits_more() -> None:
    kept = isolating(GUARD)
    assert [(rule.origin.rule, rule.action, rule.peers) for rule in kept.rules] == [
        ("ingress", Action.DENY, ANY)
    ]


def test_part_of_each_answer() -> None:
    own = guarded()
    found = explain(netpolc.compile(own), own, flow("lab/probe", "shop/web", 9090)).ingress
    assert [(a.rule.origin.rule, a.part) for c in found.consulted for a in c.answers] == [
        ("ingress[0]", RulePart.DECIDES),
        ("ingress[1]", RulePart.NOT_ASKED),
        ("ingress[2]", RulePart.NOT_ASKED),
        ("ingress[3]", RulePart.NOT_ASKED),
        ("ingress[0]", RulePart.NOT_ASKED),
        ("ingress[0]", RulePart.NOT_ASKED),
    ]
    assert [rule.origin.rule for rule in found.accepting] == ["ingress[0]"]
