"""Cluster-scoped policies as they are read: what is kept, what is closed, what is told.

In: manifests. Out: policies in symbols, warnings, what stands for odd ones. What that means for
flows is in `tests/cases/` (`cluster-…`), the messages of servers are in `tests/errors/refused/`.
"""

from __future__ import annotations

from typing import Any

import pytest

import netpolc
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import (
    ANY,
    Action,
    Direction,
    NamedPort,
    NamePeer,
    NetworkPeer,
    NodePeer,
    Operator,
    PortRange,
    Tier,
)
from netpolc.core.nets import Protocol, parse_cidr
from netpolc.passes.bound import bounded

Manifest = dict[str, Any]
GROUP = "policy.networking.k8s.io"
IN, OUT = Direction.INGRESS, Direction.EGRESS
ALL: Manifest = {"namespaces": {}}
NOT = {"namespaces": {"matchExpressions": [{"key": "team", "operator": "Not"}]}}
HOSTILE = 'a"; flush ruleset; "\n\x1b[31m\u202e{{7*7}}'


def cnp(name: str = "guard", version: str = "v1alpha2", **spec: Any) -> Manifest:
    own = {"tier": "Admin", "priority": 10, "subject": ALL, **spec}
    head = {"apiVersion": f"{GROUP}/{version}", "kind": "ClusterNetworkPolicy"}
    return {**head, "metadata": {"name": name}, "spec": own}


def anp(**spec: Any) -> Manifest:
    own = {"priority": 10, "subject": ALL, **spec}
    head = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "AdminNetworkPolicy"}
    return {**head, "metadata": {"name": "guard"}, "spec": own}


def banp(name: str = "default", **spec: Any) -> Manifest:
    head = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "BaselineAdminNetworkPolicy"}
    return {**head, "metadata": {"name": name}, "spec": {"subject": ALL, **spec}}


def rule(action: str, *peers: Manifest, **more: Any) -> Manifest:
    return {"action": action, "from": list(peers), **more}


def out(action: str, *peers: Manifest, **more: Any) -> Manifest:
    return {"action": action, "to": list(peers), **more}


def read(*objects: Manifest, isolate: bool = False) -> Snapshot:
    return netpolc.load_objects(objects, odd_objects="isolate" if isolate else "refuse")


def told(snapshot: Snapshot) -> list[tuple[str, str]]:
    return [(own.code, own.path) for own in snapshot.warnings if own.code != "NP004"]


@pytest.mark.parametrize("version", ["v1alpha2", "v1beta1"])
def test_a_cluster_network_policy_in_symbols(version: str) -> None:
    services = [
        {"tcp": {"destinationPort": {"number": 80}}},
        {"udp": {"destinationPort": {"range": {"start": 53, "end": 54}}}},
        {"destinationNamedPort": "web"},
    ]
    written = out("Accept", ALL, protocols=services, name="web")
    blocks = {"networks": ["10.0.0.0/8", "2001:DB8::/32"]}
    nodes = {"nodes": {"matchLabels": {"role": "worker"}}}
    spec: Manifest = {
        "tier": "Baseline",
        "priority": 7,
        "ingress": None,
        "egress": [written, out("Pass", blocks, nodes)],
    }
    snapshot = read(cnp(version=version, **spec))
    (policy,) = snapshot.policies
    assert (policy.tier, policy.priority, policy.isolates) == (Tier.BASELINE, 7, frozenset())
    assert (policy.origin.policy, policy.written) == (
        "ClusterNetworkPolicy/guard",
        frozenset({OUT}),
    )
    first, second = policy.rules
    assert (first.direction, first.action, first.origin.rule) == (OUT, Action.ACCEPT, "egress[0]")
    assert (first.origin.called, second.origin.called) == ("web", "")
    assert first.ports == (
        PortRange(Protocol.TCP, 80, 80),
        PortRange(Protocol.UDP, 53, 54),
        *(NamedPort(protocol, "web") for protocol in Protocol),
    )
    assert second.ports is ANY
    assert second.peers is not ANY
    ten, db8, workers = second.peers
    assert ten == NetworkPeer(parse_cidr("10.0.0.0/8"))
    assert db8 == NetworkPeer(parse_cidr("2001:db8::/32"))
    assert isinstance(workers, NodePeer)
    (need,) = workers.nodes.requirements
    assert (need.key, need.operator, need.values) == ("role", Operator.IN, frozenset({"worker"}))
    assert told(snapshot) == []


def test_admin_and_baseline_are_two_kinds_of_the_same() -> None:
    ports = [
        {"portNumber": {"port": 80}},
        {"portRange": {"protocol": "SCTP", "start": 5, "end": 5}},
        {"namedPort": "web"},
    ]
    single, admin, base = read(
        cnp(ingress=[rule("Deny", ALL)]),
        anp(ingress=[rule("Allow", ALL, ports=ports), rule("Pass", ALL)]),
        banp(egress=[out("Deny", {"networks": ["10.0.0.0/8"]})]),
    ).policies
    assert single.origin.name == admin.origin.name == "guard"
    assert single.origin.key != admin.origin.key
    assert (admin.tier, admin.priority) == (Tier.ADMIN, 10)
    assert [own.action for own in admin.rules] == [Action.ACCEPT, Action.PASS]
    assert admin.rules[0].ports == (
        PortRange(Protocol.TCP, 80, 80),
        PortRange(Protocol.SCTP, 5, 5),
        *(NamedPort(protocol, "web") for protocol in Protocol),
    )
    assert (base.tier, base.priority) == (Tier.BASELINE, 1000)
    assert admin.order < single.order < base.order


def closed(snapshot: Snapshot) -> list[tuple[Action, object, object]]:
    (policy,) = snapshot.policies
    return [(own.action, own.peers, own.ports) for own in policy.rules]


DENIES = (Action.DENY, ANY, ANY)
NOTHING = (Action.ACCEPT, (), ANY)
UNREADABLE = [
    {"namespaces": {"matchLabels": {"a/b/c": "x"}}},
    {"namespaces": {"matchLabels": {"app": "no value"}}},
    {"namespaces": {"matchExpressions": [{"key": "app", "operator": "Is", "values": ["x"]}]}},
    {"namespaces": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
    {"namespaces": {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]}},
    {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"/x": "x"}}}},
]


@pytest.mark.parametrize("peer", UNREADABLE, ids=repr)
def test_selectors_that_servers_store_unread_close_their_rule(peer: Manifest) -> None:
    ports = [{"tcp": {"destinationPort": {"number": 80}}}]
    actions = ["Accept", "Deny", "Pass"]
    for direction, made in (("ingress", rule), ("egress", out)):
        written = [made(action, ALL, peer, protocols=ports) for action in actions]
        for isolate in (False, True):
            spec: Manifest = {direction: written}
            snapshot = read(cnp(**spec), isolate=isolate)
            assert closed(snapshot) == [NOTHING, DENIES, DENIES]
            assert {code for code, _ in told(snapshot)} == {"NP010"}
            assert len(told(snapshot)) == 3
            assert bool(snapshot.odd) is isolate


@pytest.mark.parametrize(
    "subject",
    [
        NOT,
        *UNREADABLE,
        {},
        None,
        "all",
        {"namespaces": {"matchLabels": []}},
        {"namespaces": {"matchExpressions": [{"key": "team"}]}},
        {"pods": {"namespaceSelector": {}}},
        {"namespaces": {}, "pods": {"podSelector": {}}},
        {"nodes": {}},
    ],
    ids=repr,
)
def test_a_subject_that_cannot_be_read_is_an_error(subject: Any) -> None:
    own = cnp(subject=subject, ingress=[rule("Deny", ALL)])
    for isolate in (False, True):
        with pytest.raises(netpolc.InputError, match=r"spec\.subject"):
            read(own, isolate=isolate)


def test_names_of_domains_admit_nobody() -> None:
    names = {"domainNames": ["*.example.com", "a.example.com"]}
    block = {"networks": ["192.0.2.0/24"]}
    snapshot = read(cnp(egress=[out("Accept", names), out("Accept", names, block)]))
    assert told(snapshot) == [
        ("NP011", "spec.egress[0].to[0].domainNames"),
        ("NP011", "spec.egress[1].to[0].domainNames"),
    ]
    (policy,) = snapshot.policies
    assert policy.rules[0].peers == (NamePeer(("*.example.com", "a.example.com")),)
    for action in ("Deny", "Pass"):
        shut = read(cnp(egress=[out(action, names, block)]))
        assert closed(shut) == [DENIES]
        assert told(shut) == [("NP010", "spec.egress[0].to[0].domainNames")]


def test_host_bits_are_masked_where_servers_store_them() -> None:
    written = out("Accept", {"networks": ["10.0.0.5/8"]})
    for own in (cnp(egress=[written]), anp(egress=[{**written, "action": "Allow"}])):
        snapshot = read(own)
        (policy,) = snapshot.policies
        assert policy.rules[0].peers == (NetworkPeer(parse_cidr("10.0.0.0/8")),)
        assert told(snapshot) == [("NP010", "spec.egress[0].to[0].networks[0]")]
    beta = cnp(version="v1beta1", egress=[written])
    with pytest.raises(netpolc.InputError, match="Invalid CIDR format provided"):
        read(beta)
    (policy,) = read(beta, isolate=True).policies
    assert policy.rules[0].peers == (NetworkPeer(parse_cidr("10.0.0.0/8")),)


@pytest.mark.parametrize(
    "port",
    [
        {"portNumber": {"protocol": "tcp", "port": 80}},
        {"portNumber": {"protocol": "ICMP", "port": 80}},
        {"portRange": {"start": 90, "end": 80}},
    ],
    ids=repr,
)
def test_ports_of_v1alpha1_that_servers_store_unread(port: Manifest) -> None:
    actions = ["Allow", "Deny", "Pass"]
    snapshot = read(anp(ingress=[rule(action, ALL, ports=[port]) for action in actions]))
    assert closed(snapshot) == [NOTHING, DENIES, DENIES]


def test_an_object_waives_what_is_said_of_it() -> None:
    own = cnp(egress=[out("Accept", {"domainNames": ["a.example.com"]}), out("Deny", NOT)])
    own["metadata"]["annotations"] = {"netpolc.dev/ignore": "NP010, NP011"}
    snapshot = read(own)
    assert told(snapshot) == []
    assert closed(snapshot)[1] == DENIES


ODD_RULES = [
    {"action": "Deny", "from": [{}]},
    {"action": "Pass", "from": []},
    {"action": "Deny"},
    {"action": "Drop", "from": [ALL]},
    {"action": ["Accept"], "from": [ALL]},
    {"from": [ALL]},
    {"action": "Deny", "from": [{"services": {}}]},
    {"action": "Deny", "from": [ALL], "protocols": [{"icmp": {}}]},
    {"action": "Deny", "from": [ALL], "protocols": []},
    {"action": "Deny", "from": [ALL], "name": "x" * 101},
    "deny",
    None,
]


@pytest.mark.parametrize("odd", ODD_RULES, ids=repr)
def test_a_rule_that_servers_refuse_denies_everything(odd: Any) -> None:
    """So that nothing it was to deny reaches a rule after it; rules before it are as they were."""
    own = cnp(ingress=[rule("Accept", ALL), odd, rule("Accept", ALL)])
    with pytest.raises(netpolc.InputError, match=r"spec.ingress\[1\]"):
        read(own)
    snapshot = read(own, isolate=True)
    first, second, third = closed(snapshot)
    assert (first, second, third) == (third, DENIES, first)
    assert [str(found) for found in snapshot.odd] == [
        "ClusterNetworkPolicy guard: ingress[1] denies everything"
    ]


def test_a_rule_that_accepts_and_that_servers_refuse_matches_nothing() -> None:
    snapshot = read(cnp(ingress=[rule("Accept", {})]), isolate=True)
    assert closed(snapshot) == [NOTHING]


@pytest.mark.parametrize(
    ("spec", "tier", "directions"),
    [
        ({"priority": "ten", "ingress": [rule("Accept", ALL)]}, Tier.ADMIN, {IN}),
        ({"priority": 1001, "egress": [out("Accept", ALL)]}, Tier.ADMIN, {OUT}),
        ({"tier": "Baseline", "priority": -1, "egress": "all"}, Tier.BASELINE, {OUT}),
        ({"tier": "admin", "ingress": [rule("Accept", ALL)]}, Tier.ADMIN, {IN}),
        ({"ingres": [], "ingress": [rule("Accept", ALL)]}, Tier.ADMIN, {IN, OUT}),
        ({"ingress": [rule("Accept", ALL)] * 26, "egress": []}, Tier.ADMIN, {IN}),
        ({"priority": None, "ingress": [], "egress": None}, Tier.ADMIN, set()),
    ],
    ids=repr,
)
def test_what_stands_for_an_odd_policy(
    spec: Manifest, tier: Tier, directions: set[Direction]
) -> None:
    own = cnp(**spec)
    with pytest.raises(netpolc.InputError):
        read(own)
    (policy,) = read(own, isolate=True).policies
    assert policy.tier is tier
    assert {found.direction for found in policy.rules} == directions
    assert all((own.action, own.peers, own.ports) == DENIES for own in policy.rules)


def test_two_baselines() -> None:
    first = banp(ingress=[rule("Allow", ALL)])
    other = banp(ingress=[rule("Deny", ALL)], egress=[out("Allow", ALL)])
    with pytest.raises(netpolc.InputError, match="BaselineAdminNetworkPolicy default is already"):
        read(first, other)
    policies = read(first, other, isolate=True).policies
    assert [[(own.direction, own.action, own.peers) for own in p.rules] for p in policies] == [
        [(IN, Action.DENY, ANY)],
        [(IN, Action.DENY, ANY), (OUT, Action.DENY, ANY)],
    ]
    assert len(read(first, first, isolate=True).policies) == 1
    with pytest.raises(netpolc.InputError, match="Only one baseline admin network policy"):
        read(banp("second", ingress=[rule("Allow", ALL)]))
    snapshot = read(banp("second", ingress=[rule("Allow", ALL)]), isolate=True)
    assert closed(snapshot) == [DENIES]


def test_equal_names_of_other_tiers_or_priorities_are_not_the_same() -> None:
    """What differs in rank alone differs in meaning."""
    for more in ({"priority": 11}, {"tier": "Baseline"}):
        pair = cnp(ingress=[rule("Accept", ALL)]), cnp(ingress=[rule("Accept", ALL)], **more)
        assert len(read(*pair, isolate=True).policies) == 2


def test_a_policy_past_its_bound_denies_in_its_directions() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "x"},
        "status": {"podIP": "10.0.0.1"},
    }
    snapshot = read(pod, cnp(ingress=[rule("Accept", ALL)]))
    (kept,), ((large, _),) = bounded(snapshot.cluster, snapshot.policies, pods=0)
    assert large.rules
    assert [(own.direction, own.action, own.peers) for own in kept.rules] == [
        (IN, Action.DENY, ANY)
    ]


def test_they_may_be_tried() -> None:
    own = cnp(ingress=[rule("Deny", ALL)])
    own["metadata"]["annotations"] = {"netpolc.dev/audit": "true"}
    assert [policy.audited for policy in read(own).policies] == [True]
    own["metadata"]["annotations"] = {"netpolc.dev/audit": "yes"}
    with pytest.raises(netpolc.InputError, match="supported values"):
        read(own)
    assert [policy.audited for policy in read(own, isolate=True).policies] == [False]


def test_they_did_not_exist_in_kubernetes_1_6() -> None:
    with pytest.raises(netpolc.InputError, match=r"did not exist in Kubernetes 1\.6"):
        netpolc.load_objects([cnp(ingress=[rule("Deny", ALL)])], semantics="v1.6")


def test_a_version_that_is_not_read_is_not_passed_over() -> None:
    own = cnp(version="v1alpha1", ingress=[rule("Accept", ALL)])
    with pytest.raises(netpolc.InputError, match=r"v1alpha2 or .*v1beta1"):
        read(own)
    assert closed(read(own, isolate=True)) == [DENIES]


def test_names_of_rules_are_kept_and_written_nowhere() -> None:
    """They may hold any character; whoever writes one has to escape it."""
    named = [rule("Accept", ALL, name=HOSTILE), rule("Deny", {}, name=HOSTILE)]
    snapshot = read(cnp(ingress=named), isolate=True)
    assert snapshot.policies[0].rules[0].origin.called == HOSTILE
    program = netpolc.compile(snapshot)
    said = [program.document(), *map(str, snapshot.warnings), *map(str, snapshot.odd)]
    assert not any("flush" in text for text in said)


def test_labels_of_nodes() -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"a": "b"}}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "x"},
        "spec": {"nodeName": "n2"},
        "status": {"hostIP": "192.0.2.2"},
    }
    nodes = read(node, pod).cluster.nodes
    assert {name: (own.labels, own.unsure) for name, own in nodes.items()} == {
        "n1": ({"a": "b"}, False),
        "n2": ({}, True),
    }
    wrong = {**node, "metadata": {"name": "n1", "labels": {"a": "b c"}}}
    with pytest.raises(netpolc.InputError, match=r"metadata\.labels"):
        read(wrong)
    assert read(wrong, isolate=True).cluster.nodes["n1"].unsure
