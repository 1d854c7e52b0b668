"""The independent reference, checked by hand and by the published conformance expectations."""

from __future__ import annotations

from typing import Any

import pytest

from tests import conformance
from tests.helpers import reference

Manifest = dict[str, Any]

ALL: Manifest = {"podSelector": {}}
EVERYWHERE: Manifest = {"namespaceSelector": {}}
OUTSIDE = "192.0.2.1"


def pod(name: str, address: str | None, namespace: str | None = "x", **over: Any) -> Manifest:
    """A running pod with labels ``app: <name>``; ``spec``, ``status`` and the like are merged."""
    metadata: Manifest = {"name": name, "labels": {"app": name}, **over.get("metadata", {})}
    if namespace is not None:
        metadata["namespace"] = namespace
    status: Manifest = {"phase": "Running", **over.get("status", {})}
    if address is not None:
        status["podIPs"] = [{"ip": text} for text in address.split()]
    spec = {"containers": [], **over.get("spec", {})}
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def serving(*ports: tuple[str, int, str]) -> Manifest:
    """A container with named ports."""
    entries = [{"name": n, "containerPort": p, "protocol": q} for n, p, q in ports]
    return {"name": "c", "ports": entries}


def namespace(name: str, **labels: str) -> Manifest:
    return {"kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def policy(spec: Manifest, namespace: str | None = "x") -> Manifest:
    metadata = {"name": "np"} if namespace is None else {"name": "np", "namespace": namespace}
    return {"kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def ingress(*rules: Manifest) -> Manifest:
    return policy({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": list(rules)})


def egress(*rules: Manifest) -> Manifest:
    return policy({"podSelector": {}, "policyTypes": ["Egress"], "egress": list(rules)})


A, B, C, D = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"
PODS = [pod("a", A), pod("b", B), pod("c", C, "y")]


def tcp(
    objects: list[Manifest], source: str, destination: str, port: int = 80, **options: str
) -> bool:
    return reference.allowed(objects, source, destination, "TCP", port, **options)


@pytest.mark.parametrize(
    ("spec", "enters", "leaves"),
    [
        ({}, False, True),
        ({"podSelector": None, "policyTypes": None, "ingress": None}, False, True),
        ({"policyTypes": []}, False, True),
        ({"egress": []}, False, True),
        ({"egress": [{"to": [ALL]}]}, False, False),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, True, False),
        ({"policyTypes": ["Ingress"], "egress": [{"to": [ALL]}]}, False, True),
        ({"policyTypes": ["Ingress", "Ingress"]}, False, True),
        ({"ingress": [{}]}, True, True),
        ({"ingress": [{"from": None, "ports": None}]}, True, True),
        ({"ingress": [{"from": [], "ports": []}]}, True, True),
        ({"policyTypes": ["Ingress", "Egress"], "egress": [{}]}, False, True),
    ],
)
def test_what_isolates(spec: Manifest, enters: bool, leaves: bool) -> None:
    """Of the pods of namespace ``x``, towards the pod of ``y``."""
    objects = [*PODS, policy(spec)]
    assert (tcp(objects, C, A), tcp(objects, A, C)) == (enters, leaves)


def test_missing_spec_isolates_ingress() -> None:
    objects = [*PODS, {"kind": "NetworkPolicy", "metadata": {"name": "np", "namespace": "x"}}]
    assert not tcp(objects, B, A)
    assert tcp(objects, A, C)


@pytest.mark.parametrize(
    ("peer", "from_b", "from_c", "from_outside"),
    [
        (ALL, True, False, False),
        ({"podSelector": {}, "namespaceSelector": None}, True, False, False),
        (EVERYWHERE, True, True, False),
        ({"namespaceSelector": {}, "podSelector": None}, True, True, False),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "y"}}}, 0, 1, 0),
        ({"namespaceSelector": {"matchLabels": {"team": "y"}}}, 0, 1, 0),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "b"}}}, 1, 0, 0),
        ({"ipBlock": {"cidr": "0.0.0.0/0"}}, True, True, True),
        ({"ipBlock": {"cidr": "::/0"}}, False, False, False),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.2/32"]}}, 0, 1, 0),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.2/32", "10.0.0.2/31"]}}, 0, 0, 0),
        ({"ipBlock": {"cidr": "192.0.2.1/32", "except": None}}, 0, 0, 1),
    ],
)
def test_peers(peer: Manifest, from_b: bool, from_c: bool, from_outside: bool) -> None:
    objects = [*PODS, namespace("y", team="y"), ingress({"from": [peer]})]
    seen = [tcp(objects, source, A) for source in (B, C, OUTSIDE)]
    assert seen == [from_b, from_c, from_outside]


def test_excepts_take_from_their_own_block_only() -> None:
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.2/32"]}}
    again = {"ipBlock": {"cidr": "10.0.0.2/32"}}
    assert tcp([*PODS, ingress({"from": [block, again]})], B, A)
    assert tcp([*PODS, ingress({"from": [block]}), ingress({"from": [again]})], B, A)


@pytest.mark.parametrize(
    ("operator", "key", "values", "chosen"),
    [
        ("In", "app", ["a", "z"], "a"),
        ("NotIn", "app", ["a"], "bc"),
        ("NotIn", "ghost", ["a"], "abc"),
        ("Exists", "app", None, "abc"),
        ("Exists", "ghost", [], ""),
        ("DoesNotExist", "ghost", None, "abc"),
        ("DoesNotExist", "app", None, ""),
        ("In", "none", [""], ""),
    ],
)
def test_requirements(operator: str, key: str, values: list[str] | None, chosen: str) -> None:
    requirement = {"key": key, "operator": operator, "values": values}
    peer = {"namespaceSelector": {}, "podSelector": {"matchExpressions": [requirement]}}
    objects = [*PODS, pod("target", D), ingress({"from": [peer]})]
    admitted = [n for n, source in zip("abc", (A, B, C), strict=True) if tcp(objects, source, D)]
    assert "".join(admitted) == chosen


@pytest.mark.parametrize(
    ("port", "protocol", "number", "expected"),
    [
        ({}, "TCP", 9, True),
        ({}, "UDP", 9, False),
        ({"protocol": "UDP"}, "UDP", 9, True),
        ({"protocol": None, "port": 80}, "TCP", 80, True),
        ({"port": 80}, "TCP", 81, False),
        ({"port": 80, "endPort": 82}, "TCP", 82, True),
        ({"port": 80, "endPort": 82}, "TCP", 83, False),
        ({"port": 80, "endPort": 80}, "TCP", 80, True),
        ({"port": "http"}, "TCP", 8080, True),
        ({"port": "http"}, "TCP", 8081, True),
        ({"port": "http"}, "UDP", 8080, False),
        ({"protocol": "UDP", "port": "http"}, "UDP", 53, True),
        ({"protocol": "UDP", "port": "http"}, "TCP", 53, False),
        ({"port": "init"}, "TCP", 9999, False),
        ({"port": "retried"}, "TCP", 9998, False),
        ({"port": "sidecar"}, "TCP", 9997, True),
        ({"port": "http"}, "TCP", 9996, True),
        ({}, 1, None, False),
        ({}, 132, 9, False),
        ({}, 6, 9, True),
    ],
)
def test_ports(port: Manifest, protocol: str | int, number: int | None, expected: bool) -> None:
    spec = {
        "containers": [
            serving(("http", 8080, "TCP")),
            serving(("http", 8081, "TCP")),
            serving(("http", 53, "UDP")),
        ],
        "initContainers": [
            {**serving(("init", 9999, "TCP"))},
            {**serving(("retried", 9998, "TCP")), "restartPolicy": "OnFailure"},
            {**serving(("sidecar", 9997, "TCP"), ("http", 9996, "TCP")), "restartPolicy": "Always"},
        ],
    }
    objects = [pod("a", A, spec=spec), pod("b", B), ingress({"ports": [port]})]
    assert reference.allowed(objects, B, A, protocol, number) is expected


@pytest.mark.parametrize("protocol", [1, 47, 58])
def test_other_protocols_pass_by_rules_without_ports(protocol: int) -> None:
    open_to_all, tcp_only = ingress({"ports": []}), ingress({"ports": [{}]})
    assert reference.allowed([*PODS, open_to_all], B, A, protocol, None)
    assert not reference.allowed([*PODS, tcp_only], B, A, protocol, None)


def test_named_port_of_egress_is_the_destinations() -> None:
    server = pod("a", A, "y", spec={"containers": [serving(("http", 8080, "TCP"))]})
    client = pod("b", B, spec={"containers": [serving(("http", 9090, "TCP"))]})
    rule = egress({"ports": [{"port": "http"}]})
    assert tcp([server, client, rule], B, A, 8080)
    assert not tcp([server, client, rule], B, A, 9090)
    assert not tcp([server, client, rule], B, OUTSIDE, 8080)


def test_named_port_and_block_mean_the_pods_in_the_block() -> None:
    """Blocks match pods by address, so whoever is behind an address in one is looked at."""
    spec = {"containers": [serving(("http", 8080, "TCP"))]}
    pods = [pod("a", A, spec=spec), pod("b", B, spec=spec)]
    block, ports = {"ipBlock": {"cidr": "10.0.0.0/8"}}, [{"port": "http"}]
    assert tcp([*pods, egress({"to": [block], "ports": ports})], A, B, 8080)
    assert not tcp([*pods, egress({"to": [block], "ports": ports})], A, B, 8081)
    assert not tcp([*pods, egress({"to": [block], "ports": ports})], A, "10.9.9.9", 8080)
    assert not tcp(
        [*pods, egress({"to": [{"ipBlock": {"cidr": f"{A}/32"}}], "ports": ports})], A, B, 8080
    )
    assert tcp([*pods, egress({"to": [block, ALL], "ports": ports})], A, B, 8080)
    assert tcp([*pods, egress({"to": [block], "ports": [*ports, {}]})], A, B, 8080)
    assert tcp([*pods, ingress({"from": [block], "ports": ports})], A, B, 8080)


@pytest.mark.parametrize(
    ("status", "metadata", "subject"),
    [
        ({"phase": "Succeeded"}, {}, False),
        ({"phase": "Failed"}, {"deletionTimestamp": "2024-01-01T00:00:00Z"}, False),
        ({"phase": "Running"}, {"deletionTimestamp": "2024-01-01T00:00:00Z"}, True),
        ({"phase": "Unknown"}, {}, True),
        ({"phase": None}, {}, True),
    ],
)
def test_pods_that_count(status: Manifest, metadata: Manifest, subject: bool) -> None:
    objects = [pod("a", A, status=status, metadata=metadata), pod("b", B), ingress()]
    assert tcp(objects, B, A) is not subject
    admitted = tcp(
        [*objects, ingress({"from": [{"podSelector": {"matchLabels": {"app": "a"}}}]})], A, B
    )
    assert admitted is subject


def test_address_of_a_finished_pod_belongs_to_its_next_owner() -> None:
    gone = pod("gone", A, "y", status={"phase": "Succeeded"})
    assert not tcp([gone, *PODS, ingress()], C, A)


def test_pod_to_itself() -> None:
    assert tcp([*PODS, ingress(), egress()], A, A)
    assert reference.allowed([*PODS, ingress()], A, A, 47, None)


def test_own_node_both_ways() -> None:
    on = {"nodeName": "n1"}
    node = {
        "kind": "Node",
        "metadata": {"name": "n1"},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": "n1"},
                {"type": "InternalIP", "address": "10.0.1.1"},
                {"type": "ExternalIP", "address": "203.0.113.1"},
                {"type": "InternalIP", "address": "fd00:1::1"},
            ]
        },
    }
    host = pod("h", "10.0.1.4", "y", spec={**on, "hostNetwork": True})
    objects = [
        pod("a", f"{A} fd00::1", spec=on, status={"hostIP": "10.0.1.2"}),
        pod("b", B, spec=on, status={"hostIPs": [{"ip": "10.0.1.3"}]}),
        pod("c", C, spec={"nodeName": "n2"}),
        *(node, host, ingress(), egress()),
    ]
    own = ["10.0.1.1", "203.0.113.1", "10.0.1.2", "10.0.1.3", "10.0.1.4"]
    assert all(tcp(objects, address, A) and tcp(objects, A, address) for address in own)
    assert not any(tcp(objects, address, C) or tcp(objects, C, address) for address in own)
    assert tcp(objects, "fd00:1::1", "fd00::1")
    assert not tcp(objects, "fd00:1::2", "fd00::1")


def test_pod_without_node_name_knows_its_host_address() -> None:
    objects = [pod("a", A, status={"hostIP": "10.0.1.1"}), ingress()]
    assert tcp(objects, "10.0.1.1", A)
    assert not tcp(objects, "10.0.1.2", A)


def test_host_network_pods_are_neither_subject_nor_peer() -> None:
    host = pod("h", "10.0.1.4", spec={"hostNetwork": True})
    objects = [*PODS, host, ingress({"from": [ALL]})]
    assert tcp(objects, C, "10.0.1.4")
    assert not tcp(objects, "10.0.1.4", A)
    block = {"ipBlock": {"cidr": "10.0.1.4/32"}}
    assert tcp([*objects, ingress({"from": [block]})], "10.0.1.4", A)


def test_every_address_of_a_pod_is_the_pod() -> None:
    objects = [pod("a", f"{A} fd00::1"), pod("b", f"{B} fd00::2"), ingress({"from": [ALL]})]
    assert tcp(objects, "fd00::2", "fd00::1")
    assert not tcp(objects, "fd00::3", "fd00::1")


def test_missing_namespace_is_default() -> None:
    objects = [pod("a", A, None), pod("b", B, "default"), policy({}, None)]
    assert not tcp(objects, B, A)
    assert not tcp(objects, A, B)


def test_both_sides_must_allow() -> None:
    far = policy({"podSelector": {}, "ingress": [{}]}, "y")
    assert tcp([*PODS, egress({"to": [EVERYWHERE]}), far], A, C)
    assert not tcp([*PODS, egress({"to": [ALL]}), far], A, C)
    assert not tcp([*PODS, egress({}), policy({"podSelector": {}}, "y")], A, C)


def test_policies_add_up() -> None:
    closed, to_b = ingress(), ingress({"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]})
    for order in ([closed, to_b], [to_b, closed]):
        assert tcp([*PODS, *order], B, A)
        assert not tcp([*PODS, *order], C, A)


DEFAULT_DENY = '{"ingress": {"isolation": "DefaultDeny"}}'


def annotated(text: str | None, key: str = reference.ANNOTATION) -> Manifest:
    annotations = None if text is None else {key: text}
    return {"kind": "Namespace", "metadata": {"name": "x", "annotations": annotations}}


@pytest.mark.parametrize(
    ("declared", "open_"),
    [
        ([], True),
        ([annotated(None)], True),
        ([annotated(DEFAULT_DENY)], False),
        ([annotated(DEFAULT_DENY, "net.beta.kubernetes.io/networkpolicy")], True),
        ([annotated(DEFAULT_DENY[:-1])], True),
        ([annotated('{"ingress": {"isolation": "Open"}}')], True),
        ([annotated('{"ingress": "DefaultDeny"}')], True),
        ([annotated("[]")], True),
    ],
)
def test_annotation_isolates(declared: list[Manifest], open_: bool) -> None:
    """Of itself, and policies change nothing where it is absent."""
    for extra in ([], [ingress()]):
        assert tcp([*PODS, *declared, *extra], B, A, semantics="v1.6") is open_
    assert tcp([*PODS, *declared], B, A)
    assert tcp([*PODS, *declared], A, C, semantics="v1.6")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, True),
        ({"from": None, "ports": None}, True),
        ({"from": []}, False),
        ({"ports": []}, False),
        ({"from": [ALL]}, True),
        ({"from": [EVERYWHERE], "ports": [{"protocol": "tcp", "port": 80}]}, True),
        ({"ports": [{"protocol": "udp", "port": 80}]}, False),
    ],
)
def test_legacy_rules(rule: Manifest, expected: bool) -> None:
    objects = [*PODS, annotated(DEFAULT_DENY), policy({"podSelector": {}, "ingress": [rule]})]
    assert tcp(objects, B, A, semantics="v1.6") is expected


def test_unknown_semantics_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown semantics"):
        tcp(PODS, A, B, semantics="v1.5")


@pytest.mark.parametrize("suite", [conformance.E2E, conformance.CYCLONUS])
def test_conformance(suite: str) -> None:
    wrong = [
        f"{state.case} [{state.step}]: {flow}"
        for state in conformance.load(suite)
        for flow in state.addressed()
        if reference.allowed(state.objects, *flow[:4]) is not flow.allowed
    ]
    assert not wrong
