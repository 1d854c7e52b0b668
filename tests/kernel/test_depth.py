"""How many chains may follow one another: the kernel's bound, and that no ruleset comes near it.

In: rows of chains written by hand, and the deepest rulesets there are: enforced Admin and Baseline
policies beside an audited one, of few and of many rules, with every kind of options. Out: whether
the kernel takes them.
"""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

import netpolc
from netpolc.backends.nft import objects as nft_objects
from netpolc.backends.nft.objects import MOST_CHAINS, Written, longest_row
from netpolc.core.errors import UnsupportedError, UsageError
from tests.helpers.lab import Router, RulesetError
from tests.helpers.manifests import Manifest, namespace, pod
from tests.property.test_ordered import LONGEST

EVERYBODY: Manifest = {"namespaces": {}}
OPTIONS = [
    netpolc.Options(hook=hook, established=established, audit=audit)
    for hook, established, audit in product(
        ("forward", "postrouting"), ("keep", "recheck"), (False, True)
    )
]


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


def program(count: int, *, tried: bool = True) -> netpolc.Program:
    trial = policy("trial", "Admin", 10, "Deny", count)
    trial["metadata"]["annotations"] = {"netpolc.dev/audit": "true"}
    objects: list[Any] = [
        namespace("a"),
        pod("a/p", "10.0.0.1"),
        policy("guard", "Admin", 5, "Deny", count),
        policy("floor", "Baseline", 5, "Accept", count),
        *([trial] if tried else []),
    ]
    return netpolc.compile(netpolc.load_objects(json.loads(json.dumps(objects))))


def row(count: int) -> str:
    """A base chain, and chains below it each of which leads to the next."""
    lines = ["table inet netpolc {", f"chain c{count - 1} {{ accept; }}"]
    for number in range(count - 2, 0, -1):
        how = ("jump", "goto")[number % 2]
        lines.append(f"chain c{number} {{ {how} c{number + 1}; }}")
    lines += ["chain base { type filter hook forward priority 0; jump c1; }", "}"]
    return "\n".join(lines) + "\n"


@pytest.mark.kernel
def test_the_kernel_takes_as_many_chains_as_are_let_pass() -> None:
    with Router() as router:
        router.load(row(MOST_CHAINS))
        router.flush()
        with pytest.raises(RulesetError, match="Too many links"):
            router.load(row(MOST_CHAINS + 1))


@pytest.mark.kernel
def test_the_kernel_takes_the_deepest_rulesets() -> None:
    with Router() as router:
        for count, options, tried in product((1, 3, 8, 25), OPTIONS, (False, True)):
            ruleset = program(count, tried=tried).ruleset(options=options)
            assert len(longest_row(ruleset.objects.values())) <= LONGEST < MOST_CHAINS
            router.flush()
            router.load(ruleset.text())


def test_what_is_tried_gives_ingress_a_base_chain_of_its_own() -> None:
    """And only that: an open connection pays for each."""
    found = {}
    for tried in (False, True):
        table = program(3, tried=tried).ruleset().table
        hooks = [(own.name, own.hook.priority) for own in table.chains if own.hook is not None]
        found[tried] = sorted(hooks)
    assert found == {False: [("forward", -5)], True: [("forward", -5), ("then_ingress", -4)]}


def test_a_second_base_chain_needs_a_priority() -> None:
    last = netpolc.Options(hook="postrouting", priority=99)
    program(3, tried=False).ruleset(options=last)
    with pytest.raises(UsageError, match="priority 99 leaves no room for a second base chain"):
        program(3).ruleset(options=last)


def test_what_the_kernel_would_refuse_is_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    length = len(longest_row(program(25).ruleset().objects.values()))
    monkeypatch.setattr(nft_objects, "MOST_CHAINS", length - 1)
    with pytest.raises(UnsupportedError, match=f"{length} chains would follow one another"):
        program(25).ruleset()


def test_a_row_goes_through_maps() -> None:
    objects = [
        Written("chain", "base", refers=frozenset({"map m", "chain b"})),
        Written("map", "m", refers=frozenset({"chain a", "chain b"})),
        Written("chain", "a", refers=frozenset({"chain b", "counter c"})),
        Written("chain", "b", refers=frozenset({"set s"})),
    ]
    assert longest_row(objects) == ("base", "a", "b")
