"""Policies that come, change and go: only what they select is resolved again, to the same bytes.

In: policies drawn at random from few words, pods that change in between. Out: the ruleset of a
`Live` against a compilation of the same objects, and how often it had to compile the node.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

import netpolc
from netpolc.backends.nft import Options
from netpolc.live import Live
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

SPACES = [f"space-{number}" for number in range(3)]
APPS = ["web", "db", "cache"]
KINDS = ("Namespace", "Node", "Pod", "NetworkPolicy")


class Cluster:
    """Objects that change by chance, and a `Live` that hears of it."""

    def __init__(self, chance: Random, options: Options) -> None:
        self._chance, self._options = chance, options
        self.objects: dict[tuple[str, str], Manifest] = {}
        found = [node("node-a", "192.0.2.1"), node("node-b", "192.0.2.2")]
        found += [namespace(own, team=f"team-{at % 2}") for at, own in enumerate(SPACES)]
        for at, space in enumerate(SPACES):
            for number in range(24):
                on = "node-a" if number < 8 else "node-b"
                app = APPS[number % 3]
                found.append(pod(f"{space}/{number}", f"10.{at}.0.{number + 1}", on=on, app=app))
            found += [self.policy(space, number) for number in range(4)]
        self.live = Live("node-a", options)
        self.objects = {self.key(own): own for own in found}
        for kind in KINDS:
            self.live.replace(kind, [own for own in found if own["kind"] == kind])

    @staticmethod
    def key(own: Manifest) -> tuple[str, str]:
        metadata = own["metadata"]
        return own["kind"], f"{metadata.get('namespace', '')}/{metadata['name']}"

    def put(self, own: Manifest) -> None:
        self.objects[self.key(own)] = own
        self.live.change(own)

    def drop(self, kind: str, name: str) -> None:
        del self.objects[kind, name]
        self.live.remove(kind, *name.split("/"))

    def policy(self, space: str, number: int) -> Manifest:
        chance = self._chance
        rules = [self.rule() for _ in range(chance.randrange(3))]
        ways = chance.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
        found = policy(f"{space}/policy-{number}", podSelector=self.selector(), policyTypes=ways)
        if "Ingress" in ways:
            found["spec"]["ingress"] = [{**own, "from": own["peers"]} for own in rules]
        if "Egress" in ways:
            found["spec"]["egress"] = [{**own, "to": own["peers"]} for own in rules]
        for side in "ingress", "egress":
            for own in found["spec"].get(side, ()):
                del own["peers"]
        return found

    def rule(self) -> Manifest:
        chance = self._chance
        peers: list[Manifest] = [{"podSelector": self.selector()}]
        if chance.random() < 0.3:
            peers = [{"ipBlock": {"cidr": f"10.{chance.randrange(3)}.0.0/28"}}]
        elif chance.random() < 0.4:
            team = {"matchLabels": {"team": f"team-{chance.randrange(2)}"}}
            peers.append({"namespaceSelector": team, "podSelector": self.selector()})
        ports = [{"port": chance.choice([80, 443, 8080])} for _ in range(chance.randrange(3))]
        return {"peers": peers, **({"ports": ports} if ports else {})}

    def selector(self) -> Manifest:
        app = self._chance.choice([*APPS, ""])
        return {"matchLabels": {"app": app}} if app else {}

    def edit(self) -> str:
        """A policy comes, changes or goes."""
        chance = self._chance
        name = f"{chance.choice(SPACES)}/policy-{chance.randrange(5)}"
        if ("NetworkPolicy", name) in self.objects and chance.random() < 0.2:
            self.drop("NetworkPolicy", name)
            return f"{name} goes"
        space, number = name.split("/policy-")
        self.put(self.policy(space, int(number)))
        return f"{name} changes"

    def move(self) -> str:
        """A pod of the other node comes, is another or goes."""
        chance = self._chance
        at, number = chance.randrange(3), chance.randrange(100, 110)
        name = f"{SPACES[at]}/{number}"
        if ("Pod", name) in self.objects and chance.random() < 0.5:
            self.drop("Pod", name)
        else:
            app = chance.choice(APPS)
            self.put(pod(name, f"10.{at}.0.{number}", on="node-b", app=app))
        return f"pod {name}"

    def replace(self) -> str:
        """A pod of the node is replaced by another of its kind."""
        chance = self._chance
        at, number = chance.randrange(3), chance.randrange(8)
        name = f"{SPACES[at]}/{number}"
        address = f"10.{at}.1.{chance.randrange(1, 250)}"
        self.put(pod(name, address, on="node-a", app=APPS[number % 3]))
        return f"pod {name} of the node"

    def agrees(self) -> None:
        """Whether it has the bytes of a compilation."""
        snapshot = netpolc.load_objects(list(self.objects.values()))
        afresh = netpolc.compile(snapshot).ruleset("node-a", self._options)
        own = self.live.ruleset()
        assert own.text() == afresh.text()
        assert own.digest == afresh.digest
        assert own.owners.notes == afresh.owners.notes
        assert own.owners.local == afresh.owners.local


EDIT, MOVE, REPLACE = Cluster.edit, Cluster.move, Cluster.replace


@pytest.mark.parametrize("options", [Options(), Options(established="recheck", audit=True)])
@pytest.mark.parametrize("moves", [[EDIT], [EDIT, EDIT, MOVE], [EDIT, MOVE, REPLACE]])
@pytest.mark.parametrize("seed", [1, 2])
def test_any_edits(seed: int, moves: list[Callable[[Cluster], str]], options: Options) -> None:
    chance = Random(seed)
    own, told = Cluster(chance, options), list[str]()
    own.agrees()
    for number in range(60):
        told += [chance.choice(moves)(own) for _ in range(chance.choice([1, 1, 1, 2]))]
        try:
            own.agrees()
        except AssertionError as error:
            error.add_note(f"step {number}, after {told[-4:]}")
            raise
    assert own.live.work.edited > 10
    if moves == [EDIT]:
        assert sum(own.live.work.compiled.values()) < 5


PEERS = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
SHOP: list[Manifest] = [
    node("node-a", "192.0.2.1"),
    node("node-b", "192.0.2.2"),
    namespace("shop", team="b"),
    namespace("lab", team="a"),
    pod("shop/web", "10.0.0.1", app="web"),
    pod("shop/db", "10.0.0.2", app="db"),
    pod("shop/far", "10.0.0.3", on="node-b", app="db"),
    pod("lab/one", "10.0.1.1", on="node-b", app="web"),
]


def peers(*selectors: Manifest) -> Manifest:
    """A policy of shop with some peers."""
    return policy("shop/all", podSelector={}, ingress=[{"from": list(selectors)}])


def changing(*more: Manifest) -> tuple[Cluster, Callable[[Manifest], bool]]:
    """A `Live` with some objects, and what tells it of one more: whether it compiled for it."""
    own = Cluster(Random(1), Options())
    own.live, own.objects = Live("node-a"), {}
    for document in (*SHOP, *more):
        own.put(document)
    own.agrees()

    def compiles(document: Manifest) -> bool:
        before = sum(own.live.work.compiled.values())
        own.put(document)
        own.agrees()
        return sum(own.live.work.compiled.values()) > before

    return own, compiles


def app(*names: str) -> Manifest:
    need = {"key": "app", "operator": "In", "values": list(names)}
    return {"podSelector": {"matchExpressions": [need]}}


def test_a_peer_that_tells_pods_apart_compiles() -> None:
    _, compiles = changing(peers(app("web", "db")))
    assert not compiles(peers())
    assert not compiles(peers(app("db", "web", "cache")))  # all of those that were not told apart
    assert compiles(peers(app("db")))
    assert not compiles(peers(app("web")))
    assert compiles(peers({"podSelector": {"matchLabels": {"tier": "front"}}}))


def test_pods_that_left_before_their_namespace_was_relabelled() -> None:
    own, compiles = changing(peers(PEERS))
    assert "10.0.1.1" in own.live.ruleset().text()
    own.drop("Pod", "lab/one")
    own.put(namespace("lab", team="c"))
    assert compiles(peers(PEERS, app("web")))
    assert "10.0.1.1" not in own.live.ruleset().text()


def test_pods_that_leave_while_a_policy_waits() -> None:
    own, _ = changing(peers(PEERS))
    own.drop("Pod", "lab/one")
    own.put(peers(PEERS, {"ipBlock": {"cidr": "192.0.2.0/24"}}))
    own.put(namespace("lab", team="c"))
    own.agrees()


def test_more_pods_than_are_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netpolc.live.node.MOST_SINCE", 3)
    own, compiles = changing(peers(PEERS))
    one = {"ipBlock": {"cidr": "192.0.2.0/24"}}
    own.put(peers(PEERS, one))
    for number in range(5):  # while a policy waits
        own.put(pod(f"lab/{number}", f"10.0.1.{number + 10}", on="node-b", app="web"))
    own.agrees()
    assert not compiles(peers(PEERS))
    for number in range(5):
        own.drop("Pod", f"lab/{number}")
    own.agrees()
    assert compiles(peers(PEERS, one))


def test_what_is_left_behind_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netpolc.live.basis.MOST_EDITS", 3)
    _, compiles = changing(peers(PEERS))
    found = [compiles(peers(*[PEERS][: number % 2])) for number in range(8)]
    assert found == [False, False, False, True] * 2


def test_a_policy_that_selected_nobody_here_for_some_versions() -> None:
    """The node has heard nothing of those in between, and goes on from what it knows."""
    one, edits = {"matchLabels": {"app": "web"}}, ["gone", "other", "web", "gone", "other"]
    _, compiles = changing(policy("shop/one", podSelector=one))
    found = [compiles(policy("shop/one", podSelector={"matchLabels": {"app": o}})) for o in edits]
    assert found == [False] * 5


def test_a_policy_that_selected_nobody_here_when_it_went() -> None:
    one = {"matchLabels": {"app": "web"}}
    own, compiles = changing(policy("shop/one", podSelector=one))
    for name in "gone", "other":
        own.put(policy("shop/one", podSelector={"matchLabels": {"app": name}}))
        own.agrees()
    own.drop("NetworkPolicy", "shop/one")
    own.agrees()
    assert not compiles(policy("shop/one", podSelector=one))
