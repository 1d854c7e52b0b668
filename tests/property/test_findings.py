"""What is said to add nothing can go, one by one and all at once, and no verdict changes."""

from __future__ import annotations

import copy
import re
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.analysis.findings import Finding, check
from tests.helpers.strategies import interesting_flows, legacy_snapshots, patient, snapshots

Manifest = dict[str, Any]
Semantics = Literal["current", "v1.6"]
USELESS = {"NP301", "NP302", "NP303"}
PATIENT = patient(100)
_RULE = re.compile(r"spec\.(ingress|egress)\[(\d+)\]")


@st.composite
def with_copies(draw: st.DrawFn, source: st.SearchStrategy[list[Manifest]]) -> list[Manifest]:
    """A snapshot in which some policies are there again, so that they cover each other."""
    objects = draw(source)
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    for number, item in enumerate(policies):
        if draw(st.booleans()):
            again = copy.deepcopy(item)
            again["metadata"]["name"] = f"copy-{number}"
            objects.append(again)
    return objects


def verdicts(objects: list[Manifest], flows: list[Any], semantics: Semantics) -> list[bool]:
    program = netpolc.compile(netpolc.load_objects(objects, semantics=semantics))
    return [netpolc.evaluate(program, netpolc.Flow(*flow)).allowed for flow in flows]


def without(objects: list[Manifest], findings: list[Finding]) -> list[Manifest]:
    """The manifests less the rules and policies of the findings."""
    policies = {found.object for found in findings if not found.field}
    rules = {(found.object, found.field) for found in findings}
    kept = []
    for item in copy.deepcopy(objects):
        metadata = item["metadata"]
        name = f"{item['kind']} {metadata.get('namespace', 'default')}/{metadata['name']}"
        if name in policies:
            continue
        for way in ("ingress", "egress"):
            for number in reversed(range(len(item.get("spec", {}).get(way) or []))):
                if (name, f"spec.{way}[{number}]") in rules:
                    del item["spec"][way][number]
        kept.append(item)
    return kept


def _removable(objects: list[Manifest], semantics: Semantics) -> None:
    snapshot = netpolc.load_objects(objects, semantics=semantics)
    findings = [f for f in check(snapshot, netpolc.compile(snapshot)) if f.code in USELESS]
    assert all(not f.field or _RULE.fullmatch(f.field) for f in findings)
    flows = interesting_flows(objects, 300)
    before = verdicts(objects, flows, semantics)
    for gone in ([], *([found] for found in findings[:4])):
        less = without(objects, gone or findings)
        assert len(str(less)) < len(str(objects)) or not findings
        assert verdicts(less, flows, semantics) == before, gone or findings


@PATIENT
@given(with_copies(snapshots()))
def test_current_semantics(objects: list[Manifest]) -> None:
    _removable(objects, "current")


@settings(PATIENT, max_examples=50)
@given(with_copies(legacy_snapshots()))
def test_semantics_of_1_6(objects: list[Manifest]) -> None:
    _removable(objects, "v1.6")


@settings(PATIENT, max_examples=50)
@given(snapshots())
def test_a_copy_is_a_duplicate(objects: list[Manifest]) -> None:
    """Of every policy that is there twice one is found, whatever it says."""
    copies = []
    for item in objects:
        if item["kind"] == "NetworkPolicy":
            again = copy.deepcopy(item)
            again["metadata"]["name"] += "-copy"
            copies.append(again)
    snapshot = netpolc.load_objects(objects + copies)
    found = check(snapshot, netpolc.compile(snapshot))
    assert sum(f.code == "NP303" for f in found) >= len(copies)
