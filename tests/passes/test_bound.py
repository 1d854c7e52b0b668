"""Policies that become too much: they isolate and admit nothing, and nobody else notices.

In: small snapshots and small bounds. Out: which policies lose their rules, counted by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import netpolc
from netpolc.cli import main
from netpolc.passes import bound
from netpolc.passes.bound import bounded
from tests.helpers.manifests import Manifest, namespace, node, pod, policy


def but(name: str) -> dict[str, Any]:
    """All pods but one."""
    return {
        "podSelector": {
            "matchExpressions": [{"key": "name", "operator": "NotIn", "values": [name]}]
        }
    }


def serving(name: str, address: str, number: int) -> Manifest:
    made = pod(name, address)
    made["spec"]["containers"] = [
        {"name": "c", "ports": [{"name": "http", "containerPort": number}]}
    ]
    return made


def objects() -> list[Manifest]:
    """Three pods; one policy has two selectors of two pods each beside its subject, another asks
    all pods for a port that has another number in each.
    """
    return [
        namespace("default"),
        node("node-a"),
        *(serving(f"p{at}", f"10.0.0.{at}", 8000 + at) for at in (1, 2, 3)),
        policy("wide", podSelector={}, ingress=[{"from": [but("p1"), but("p2"), but("p1")]}]),
        policy(
            "named",
            podSelector={},
            policyTypes=["Egress"],
            egress=[{"to": [{"podSelector": {}}], "ports": [{"port": "http"}]}],
        ),
    ]


def large(pods: int, rules: int) -> list[str]:
    snapshot = netpolc.load_objects(objects())
    kept, found = bounded(snapshot.cluster, snapshot.policies, pods, rules)
    assert [own.origin for own in kept] == [own.origin for own in snapshot.policies]
    assert {own.origin.name for own in kept if not own.rules} == {
        own.origin.name for own, _ in found
    }
    return sorted(own.origin.name for own, _ in found)


@pytest.mark.parametrize(
    ("pods", "rules", "wanted"),
    [
        (7, 3, []),
        (6, 3, ["wide"]),  # 3 of the subject, 2 and 2; what is written twice counts once
        (7, 2, ["named"]),  # 8001, 8002, 8003
        (2, 2, ["named", "wide"]),
    ],
)
def test_what_is_counted(pods: int, rules: int, wanted: list[str]) -> None:
    assert large(pods, rules) == wanted


TOO_LARGE = "default/named: too large: its port names make more than 2 rules of it"
STRICT = "it isolates what it selects and admits nothing"


def write(folder: Path) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": objects()}
    (folder / "all.json").write_text(json.dumps(listed, indent=1))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that the policy `named` is past, and no other."""
    monkeypatch.setattr(bound.bounded, "__defaults__", (5_000_000, 2))


@pytest.mark.usefixtures("small")
def test_it_is_refused_with_its_place_where_odd_objects_are(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(netpolc.InputError) as refused:
        netpolc.load([tmp_path])
    (told,) = refused.value.diagnostics
    assert (told.severity, told.message) == ("error", TOO_LARGE)
    file, line, column = told.place.rsplit(":", 2)
    assert file.endswith("all.json")
    assert int(line) > 0 < int(column)
    result = CliRunner().invoke(main, ["compile", str(tmp_path), "--node", "node-a"])
    assert result.exit_code == 2
    assert TOO_LARGE in result.stderr


@pytest.mark.usefixtures("small")
def test_it_is_a_finding_and_in_the_table_where_odd_objects_are_isolated(tmp_path: Path) -> None:
    write(tmp_path)
    given = [str(tmp_path), "--odd-objects", "isolate"]
    found = CliRunner().invoke(main, ["check", *given])
    assert f"warning NP006: {TOO_LARGE}; {STRICT}" in found.stdout
    made = CliRunner().invoke(main, ["compile", *given, "--node", "node-a"])
    assert made.exit_code == 0
    assert f"NetworkPolicy default/named: too large, {STRICT}" in made.stdout


@pytest.mark.usefixtures("small")
def test_it_isolates_and_admits_nothing_and_the_others_are_what_they_were() -> None:
    snapshot = netpolc.load_objects(objects(), odd_objects="isolate")
    assert [(own.message, own.code) for own in snapshot.warnings] == [
        (f"{TOO_LARGE}; {STRICT}", "NP006")
    ]
    assert list(map(str, snapshot.odd)) == [f"NetworkPolicy default/named: too large, {STRICT}"]
    program = netpolc.compile(snapshot)
    flows = [
        netpolc.Flow("10.0.0.1", "10.0.0.2", "TCP", 8002),
        netpolc.Flow("9.9.9.9", "10.0.0.3", "TCP", 80),
        netpolc.Flow("10.0.0.1", "9.9.9.9", "TCP", 80),
    ]
    assert [netpolc.evaluate(program, flow).allowed for flow in flows] == [False] * 3
