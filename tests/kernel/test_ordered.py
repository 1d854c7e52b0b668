"""Ordered tiers in the kernel, packet by packet against the slow semantics.

In: clusters of `tests.helpers.ordered`, in both hooks and in either layout of a tier. Out: the
verdicts of the semantics; a packet of a pod to itself is one that comes back from a Service.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

import netpolc
from netpolc.backends.nft.objects import index
from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.write.delta import delta
from netpolc.backends.nft.write.digest import digest_of
from netpolc.core.nets import format_address
from tests.helpers import ordered
from tests.helpers.lab import Injector
from tests.property.test_ordered import force

pytestmark = pytest.mark.kernel
CLUSTERS, FLOWS = 60, 800
ENOUGH = 40_000
"""Packets a hook."""


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_the_kernel_judges_as_the_policies_say(
    hook: str, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = denied = 0
    for seed in range(CLUSTERS):
        force(monkeypatch, linear=bool(seed % 2))
        draw = Random(f"{hook} {seed}")
        program = netpolc.compile(ordered.snapshot(draw, audited=seed % 5 == 4))
        established = ("keep", "recheck")[seed % 3 == 2]
        options = netpolc.Options(hook=hook, established=established)
        text = program.ruleset(None, options).text()
        injector.flush()
        injector.load(text)
        flows = ordered.flows(program, draw, FLOWS)
        sent = [
            (format_address(own.source), format_address(own.destination), own.protocol, own.port)
            for own in flows
        ]
        wanted = [netpolc.evaluate(program, own, hairpin=True).allowed for own in flows]
        found = injector.judge(sent)
        wrong = [str(own) for own, a, b in zip(flows, wanted, found, strict=True) if a is not b]
        assert wrong == [], (seed, text)
        packets += len(sent)
        denied += wanted.count(False)
    assert packets >= ENOUGH
    assert ENOUGH // 5 < denied < packets - ENOUGH // 5


@pytest.mark.parametrize("linear", [True, False])
def test_a_hairpin_is_denied_by_ordered_tiers_alone(
    linear: bool, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: the NetworkPolicies isolate every pod and admit nothing; one pod is denied to itself
    by a cluster-scoped policy.
    """
    force(monkeypatch, linear)
    program = netpolc.compile(ordered.hairpin())
    injector.flush()
    injector.load(program.ruleset().text())
    pods = ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"]
    assert injector.judge([(at, at, 6, 80) for at in pods]) == [False, True, False, True]
    assert injector.judge([(at, at, 6, 81) for at in pods]) == [True, True, True, True]
    assert injector.judge([("10.0.0.1", "10.0.0.2", 6, 80)]) == [False]


def test_a_change_leaves_what_a_fresh_load_leaves(
    injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules edited, priorities changed, policies gone or on trial: what the kernel lists after."""
    bases = set()
    for seed in range(36):
        force(monkeypatch, (True, False, None)[seed % 3])
        options = netpolc.Options(established=("keep", "recheck")[seed % 2])
        draw = Random(f"change {seed}")
        own = ordered.snapshot(draw)
        *rest, one, last = (*own.policies, *own.policies[-1:])
        edited = replace(one, priority=one.priority + draw.randint(-1, 1), rules=one.rules[::-1])
        other = replace(own, policies=(*rest, edited) if one is not last else tuple(rest))
        if seed % 3 == 2:  # which may give ingress a base chain, or take it away
            tried = replace(own, policies=(replace(own.policies[-1], audited=True), *own.policies))
            own, other = (tried, other) if seed % 2 else (other, tried)
        old, new = (netpolc.compile(found).ruleset(None, options) for found in (own, other))
        bases.add(tuple(sum(c.hook is not None for c in r.table.chains) for r in (old, new)))
        change = delta("netpolc", old.objects, new.objects)
        assert change is not None
        injector.flush()
        injector.load(old.text())
        injector.load(change.text)
        after = index(parse_listing(_listed(injector), "netpolc"))
        injector.flush()
        injector.load(new.text())
        fresh = index(parse_listing(_listed(injector), "netpolc"))
        assert after.keys() == fresh.keys()
        assert digest_of(after.values()) == digest_of(fresh.values()) == new.digest
    assert {(1, 2), (2, 1)} <= bases


def _listed(injector: Injector) -> str:
    return injector.router.run("nft", "-s", "-y", "list", "table", "inet", "netpolc")
