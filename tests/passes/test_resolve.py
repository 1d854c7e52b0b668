"""What resolving looks at: of many rules that ask for names of ports, only the pods that are left.

In: rules written by hand, each for all pods but one. Out: the sets of pods that were made for them.
"""

from __future__ import annotations

from typing import Any

import pytest

import netpolc
from netpolc.core.ir import PodPeer
from netpolc.core.labels import Members
from netpolc.passes import resolve
from netpolc.passes.identify import Selected

PODS = 12


def rule(number: int, *ports: dict[str, Any]) -> dict[str, Any]:
    """Egress to all pods but one, on some ports."""
    others = {"matchExpressions": [{"key": "i", "operator": "NotIn", "values": [f"v{number}"]}]}
    return {"to": [{"podSelector": others}], "ports": list(ports)}


def policy(*rules: dict[str, Any]) -> list[dict[str, Any]]:
    """A policy of these rules for one pod, and the pods, each with its own number behind `web`."""
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"p{number}", "labels": {"i": f"v{number}"}},
            "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8000 + number}]}]},
            "status": {"podIP": f"10.0.0.{number + 1}"},
        }
        for number in range(PODS)
    ]
    spec = {
        "podSelector": {"matchLabels": {"i": "v0"}},
        "policyTypes": ["Egress"],
        "egress": list(rules),
    }
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return [*pods, {**kind, "metadata": {"name": "many"}, "spec": spec}]


@pytest.mark.parametrize(
    ("ports", "made"),
    [
        (({"port": "web"},), 0),
        (({"port": "web"}, {"port": 53}), PODS),  # whose tuple for 53 has all of them
    ],
)
def test_rules_that_ask_for_names_alone_make_no_set_of_their_pods(
    ports: tuple[dict[str, Any], ...], made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sets of `n` such rules over `n` pods would have `n` times `n` members."""
    found: set[PodPeer] = set()
    make = Selected.__missing__

    def missing(self: Selected, peer: PodPeer) -> Members:
        found.add(peer)
        return make(self, peer)

    monkeypatch.setattr(Selected, "__missing__", missing)
    monkeypatch.setattr(resolve, "MOST_PAIRS", 0)
    rules = [rule(number, *ports) for number in range(PODS)]
    program = netpolc.compile(netpolc.load_objects(policy(*rules)))
    assert len(found) == made
    assert "10.0.0.12" in program.ruleset().text()
