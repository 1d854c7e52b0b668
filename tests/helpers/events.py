"""A cluster that changes at random: objects as an API server has them, and events of every kind.

In: a source of chance. Out: a `Happening` with the objects there are, and one event after the
other: pods that come, go, are relabelled, get other addresses or finish, two of one address, whole
deployments, policies of both kinds, namespaces, nodes, objects that cannot be read, and lists that
alone tell what is gone. Of the compiler nothing is imported.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Protocol

from tests.helpers.manifests import Manifest, namespace, node, pod, policy

NODES = ["node-a", "node-b", "node-c"]
SPACES = [f"space-{number}" for number in range(6)]
APPS = ["web", "db", "cache", "job"]
TEAMS = ["red", "blue"]
CIDRS = ["10.0.0.0/28", "10.0.1.0/24", "192.0.2.0/24", "fd00::/64"]
NAMED = [("http", 8080), ("http", 8081), ("metrics", 9090)]
GROUP = "policy.networking.k8s.io/v1alpha1"
Key = tuple[str, str, str]


class Listener(Protocol):
    """Who hears of events."""

    def replace(self, kind: str, documents: list[Manifest], /) -> None:
        """A list."""

    def change(self, document: Manifest, /) -> None:
        """Added or modified."""

    def remove(self, kind: str, namespace: str, name: str, /) -> None:
        """Deleted."""


def key_of(document: Manifest) -> Key:
    """Kind, namespace and name."""
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace", ""), metadata["name"]


class _Objects:
    """What there is, and what of it is free."""

    def __init__(self, chance: Random, nodes: list[str], spaces: list[str]) -> None:
        self._chance, self._nodes, self._spaces = chance, nodes, spaces
        self._count = 0
        self.objects: dict[Key, Manifest] = {}
        self._free = [f"10.0.{high}.{low}" for high in range(4) for low in range(1, 250)]
        chance.shuffle(self._free)

    @property
    def documents(self) -> list[Manifest]:
        """Everything there is."""
        return list(self.objects.values())

    def fill(self, listener: Listener) -> None:
        """The first lists."""
        for kind in dict.fromkeys(key[0] for key in self.objects):
            listener.replace(kind, self._all(kind))

    def _all(self, kind: str) -> list[Manifest]:
        return [own for key, own in self.objects.items() if key[0] == kind]

    def _any(self, kind: str) -> Manifest | None:
        several = self._all(kind)
        return self._chance.choice(several) if several else None

    def _put(self, document: Manifest) -> Manifest:
        self.objects[key_of(document)] = document
        return document

    def _drop(self, document: Manifest, listener: Listener) -> None:
        key = key_of(document)
        del self.objects[key]
        if key[0] == "Pod":
            self._free += [ip for ip in _addresses(document) if ip.startswith("10.0.")]
        listener.remove(*key)

    def _changed(self, kind: str) -> Manifest | None:
        found = self._any(kind)
        return None if found is None else self._put(copy.deepcopy(found))


class _Pods(_Objects):
    """Pods that come, go and change."""

    def _new_pod(self) -> Manifest:
        chance, self._count = self._chance, self._count + 1
        app = chance.choice(APPS)
        labels = {"app": app, "tier": chance.choice(["front", "back"])}
        if chance.random() < 0.1:
            labels["pod"] = f"{app}-{self._count}"  # as those of a StatefulSet
        name = f"{chance.choice(self._spaces)}/{app}-{self._count}"
        v4 = [self._free.pop()] if self._free else []  # there may be as many pods as addresses
        addresses = list(v4)
        if chance.random() < 0.3:
            addresses.append(f"fd00::{self._count:x}")
        if chance.random() < 0.1:
            self._free += v4
            addresses = []
        made = pod(name, *addresses, on=chance.choice(self._nodes), **labels)
        made["metadata"]["uid"] = f"uid-{self._count}"
        made["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{self._count % 60:02d}Z"
        if chance.random() < 0.2:
            ports = chance.sample(NAMED, chance.randint(1, 2))
            named = [{"name": own, "containerPort": number} for own, number in dict(ports).items()]
            made["spec"]["containers"][0]["ports"] = named
        if chance.random() < 0.03:
            host = f"192.0.2.{self._nodes.index(made['spec']['nodeName']) + 1}"
            self._free += [ip for ip in addresses if ip.startswith("10.0.")]
            made["spec"]["hostNetwork"] = True
            made["status"]["podIPs"] = [{"ip": host}]
        return made

    def _pod_joins(self, listener: Listener) -> None:
        if len(self._free) > 20:
            listener.change(self._put(self._new_pod()))

    def _pod_leaves(self, listener: Listener) -> None:
        found = self._any("Pod")
        if found is not None:
            self._drop(found, listener)

    def _pod_is_relabelled(self, listener: Listener) -> None:
        found = self._changed("Pod")
        if found is not None:
            labels = found["metadata"]["labels"]
            labels["app" if self._chance.random() < 0.5 else "tier"] = self._chance.choice(APPS)
            listener.change(found)

    def _pod_gets_addresses(self, listener: Listener) -> None:
        found = self._changed("Pod")
        if found is not None and not found["spec"].get("hostNetwork"):
            self._free = [*_own(found), *self._free]
            if not self._free:
                return  # as many pods as addresses
            found["status"]["podIPs"] = [{"ip": self._free.pop()}]
            listener.change(found)

    def _pod_says_nothing_new(self, listener: Listener) -> None:
        found = self._changed("Pod")
        if found is not None:
            found["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
            listener.change(found)

    def _pod_finishes(self, listener: Listener) -> None:
        found = self._changed("Pod")
        if found is not None:
            found["status"]["phase"] = "Succeeded"
            listener.change(found)
            self._drop(found, listener)

    def _two_of_one_address(self, listener: Listener) -> None:
        found = self._any("Pod")
        if found is not None and _own(found) and not found["spec"].get("hostNetwork"):
            other = self._new_pod()
            self._free = [*_own(other), *self._free]
            other["status"]["podIPs"] = copy.deepcopy(found["status"]["podIPs"])
            other["spec"].pop("hostNetwork", None)
            listener.change(self._put(other))
            if self._chance.random() < 0.8:
                del self.objects[key_of(found)]
                listener.remove(*key_of(found))
            else:
                del self.objects[key_of(other)]
                listener.remove(*key_of(other))


class _Policies(_Objects):
    """Policies of every kind that come, go and change."""

    def _selector(self) -> Manifest:
        chance = self._chance
        shape = chance.random()
        if shape < 0.2:
            return {}
        if shape < 0.8:
            return {"matchLabels": {"app": chance.choice(APPS)}}
        operator = chance.choice(["NotIn", "Exists", "DoesNotExist"])
        needed: Manifest = {"key": chance.choice(["tier", "pod"]), "operator": operator}
        if operator == "NotIn":
            needed["values"] = [chance.choice(["front", "web"])]
        return {"matchExpressions": [needed]}

    def _peer(self) -> Manifest:
        chance = self._chance
        shape = chance.random()
        if shape < 0.5:
            return {"podSelector": self._selector()}
        if shape < 0.7:
            return {"namespaceSelector": {"matchLabels": {"team": chance.choice(TEAMS)}}}
        if shape < 0.85:
            return {"namespaceSelector": {}, "podSelector": self._selector()}
        return {"ipBlock": {"cidr": chance.choice(CIDRS)}}

    def _rule(self, side: str) -> Manifest:
        chance, rule = self._chance, Manifest()
        if chance.random() < 0.9:
            rule[side] = [self._peer() for _ in range(chance.randint(1, 3))]
        shape = chance.random()
        if shape < 0.4:
            rule["ports"] = [{"port": chance.choice([80, 443, 53]), "protocol": "TCP"}]
        elif shape < 0.5:
            rule["ports"] = [{"port": chance.choice(["http", "metrics"])}]
        return rule

    def _new_policy(self) -> Manifest:
        chance, self._count = self._chance, self._count + 1
        spec: Manifest = {"podSelector": self._selector()}
        types = chance.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
        spec["policyTypes"] = types
        for name, side in (("Ingress", "from"), ("Egress", "to")):
            if name in types:
                spec[name.lower()] = [self._rule(side) for _ in range(chance.randint(0, 3))]
        made = policy(f"{chance.choice(self._spaces)}/policy-{self._count}", **spec)
        if chance.random() < 0.1:
            made["metadata"]["annotations"] = {"netpolc.dev/audit": "true"}
        return made

    def _policy_comes(self, listener: Listener) -> None:
        listener.change(self._put(self._new_policy()))

    def _policy_goes(self, listener: Listener) -> None:
        found = self._any(self._chance.choice(["NetworkPolicy", "AdminNetworkPolicy"]))
        if found is not None:
            self._drop(found, listener)

    def _policy_changes(self, listener: Listener) -> None:
        found = self._changed("NetworkPolicy")
        if found is not None:
            found["spec"] = self._new_policy()["spec"]
            listener.change(found)

    def _odd_policy(self, listener: Listener) -> None:
        """Of a new object, so that it is told to everybody alike; it is put right or goes."""
        odd = self._new_policy()
        odd["spec"]["policyTypes"] = ["Sideways"]
        listener.change(self._put(odd))

    def _tier_comes(self, listener: Listener) -> None:
        chance, self._count = self._chance, self._count + 1
        if len(self._all("AdminNetworkPolicy")) > 3:
            return
        chosen: Manifest = {"namespaceSelector": {"matchLabels": {"team": chance.choice(TEAMS)}}}
        chosen["podSelector"] = self._selector()
        some: list[Manifest] = [{"pods": chosen}, {"namespaces": {}}]
        rules: dict[str, Any] = {}
        for way, side in (("ingress", "from"), ("egress", "to")):
            peers = [*some, *([{"nodes": {}}, {"networks": CIDRS[:1]}] if side == "to" else [])]
            rules[way] = [
                {
                    "action": chance.choice(["Allow", "Deny", "Pass"]),
                    side: [chance.choice(peers) for _ in range(chance.randint(1, 2))],
                }
                for _ in range(chance.randint(0, 4))
            ]
        spec = {"priority": chance.randint(1, 9), "subject": chance.choice(some), **rules}
        metadata = {"name": f"tier-{self._count}"}
        kind = {"apiVersion": GROUP, "kind": "AdminNetworkPolicy"}
        listener.change(self._put({**kind, "metadata": metadata, "spec": spec}))


class Happening(_Pods, _Policies):
    """The objects of a cluster while it changes; `calm` ones have neither odd objects nor ordered
    tiers.
    """

    def __init__(
        self,
        chance: Random,
        pods: int,
        policies: int,
        *,
        calm: bool = False,
        begun: Iterable[Manifest] = (),
    ) -> None:
        """With `begun` there are these objects, too, and what comes is on their first nodes and in
        their first namespaces.
        """
        objects = {key_of(own): own for own in begun}
        nodes = [name for kind, _, name in objects if kind == "Node"][: len(NODES)]
        spaces = [name for kind, _, name in objects if kind == "Namespace"][: len(SPACES)]
        super().__init__(chance, nodes or NODES, spaces or SPACES)
        self._calm = calm
        self.objects = objects
        if objects:
            return
        for number, name in enumerate(NODES):
            self._put(node(name, f"192.0.2.{number + 1}"))
        for name in SPACES[:-1]:  # the last one is only mentioned
            self._put(namespace(name, team=chance.choice(TEAMS)))
        for _ in range(pods):
            self._put(self._new_pod())
        for _ in range(policies):
            self._put(self._new_policy())

    def event(self, listener: Listener) -> str:
        """One event, told; its name."""
        kinds: list[tuple[int, Callable[[Listener], None]]] = [
            (30, self._pod_joins),
            (28, self._pod_leaves),
            (12, self._pod_is_relabelled),
            (5, self._pod_gets_addresses),
            (4, self._pod_says_nothing_new),
            (3, self._pod_finishes),
            (3, self._policy_comes),
            (3, self._policy_goes),
            (2, self._policy_changes),
            (1, self._namespace_changes),
            (1, self._node_changes),
            (1, self._list),
        ]
        if not self._calm:
            kinds += [(1, self._odd_policy), (1, self._two_of_one_address), (1, self._tier_comes)]
        weights = [weight for weight, _ in kinds]
        (chosen,) = self._chance.choices([own for _, own in kinds], weights)
        chosen(listener)
        return chosen.__name__

    def _namespace_changes(self, listener: Listener) -> None:
        name = self._chance.choice(self._spaces)
        key = ("Namespace", "", name)
        if key in self.objects and self._chance.random() < 0.2:
            self._drop(self.objects[key], listener)
        else:
            listener.change(self._put(namespace(name, team=self._chance.choice(TEAMS))))

    def _node_changes(self, listener: Listener) -> None:
        name = self._chance.choice(self._nodes)
        more = [f"192.0.2.{10 + self._chance.randint(0, 3)}"] if self._chance.random() < 0.5 else []
        own = node(name, f"192.0.2.{self._nodes.index(name) + 1}", *more)
        own["metadata"]["labels"] = {"zone": self._chance.choice(["one", "two"])}
        listener.change(self._put(own))

    def _list(self, listener: Listener) -> None:
        """Some pods go, and no event says so."""
        for found in self._chance.sample(self._all("Pod"), min(2, len(self._all("Pod")))):
            del self.objects[key_of(found)]
        listener.replace("Pod", self._all("Pod"))


def _addresses(document: Manifest) -> list[str]:
    return [own["ip"] for own in document["status"].get("podIPs", ())]


def _own(document: Manifest) -> list[str]:
    return [ip for ip in _addresses(document) if ip.startswith("10.0.")]
