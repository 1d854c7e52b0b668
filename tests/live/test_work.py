"""What a pod's event touches is what the pod answers, whatever else there is in the cluster."""

from __future__ import annotations

from random import Random

import pytest

import netpolc
from netpolc.live import Live
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

SPACES = 10
APPS = ["web", "db", "cache"]


def cluster(pods: int) -> list[Manifest]:
    """A node with a pod of every app in every namespace, and so many pods elsewhere."""
    found = [node("node-a", "192.0.2.1"), node("node-b", "192.0.2.2")]
    for number in range(SPACES):
        space = f"space-{number}"
        found.append(namespace(space, team="a"))
        for at, app in enumerate(APPS):
            found.append(pod(f"{space}/{app}", f"10.1.{number}.{at + 1}", app=app))
            select = {"matchLabels": {"app": app}}
            peers = [{"podSelector": {"matchLabels": {"app": "web"}}}]
            found.append(policy(f"{space}/{app}", podSelector=select, ingress=[{"from": peers}]))
    for number in range(pods):
        space, app = f"space-{number % SPACES}", APPS[number % len(APPS)]
        address = f"10.{2 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
        found.append(pod(f"{space}/far-{number}", address, on="node-b", app=app))
    return found


def filled(pods: int) -> Live:
    live = Live("node-a")
    objects = cluster(pods)
    for kind in ("Namespace", "Node", "Pod", "NetworkPolicy"):
        live.replace(kind, [own for own in objects if own["kind"] == kind])
    live.ruleset()
    return live


def churn(live: Live) -> tuple[int, int, int]:
    """Pods of the other node come, are relabelled and go; what that touched, and compiled."""
    before, chance = live.work.touched, Random(3)
    compiled = sum(live.work.compiled.values())
    for number in range(100):
        space = f"space-{chance.randrange(SPACES)}"
        app = chance.choice(APPS)
        live.change(pod(f"{space}/new", f"10.9.0.{number + 1}", on="node-b", app=app))
        live.ruleset()
        live.change(pod(f"{space}/new", f"10.9.0.{number + 1}", on="node-b", app="web"))
        live.change(pod(f"{space}/new", f"10.9.1.{number + 1}", on="node-b", app="web"))
        live.ruleset()
        live.remove("Pod", space, "new")
    live.ruleset()
    return (
        live.work.touched - before,
        sum(live.work.compiled.values()) - compiled,
        live.work.classes,
    )


def test_ten_times_the_pods_are_no_more_work() -> None:
    few, many = churn(filled(300)), churn(filled(3000))
    assert few == many
    touched, compiled, classes = few
    assert 0 < touched <= 100 * 4 * 8  # of each event: three sets and their sizes, notes
    assert compiled == 0
    assert classes <= SPACES * len(APPS)


def test_events_that_say_nothing_new_touch_nothing() -> None:
    live = filled(30)
    live.change(of_the_host())
    before, made = live.work.touched, live.ruleset()
    again = pod("space-0/far-0", "10.2.0.1", on="node-b", app="web")
    again["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    live.change(again)
    live.change(node("node-b", "192.0.2.2"))
    live.change(of_the_host())  # which has the address of its node
    live.change(policy("space-9/elsewhere", podSelector={"matchLabels": {"app": "nobody"}}))
    live.change(namespace("empty", team="b"))
    assert live.work.touched == before
    assert live.ruleset() is made


def of_the_host() -> Manifest:
    own = pod("space-0/agent", "192.0.2.2", on="node-b", app="agent")
    own["spec"]["hostNetwork"] = True
    return own


def test_a_pod_of_the_node_compiles_nothing_where_others_are_like_it() -> None:
    live = filled(30)
    compiled = sum(live.work.compiled.values())
    live.change(pod("space-0/web-2", "10.8.0.1", app="web"))
    first = live.ruleset().text()
    live.remove("Pod", "space-0", "web-2")
    live.ruleset()
    assert "10.8.0.1 : goto" in first
    assert sum(live.work.compiled.values()) == compiled
    assert live.work.lowered == 2


@pytest.mark.parametrize("pods", [30, 3000])
def test_a_pod_unlike_those_of_the_node_compiles_nothing_where_policies_treat_it_alike(
    pods: int,
) -> None:
    """What is asked is the policies of its namespace, and of those of the node's pods."""
    live, objects = filled(pods), cluster(pods)
    tier = {"matchLabels": {"tier": "front"}}
    objects.append(policy("space-1/front", podSelector=tier))  # pods are told apart by `tier` now
    live.change(objects[-1])
    live.ruleset()
    compiled, asked = live.work.compiled.copy(), live.work.asked
    for app, goes in ("web", True), ("none", False):  # as `web`; selected by no policy
        more = pod("space-0/new", "10.8.0.1", app=app, tier="back")
        live.change(more)
        text = live.ruleset().text()
        assert ("10.8.0.1 : goto" in text) is goes
        assert text == afresh([*objects, more])
    of_a_namespace = len(APPS) + 1
    assert 0 < live.work.asked - asked <= 2 * of_a_namespace * (1 + SPACES * len(APPS))
    later = policy("space-0/later", podSelector={"matchLabels": {"app": "none"}})
    live.change(later)  # a policy that selects it is heard
    text = live.ruleset().text()
    assert "10.8.0.1 : goto" in text
    assert text == afresh([*objects, more, later])
    assert (live.work.compiled - compiled, live.work.met) == ({}, 1)


TIER = {
    "apiVersion": "policy.networking.k8s.io/v1alpha1",
    "kind": "AdminNetworkPolicy",
    "metadata": {"name": "tier"},
    "spec": {
        "priority": 1,
        "subject": {"namespaces": {"matchLabels": {"team": "late"}}},
        "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}],
    },
}
"""Selects all pods of the namespaces of a team, by no label of theirs."""


@pytest.mark.parametrize("labels_come", ["with the namespace", "later"])
def test_a_policy_of_all_namespaces_selects_a_pod_of_one_that_came_later(labels_come: str) -> None:
    """No pod was there when the node was compiled: what the namespace was then says nothing."""
    live, objects = filled(30), cluster(30)
    late = namespace("late", team="late")
    if labels_come == "later":
        live.change(namespace("late", team="none"))
        live.ruleset()
        live.forget()  # compiled with the namespace as it was
        live.ruleset()
    more = [late, pod("late/new", "10.8.0.1", app="none")]
    for own in more:
        live.change(own)
    assert live.ruleset().text() == afresh([*objects, *more])
    live.change(TIER)
    text = live.ruleset().text()
    assert "10.8.0.1 : goto" in text
    assert text == afresh([*objects, *more, TIER])


def afresh(objects: list[Manifest]) -> str:
    return netpolc.compile(netpolc.load_objects(objects)).ruleset("node-a").text()


def test_unchanged_objects_stay_the_same_objects() -> None:
    """What a transaction compares is then found equal without a look."""
    live = filled(300)
    before = {own.name: own for own in live.ruleset().objects.values()}
    live.change(pod("space-0/new", "10.9.0.1", on="node-b", app="web"))
    after = {own.name: own for own in live.ruleset().objects.values()}
    changed = [name for name, own in after.items() if before[name] is not own]
    sets = [name for name in changed if not name.startswith("meta_")]
    assert len(sets) == 1
    assert sets[0].startswith("s4_")
