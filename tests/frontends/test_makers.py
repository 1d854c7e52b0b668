"""Pods of other projects' kinds, and the labels that controllers add.

In: small made-up objects. Out: the pods of the snapshot, by hand.
"""

from __future__ import annotations

from typing import Any

import pytest

import netpolc
from tests.helpers.manifests import Manifest, pod, policy

LABELS = {"app": "board"}
BODY = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def made(kind: str, group: str, name: str = "board", **spec: Any) -> Manifest:
    metadata = {"namespace": "mon", "name": name}
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec or {"template": BODY},
    }


def names(*objects: Manifest) -> list[str]:
    return [own.name for own in netpolc.load_objects(objects).cluster.pods]


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("Rollout", "argoproj.io"),
        ("DeploymentConfig", "apps.openshift.io"),
        ("CloneSet", "apps.kruise.io"),
        ("Service", "serving.knative.dev"),
        ("Deployment", "apps.example.com"),
    ],
)
def test_what_has_a_template_is_a_workload(kind: str, group: str) -> None:
    own = made(kind, group)
    snapshot = netpolc.load_objects([own])
    (found,) = snapshot.cluster.pods
    assert (found.key, dict(found.labels).items() >= LABELS.items()) == (f"mon/board[{kind}]", True)
    assert snapshot.cluster.workload(found) == f"mon/board[{kind}]"
    assert snapshot.ignored == {}
    with pytest.raises(netpolc.InputError, match=rf"{kind}.{group} mon/board is already at"):
        netpolc.load_objects([own, own])


@pytest.mark.parametrize(
    "spec",
    [
        {"template": {"spec": {"containers": []}}},
        {"template": {"spec": {"domain": {}}}},
        {"template": "{{ .text }}"},
        {"template": {"spec": {"containers": "none"}}},
        {"template": {"data": {"a": "b"}}},
    ],
)
def test_other_templates_are_not(spec: Manifest) -> None:
    snapshot = netpolc.load_objects([made("Thing", "example.com", **spec)])
    assert (snapshot.cluster.pods, snapshot.ignored) == ((), {"example.com/v1 Thing": 1})


def test_pods_that_are_there_stand_for_it() -> None:
    own = made("Rollout", "argoproj.io")
    assert names(own, pod("mon/board-x", "10.0.0.1", app="board", more="y")) == ["board-x"]
    other = pod("mon/other", "10.0.0.1", app="other")
    elsewhere = pod("shop/board", "10.0.0.2", app="board")
    assert names(own, other, elsewhere) == ["board[Rollout]", "other", "board"]


def test_two_kinds_may_have_one_name() -> None:
    every = [made("Deployment", "apps"), made("Deployment", "apps.example.com")]
    assert names(*every, made("Rollout", "argoproj.io")) == ["board[Deployment]", "board[Rollout]"]


def selected(own: Manifest, **expression: Any) -> bool:
    """Whether a selector means the pod of a workload."""
    isolating = policy("mon/p", podSelector={"matchExpressions": [expression]})
    program = netpolc.compile(netpolc.load_objects([own, isolating]))
    return any(judged.subjects for judged in program.combinations)


INDEXED: dict[str, Any] = {"template": BODY, "completionMode": "Indexed"}
JOB_NAME = "batch.kubernetes.io/job-name"
INDEX = "batch.kubernetes.io/job-completion-index"
REVISION = "controller-revision-hash"
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


@pytest.mark.parametrize(
    ("own", "key", "value"),
    [
        (made("Deployment", "apps"), "pod-template-hash", None),
        (made("DaemonSet", "apps"), REVISION, None),
        (made("StatefulSet", "apps"), REVISION, None),
        (made("StatefulSet", "apps"), POD_NAME, "board-0"),
        (made("StatefulSet", "apps"), POD_INDEX, "0"),
        (made("StatefulSet", "apps", template=BODY, replicas=3), POD_NAME, None),
        (made("StatefulSet", "apps", template=BODY, replicas=3), POD_INDEX, None),
        (made("Job", "batch"), "job-name", "board"),
        (made("Job", "batch"), JOB_NAME, "board"),
        (made("Job", "batch"), "controller-uid", None),
        (made("Job", "batch", **INDEXED), INDEX, None),
        (made("CronJob", "batch", jobTemplate={"spec": INDEXED}), JOB_NAME, None),
        (made("CronJob", "batch", jobTemplate={"spec": INDEXED}), INDEX, None),
    ],
)
def test_controllers_add_labels(own: Manifest, key: str, value: str | None) -> None:
    assert selected(own, key=key, operator="Exists")
    assert not selected(own, key=key, operator="DoesNotExist")
    assert not selected(own, key=key, operator="In", values=["x", "board-1", "1"])
    if value is not None:
        assert selected(own, key=key, operator="In", values=[value])


@pytest.mark.parametrize("key", ["pod-template-hash", REVISION, POD_NAME, "job-name", INDEX])
def test_and_none_elsewhere(key: str) -> None:
    for own in (made("Rollout", "argoproj.io"), made("ReplicaSet", "apps")):
        assert selected(own, key=key, operator="DoesNotExist")
    assert not selected(made("Job", "batch"), key=INDEX, operator="Exists")


def test_makers_are_named_where_there_are_no_pods() -> None:
    own = made("Kafka", "kafka.strimzi.io", kafka={"replicas": 3})
    template = made("Deployment", "apps")
    (warning,) = [w for w in netpolc.load_objects([own, template]).warnings if w.code == "NP013"]
    assert warning.message == "pods of a Kafka are not in here: nothing is known of them"
    some = pod("mon/a", "10.0.0.1")
    assert [w for w in netpolc.load_objects([own, some]).warnings if w.code == "NP013"] == []
