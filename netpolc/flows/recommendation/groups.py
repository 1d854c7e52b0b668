"""Pods that one policy is about: those of one namespace whose lasting labels are the same.

Comes in: a cluster. Goes out: the `PodGroup` of each pod, with the shortest selector that means its
pods and no others. Labels that name a rollout, a replica or a version are not looked at: they
change while the policy stays. Pods of one workload are one group by the labels they share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from netpolc.core.cluster import TEMPLATE_HASH, Cluster, Pod
from netpolc.core.ir import Operator, Requirement, Selector
from netpolc.core.labels import LabelIndex

PASSING = frozenset(
    (
        TEMPLATE_HASH,
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
        "batch.kubernetes.io/job-completion-index",
        "controller-uid",
        "job-name",
        "helm.sh/chart",
        "app.kubernetes.io/version",
        "app.kubernetes.io/managed-by",
    )
)
"""Labels that change from rollout to rollout, or are one replica's."""
_TELLING = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "k8s-app",
    "app",
    "component",
    "tier",
    "role",
    "name",
)
"""Labels that people select by, the most telling first."""
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PodGroup:
    """Pods of a namespace; `selector` is a label selector as the API has it, `name` a DNS label
    that no other group of the namespace has.
    """

    namespace: str
    name: str
    selector: Mapping[str, Any]
    pods: tuple[Pod, ...]

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def pod_groups(cluster: Cluster) -> dict[str, PodGroup]:
    """The group of each pod that policies can mean, by its `namespace/name`."""
    found: dict[str, PodGroup] = {}
    for namespace in sorted({pod.namespace for pod in cluster.pods}):
        pods = [
            pod
            for pod in cluster.pods
            if pod.namespace == namespace and not pod.host_network and not pod.closed
        ]
        labels = _shared_labels(cluster, pods)
        members: dict[Labels, list[Pod]] = {}
        for pod in pods:
            members.setdefault(labels[pod.key], []).append(pod)
        index = LabelIndex(pod.labels.items() for pod in pods)
        numbers = {pod.key: number for number, pod in enumerate(pods)}
        names: set[str] = set()
        for own, several in sorted(members.items()):
            wanted = frozenset(numbers[pod.key] for pod in several)
            name = _free(_name(cluster, own, several), names)
            names.add(name)
            selector = _selector(own, wanted, index, pods)
            group = PodGroup(namespace, name, selector, tuple(several))
            found.update((pod.key, group) for pod in several)
    return found


def _shared_labels(cluster: Cluster, pods: Iterable[Pod]) -> dict[str, Labels]:
    """The lasting labels of each pod that all pods of its workload have."""
    workloads: dict[str, list[Pod]] = {}
    for pod in pods:
        workloads.setdefault(cluster.workload(pod), []).append(pod)
    found: dict[str, Labels] = {}
    for several in workloads.values():
        shared = set(several[0].labels.items())
        for pod in several[1:]:
            shared &= set(pod.labels.items())
        lasting = tuple(sorted(own for own in shared if own[0] not in PASSING))
        found.update((pod.key, lasting) for pod in several)
    return found


def _selector(
    labels: Labels, wanted: frozenset[int], index: LabelIndex, pods: list[Pod]
) -> dict[str, Any]:
    """As few labels as mean the same pods, but one at least, for pods to come.

    Where they mean more pods, those have keys that these lack.
    """
    kept = dict(sorted(labels, key=_telling))
    selected = index.matching(_requiring(kept))
    for key in reversed([*kept]):
        fewer = {own: value for own, value in kept.items() if own != key}
        if fewer and index.matching(_requiring(fewer)) == selected:
            kept = fewer
    absent = _absent({**pods[number].labels} for number in wanted)
    lacking: list[str] = []
    strangers = selected - wanted
    while strangers:
        keys = sorted({key for number in strangers for key in pods[number].labels if absent(key)})
        if not keys:
            break  # the proof tells who else is meant
        key = max(keys, key=lambda own: sum(own in pods[n].labels for n in strangers))
        lacking.append(key)
        strangers = frozenset(n for n in strangers if key not in pods[n].labels)
    found: dict[str, Any] = {"matchLabels": dict(sorted(kept.items()))} if kept else {}
    if lacking:
        found["matchExpressions"] = [
            {"key": key, "operator": "DoesNotExist"} for key in sorted(lacking)
        ]
    return found


def _absent(members: Iterable[Mapping[str, str]]) -> Any:
    present = {key for labels in members for key in labels}
    return lambda key: key not in present and key not in PASSING


def _requiring(labels: Mapping[str, str]) -> Selector:
    return Selector(
        frozenset(
            Requirement(key, Operator.IN, frozenset((value,))) for key, value in labels.items()
        )
    )


def _telling(label: tuple[str, str]) -> tuple[int, str]:
    key = label[0]
    return (_TELLING.index(key) if key in _TELLING else len(_TELLING)), key


def _name(cluster: Cluster, labels: Labels, pods: list[Pod]) -> str:
    """Of its workload, or of the most telling label, or of its first pod."""
    workloads = {cluster.workload(pod) for pod in pods}
    if len(workloads) == 1 and pods[0].owner is not None:
        found = workloads.pop().partition("/")[2].rpartition("[")[0]
    elif labels:
        found = min(labels, key=_telling)[1]
    else:
        found = pods[0].name
    return _NOT_IN_A_NAME.sub("-", found.lower()).strip("-")[:50].strip("-") or "pods"


def _free(name: str, taken: set[str]) -> str:
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(own for own in numbered if own not in taken)
