"""What an explanation cites is what decides: without it the verdict is another.

In: generated snapshots and flows. Out: the verdict of the slow semantics after the cited rules and
policies were taken out of the manifests, or after a near miss was mended in them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Literal

from hypothesis import event, given, settings

import netpolc
from netpolc.analysis.explain import Explanation, Side, explain_all
from netpolc.analysis.explain.misses import misses
from netpolc.core.ir import Direction, Origin
from netpolc.core.semantics import Reason
from tests.helpers.reference import ANNOTATION
from tests.helpers.strategies import (
    Flow,
    legacy_snapshots,
    patient,
    snapshots,
    snapshots_with_flows,
)

Manifest = dict[str, Any]
Semantics = Literal["current", "v1.6"]
PATIENT = patient(60)
PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}
Case = tuple[list[Manifest], list[Flow]]


def explained(
    objects: list[Manifest], flows: Iterable[Flow], semantics: Semantics
) -> list[Explanation]:
    snapshot = netpolc.load_objects(objects, semantics=semantics)
    asked = (netpolc.Flow(*flow) for flow in flows)
    return list(explain_all(netpolc.compile(snapshot), snapshot, asked))


def passes(objects: list[Manifest], side: Side, flow: netpolc.Flow, semantics: Semantics) -> bool:
    """Whether that direction allows the flow, by the slow semantics alone."""
    program = netpolc.compile(netpolc.load_objects(objects, semantics=semantics))
    verdict = netpolc.evaluate(program, flow)
    return (verdict.ingress if side.direction is Direction.INGRESS else verdict.egress).allowed


def find(objects: list[Manifest], origin: Origin) -> Manifest:
    """The manifest an origin is in."""
    for item in objects:
        metadata = item["metadata"]
        namespace = "" if item["kind"] == "Namespace" else metadata.get("namespace", "default")
        if (item["kind"], namespace, metadata["name"]) == (
            origin.kind, origin.namespace, origin.name,
        ):  # fmt: skip
            return item
    raise AssertionError(f"{origin} cites nothing that is there")


def without_rules(
    objects: list[Manifest], origins: Iterable[Origin], semantics: Semantics
) -> list[Manifest]:
    """The manifests less some rules; what the policies isolate stays as it was."""
    less = copy.deepcopy(objects)
    for item in less:
        if item["kind"] == "NetworkPolicy" and semantics == "current":
            spec = item["spec"]
            default = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
            spec["policyTypes"] = spec.get("policyTypes") or default
    # From the end of a list, so that the numbers of the others stay.
    for origin in sorted(origins, key=lambda o: str(o.field[-1]).rjust(9), reverse=True):
        _, way, number = origin.field
        del find(less, origin)["spec"][way][number]
    return less


def without_policies(objects: list[Manifest], origins: Iterable[Origin]) -> list[Manifest]:
    less = copy.deepcopy(objects)
    for origin in origins:
        item = find(less, origin)
        if item["kind"] == "Namespace":
            del item["metadata"]["annotations"][ANNOTATION]
        else:
            less.remove(item)
    return less


def _citations_decide(case: Case, semantics: Semantics = "current") -> None:
    objects, flows = case
    for explanation in explained(objects, flows[:8], semantics):
        flow = explanation.flow
        for side in explanation.sides:
            event(str(side.decision.reason))
            if side.decision.reason is Reason.RULE:
                cited = [rule.origin for rule in side.accepting]
                assert not passes(without_rules(objects, cited, semantics), side, flow, semantics)
                for kept in cited[:2]:
                    others = [origin for origin in cited if origin is not kept]
                    assert passes(without_rules(objects, others, semantics), side, flow, semantics)
            elif side.decision.reason is Reason.NO_RULE:
                cited = [policy.origin for policy in side.isolating]
                assert passes(without_policies(objects, cited), side, flow, semantics)
                for kept in cited[:2]:
                    others = [origin for origin in cited if origin is not kept]
                    assert not passes(without_policies(objects, others), side, flow, semantics)
            else:
                assert not side.accepting
                assert not side.isolating


@PATIENT
@given(snapshots_with_flows())
def test_what_is_cited_decides(case: Case) -> None:
    _citations_decide(case)


@settings(PATIENT, max_examples=30)
@given(snapshots_with_flows(legacy_snapshots()))
def test_what_is_cited_decides_under_the_semantics_of_1_6(case: Case) -> None:
    _citations_decide(case, "v1.6")


def mended(objects: list[Manifest], side: Side, number: int) -> list[Manifest]:
    """The manifests where the rule of a near miss asks no more for what the miss says was missing:
    without its peers, without its ports, or without either.
    """
    miss = side.misses[number]
    changed = copy.deepcopy(objects)
    _, way, at = miss.rule.origin.field
    rule = find(changed, miss.rule.origin)["spec"][way][at]
    for missing, field in (
        (any(not gap.is_of_port for gap in miss.gaps), PEERS[miss.rule.direction]),
        (any(gap.is_of_port for gap in miss.gaps), "ports"),
    ):
        if missing:
            rule.pop(field, None)
    return changed


def _misses_are_true(case: Case, semantics: Semantics = "current") -> None:
    objects, flows = case
    cluster = netpolc.load_objects(objects, semantics=semantics).cluster
    for explanation in explained(objects, flows, semantics):
        flow = explanation.flow
        destination = explanation.ingress.subject
        for side in explanation.sides:
            for answer in (a for policy in side.consulted for a in policy.answers):
                found = list(misses(answer.rule, side.peer, destination, flow, cluster))
                assert any(not miss.gaps for miss in found) is answer.matched
            distances = [miss.distance for miss in side.misses]
            assert distances == sorted(distances)
            for number in range(min(len(distances), 2)):
                changed = mended(objects, side, number)
                assert passes(changed, side, flow, semantics), side.misses[number]


@PATIENT
@given(snapshots_with_flows(snapshots()))
def test_what_came_close_came_as_close_as_is_said(case: Case) -> None:
    _misses_are_true(case)


@settings(PATIENT, max_examples=30)
@given(snapshots_with_flows(snapshots(peers=["pods", "block"], ports=["name", "number"])))
def test_what_came_close_with_port_names(case: Case) -> None:
    _misses_are_true(case)


@settings(PATIENT, max_examples=30)
@given(snapshots_with_flows(legacy_snapshots()))
def test_what_came_close_under_the_semantics_of_1_6(case: Case) -> None:
    _misses_are_true(case, "v1.6")
