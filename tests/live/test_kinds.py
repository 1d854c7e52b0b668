"""The last pod of a kind leaves the node, and one comes back: who is noted follows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import netpolc
from netpolc.live import Live
from tests.helpers.manifests import Manifest, namespace, node, pod, policy


def admits(name: str, select: Manifest, *peers: str) -> Manifest:
    """A policy of `shop` that admits the pods of some apps on one port."""
    several = [[{"podSelector": {"matchLabels": {"app": own}}}] for own in peers]
    rules = [{"from": own, "ports": [{"port": 80}]} for own in several]
    return policy(f"shop/{name}", podSelector=select, ingress=rules)


POLICIES = [
    admits("all", {}, "a"),
    admits("web", {"matchLabels": {"app": "web"}}, "b", "c"),
    admits("front", {"matchLabels": {"tier": "front"}}, "d"),
]
OBJECTS = [
    namespace("shop"),
    node("node-a", "192.0.2.1"),
    node("node-b", "192.0.2.2"),
    pod("shop/web", "10.0.0.1", app="web"),
    pod("shop/front", "10.0.0.2", app="none", tier="front"),
    *(pod(f"shop/{own}", f"10.0.2.{at}", on="node-b", app=own) for at, own in enumerate("abcd")),
    *POLICIES,
]


def filled(objects: list[Manifest]) -> Live:
    live = Live("node-a")
    for kind in dict.fromkeys(own["kind"] for own in objects):
        live.replace(kind, [own for own in objects if own["kind"] == kind])
    live.ruleset()
    return live


def same(live: Live, objects: Iterable[Manifest]) -> Any:
    """The ruleset, after a look at what the same objects give afresh."""
    afresh = netpolc.compile(netpolc.load_objects(list(objects))).ruleset("node-a")
    own = live.ruleset()
    assert own.text() == afresh.text()
    assert own.owners.notes == afresh.owners.notes
    assert own.owners.local == afresh.owners.local
    return own


def noted(ruleset: Any) -> set[str]:
    """The last parts of the addresses that are noted."""
    return {str(own & 0xFF) for own in ruleset.owners.notes if own >> 8 == 0x0A0002}


def test_the_last_of_a_kind_leaves_and_one_comes_back() -> None:
    """Who only its policy admitted is noted no longer."""
    live = filled(OBJECTS)
    assert noted(same(live, OBJECTS)) == {"0", "1", "2", "3"}
    live.remove("Pod", "shop", "web")
    left = [own for own in OBJECTS if own["metadata"]["name"] != "web" or own in POLICIES]
    assert noted(same(live, left)) == {"0", "3"}
    more = pod("shop/late", "10.0.2.9", on="node-b", app="b")  # who is admitted by nobody now
    live.change(more)
    assert noted(same(live, [*left, more])) == {"0", "3"}
    live.change(OBJECTS[3])
    assert noted(same(live, [*OBJECTS, more])) == {"0", "1", "2", "3", "9"}
    assert live.work.compiled == {"the first time": 1}
