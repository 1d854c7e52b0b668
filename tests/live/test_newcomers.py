"""Pods of the node that policies select as none was there before compile nothing.

In: pods of new apps on the node, with and without addresses, policies that select them. Out: the
ruleset of a `Live` against a compilation of the same objects, and how often it compiled the node.
"""

from __future__ import annotations

from random import Random

import pytest

from netpolc.backends.nft import Options
from tests.helpers.manifests import Manifest, pod, policy
from tests.live.test_policies import APPS, SPACES, Cluster, changing

NEW = [f"new-{number}" for number in range(4)]


class Newcomers(Cluster):
    """A cluster on whose node pods of other apps come and go."""

    def selector(self) -> Manifest:
        app = self._chance.choice([*APPS, *NEW, ""])
        return {"matchLabels": {"app": app}} if app else {}

    def arrive(self) -> str:
        """A pod of a new app comes to the node, gets or loses addresses, moves or goes."""
        chance = self._chance
        at, number = chance.randrange(3), chance.randrange(200, 206)
        name = f"{SPACES[at]}/{number}"
        if ("Pod", name) in self.objects and chance.random() < 0.3:
            self.drop("Pod", name)
            return f"{name} goes"
        v4, v6 = f"10.{at}.0.{number}", f"fd00:{at}::{number}"
        addresses = chance.choice([[v4], [v4], [v4, v6], []])
        on = chance.choice(["node-a", "node-a", "node-b"])
        self.put(pod(name, *addresses, on=on, app=chance.choice(NEW)))
        return f"{name} comes"


@pytest.mark.parametrize("options", [Options(), Options(established="recheck", audit=True)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_newcomers(seed: int, options: Options) -> None:
    chance = Random(seed)
    own, told = Newcomers(chance, options), list[str]()
    own.agrees()
    ways = [own.arrive, own.arrive, own.edit, own.move, own.replace]
    for number in range(60):
        told += [chance.choice(ways)() for _ in range(chance.choice([1, 1, 1, 2]))]
        try:
            own.agrees()
        except AssertionError as error:
            error.add_note(f"step {number}, after {told[-4:]}")
            raise
    assert own.live.work.met > 2


WEB = policy("shop/web", podSelector={"matchLabels": {"app": "web"}})
"""So pods are told apart by this label."""
CACHE: Manifest = {"podSelector": {"matchLabels": {"app": "cache"}}}


def test_a_new_app_with_its_policy_compiles_nothing() -> None:
    """As `kubectl apply` sends it: first its policy, then pods, which get addresses later."""
    own, compiles = changing(policy("shop/all", podSelector={}), WEB)
    rule = {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 6379}]}
    assert not compiles(policy("shop/cache", **CACHE, ingress=[rule]))
    assert not compiles(pod("shop/cache-1", app="cache"))
    assert not compiles(pod("shop/cache-1", "10.0.0.9", app="cache"))
    assert own.live.work.met == 2  # for the kind, and for its chains
    assert not compiles(pod("shop/cache-2", "10.0.0.10", app="cache"))
    assert own.live.work.met == 2
    web = pod("shop/web-2", "10.0.0.11", on="node-b", app="web")
    assert not compiles(web)
    text = own.live.ruleset().text()
    assert "10.0.0.9 : goto" in text
    assert "10.0.0.11" in text  # whom its policy admits
    own.drop("Pod", "shop/cache-1")
    own.drop("Pod", "shop/cache-2")
    own.agrees()
    assert "10.0.0.11" not in own.live.ruleset().text()  # nobody admits it by name any more


def test_a_policy_that_comes_in_one_go_with_the_pod_that_it_selects() -> None:
    own, _ = changing(policy("shop/all", podSelector={}), WEB)
    before = own.live.work.compiled.copy()
    own.put(pod("shop/cache-1", "10.0.0.9", app="cache"))
    own.put(policy("shop/cache", **CACHE, ingress=[{}]))
    own.agrees()
    own.put(policy("shop/cache", **CACHE, ingress=[]))
    own.agrees()
    own.drop("NetworkPolicy", "shop/all")
    own.agrees()
    assert own.live.work.compiled == before


def test_chains_of_before_have_who_came_meanwhile() -> None:
    """A pod whose chains were made for it is away while chains are made for others."""
    extra = {"podSelector": {"matchLabels": {"app": "extra"}}}
    admits = policy("shop/cache", **CACHE, ingress=[{"from": [{"podSelector": {}}]}])
    own, compiles = changing(
        policy("shop/all", podSelector={}), WEB, admits, policy("shop/extra", **extra)
    )
    cache = pod("shop/cache-1", "10.0.0.9", "fd00::9", app="cache")
    assert not compiles(cache)
    own.drop("Pod", "shop/cache-1")
    assert not compiles(pod("shop/extra-1", "10.0.0.7", app="extra"))
    assert not compiles(pod("shop/later", "10.0.0.8", "fd00::8", on="node-b", app="db"))
    assert not compiles(cache)
    sets = [own for own in own.live.ruleset().table.sets if own.name.startswith("s6")]
    assert any("fd00::8" in str(own) for own in sets)


def test_no_version_of_a_policy_judges_that_was_replaced() -> None:
    """It selected nobody of the node when it was, and selects nobody now."""
    later = policy("shop/later", podSelector={"matchLabels": {"app": "web"}}, ingress=[{}])
    own, compiles = changing(policy("shop/all", podSelector={}), WEB, later)
    for name in "cache", "elsewhere":
        assert not compiles(policy("shop/later", podSelector=app_is(name), ingress=[{}]))
    assert not compiles(policy("shop/cache", **CACHE))
    assert not compiles(pod("shop/cache-1", "10.0.0.9", app="cache"))
    assert own.live.work.met == 1


@pytest.mark.parametrize(
    ("peer", "compiled"),
    [
        ({"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}}}, False),
        ({"nodes": {}}, True),  # who these are was not asked
    ],
)
def test_a_new_app_under_a_policy_of_an_ordered_tier(peer: Manifest, compiled: bool) -> None:
    subject = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "cache"}}}
    guard: Manifest = {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "guard"},
        "spec": {
            "tier": "Admin",
            "priority": 1,
            "subject": {"pods": subject},
            "egress": [{"action": "Deny", "to": [peer]}],
        },
    }
    own, compiles = changing(policy("shop/all", podSelector={}), WEB, guard)
    assert compiles(pod("shop/cache-1", "10.0.0.9", app="cache")) is compiled
    assert not compiles(pod("shop/db-2", "10.0.0.12", on="node-b", app="db"))
    assert "e_admin_" in own.live.ruleset().text()


def test_new_kinds_compile_the_node_once_there_were_many() -> None:
    """What they left behind is kept, and is not to grow for ever."""
    _, compiles = changing(
        *(policy(f"shop/{at}", podSelector=app_is(f"kind-{at}")) for at in range(60))
    )
    compiled = [compiles(pod("shop/one", "10.0.0.9", app=f"kind-{at}")) for at in range(60)]
    assert 0 < sum(compiled) < 3


def app_is(name: str) -> Manifest:
    return {"matchLabels": {"app": name}}
