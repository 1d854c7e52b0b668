"""How many chains may follow one another: what is refused before it is loaded, the kernel refuses.

In: an enforced Admin and Baseline policy and an audited one, of few and of many rules. Out: the
longest row of chains, and whether the kernel takes the ruleset.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

import netpolc
from netpolc.backends import nft
from netpolc.backends.nft.objects import MOST_CHAINS, Written, longest_row
from netpolc.core.errors import UnsupportedError
from tests.helpers.lab import Router, RulesetError
from tests.helpers.manifests import Manifest, namespace, pod

EVERYBODY: Manifest = {"namespaces": {}}


def rules(action: str, end: str, count: int) -> list[Manifest]:
    return [
        {"action": action, end: [EVERYBODY],
         "protocols": [{"tcp": {"destinationPort": {"number": 8000 + number}}}]}
        for number in range(count)
    ]  # fmt: skip


def policy(name: str, tier: str, priority: int, action: str, count: int) -> Manifest:
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "tier": tier,
            "priority": priority,
            "subject": EVERYBODY,
            "ingress": rules(action, "from", count),
            "egress": rules(action, "to", count),
        },
    }


def program(count: int) -> netpolc.Program:
    tried = policy("trial", "Admin", 10, "Deny", count)
    tried["metadata"]["annotations"] = {"netpolc.dev/audit": "true"}
    objects: list[Any] = [
        namespace("a"),
        pod("a/p", "10.0.0.1"),
        policy("guard", "Admin", 5, "Deny", count),
        policy("floor", "Baseline", 5, "Accept", count),
        tried,
    ]
    return netpolc.compile(netpolc.load_objects(json.loads(json.dumps(objects))))


@pytest.mark.kernel
@pytest.mark.parametrize("established", ["keep", "recheck"])
@pytest.mark.parametrize("count", [1, 3, 8, 25])
def test_what_the_kernel_refuses_is_refused_before(
    count: int, established: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = netpolc.Options(established=established)
    monkeypatch.setattr(nft, "MOST_CHAINS", 1 << 10)
    ruleset = program(count).ruleset(options=options)
    deep = len(longest_row(ruleset.objects())) > MOST_CHAINS
    with Router() as router:
        if deep:
            with pytest.raises(RulesetError, match="Too many links"):
                router.load(ruleset.text())
        else:
            router.load(ruleset.text())
    monkeypatch.undo()
    if deep:
        with pytest.raises(UnsupportedError, match="chains would follow one another, from forward"):
            program(count).ruleset(options=options)


def test_both_are_tried() -> None:
    lengths = {
        len(longest_row(program(count).ruleset(options=netpolc.Options()).objects()))
        for count in (1, 3)
    }
    assert max(lengths) <= MOST_CHAINS
    with pytest.raises(UnsupportedError):
        program(25).ruleset(options=netpolc.Options(established="recheck"))


def test_a_row_goes_through_maps() -> None:
    objects = [
        Written("chain", "base", refers=frozenset({"map m", "chain b"})),
        Written("map", "m", refers=frozenset({"chain a", "chain b"})),
        Written("chain", "a", refers=frozenset({"chain b", "counter c"})),
        Written("chain", "b", refers=frozenset({"set s"})),
    ]
    assert longest_row(objects) == ("base", "a", "b")
