"""Pods in maps come and go as elements: of one chain's sources, and of ordered tiers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

import netpolc
from netpolc.backends.nft import Options
from netpolc.live import Live
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

KINDS = ["web", "db", "cache", "job"]
BITS = 4


def tier() -> Manifest:
    """More rules than are asked one after the other: each kind has ports of its own, `web` is let
    in on 80, and `cache` is denied all else."""

    def peers(kind: str) -> list[Manifest]:
        selector = {"matchLabels": {"kind": kind}}
        return [{"pods": {"namespaceSelector": {}, "podSelector": selector}}]

    def rule(action: str, kind: str, *ports: int) -> Manifest:
        several = [{"portNumber": {"protocol": "TCP", "port": own}} for own in ports]
        return {"action": action, "from": peers(kind), **({"ports": several} if ports else {})}

    rules = [rule("Deny", kind, 9000 + at) for at in range(5) for kind in KINDS[:3]]
    rules += [rule("Allow", "web", 80), rule("Deny", "cache")]
    odd = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"role": "odd"}}}
    rules.append({**rule("Deny", "job", 7000), "from": [{"pods": odd}]})
    away = {"action": "Deny", "to": [{"networks": ["10.2.0.0/25"]}]}
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": {"name": "tier"},
        "spec": {
            "priority": 1,
            "subject": {"namespaces": {}},
            "ingress": rules,
            "egress": [{"action": "Allow", "to": peers(own)} for own in KINDS[:2]] + [away],
        },
    }


def sources() -> list[Manifest]:
    """For `db` of `shop`: each of many labels admits on other ports, most peers by several."""

    def of(key: str, value: str) -> list[Manifest]:
        return [{"podSelector": {"matchLabels": {key: value}}}]

    found = []
    for bit in range(BITS):
        for value in "01":
            for port in (100, 200):
                rules = [{"from": of(f"bit{bit}", value), "ports": [{"port": port + bit % 2}]}]
                select = {"matchLabels": {"kind": "db"}}
                name = f"shop/b{bit}-{value}-{port}"
                found.append(policy(name, podSelector=select, ingress=rules))
    return found


def far(name: str, number: int, chance: Random) -> Manifest:
    """A pod of another node, mostly of two families."""
    v4, v6 = f"10.2.{number // 200}.{number % 200 + 1}", f"fd00:2::{number + 1:x}"
    addresses = [v4, v6] if chance.random() < 0.8 else [v4]
    labels = {f"bit{bit}": chance.choice("01") for bit in range(BITS)}
    space = chance.choice(["shop", "shop", "other"])
    return pod(f"{space}/{name}", *addresses, on="node-b", kind=chance.choice(KINDS), **labels)


def cluster(pods: int, chance: Random) -> list[Manifest]:
    found = [node("node-a", "192.0.2.1"), node("node-b", "192.0.2.2")]
    found += [namespace("shop"), namespace("other")]
    found += [pod("shop/db", "10.1.0.1", "fd00:1::1", kind="db")]
    found += [far(f"far-{number}", number, chance) for number in range(pods)]
    return found


def filled(objects: list[Manifest], options: Options | None = None) -> Live:
    live = Live("node-a", options)
    for kind in dict.fromkeys(own["kind"] for own in objects):
        live.replace(kind, [own for own in objects if own["kind"] == kind])
    live.ruleset()
    return live


def afresh(objects: list[Manifest], options: Options | None = None) -> Any:
    return netpolc.compile(netpolc.load_objects(objects)).ruleset("node-a", options)


def maps(live: Live) -> set[str]:
    """What kinds of maps of pods there are."""
    own = live.ruleset().table.maps
    return {one.name[:2] for one in own if one.name[:2] in {"a4", "a6", "m4", "m6"}}


@pytest.mark.parametrize("pods", [120, 1000])
def test_a_pod_in_a_map_is_an_element(pods: int) -> None:
    chance = Random(1)
    objects = [*cluster(pods, chance), tier(), *sources()]
    live = filled(objects)
    assert maps(live) == {"a4", "a6", "m4", "m6"}
    before, touched = live.work.compiled.copy(), live.work.touched
    shop = (own for own in objects if own["metadata"].get("namespace") == "shop")
    like = next(own["metadata"]["labels"] for own in shop if _kind(own) == "cache")
    known = pod("shop/new", "10.3.0.1", on="node-b", **like)
    live.change(known)
    text = live.ruleset().text()
    # Denied by the tier's rule for all ports of `cache`, and admitted to `db` on some by a source.
    assert "10.3.0.1 : goto k_" in text
    assert "10.3.0.1 : jump p_" in text
    assert text == afresh([*objects, known]).text()
    live.remove("Pod", "shop", "new")
    assert live.ruleset().text() == afresh(objects).text()
    assert live.work.compiled == before
    assert 0 < live.work.touched - touched <= 2 * 40


def test_the_first_and_the_last_who_meet_something_make_its_chains_come_and_go() -> None:
    """Somebody is `web`, and somebody odd; nobody is both, and of IPv6 nobody meets anything."""
    objects = [own for own in cluster(0, Random(2)) if own["kind"] != "Pod"]
    own = [pod(f"shop/{kind}", f"10.3.0.{at}", kind=kind) for at, kind in enumerate(KINDS)]
    objects += [*own, pod("other/odd", "10.3.0.9", on="node-b", kind="job", role="odd"), tier()]
    live = filled(objects)
    assert maps(live) == {"m4"}
    compiled, chains = live.work.compiled.copy(), judging(live)
    both = pod("other/both", "fd00:3::7", on="node-b", kind="web", role="odd")
    live.change(both)
    assert maps(live) == {"m4", "m6"}
    assert "fd00:3::7 : goto k_" in live.ruleset().text()
    assert len(judging(live)) == len(chains) + 1
    assert live.ruleset().text() == afresh([*objects, both]).text()
    live.remove("Pod", "other", "both")
    assert judging(live) == chains
    assert live.ruleset().text() == afresh(objects).text()
    assert (live.work.compiled, live.work.lowered) == (compiled, 2)


def judging(live: Live) -> set[str]:
    """The chains that pods of the maps meet."""
    found = live.ruleset().table.chains
    return {own.name for own in found if own.name.startswith("k_")}


def _kind(own: Manifest) -> str:
    labels: dict[str, str] = own["metadata"].get("labels", {})
    return labels.get("kind", "")


@pytest.mark.parametrize("options", [Options(), Options(established="recheck")])
@pytest.mark.parametrize("several", [[tier()], sources(), [tier(), *sources()]])
def test_any_pods_in_any_order(several: list[Manifest], options: Options) -> None:
    chance = Random(len(several))
    there = {own["metadata"]["name"]: own for own in cluster(60, chance)}
    live = filled([*there.values(), *several], options)
    for number in range(60, 240):
        name = chance.choice([own for own in there if own.startswith("far-")])
        space = there[name]["metadata"]["namespace"]
        if chance.random() < 0.5:
            live.remove("Pod", space, name)
            del there[name]
        else:
            changed = far(f"far-{number}", number, chance)
            there[f"far-{number}"] = changed
            live.change(changed)
        if number % 3 == 0:
            fresh, own = afresh([*there.values(), *several], options), live.ruleset()
            assert own.text() == fresh.text()
            assert own.digest == fresh.digest
            assert own.owners.notes == fresh.owners.notes
    assert sum(live.work.compiled.values()) < live.work.events / 4
