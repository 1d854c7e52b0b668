"""The parts of core objects that netpolc reads, as msgspec structures.

Comes in: one manifest. Goes out: a decoded structure; everything else of the object is skipped
unread, which is what makes a snapshot of 100,000 pods load in seconds. Sources: Kubernetes
`core/v1`, `apps/v1`, `batch/v1`.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from netpolc.errors import ROOT, ObjectProblems, Path
from netpolc.ir import WAIVER
from netpolc.manifests import Document

T = TypeVar("T")
Text = str | None
Labels = dict[str, str] | None


class Reference(msgspec.Struct, frozen=True):
    """`metadata.ownerReferences[]`."""

    kind: Text = None
    name: Text = None
    controller: bool | None = None


class PodAnnotations(msgspec.Struct, frozen=True, rename={"waiver": WAIVER}):
    """`metadata.annotations` of a pod: one is read, the others are skipped undecoded."""

    waiver: Text = None


class Metadata(msgspec.Struct, frozen=True):
    """`metadata`; all annotations are decoded only for namespaces."""

    name: Text = None
    namespace: Text = None
    labels: Labels = None
    ownerReferences: list[Reference] | None = None
    annotations: PodAnnotations | None = None


class ContainerPort(msgspec.Struct, frozen=True):
    """`containers[].ports[]`."""

    name: Text = None
    containerPort: int | None = None
    protocol: Text = None


class Container(msgspec.Struct, frozen=True):
    """`containers[]`."""

    ports: list[ContainerPort] | None = None


class PodSpec(msgspec.Struct, frozen=True):
    """`spec` of a pod or of a template."""

    nodeName: Text = None
    hostNetwork: bool | None = None
    containers: list[Container] | None = None


class PodAddress(msgspec.Struct, frozen=True):
    """`status.podIPs[]` and `status.hostIPs[]`."""

    ip: Text = None


class PodStatus(msgspec.Struct, frozen=True):
    """`status` of a pod."""

    phase: Text = None
    podIP: Text = None
    podIPs: list[PodAddress] | None = None
    hostIP: Text = None
    hostIPs: list[PodAddress] | None = None


class PodObject(msgspec.Struct, frozen=True):
    """A Pod."""

    metadata: Metadata | None = None
    spec: PodSpec | None = None
    status: PodStatus | None = None


class NamespaceMetadata(msgspec.Struct, frozen=True):
    """`metadata` of a Namespace."""

    name: Text = None
    labels: Labels = None
    annotations: dict[str, str] | None = None


class NamespaceObject(msgspec.Struct, frozen=True):
    """A Namespace."""

    metadata: NamespaceMetadata | None = None


class NodeAddress(msgspec.Struct, frozen=True):
    """`status.addresses[]` of a node."""

    type: Text = None
    address: Text = None


class NodeStatus(msgspec.Struct, frozen=True):
    """`status` of a node."""

    addresses: list[NodeAddress] | None = None


class NodeObject(msgspec.Struct, frozen=True):
    """A Node."""

    metadata: Metadata | None = None
    status: NodeStatus | None = None


class Template(msgspec.Struct, frozen=True):
    """`spec.template`."""

    metadata: Metadata | None = None
    spec: PodSpec | None = None


class JobTemplateSpec(msgspec.Struct, frozen=True):
    """`spec.jobTemplate.spec`."""

    template: Template | None = None


class JobTemplate(msgspec.Struct, frozen=True):
    """`spec.jobTemplate` of a CronJob."""

    spec: JobTemplateSpec | None = None


class WorkloadSpec(msgspec.Struct, frozen=True):
    """`spec` of a workload."""

    template: Template | None = None
    jobTemplate: JobTemplate | None = None


class WorkloadObject(msgspec.Struct, frozen=True):
    """Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job or CronJob."""

    metadata: Metadata | None = None
    spec: WorkloadSpec | None = None


_WHERE = re.compile(r" - at `(key in )?\$([^`]*)`$")
_STEP = re.compile(r"\.([A-Za-z]+)|\[(\d+|\.\.\.)\]")


def decode(document: Document, model: type[T], problems: ObjectProblems) -> T | None:
    """The object as `model`; None when a field has the wrong type, which is then in `problems`."""
    try:
        return document.typed(model)
    except msgspec.ValidationError as error:
        text = str(error)
        where = _WHERE.search(text)
        path = _path(document, where.group(2), text) if where else ROOT
        problems.error(path, _WHERE.sub("", text).replace("`", ""))
        return None


def _path(document: Document, pointer: str, text: str) -> Path:
    """msgspec's `$.metadata.labels[...]` as a path; the entry meant is the first mistyped one."""
    value: Any = document.typed(dict)
    path = ROOT
    for name, index in _STEP.findall(pointer):
        if index == "...":
            wrong = [key for key, item in value.items() if not isinstance(item, str)]
            return path.key(wrong[0]) if wrong else path
        step = name or int(index)
        path, value = path / step, value[step]
    return path
