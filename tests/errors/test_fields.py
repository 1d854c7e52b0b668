"""Fields that must not be passed over in silence, and messages that hold whatever the order.

In: single manifests. Out: what the API server (or kubectl, which knows the kinds) would refuse.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import netpolc
from tests.cli.invocation import run

POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}


def messages(*objects: object, strict: bool = True) -> list[str]:
    """Path and message of everything that is refused about some objects."""
    with pytest.raises(netpolc.InputError) as refused:
        netpolc.load_objects(objects, strict=strict)
    return [f"{d.path}: {d.message}" for d in refused.value.diagnostics]


@pytest.mark.parametrize("spec", [[], "", 0, False])
def test_an_empty_spec_of_the_wrong_type_is_refused(spec: object) -> None:
    assert messages({**POLICY, "spec": spec})[0].startswith("spec: Invalid value: ")


@pytest.mark.parametrize("field", ["namspace", "Namespace", "nameSpace"])
def test_a_misspelt_namespace_is_refused(field: str) -> None:
    found = messages({**POLICY, "metadata": {"name": "p", field: "team-a"}})
    assert found == [f'metadata.{field}: unknown field "metadata.{field}"']


def test_what_the_api_server_adds_to_metadata_is_known() -> None:
    added = {
        "annotations": {"a": "b"},
        "creationTimestamp": "2024-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 0,
        "deletionTimestamp": "2024-01-01T00:00:00Z",
        "finalizers": [],
        "generateName": "p-",
        "generation": 1,
        "labels": {"a": "b"},
        "managedFields": [{"manager": "kubectl"}],
        "ownerReferences": [],
        "resourceVersion": "1",
        "selfLink": "/apis",
        "uid": "u",
    }
    metadata = {"name": "p", "namespace": "team-a", **added}
    (policy,) = netpolc.load_objects([{**POLICY, "metadata": metadata}]).policies
    assert policy.origin.policy == "team-a/p"


@pytest.mark.parametrize("kind", ["networkpolicy", "Networkpolicy", "NetworkPolicies"])
def test_a_misspelt_kind_is_refused(kind: str) -> None:
    assert messages({**POLICY, "kind": kind})[0].startswith("kind: ")


def test_a_label_that_stands_twice_in_a_pod_is_refused(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {app: web, app: db}\n"
    (tmp_path / "pod.yaml").write_text(text)
    with pytest.raises(netpolc.InputError, match="duplicate field"):
        netpolc.load([tmp_path])


@pytest.mark.parametrize("name", ["../outside", "/etc/node", "a\nb", "a b", "Node", 'a"', ".."])
def test_a_node_name_of_a_pod_is_checked(name: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": name}}
    assert messages(pod)[0].startswith("spec.nodeName: Invalid value: ")


@pytest.mark.parametrize("field", ["a\nnetpolc: fine", "\x1b[2J", "\r", "\x9b"])
def test_a_field_name_cannot_forge_a_line_of_the_message(field: str) -> None:
    with pytest.raises(netpolc.InputError) as refused:
        netpolc.load_objects([{**POLICY, "spec": {field: 1}}])
    assert str(refused.value).isprintable()


def test_messages_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    fields = "".join(f"  field{number}: 0\n" for number in range(12))
    text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n"
    (tmp_path / "p.yaml").write_text(text + fields)
    seen = {
        run("compile", "p.yaml", cwd=tmp_path, environment={"PYTHONHASHSEED": seed}).stderr
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1


def test_everything_wrong_with_an_object_is_said_at_once() -> None:
    ports = [{"port": 0}, {"port": 70000}, {"protocol": "ICMP"}]
    peers = [{}, {"ipBlock": {"cidr": "10.0.0.1/8"}}]
    spec = {"ingress": [{"ports": ports, "from": peers}], "policyTypes": ["In"], "more": 1}
    assert [text.partition(": ")[0] for text in messages({**POLICY, "spec": spec})] == [
        "spec.more",
        "spec.ingress[0].from[0]",
        "spec.ingress[0].from[1].ipBlock.cidr",
        "spec.ingress[0].ports[0].port",
        "spec.ingress[0].ports[1].port",
        "spec.ingress[0].ports[2].protocol",
        "spec.policyTypes[0]",
    ]


def test_no_strict_leaves_wrong_types_errors() -> None:
    found = messages({**POLICY, "spec": {"ingress": 1, "more": 1}}, strict=False)
    assert found == [
        'spec.more: unknown field "spec.more"',
        "spec.ingress: Invalid value: 1: must be of type array, not integer",
    ]
