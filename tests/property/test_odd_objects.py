"""Addresses of two pods, and odd objects beside good ones.

In: generated snapshots, with two pods made to show one address, or with one odd object more. Out:
the verdicts of the independent reference; and that an odd object opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

import netpolc
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.proof import Proof
from tests.helpers import reference
from tests.helpers.cluster_strategies import NAMESPACES
from tests.helpers.strategies import interesting_flows, patient, snapshots

Manifest = dict[str, Any]
SWEEP = 300
MOMENTS = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-02T00:00:00Z", None]
READY = "PodReadyToStartContainers"


def of_kind(objects: Sequence[Manifest], kind: str) -> list[Manifest]:
    return [own for own in objects if own["kind"] == kind]


def shows_an_address(pod: Manifest) -> bool:
    status = pod["status"]
    host = pod["spec"].get("hostNetwork")
    finished = status.get("phase") in ("Succeeded", "Failed")
    return bool(status.get("podIP") or status.get("podIPs")) and not host and not finished


@st.composite
def shared_addresses(draw: st.DrawFn) -> list[Manifest]:
    """A snapshot in which some pods show the addresses of others."""
    objects = draw(snapshots())
    live = [pod for pod in of_kind(objects, "Pod") if shows_an_address(pod)]
    assume(len(live) > 1)
    for pod in live:
        moment = draw(st.sampled_from(MOMENTS))
        if moment is not None:
            pod["metadata"]["creationTimestamp"] = moment
        told = draw(st.sampled_from(["True", "False", None]))
        if told is not None:
            pod["status"]["conditions"] = [{"type": READY, "status": told}]
    for pod in draw(st.lists(st.sampled_from(live), min_size=1, max_size=3)):
        other = draw(st.sampled_from(live))
        for field in ("podIP", "podIPs"):
            pod["status"].pop(field, None)
            if field in other["status"]:
                pod["status"][field] = other["status"][field]
    return objects


@settings(patient(100))
@given(shared_addresses())
def test_whose_an_address_is(objects: list[Manifest]) -> None:
    program = netpolc.compile(netpolc.load_objects(objects))
    for flow in interesting_flows(objects, SWEEP):
        verdict = netpolc.evaluate(program, netpolc.Flow(*flow))
        assert verdict.allowed is reference.allowed(objects, *flow), flow


@settings(patient(25))
@given(shared_addresses(), st.sampled_from(["forward", "postrouting"]))
def test_every_node_s_ruleset_says_the_same(objects: list[Manifest], hook: str) -> None:
    program = netpolc.compile(netpolc.load_objects(objects))
    for node in (None, *program.cluster.nodes):
        ruleset = program.ruleset(node, netpolc.Options(hook=hook))
        listing = parse_text.parse(ruleset.text())
        assert [str(own) for own in Proof(program, listing, node).first()] == [], node


def _policy(namespace: str, spec: Manifest, **metadata: Any) -> Manifest:
    named = {"name": "odd-one", "namespace": namespace, **metadata}
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return {**head, "metadata": named, "spec": spec}


def _pod(namespace: str, address: str, **more: Any) -> Manifest:
    metadata = {"name": "odd-one", "namespace": namespace, "labels": {"app": 1}}
    spec = {"nodeName": "node-1", **more}
    status = {"podIP": address, "hostIP": "10.0.1.1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


@st.composite
def odd_objects(draw: st.DrawFn, objects: list[Manifest]) -> Manifest:
    """An object that is refused beside the others, of any kind."""
    space = draw(st.sampled_from(NAMESPACES))
    zeros = {"ipBlock": {"cidr": "010.0.0.0/8"}}
    address = draw(st.sampled_from(["10.0.0.1", "10.0.0.4", "10.0.0.77", "10.0.1.1", "fd00::4"]))
    choices = [
        _policy(space, {"podSelector": {}, "ingress": [{"from": [zeros]}, {}]}),
        _policy(space, {"podSelector": {"matchLabels": {"app": "a"}}, "egress": [{"to": [zeros]}]}),
        _policy(space, {"podSelector": {"matchLabels": []}, "policyTypes": ["Egress"]}),
        _policy(space, {"podSelector": {}, "policyTypes": ["ingress"], "ingress": [{}]}),
        _policy(space, {"podSelector": {}, "ingres": [], "ingress": [{}]}),
        _policy(space, {"ingress": [{"ports": [{"protocol": "tcp"}]}, {}]}),
        _policy(space, {"podSelector": {}, "ingress": [{}], "egress": [{}]}, name="No_Name"),
        {**_policy(space, {"ingress": [{}]}), "kind": "networkpolicy"},
        {**_policy(space, {"ingress": [{}]}), "apiVersion": "networking.k8s.io/v1beta1"},
        _pod(space, address),
        _pod(space, address, hostNetwork="yes"),
        _pod(space, address, nodeName=["node-1"]),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": {"a": 1}}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "status": []},
        {"apiVersion": "netpolc.dev/v1", "kind": "Expectations", "metadata": {"name": "e"}},
        {"apiVersion": "v1", "kind": "Deployment", "metadata": {"name": "e"}},
    ]
    for kind in ("NetworkPolicy", "Pod", "Namespace", "Node"):
        for own in of_kind(objects, kind)[:1]:
            choices.append({**own, "spec": {"podSelector": {}, "ingress": [{}], "egress": [{}]}})
            labelled = {**own["metadata"], "labels": {"app": "a", "tier": "b"}}
            choices.append({**own, "metadata": labelled})
    return draw(st.sampled_from(choices))


def _refused(objects: list[Manifest]) -> bool:
    try:
        netpolc.load_objects(objects)
    except netpolc.InputError:
        return True
    return False


@settings(patient(200))
@given(st.data())
def test_an_odd_object_opens_nothing(data: st.DataObject) -> None:
    objects = data.draw(snapshots())
    odd = data.draw(odd_objects(objects))
    assume(_refused([*objects, odd]))
    note(f"odd: {odd}")
    before = netpolc.compile(netpolc.load_objects(objects))
    snapshot = netpolc.load_objects([*objects, odd], odd_objects="isolate")
    assert snapshot.odd
    after = netpolc.compile(snapshot)
    space = odd["metadata"].get("namespace") or "default"
    for flow in interesting_flows(objects, SWEEP):
        asked = netpolc.Flow(*flow)
        was, is_now = netpolc.evaluate(before, asked), netpolc.evaluate(after, asked)
        assert was.allowed or not is_now.allowed, flow
        if odd["kind"] != "NetworkPolicy":
            continue
        ends = [before.pods_by_address.get(end) for end in (asked.source, asked.destination)]
        if all(end is None or end.namespace != space for end in ends):
            assert was.allowed is is_now.allowed, flow
