"""The difference of two snapshots, applied to the flows of the one, gives those of the other."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.analysis.connectivity.difference import Change, ChangeKind, Difference
from netpolc.analysis.connectivity.difference.pairing import Counterparts
from netpolc.core.nets import family
from netpolc.core.semantics import Reason
from tests.helpers.cluster_strategies import KEYS
from tests.helpers.strategies import Flow, interesting_flows, patient, snapshots

Manifest = dict[str, Any]
PATIENT = patient(60)
SWEEP = 300
UNJUDGED = {Reason.SELF, Reason.NODE}


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[Manifest], list[Manifest]]:
    """A snapshot, and the same after some policies went and some pods changed a label."""
    old = draw(snapshots())
    new = []
    for manifest in copy.deepcopy(old):
        if manifest["kind"] == "NetworkPolicy" and draw(st.integers(0, 2)) == 0:
            continue
        if manifest["kind"] == "Pod" and draw(st.integers(0, 3)) == 0:
            labels = manifest["metadata"].get("labels") or {}
            changed = {**labels, draw(st.sampled_from(KEYS)): "changed"}
            manifest["metadata"]["labels"] = changed
        new.append(manifest)
    return (old, new) if draw(st.booleans()) else (new, old)


def end_at(program: netpolc.Program, address: int) -> str:
    pod = program.pods_by_address.get(address)
    return pod.key if pod is not None else "outside"


def has(pair: Counterparts, address: int) -> bool:
    pods = (*pair.old.pods, *pair.new.pods)
    if not pair.new.is_outside:
        return any(address in pod.addresses for pod in pods)
    return address in pair.new.addresses


def applied(changes: list[Change], flow: netpolc.Flow, before: bool, outside: set[int]) -> bool:
    """What a flow becomes, from what it was and the changes alone."""
    number = flow.protocol << 16 | (flow.port or 0)
    found = [
        change
        for change in changes
        if family(flow.source) in change.families
        and all(
            has(pair, end) and pair.new.is_outside is (end in outside)
            for pair, end in ((change.source, flow.source), (change.destination, flow.destination))
        )
    ]
    assert len(found) <= 1, "changes overlap"
    for change in found:
        assert (number in change.old) is before
        return number in change.new
    return before


@PATIENT
@given(edited())
def test_applied_to_the_old_flows(case: tuple[list[Manifest], list[Manifest]]) -> None:
    old, new = (netpolc.compile(netpolc.load_objects(objects)) for objects in case)
    changes = Difference(old, new).changes()
    flows: list[Flow] = [f for objects in case for f in interesting_flows(objects, SWEEP)]
    for row in flows:
        flow = netpolc.Flow(*row)
        before, after = netpolc.evaluate(old, flow), netpolc.evaluate(new, flow)
        ends = flow.source, flow.destination
        if any(end_at(old, end) != end_at(new, end) for end in ends):
            continue
        if {before.egress.reason, before.ingress.reason} & UNJUDGED:
            continue
        outside = {end for end in ends if end_at(old, end) == "outside"}
        if len(outside) == len(set(ends)):
            continue
        assert applied(changes, flow, before.allowed, outside) is after.allowed, row


@PATIENT
@given(edited())
def test_there_and_back_again(case: tuple[list[Manifest], list[Manifest]]) -> None:
    old, new = (netpolc.compile(netpolc.load_objects(objects)) for objects in case)
    mirrored = {
        ChangeKind.ADDED: ChangeKind.REMOVED,
        ChangeKind.REMOVED: ChangeKind.ADDED,
        ChangeKind.CHANGED: ChangeKind.CHANGED,
    }
    there, back = Difference(old, new).changes(), Difference(new, old).changes()
    assert [(c.source.name, c.destination.name, c.kind, c.old, c.new) for c in there] == [
        (c.source.name, c.destination.name, mirrored[c.kind], c.new, c.old) for c in back
    ]


@PATIENT
@given(edited())
def test_examples_are_flows_whose_verdict_changed(
    case: tuple[list[Manifest], list[Manifest]],
) -> None:
    old, new = (netpolc.compile(netpolc.load_objects(objects)) for objects in case)
    for change in Difference(old, new).changes():
        assert change.examples
        for example in change.examples:
            for version in change.families:
                ends = [
                    _address(new, end, version) for end in (example.source, example.destination)
                ]
                if None in ends or ends[0] == ends[1]:
                    continue  # a replica that is not there, or of no address in this family
                flow = netpolc.Flow(ends[0] or "", ends[1] or "", example.protocol, example.port)
                verdicts = [netpolc.evaluate(program, flow) for program in (old, new)]
                if {verdicts[1].egress.reason, verdicts[1].ingress.reason} & UNJUDGED:
                    continue
                assert [verdict.allowed for verdict in verdicts] == [
                    not example.allowed,
                    example.allowed,
                ]
                assert example.causes


def _address(program: netpolc.Program, end: str, version: int) -> str | None:
    if "/" not in end:
        return end if (":" in end) is (version == 6) else None
    (pod,) = [pod for pod in program.cluster.pods if pod.key == end]
    own = [a for a in pod.addresses if family(a) == version]
    return netpolc.core.nets.format_address(own[0]) if own else None


@PATIENT
@given(snapshots(), st.randoms(use_true_random=False))
def test_the_same_in_other_words(objects: list[Manifest], random: Any) -> None:
    shuffled = copy.deepcopy(objects)
    random.shuffle(shuffled)
    for manifest in shuffled:
        if manifest["kind"] == "NetworkPolicy":
            manifest["metadata"]["name"] += "-renamed"
    old, new = (netpolc.compile(netpolc.load_objects(o)) for o in (objects, shuffled))
    found = Difference(old, new)
    assert found.changes() == []
    assert found.new_workloads == found.lost_workloads == []
