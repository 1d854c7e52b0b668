"""The parts of core objects that netpolc reads, as msgspec structures.

Comes in: one manifest. Goes out: a decoded structure; everything else of the object is skipped
unread, which is what makes a snapshot of 100,000 pods load in seconds. Sources: Kubernetes
`core/v1`, `apps/v1`, `batch/v1`.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from netpolc.core.errors import ROOT, ObjectProblems, Path
from netpolc.core.ir import WAIVER
from netpolc.manifests import Document

T = TypeVar("T")
Text = str | None
Labels = dict[str, str] | None
FINISHED = ("Succeeded", "Failed")
"""The phases of pods that run no more; their addresses may be others' already."""


class Reference(msgspec.Struct, frozen=True, gc=False):
    """`metadata.ownerReferences[]`."""

    kind: Text = None
    name: Text = None
    controller: bool | None = None


class PodAnnotations(msgspec.Struct, frozen=True, gc=False, rename={"waiver": WAIVER}):
    """`metadata.annotations` of a pod: one is read, the others are skipped undecoded."""

    waiver: Text = None


class Metadata(msgspec.Struct, frozen=True, gc=False):
    """`metadata`; all annotations are decoded only for namespaces."""

    name: Text = None
    namespace: Text = None
    labels: Labels = None
    uid: Text = None
    ownerReferences: list[Reference] | None = None
    annotations: PodAnnotations | None = None


class GenerateMetadata(msgspec.Struct, frozen=True, gc=False):
    """`metadata` of an object without a name; read for those alone."""

    generateName: Text = None


class Generated(msgspec.Struct, frozen=True, gc=False):
    """An object without a name."""

    metadata: GenerateMetadata | None = None


class ContainerPort(msgspec.Struct, frozen=True, gc=False):
    """`containers[].ports[]`."""

    name: Text = None
    containerPort: int | float | None = None
    protocol: Text = None


class Container(msgspec.Struct, frozen=True, gc=False):
    """`containers[]`."""

    ports: list[ContainerPort] | None = None


class InitContainer(msgspec.Struct, frozen=True, gc=False):
    """`initContainers[]`: one that is restarted always goes on beside the containers (sidecar)."""

    ports: list[ContainerPort] | None = None
    restartPolicy: Text = None


class PodSpec(msgspec.Struct, frozen=True, gc=False):
    """`spec` of a pod or of a template."""

    nodeName: Text = None
    hostNetwork: bool | None = None
    containers: list[Container] | None = None
    initContainers: list[InitContainer] | None = None


class PodAddress(msgspec.Struct, frozen=True, gc=False):
    """`status.podIPs[]` and `status.hostIPs[]`."""

    ip: Text = None


class PodStatus(msgspec.Struct, frozen=True, gc=False):
    """`status` of a pod."""

    phase: Text = None
    podIP: Text = None
    podIPs: list[PodAddress] | None = None
    hostIP: Text = None
    hostIPs: list[PodAddress] | None = None


class PodObject(msgspec.Struct, frozen=True, gc=False):
    """A Pod."""

    metadata: Metadata | None = None
    spec: PodSpec | None = None
    status: PodStatus | None = None


class PodItem(PodObject, frozen=True, gc=False):
    """An object that is likely a Pod, with what tells objects apart (`manifests.Likely`)."""

    apiVersion: Text = None
    kind: Text = None
    items: list[msgspec.Raw] | None = None


class LifeMetadata(msgspec.Struct, frozen=True, gc=False):
    """`metadata` of a pod: when it was made."""

    creationTimestamp: Text = None


class Condition(msgspec.Struct, frozen=True, gc=False):
    """`status.conditions[]`."""

    type: Text = None
    status: Text = None


class LifeStatus(msgspec.Struct, frozen=True, gc=False):
    """`status` of a pod: how far it has come."""

    conditions: list[Condition] | None = None


class Life(msgspec.Struct, frozen=True, gc=False):
    """What tells which of two pods with one address is the newer; read for those alone."""

    metadata: LifeMetadata | None = None
    spec: dict[str, Any] | None = None
    status: LifeStatus | None = None


class NamespaceMetadata(msgspec.Struct, frozen=True, gc=False):
    """`metadata` of a Namespace."""

    name: Text = None
    labels: Labels = None
    annotations: dict[str, str] | None = None


class NamespaceObject(msgspec.Struct, frozen=True, gc=False):
    """A Namespace."""

    metadata: NamespaceMetadata | None = None


class NodeAddress(msgspec.Struct, frozen=True, gc=False):
    """`status.addresses[]` of a node."""

    type: Text = None
    address: Text = None


class NodeStatus(msgspec.Struct, frozen=True, gc=False):
    """`status` of a node."""

    addresses: list[NodeAddress] | None = None


class NodeSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`spec` of a node."""

    pod_cidr: Text = msgspec.field(default=None, name="podCIDR")
    pod_cidrs: list[Text] | None = msgspec.field(default=None, name="podCIDRs")


class NodeObject(msgspec.Struct, frozen=True, gc=False):
    """A Node."""

    metadata: Metadata | None = None
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class Template(msgspec.Struct, frozen=True, gc=False):
    """`spec.template`."""

    metadata: Metadata | None = None
    spec: PodSpec | None = None


class JobTemplateSpec(msgspec.Struct, frozen=True, gc=False):
    """`spec.jobTemplate.spec`."""

    template: Template | None = None
    completionMode: Text = None


class JobTemplate(msgspec.Struct, frozen=True, gc=False):
    """`spec.jobTemplate` of a CronJob."""

    spec: JobTemplateSpec | None = None


class WorkloadSpec(msgspec.Struct, frozen=True, gc=False):
    """`spec` of a workload."""

    template: Template | None = None
    jobTemplate: JobTemplate | None = None
    replicas: int | float | None = None
    completionMode: Text = None


class WorkloadObject(msgspec.Struct, frozen=True, gc=False):
    """Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job or CronJob, and
    what else has a template of pods.
    """

    metadata: Metadata | None = None
    spec: WorkloadSpec | None = None


_WHERE = re.compile(r" - at `(key in )?\$([^`]*)`$")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?:(?P<index>\d+)|(?P<entry>\.\.\.))\]")


def decode(document: Document, model: type[T], problems: ObjectProblems) -> T | None:
    """The object as `model`; None when a field has the wrong type, which is then in `problems`."""
    try:
        return document.typed(model)
    except msgspec.ValidationError as error:
        text = str(error)
        where = _WHERE.search(text)
        path = _path(document, where.group(2), text) if where else ROOT
        problems.error(path, _WHERE.sub("", text).replace("`", "").replace("int | float", "int"))
        return None


def _path(document: Document, pointer: str, text: str) -> Path:
    """msgspec's `$.metadata.labels[...]` as a path; the entry meant is the first mistyped one."""
    path = ROOT
    try:
        value: Any = document.typed(dict)
    except msgspec.ValidationError:  # a number that fits nowhere
        return path
    while step := _STEP.match(pointer):
        pointer = pointer[step.end() :]
        if step["entry"] and isinstance(value, dict):
            wrong = [key for key, item in value.items() if not isinstance(item, str)]
            return path.key(wrong[0]) if wrong else path
        if step["index"]:
            index = int(step["index"])
            if not isinstance(value, list) or index >= len(value):
                return path  # of a key that stands twice the other is wrong
            path, value = path / index, value[index]
            continue
        name = step["name"]
        if not isinstance(value, dict):
            return path
        if name not in value:  # a key with dots, which msgspec writes as if they were steps
            name += pointer
            return path.key(name) if name in value else path
        path, value = path / name, value[name]
    return path
