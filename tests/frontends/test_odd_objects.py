"""Odd objects by themselves: what stands for them, what is told, what it costs.

In: manifests that are refused, beside good ones. Out: policies and pods in the strict direction,
warnings, the objects by name. What that means for flows is in `tests/cases/` (`odd-…`).
"""

from __future__ import annotations

from typing import Any

import pytest

import netpolc
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.proof import Proof
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import FEW
from netpolc.core.ir import SELECT_ALL, Direction, Operator, Requirement, Selector
from netpolc.core.labels import LabelIndex, selects
from netpolc.core.nets import format_address, format_span, parse_cidr, readable_address
from netpolc.frontends.odd import isolating

Manifest = dict[str, Any]
IN, OUT = Direction.INGRESS, Direction.EGRESS


def policy(spec: Any, **metadata: Any) -> Manifest:
    named = {"name": "mine", "namespace": "tenant", **metadata}
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return {**head, "metadata": named, "spec": spec}


def pod(name: str, address: str, **metadata: Any) -> Manifest:
    named = {"name": name, "namespace": "tenant", **metadata}
    status = {"podIP": address}
    spec = {"nodeName": "node-a"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": spec, "status": status}


def isolated(*objects: Manifest) -> Snapshot:
    """What is read around odd objects; refused without that."""
    with pytest.raises(netpolc.InputError):
        netpolc.load_objects(objects)
    return netpolc.load_objects(objects, odd_objects="isolate")


ZEROS = {"from": [{"ipBlock": {"cidr": "010.0.0.0/8"}}]}
WEB = Selector(frozenset({Requirement("app", Operator.IN, frozenset({"web"}))}))
SELECTED = {"matchLabels": {"app": "web"}}


@pytest.mark.parametrize(
    ("spec", "selector", "directions"),
    [
        ({"podSelector": SELECTED, "ingress": [ZEROS]}, WEB, {IN}),
        ({"podSelector": SELECTED, "ingress": [ZEROS], "egress": [{}]}, WEB, {IN, OUT}),
        ({"podSelector": SELECTED, "policyTypes": ["Egress"], "ingress": [ZEROS]}, WEB, {OUT}),
        ({"podSelector": {"matchLabels": {"app": 1}}, "ingress": [{}]}, SELECT_ALL, {IN}),
        ({"podSelector": {"matchLabel": {}}, "ingress": [{}]}, SELECT_ALL, {IN}),
        ({"podSelector": SELECTED, "policyTypes": ["ingress"]}, WEB, {IN, OUT}),
        ({"podSelector": SELECTED, "policyTypes": "Ingress"}, WEB, {IN, OUT}),
        ({"podSelector": SELECTED, "policyTypes": ["Ingress"] * 3}, WEB, {IN, OUT}),
        ({"podSelector": SELECTED, "policytypes": ["Egress"]}, WEB, {IN, OUT}),
        ({"podSelector": SELECTED, "egress": "all"}, WEB, {IN, OUT}),
        ("all", SELECT_ALL, {IN, OUT}),
        ([], SELECT_ALL, {IN, OUT}),
    ],
)
def test_what_stands_for_a_policy(
    spec: Any, selector: Selector, directions: set[Direction]
) -> None:
    (found,) = isolated(policy(spec)).policies
    assert (found.subject.namespaces, found.subject.pods) == ("tenant", selector)
    assert set(found.isolates) == directions
    assert not found.rules
    assert not found.audited


def test_its_directions_are_read_even_when_other_errors_fill_the_page() -> None:
    rules = [ZEROS] * (3 * FEW)
    spec = {"podSelector": SELECTED, "policyTypes": ["ingress"], "ingress": rules}
    snapshot = isolated(policy(spec))
    assert snapshot.policies[0].isolates == {IN, OUT}
    told = [str(own) for own in snapshot.warnings if own.code == "NP006"]
    assert len(told) == FEW + 1
    assert f"and {2 * FEW + 1} more errors; it isolates what it selects" in told[-1]


@pytest.mark.parametrize("metadata", [{"namespace": 5}, {"namespace": ["a"]}, {"namespace": "A_b"}])
def test_a_policy_of_nobody_knows_which_namespace_is_refused(metadata: Manifest) -> None:
    with pytest.raises(netpolc.InputError):
        netpolc.load_objects([policy({}, **metadata)], odd_objects="isolate")


def test_of_many_masked_blocks_only_the_first_are_told() -> None:
    blocks = [{"ipBlock": {"cidr": f"10.{number}.0.5/24"}} for number in range(FEW + 9)]
    snapshot = isolated(policy({"ingress": [{"from": blocks}]}))
    told = [str(own) for own in snapshot.warnings if own.code == "NP006"]
    assert len(told) == FEW + 1
    assert told[-1].endswith("and 9 more that are read otherwise")
    assert len(snapshot.policies[0].rules[0].peers) == FEW + 9  # type: ignore[arg-type]


def test_a_namespace_may_have_any_name() -> None:
    (found,) = isolated(policy({"ingress": [ZEROS]}, namespace="unreadable")).policies
    assert found.subject.namespaces == "unreadable"


def test_a_name_that_is_none_is_made_up_and_stays_the_same() -> None:
    objects = policy({"ingress": [{}]}, name='"; flush ruleset'), policy({"ingress": []}, name=None)
    names = [own.origin.name for own in isolated(*objects).policies]
    assert names == [own.origin.name for own in isolated(*objects).policies]
    assert len(set(names)) == 2
    assert all(name.startswith("unreadable-") for name in names)


def test_what_is_done_is_told_by_object() -> None:
    snapshot = isolated(
        policy({"ingress": [ZEROS]}, name="zeros"),
        policy({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.5/8"}}]}]}, name="bits"),
        policy({}, name="tried", annotations={"netpolc.dev/audit": True}),
        pod("odd", "10.64.0.1", labels={"app": []}),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant", "labels": 5}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}, "status": []},
        {"apiVersion": "netpolc.dev/v1", "kind": "Expectations", "metadata": {"name": "none"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "No"}},
    )
    *others, nameless = [str(own) for own in snapshot.odd]
    assert nameless == "Pod tenant/odd: the pod is closed"
    assert [own for own in others if "unreadable" not in own] == [
        "Expectations default/none: it is passed over",
        "Namespace tenant: its labels count as unknown",
        "NetworkPolicy tenant/bits: it is read as 10.0.0.0/8",
        "NetworkPolicy tenant/tried: it is enforced, not audited",
        "NetworkPolicy tenant/zeros: it isolates what it selects and admits nothing",
        "Node node-a: its addresses are passed over",
    ]
    assert len(others) == 7


@pytest.mark.parametrize(
    "half",
    [
        {"metadata": {"name": "p"}},
        {"metadata": {"name": "p"}, "status": {"podIP": "10.64.0.1"}},
        {"metadata": {"name": "p"}, "spec": None, "status": None},
        {"metadata": {"name": "p", "labels": None, "annotations": None}, "spec": {}, "status": {}},
        {"metadata": {"name": "p"}, "status": {"podIP": None, "podIPs": None, "hostIPs": []}},
    ],
)
def test_half_a_pod_is_no_oddity(half: Manifest) -> None:
    snapshot = netpolc.load_objects([{"apiVersion": "v1", "kind": "Pod", **half}])
    (found,) = snapshot.cluster.pods
    assert (found.key, found.closed, snapshot.odd) == ("default/p", False, ())


def test_half_a_pod_leaves_an_address_to_its_node() -> None:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node-a"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    }
    whole = pod("p", "192.0.2.1")
    half = {name: value for name, value in whole.items() if name != "spec"}
    (kept,) = netpolc.load_objects([node, whole]).cluster.pods
    (left,) = netpolc.load_objects([node, half]).cluster.pods
    assert [format_address(own) for own in kept.addresses] == ["192.0.2.1"]
    assert left.addresses == ()


def test_the_same_fault_in_two_objects_makes_both_odd() -> None:
    wrong = {"labels": {"app": "bad value"}}
    objects = pod("a", "10.64.0.1", **wrong), pod("b", "10.64.0.2", **wrong)
    assert [own.closed for own in isolated(*objects).cluster.pods] == [True, True]


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_pods_of_no_known_node_are_judged_on_every_node(hook: str) -> None:
    homeless = pod("homeless", "10.64.0.1")
    del homeless["spec"]
    nodes = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        }
        for name, address in (("node-a", "192.0.2.1"), ("node-b", "192.0.2.2"))
    ]
    objects = [*nodes, homeless, pod("odd", "10.64.0.2", labels=5), policy({"ingress": []})]
    snapshot = netpolc.load_objects(objects, odd_objects="isolate")
    assert [own.code for own in snapshot.warnings] == ["NP006", "NP009"]
    program = netpolc.compile(snapshot)
    for node in ("node-a", "node-b"):
        ruleset = program.ruleset(node, netpolc.Options(hook=hook))
        assert "10.64.0.1 : goto i_" in ruleset.text()
        assert "10.64.0.2 : jump e_" in ruleset.text()
        assert Proof(program, parse_text.parse(ruleset.text()), node).first() == []


def test_what_is_odd_is_no_part_of_the_digest() -> None:
    good, bits = ("10.0.0.0/8", "10.0.0.5/8")
    rulesets = [
        netpolc.compile(
            netpolc.load_objects(
                [
                    pod("a", "10.64.0.1"),
                    policy({"ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]}),
                ],
                odd_objects="isolate",
            )
        ).ruleset()
        for cidr in (good, bits)
    ]
    assert rulesets[0].digest == rulesets[1].digest
    notes = [[own.comment for own in ruleset.facts] for ruleset in rulesets]
    assert [own for own in notes[1] if own not in notes[0]] == [
        "NetworkPolicy tenant/mine: it is read as 10.0.0.0/8"
    ]


def test_many_odd_objects_are_not_all_written_into_the_table() -> None:
    objects = [policy({"ingress": [ZEROS]}, name=f"p{number}") for number in range(120)]
    ruleset = netpolc.compile(netpolc.load_objects(objects, odd_objects="isolate")).ruleset()
    told = [own.comment for own in ruleset.facts if own.name.startswith("meta_odd_")]
    assert len(told) == 101
    assert told[-1] == "and 20 more"


@pytest.mark.parametrize("types", [["ingress"], "Ingress", [{"Ingress": 1}], [["Egress"]]])
def test_policy_types_that_nobody_looked_at_are_both(types: Any) -> None:
    """What is refused is the apiVersion: what else is wrong was not looked at."""
    snapshot = netpolc.load_objects(
        [policy({"podSelector": SELECTED, "policyTypes": types})],
        semantics="v1.6",
        odd_objects="isolate",
    )
    assert [set(own.isolates) for own in snapshot.policies] == [{IN, OUT}]


def test_a_policy_can_be_made_to_isolate_alone() -> None:
    spec = {"podSelector": SELECTED, "policyTypes": ["Egress"], "egress": [{}]}
    (found,) = netpolc.load_objects([policy(spec)]).policies
    closed = isolating(found)
    assert found.rules
    assert not closed.rules
    assert (set(closed.isolates), closed.subject) == ({OUT}, found.subject)


def test_labels_that_may_be_more() -> None:
    index = LabelIndex([{"a": "1"}.items(), {"a": "1"}.items(), {}.items()], unsure=[1])

    def matching(operator: Operator, key: str, *values: str) -> set[int]:
        selector = Selector(frozenset({Requirement(key, operator, frozenset(values))}))
        labels = [({"a": "1"}, False), ({"a": "1"}, True), ({}, False)]
        plain = {n for n, (own, unsure) in enumerate(labels) if selects(selector, own, unsure)}
        assert index.matching(selector) == plain
        return plain

    assert matching(Operator.IN, "a", "1") == {0, 1}
    assert matching(Operator.NOT_IN, "a", "1") == {2}
    assert matching(Operator.NOT_IN, "a", "2") == {0, 1, 2}
    assert matching(Operator.NOT_IN, "b", "2") == {0, 2}
    assert matching(Operator.EXISTS, "b") == set()
    assert matching(Operator.DOES_NOT_EXIST, "b") == {0, 2}
    assert matching(Operator.DOES_NOT_EXIST, "a") == {2}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("010.000.00.001", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("10.0.0.256", None),
        ("fe80::1%eth0", None),
        ("<nil>", None),
        ("", None),
    ],
)
def test_addresses_as_api_servers_read_them(text: str, address: str | None) -> None:
    found = readable_address(text)
    assert (found if found is None else format_address(found)) == address


def test_masked_blocks() -> None:
    assert format_span(parse_cidr("10.64.0.99/24", masked=True)) == "10.64.0.0/24"
    assert format_span(parse_cidr("2001:db8::1/64", masked=True)) == "2001:db8::/64"
    for text in ("010.0.0.1/8", "::ffff:10.0.0.1/104", "10.0.0.1/33", "10.0.0.1"):
        with pytest.raises(ValueError, match="must"):
            parse_cidr(text, masked=True)
