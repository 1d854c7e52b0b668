"""Frontends: what names and labels may be, and which cluster some objects describe.

In: single values and small snapshots. Out: the API server's messages; pods, nodes and namespaces
written by hand.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.core.cluster import Cluster, Pod
from netpolc.core.nets import format_address
from netpolc.frontends.fields import (
    dns_label_problems,
    invalid,
    label_key_problems,
    label_value_problems,
    quoted,
    subdomain_problems,
)
from netpolc.frontends.policies import port_name_problems

Manifest = dict[str, Any]


# Values
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("a", 0), ("web-0", 0), ("a.b-c.d", 0), ("0", 0), ("a" * 253, 0), ("a" * 254, 1),
        ("", 1), ("A", 1), ("-a", 1), ("a-", 1), ("a..b", 1), (".a", 1), ("a_b", 1), ("a\n", 1),
        ("é", 1), ("a.-b", 1), ("A" * 254, 2), ("..", 1), ("a/b", 1),
    ],
)  # fmt: skip
def test_subdomains(name: str, problems: int) -> None:
    assert len(list(subdomain_problems(name))) == problems


@pytest.mark.parametrize(
    ("name", "problems"),
    [("a", 0), ("a-0", 0), ("a" * 63, 0), ("a" * 64, 1), ("a.b", 1), ("A", 1), ("", 1), ("a\n", 1),
     ("-", 1), ("A" * 64, 2)],
)  # fmt: skip
def test_dns_labels(name: str, problems: int) -> None:
    assert len(list(dns_label_problems(name))) == problems


@pytest.mark.parametrize(
    ("key", "problems"),
    [
        ("app", 0), ("App_1.x-y", 0), ("example.com/app", 0), ("a" * 63, 0),
        ("a" * 253 + "/" + "b" * 63, 0), ("a" * 64, 1), ("", 2), ("/app", 1), ("a/", 2),
        ("a/b/c", 1), ("A/b", 1), ("-a", 1), ("a-", 1), ("a b", 1), ("a\n", 1), ("é", 1),
        ("a" * 254 + "/b", 1), ("//", 1),
    ],
)  # fmt: skip
def test_label_keys(key: str, problems: int) -> None:
    assert len(list(label_key_problems(key))) == problems


@pytest.mark.parametrize(
    ("value", "problems"),
    [("", 0), ("web", 0), ("A.b_c-1", 0), ("a" * 63, 0), ("a" * 64, 1), ("-a", 1), ("a.", 1),
     ("a b", 1), ("a\n", 1), ('"', 1), ("é", 1), (" ", 1)],
)  # fmt: skip
def test_label_values(value: str, problems: int) -> None:
    assert len(list(label_value_problems(value))) == problems


@pytest.mark.parametrize(
    ("name", "problems"),
    [("http", 0), ("a", 0), ("8a", 0), ("a" * 15, 0), ("a" * 16, 1), ("80", 1), ("", 2), ("-a", 1),
     ("a-", 1), ("a--b", 1), ("HTTP", 2), ("a_b", 1), ("a\n", 1), ("--", 3)],
)  # fmt: skip
def test_port_names(name: str, problems: int) -> None:
    assert len(list(port_name_problems(name))) == problems


@given(st.text(max_size=300))
def test_quoted_values_are_one_printable_line(text: str) -> None:
    assert quoted(text).isascii()
    assert quoted(text).isprintable()
    assert len(quoted(text)) <= 200
    assert invalid(text, "no").startswith('Invalid value: "')


# Clusters
# ----------------------------------------------------------------------------------------------


def cluster_of(*objects: Manifest) -> Cluster:
    return netpolc.load_objects(objects).cluster


def manifest(kind: str, name: str, version: str = "v1", **more: Any) -> Manifest:
    metadata = {"name": name, **more.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def owned(kind: str, name: str) -> Manifest:
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}]}


def template(**labels: str) -> Manifest:
    spec = {"containers": [{"ports": [{"name": "web", "containerPort": 80}]}]}
    return {"metadata": {"labels": labels}, "spec": spec}


def workload(kind: str, name: str, metadata: Manifest | None = None) -> Manifest:
    spec = {"template": template(app=name)}
    if kind == "CronJob":
        spec = {"jobTemplate": {"spec": spec}}
    version = {"ReplicationController": "v1", "Job": "batch/v1", "CronJob": "batch/v1"}
    return manifest(kind, name, version.get(kind, "apps/v1"), metadata=metadata or {}, spec=spec)


def names(cluster: Cluster) -> list[str]:
    return [pod.name for pod in cluster.pods]


def only(cluster: Cluster) -> Pod:
    (pod,) = cluster.pods
    return pod


@pytest.mark.parametrize(
    "kind",
    ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job",
     "CronJob"],
)  # fmt: skip
def test_a_workload_without_pods_is_a_pod_without_address(kind: str) -> None:
    pod = only(cluster_of(workload(kind, "web", {"labels": {"app": "not-this"}})))
    assert pod.labels["app"] == "web"
    assert (pod.namespace, pod.addresses, pod.node) == ("default", (), "")
    assert pod.ports == (("web", 6, 80),)
    assert pod.name != "web"


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "ReplicaSet", "Job"])
def test_a_workload_with_pods_is_its_pods(kind: str) -> None:
    pod = manifest("Pod", "web-0", metadata=owned(kind, "web"))
    assert names(cluster_of(workload(kind, "web"), pod)) == ["web-0"]
    assert names(cluster_of(pod, workload(kind, "web"))) == ["web-0"]
    assert len(names(cluster_of(workload(kind, "web"), manifest("Pod", "web-0")))) == 2


def test_a_deployment_has_pods_through_its_replica_sets() -> None:
    pod = manifest("Pod", "web-1-a", metadata=owned("ReplicaSet", "web-6d4f8c9b57"))
    replica_set = workload("ReplicaSet", "web-6d4f8c9b57", owned("Deployment", "web"))
    deployment = workload("Deployment", "web")
    assert names(cluster_of(deployment, replica_set, pod)) == ["web-1-a"]
    assert names(cluster_of(deployment, pod)) == ["web-1-a"]
    assert names(cluster_of(deployment, replica_set)) == ["web[Deployment]"]


def test_an_old_replica_set_without_pods_is_nothing() -> None:
    current = workload("ReplicaSet", "web-2", owned("Deployment", "web"))
    old = workload("ReplicaSet", "web-1", owned("Deployment", "web"))
    pod = manifest("Pod", "web-2-a", metadata=owned("ReplicaSet", "web-2"))
    assert names(cluster_of(workload("Deployment", "web"), current, old, pod)) == ["web-2-a"]


def test_a_cron_job_has_pods_through_its_jobs() -> None:
    pod = manifest("Pod", "nightly-1-a", metadata=owned("Job", "nightly-1"))
    job = workload("Job", "nightly-1", owned("CronJob", "nightly"))
    cron_job = workload("CronJob", "nightly")
    assert names(cluster_of(cron_job, job, pod)) == ["nightly-1-a"]
    assert names(cluster_of(cron_job, pod)) == ["nightly-1-a"]
    assert names(cluster_of(cron_job, job)) == ["nightly[CronJob]"]


def test_owners_are_of_the_same_namespace() -> None:
    metadata = {**owned("StatefulSet", "web"), "namespace": "other"}
    found = cluster_of(workload("StatefulSet", "web"), manifest("Pod", "web-0", metadata=metadata))
    assert [pod.namespace for pod in found.pods] == ["default", "other"]


def test_finished_pods_leave_their_address_and_keep_their_owner() -> None:
    def pod(name: str, phase: str) -> Manifest:
        status = {"phase": phase, "podIP": "10.64.0.7"}
        return manifest("Pod", name, metadata=owned("Job", "once"), status=status)

    found = cluster_of(pod("a", "Succeeded"), pod("b", "Failed"), pod("c", "Running"))
    assert names(found) == ["c"]
    assert names(cluster_of(pod("a", "Succeeded"), workload("Job", "once"))) == []
    for phase in ("Pending", "Unknown", ""):
        assert names(cluster_of(pod("d", phase))) == ["d"]


def test_addresses_of_a_pod() -> None:
    several = [{"ip": "10.64.0.7"}, {"ip": "2001:DB8::7"}]
    for status, expected in (
        ({"podIP": "10.64.0.7"}, ["10.64.0.7"]),
        ({"podIP": "10.64.0.7", "podIPs": several}, ["10.64.0.7", "2001:db8::7"]),
        ({"podIP": "", "podIPs": []}, []),
        ({"podIP": None, "podIPs": None}, []),
        ({}, []),
    ):
        pod = only(cluster_of(manifest("Pod", "web", status=status)))
        assert list(map(format_address, pod.addresses)) == expected


def test_nodes_have_all_their_addresses() -> None:
    node = manifest(
        "Node",
        "node-a",
        status={
            "addresses": [
                {"type": "Hostname", "address": "node-a"},
                {"type": "InternalIP", "address": "192.0.2.10"},
                {"type": "InternalIP", "address": "2001:db8::10"},
                {"type": "ExternalIP", "address": "198.51.100.10"},
                {"type": "InternalDNS", "address": "node-a.internal"},
            ]
        },
    )
    on_host = manifest(
        "Pod",
        "agent",
        spec={"nodeName": "node-a", "hostNetwork": True},
        status={"podIP": "192.0.2.11", "hostIP": "192.0.2.10"},
    )
    ordinary = manifest(
        "Pod",
        "web",
        spec={"nodeName": "node-b"},
        status={"podIP": "10.64.0.7", "hostIPs": [{"ip": "192.0.2.20"}, {"ip": "2001:db8::20"}]},
    )
    found = cluster_of(node, on_host, ordinary)
    addresses = {name: sorted(map(format_address, own.addresses)) for name, own in
                 found.nodes.items()}  # fmt: skip
    assert addresses == {
        "node-a": ["192.0.2.10", "192.0.2.11", "198.51.100.10", "2001:db8::10"],
        "node-b": ["192.0.2.20", "2001:db8::20"],
    }
    web = next(pod for pod in found.pods if pod.name == "web")
    assert sorted(map(format_address, found.node_addresses(web))) == addresses["node-b"]


def test_named_ports() -> None:
    containers = [
        {"ports": [{"name": "web", "containerPort": 80}, {"containerPort": 81}]},
        {"ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
        {"ports": [{"name": "dns", "containerPort": 53, "protocol": "TCP"}]},
        {"ports": None},
        {},
    ]
    init = [
        {"ports": [{"name": "init", "containerPort": 9}]},
        {"ports": [{"name": "retried", "containerPort": 7}], "restartPolicy": "OnFailure"},
        {"ports": [{"name": "sidecar", "containerPort": 8}], "restartPolicy": "Always"},
    ]
    spec = {"containers": containers, "initContainers": init}
    template = {"template": {"spec": spec}}
    for made in (
        manifest("Pod", "web", spec=spec),
        manifest("Deployment", "web", "apps/v1", spec=template),
        manifest("CronJob", "web", "batch/v1", spec={"jobTemplate": {"spec": template}}),
    ):
        ports = only(cluster_of(made)).ports
        assert ports == (("dns", 6, 53), ("dns", 17, 53), ("sidecar", 6, 8), ("web", 6, 80))


def test_namespaces_exist_when_they_are_mentioned() -> None:
    label = "kubernetes.io/metadata.name"
    found = cluster_of(
        manifest("Namespace", "own", metadata={"labels": {"team": "a", label: "forged"}}),
        manifest("Pod", "web", metadata={"namespace": "of-pod"}),
        manifest("NetworkPolicy", "p", "networking.k8s.io/v1", metadata={"namespace": "of-policy"}),
    )
    assert {name: dict(own.labels) for name, own in found.namespaces.items()} == {
        "of-pod": {label: "of-pod"},
        "of-policy": {label: "of-policy"},
        "own": {"team": "a", label: "own"},
    }
    assert names(found) == ["web"]


def test_missing_and_empty_mean_the_default_namespace() -> None:
    for namespace in ({}, {"namespace": ""}, {"namespace": None}):
        pod = only(cluster_of(manifest("Pod", "web", metadata=namespace)))
        assert pod.key == "default/web"


def pod(name: str, owner: Manifest | None = None, **labels: str) -> Manifest:
    return manifest("Pod", name, metadata={"labels": labels, **(owner or {})})


def workloads(*objects: Manifest) -> list[str]:
    cluster = cluster_of(*objects)
    return [cluster.workload(pod) for pod in cluster.pods]


def test_a_pod_is_named_by_the_workload_at_the_top() -> None:
    replica = owned("ReplicaSet", "web-6f9d")
    assert workloads(pod("a")) == ["default/a[Pod]"]
    assert workloads(pod("a", owned("Node", "n1"))) == ["default/a[Pod]"]
    assert workloads(pod("a", owned("StatefulSet", "db"))) == ["default/db[StatefulSet]"]
    assert workloads(pod("a", replica), workload("ReplicaSet", "web-6f9d")) == [
        "default/web-6f9d[ReplicaSet]"
    ]
    owner = workload("ReplicaSet", "web-6f9d", owned("Deployment", "site"))
    assert workloads(pod("a", replica), owner) == ["default/site[Deployment]"]
    assert workloads(workload("Deployment", "web")) == ["default/web[Deployment]"]


def test_controllers_that_are_not_in_the_snapshot_are_known_by_their_names() -> None:
    replica = owned("ReplicaSet", "web-6f9d")
    hashed = {"pod-template-hash": "6f9d"}
    assert workloads(pod("a", replica, **hashed)) == ["default/web[Deployment]"]
    assert workloads(pod("a", replica)) == ["default/web-6f9d[ReplicaSet]"]
    assert workloads(pod("a", owned("Job", "nightly-29388000"))) == ["default/nightly[CronJob]"]
    assert workloads(pod("a", owned("Job", "nightly-2"))) == ["default/nightly-2[Job]"]


def test_of_several_owners_the_controller_counts_and_circles_end() -> None:
    both = {"ownerReferences": [{"kind": "A", "name": "x"}, *owned("B", "y")["ownerReferences"]]}
    assert workloads(pod("a", both)) == ["default/y[B]"]
    circle = workload("ReplicaSet", "r", owned("ReplicaSet", "r"))
    assert workloads(pod("a", owned("ReplicaSet", "r")), circle) == ["default/r[ReplicaSet]"]
