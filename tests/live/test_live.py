"""A `Live` has the ruleset of its objects, whatever events made them; odd ones stop no other."""

from __future__ import annotations

import copy

import pytest

import netpolc
from netpolc.backends.nft import Options
from netpolc.core.nets import parse_address
from netpolc.frontends import Semantics
from netpolc.live import Live
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

OBJECTS = [
    namespace("shop", team="a"),
    namespace("other"),
    node("node-a", "192.0.2.1"),
    node("node-b", "192.0.2.2"),
    pod("shop/web", "10.0.0.1", app="web"),
    pod("shop/db", "10.0.0.2", app="db"),
    pod("shop/far", "10.0.1.1", on="node-b", app="web"),
    pod("other/job", "10.0.1.2", on="node-b", app="job"),
    policy(
        "shop/db",
        podSelector={"matchLabels": {"app": "db"}},
        ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}],
    ),
]


def filled(objects: list[Manifest], **options: object) -> Live:
    live = Live("node-a", **options)  # type: ignore[arg-type]
    for kind in dict.fromkeys(own["kind"] for own in objects):
        live.replace(kind, [own for own in objects if own["kind"] == kind])
    return live


def afresh(objects: list[Manifest]) -> str:
    """What `netpolc compile --odd-objects isolate` makes of them."""
    snapshot = netpolc.load_objects(objects, odd_objects="isolate")
    return netpolc.compile(snapshot).ruleset("node-a").text()


def elements(live: Live) -> list[set[str]]:
    """The addresses in each set of pods that rules look up."""
    own = live.ruleset().objects.values()
    return [set(entry.elements) for entry in own if entry.name.startswith("s4_")]


def test_lists_are_the_snapshot() -> None:
    live = filled(OBJECTS)
    assert live.ruleset().text() == afresh(OBJECTS)
    assert elements(live) == [{"10.0.0.1", "10.0.1.1"}]


def test_events_come_and_go() -> None:
    live = filled(OBJECTS)
    more = pod("shop/web2", "10.0.1.9", on="node-b", app="web")
    live.change(more)
    assert elements(live) == [{"10.0.0.1", "10.0.1.1", "10.0.1.9"}]
    live.change(pod("shop/web2", "10.0.1.9", on="node-b", app="none"))
    assert elements(live) == [{"10.0.0.1", "10.0.1.1"}]
    live.remove("Pod", "shop", "far")
    assert elements(live) == [{"10.0.0.1"}]
    live.remove("NetworkPolicy", "shop", "db")
    assert elements(live) == []


def test_a_list_tells_what_is_gone() -> None:
    live = filled(OBJECTS)
    left = [own for own in OBJECTS if own["metadata"]["name"] != "far"]
    live.replace("Pod", [own for own in left if own["kind"] == "Pod"])
    assert live.ruleset().text() == afresh(left)


def test_what_did_not_change_is_the_same_object() -> None:
    live = filled(OBJECTS)
    before = live.ruleset()
    live.remove("Pod", "shop", "never-there")
    assert live.ruleset() is before


def test_finished_pods_are_gone() -> None:
    live = filled(OBJECTS)
    done = copy.deepcopy(OBJECTS[6])
    done["status"]["phase"] = "Succeeded"
    live.change(done)
    assert elements(live) == [{"10.0.0.1"}]


def test_a_policy_that_cannot_be_read_keeps_its_last_good_version() -> None:
    live = filled(OBJECTS)
    before = live.ruleset().text()
    wrong = copy.deepcopy(OBJECTS[-1])
    wrong["spec"]["ingress"][0]["ports"] = [{"port": 70000}]
    live.change(wrong)
    assert live.ruleset().text() == before
    (told,) = live.refused.items()
    assert told[0] == ("NetworkPolicy", "shop", "db")
    assert told[1].startswith("its last good version stays: spec.ingress[0].ports[0].port")
    live.change(OBJECTS[-1])
    assert not live.refused


def test_items_of_a_list_are_each_treated_by_themselves() -> None:
    """One without a name is enforced strictly, what is no pod passed over; the others go on."""
    nameless = copy.deepcopy(OBJECTS[6])
    del nameless["metadata"]["name"]
    nameless["status"]["podIPs"] = [{"ip": "10.0.1.77"}]
    policies = [policy("shop/all", podSelector={}, ingress=[{}])]
    del policies[0]["metadata"]["name"]
    pods = [own for own in OBJECTS if own["kind"] == "Pod"]
    live = filled(OBJECTS)
    live.replace("Pod", [nameless, {"apiVersion": "v1", "kind": "Secret"}, *pods])
    live.replace("NetworkPolicy", [*policies, OBJECTS[-1]])
    assert live.ruleset().text() == afresh([nameless, *OBJECTS, *policies])
    assert elements(live) == [{"10.0.0.1", "10.0.1.1"}]
    assert "10.0.0.1 : goto" in live.ruleset().text()  # the policy isolates web, and admits nobody
    told = {(kind, name.partition("-")[0]): why for (kind, _, name), why in live.refused.items()}
    assert told["Pod", "unreadable"].startswith("the pod is closed")
    assert told["Pod", "items[1]"].startswith("it is passed over: v1 Secret is none of")
    assert "admits nothing" in told["NetworkPolicy", "unreadable"]
    live.replace("Pod", pods)
    live.replace("NetworkPolicy", OBJECTS[-1:])
    assert not live.refused
    assert live.ruleset().text() == afresh(OBJECTS)


@pytest.mark.parametrize("number", [10**40, float("nan")])
def test_a_policy_that_a_list_has_and_nobody_can_read_stays(number: float) -> None:
    """Were it taken for gone, what it isolates would be open."""
    live = Live("node-a")
    live.replace("Node", [node("node-a", "192.0.2.1")])
    live.replace("Pod", [pod("shop/db", "10.0.0.1")])
    good = policy("shop/db", podSelector={})
    live.replace("NetworkPolicy", [good, policy("shop/other", podSelector={})])
    live.replace("NetworkPolicy", [{**good, "status": number}])
    ((key, why),) = live.refused.items()
    assert key == ("NetworkPolicy", "shop", "db")
    assert why.startswith("its last good version stays: ")
    assert "10.0.0.1 : goto" in live.ruleset().text()
    live.replace("NetworkPolicy", [good])
    assert not live.refused
    live.replace("NetworkPolicy", [])
    assert "10.0.0.1 : goto" not in live.ruleset().text()


def test_one_that_never_could_be_read_admits_nothing() -> None:
    wrong = copy.deepcopy(OBJECTS[-1])
    wrong["spec"]["ingress"][0]["ports"] = [{"port": 70000}]
    objects = [*OBJECTS[:-1], wrong]
    live = filled(objects)
    assert live.ruleset().text() == afresh(objects)
    assert elements(live) == []
    assert "admits nothing" in live.refused["NetworkPolicy", "shop", "db"]


def test_an_address_is_that_of_the_newer_pod() -> None:
    """While a pod is replaced two have one address for seconds."""
    old, new = copy.deepcopy(OBJECTS[6]), pod("other/new", "10.0.1.1", on="node-b", app="new")
    old["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    new["metadata"]["creationTimestamp"] = "2026-01-01T00:00:09Z"
    live = filled([*OBJECTS[:6], old, *OBJECTS[7:], new])
    assert elements(live) == [{"10.0.0.1"}]
    live.remove("Pod", "other", "new")
    assert elements(live) == [{"10.0.0.1", "10.0.1.1"}]


def test_more_addresses_of_the_node() -> None:
    tier = {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": {"name": "nodes"},
        "spec": {
            "priority": 1,
            "subject": {"namespaces": {}},
            "egress": [{"action": "Deny", "to": [{"nodes": {}}]}],
        },
    }
    plain, more = filled([*OBJECTS, tier]), parse_address("192.0.2.77")
    live = filled([*OBJECTS, tier], addresses=[more])
    assert "192.0.2.77" not in plain.ruleset().text()
    assert "192.0.2.77" in live.ruleset().text()


def test_old_semantics() -> None:
    space = namespace("shop", team="a")
    isolation = '{"ingress":{"isolation":"DefaultDeny"}}'
    space["metadata"]["annotations"] = {"net.beta.kubernetes.io/network-policy": isolation}
    objects = [space, *OBJECTS[1:-1]]
    live = filled(objects, semantics=Semantics.V1_6)
    snapshot = netpolc.load_objects(objects, semantics="v1.6")
    assert live.ruleset().text() == netpolc.compile(snapshot).ruleset("node-a").text()
    assert "10.0.0.1" in live.ruleset().text()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}, "v1 Secret is none of"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {}}, "a Pod without a name"),
        ({"type": "ADDED", "object": {}}, "a watch event"),
    ],
)
def test_what_is_no_object_of_a_cluster_is_refused(given: Manifest, told: str) -> None:
    live = filled(OBJECTS)
    before = live.ruleset()
    with pytest.raises(netpolc.InputError, match=told):
        live.change(given)
    assert live.ruleset() is before


def test_a_node_that_nobody_knows() -> None:
    with pytest.raises(netpolc.UsageError, match="unknown node"):
        Live("node-z").ruleset()


def test_a_pod_is_not_taken_for_a_closed_one_like_it() -> None:
    """Two pods of one address, of which nothing tells which is newer, are closed; others not."""
    both = [pod("shop/one", "10.0.0.9", app="x"), pod("shop/two", "10.0.0.9", app="x")]
    objects = [*OBJECTS, *both]
    live = filled(objects)
    assert live.ruleset().text() == afresh(objects)
    more = pod("shop/three", "10.0.0.10", app="x")
    live.change(more)
    assert live.ruleset().text() == afresh([*objects, more])


def test_a_rule_that_is_called_otherwise() -> None:
    """What its author calls a rule is in comments and in lines of the log."""

    def tier(name: str) -> Manifest:
        return {
            "apiVersion": "policy.networking.k8s.io/v1alpha1",
            "kind": "AdminNetworkPolicy",
            "metadata": {"name": "tier"},
            "spec": {
                "priority": 1,
                "subject": {"namespaces": {}},
                "ingress": [{"name": name, "action": "Deny", "from": [{"namespaces": {}}]}],
            },
        }

    live = filled([*OBJECTS, tier("first")])
    live.ruleset()
    live.change(tier("second"))
    assert live.ruleset().text() == afresh([*OBJECTS, tier("second")])
    assert "second" in live.ruleset().text()


DENY = {
    "apiVersion": "policy.networking.k8s.io/v1alpha2",
    "kind": "ClusterNetworkPolicy",
    "metadata": {"name": "secure"},
    "spec": {
        "tier": "Admin",
        "priority": 1,
        "subject": {"namespaces": {"matchLabels": {"kind": "secure"}}},
        "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}],
    },
}


def test_pods_that_come_back_to_a_relabelled_namespace_are_judged_by_its_labels() -> None:
    """It was empty when it was relabelled: nobody there was let go by the labels of before."""
    live = filled([*OBJECTS, DENY, pod("other/own", "10.0.0.9")])
    assert "10.0.0.9 : goto" not in live.ruleset().text()
    for name in ("own", "job"):
        live.remove("Pod", "other", name)
    live.ruleset()
    live.change(namespace("other", kind="secure"))
    live.ruleset()
    live.change(pod("other/own", "10.0.0.9"))
    objects = [own for own in OBJECTS if own["metadata"]["name"] not in ("other", "job")]
    objects += [DENY, namespace("other", kind="secure"), pod("other/own", "10.0.0.9")]
    assert "10.0.0.9 : goto" in live.ruleset().text()
    assert live.ruleset().text() == afresh(objects)


def test_a_policy_that_asks_for_labels_closes_pods_of_a_namespace_that_cannot_be_read() -> None:
    """Nobody can tell whether it is about them: the same whichever of the two comes first."""
    odd = namespace("other", kind="not a label!")
    objects = [own for own in OBJECTS if own["metadata"]["name"] != "other"]
    objects += [odd, pod("other/own", "10.0.0.9")]
    live = filled(objects)
    live.ruleset()
    live.change(DENY)
    assert live.ruleset().text() == filled([*objects, DENY]).ruleset().text()
    assert "10.0.0.9 : goto" in live.ruleset().text()
    live.remove("ClusterNetworkPolicy", "", "secure")
    assert live.ruleset().text() == filled(objects).ruleset().text()


def test_pods_that_show_an_address_of_this_host_come_and_go() -> None:
    """Addresses of the host that its Node does not list count as those that it lists."""
    own, also = parse_address("10.0.0.77"), pod("shop/also", "10.0.0.77", on="node-b", app="web")
    more = {"addresses": [own], "options": Options(pending="deny", pod_cidrs=("10.0.0.0/24",))}
    live = filled(OBJECTS, **more)
    before = live.ruleset().text()
    assert "10.0.0.77" in before
    live.change(also)
    assert live.ruleset().text() == filled([*OBJECTS, also], **more).ruleset().text()
    live.remove("Pod", "shop", "also")
    assert live.ruleset().text() == before


def test_a_pod_that_gets_an_address_of_the_host_takes_it_from_the_node() -> None:
    """No object lists it, so nothing but `know` tells that it was the node's."""
    allow = {"action": "Allow", "to": [{"nodes": {}}]}
    deny = {"action": "Deny", "to": [{"networks": ["0.0.0.0/0"]}]}
    spec = {"priority": 1, "subject": {"namespaces": {}}, "egress": [allow, deny]}
    kind = {"apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy"}
    objects = [*OBJECTS, {**kind, "metadata": {"name": "nodes"}, "spec": spec}]
    live = filled(objects)
    live.know([parse_address("10.0.1.77")])
    assert "10.0.1.77" in live.ruleset().text()
    more = pod("shop/job", "10.0.1.77", on="node-b", app="job")
    live.change(more)
    assert live.ruleset().text() == afresh([*objects, more])
