"""The slow semantics and the independent reference give the same verdict on every flow."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given, note, settings

import netpolc
from netpolc.passes import resolve
from tests.helpers import reference
from tests.helpers.strategies import (
    Flow,
    interesting_flows,
    legacy_snapshots,
    patient,
    snapshots,
    snapshots_with_flows,
)

Manifest = dict[str, Any]
Semantics = Literal["current", "v1.6"]

PATIENT = patient(150)
SWEEP = 1000


def _agree(objects: list[Manifest], drawn: list[Flow], semantics: Semantics = "current") -> None:
    """The drawn flows first, so that a failure shrinks to one of them where it can."""
    program = netpolc.compile(netpolc.load_objects(objects, semantics=semantics))
    for flow in [*drawn, *interesting_flows(objects, SWEEP)]:
        verdict = netpolc.evaluate(program, netpolc.Flow(*flow))
        expected = reference.allowed(objects, *flow, semantics)
        if verdict.allowed is not expected:
            note(f"{flow}: {verdict}")
        assert verdict.allowed is expected, flow


@PATIENT
@given(snapshots_with_flows())
def test_current_semantics(case: tuple[list[Manifest], list[Flow]]) -> None:
    objects, flows = case
    _agree(objects, flows)


@settings(PATIENT, max_examples=100)
@given(snapshots_with_flows(snapshots(peers=["pods", "block"], ports=["name"])))
def test_named_ports(case: tuple[list[Manifest], list[Flow]]) -> None:
    """Apart, because a flow must meet a number and a protocol exactly to show a difference."""
    objects, flows = case
    _agree(objects, flows)


@settings(PATIENT, max_examples=100)
@given(snapshots_with_flows(snapshots(peers=["pods", "block"], ports=["name"])))
def test_named_ports_of_large_policies(case: tuple[list[Manifest], list[Flow]]) -> None:
    """Where a pod that one rule admits by a name is not repeated by the rules after it."""
    objects, flows = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolve, "MOST_PAIRS", 0)
        _agree(objects, flows)


@settings(PATIENT, max_examples=100)
@given(snapshots_with_flows(legacy_snapshots()))
def test_semantics_of_1_6(case: tuple[list[Manifest], list[Flow]]) -> None:
    objects, flows = case
    _agree(objects, flows, "v1.6")


@settings(PATIENT, max_examples=50)
@given(snapshots_with_flows(legacy_snapshots(lower_case=False)))
def test_legacy_manifests_today(case: tuple[list[Manifest], list[Flow]]) -> None:
    """The same objects under today's semantics: the annotation has no effect, ``[]`` is all."""
    objects, flows = case
    _agree(objects, flows)


@settings(PATIENT, max_examples=50)
@given(snapshots())
def test_order_of_objects_is_nothing(objects: list[Manifest]) -> None:
    forward = netpolc.compile(netpolc.load_objects(objects))
    backward = netpolc.compile(netpolc.load_objects(objects[::-1]))
    for flow in interesting_flows(objects, SWEEP):
        asked = netpolc.Flow(*flow)
        assert (
            netpolc.evaluate(forward, asked).allowed is netpolc.evaluate(backward, asked).allowed
        ), flow
