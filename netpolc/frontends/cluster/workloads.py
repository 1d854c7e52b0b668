"""Workload templates: a pod without address for each workload that has none in the snapshot.

Comes in: documents of Deployments and their like, of other projects' kinds that have a template in
the same place (`makers.py`), and the owners that pods name. Goes out: pods and
who owns whom. Refused, with the place: names, labels and ports the API server would refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from netpolc.core.cluster import TEMPLATE_HASH, Pod
from netpolc.core.errors import ROOT, ObjectProblems, Path
from netpolc.core.ir import Origin
from netpolc.frontends.cluster.pods import PortReader, controller, own_waivers
from netpolc.frontends.fields import label_value_problems
from netpolc.frontends.frontend import (
    PASSED_OVER,
    Frontend,
    Gathered,
    Name,
    Reader,
    check_fields,
)
from netpolc.frontends.objects import (
    Metadata,
    PodSpec,
    Template,
    WorkloadObject,
    WorkloadSpec,
    decode,
)
from netpolc.manifests import Document

SOME_VALUE = "netpolc-some-value"
"""Stands for a label value that is made with the pod."""
_BATCH = "batch.kubernetes.io/"
_JOB = ("job-name", "controller-uid")
_POD_INDEX = "apps.kubernetes.io/pod-index"
_POD_NAME = "statefulset.kubernetes.io/pod-name"
_REVISION = "controller-revision-hash"


class _Found(NamedTuple):
    """A workload that was read."""

    namespace: str
    kind: str
    name: str
    workload: WorkloadObject
    document: Document

    @property
    def key(self) -> tuple[str, str, str]:
        """Namespace, kind and name."""
        return self.namespace, self.kind, self.name

    @property
    def metadata(self) -> Metadata:
        """Its metadata, empty where it has none."""
        return self.workload.metadata or Metadata()


class Workloads(Reader):
    """Reads workloads; they are expanded once all pods are known. Odd ones are passed over."""

    def __init__(self, gathered: Gathered) -> None:
        super().__init__(gathered)
        self._ports = PortReader()
        self._found: list[_Found] = []

    def read(self, document: Document, problems: ObjectProblems) -> Name | None:
        """Remember one."""
        check_fields(document, problems, self._gathered.strict)
        workload = decode(document, WorkloadObject, problems)
        if workload is None:
            return None
        namespace, name = self._gathered.names.namespaced(workload.metadata, problems, document)
        if not problems.failed:
            self._found.append(_Found(namespace, document.kind, name, workload, document))
        return namespace, name

    def stand_in(
        self, document: Document, kind: str, report: ObjectProblems
    ) -> tuple[Name | None, str | None]:
        """Nothing: its pods, if there are any, say who they are."""
        return self._gathered.odd.named(document, kind), PASSED_OVER

    def finish(self) -> None:
        """A template for each workload that has no pod, and the owner of every workload."""
        self._gathered.templates.extend(self._expanded())
        for own in self._found:
            self._gathered.controllers[own.key] = controller(own.metadata.ownerReferences or ())

    def _expanded(self) -> Iterator[Pod]:
        """A pod for each workload that has none; what is wrong with one leaves it out."""
        odd, names = self._gathered.odd, self._gathered.names
        owned = self._owning()
        seen = set()
        for own in self._found:
            namespace, kind, name = own.key
            if own.metadata.ownerReferences or own.key in owned or own.key in seen:
                continue
            if kind not in FRONTEND.serves and self._has_pods(own):
                continue
            seen.add(own.key)
            template, path = _template(own.workload)
            if template is None:
                continue
            problems = odd.report(own.document)
            labels = template.metadata.labels if template.metadata else None
            read = names.labels(labels, path / "metadata" / "labels", problems)
            spec = template.spec or PodSpec()
            ports, declared = self._ports.read(spec, path / "spec", problems)
            pod = Pod(
                namespace,
                f"{name}[{kind}]",
                {**read, **_added(own)},
                (),
                "",
                (),
                bool(spec.hostNetwork),
                ports,
                Origin(kind, namespace, name, (), own.document.source),
                own_waivers(own.metadata),
                (kind, name),
                declared=declared,
            )
            odd.hand_on(own.document, kind, problems, PASSED_OVER)
            if not problems.failed:
                yield pod

    def _has_pods(self, own: _Found) -> bool:
        """Whether pods with the labels of its template are here.

        Nobody knows what stands between objects of other projects and their pods.
        """
        template, _ = _template(own.workload)
        labels = template.metadata.labels if template and template.metadata else None
        wanted = (labels or {}).items()
        pods = self._gathered.pods.values()
        return any(pod.namespace == own.namespace and wanted <= pod.labels.items() for pod in pods)

    def _owning(self) -> set[tuple[str, str, str]]:
        """Owners of pods, and the owners of those: a Deployment through its ReplicaSets.

        Where the ReplicaSet or Job between them is not in the snapshot its name tells: both
        controllers name it after their workload plus `-` and a suffix without a hyphen.
        """
        owners = self._gathered.owners
        owned = set(owners)
        for namespace, kind, name in owners:
            above = {"ReplicaSet": "Deployment", "Job": "CronJob"}.get(kind)
            if above is not None and "-" in name:
                owned.add((namespace, above, name.rpartition("-")[0]))
        for own in self._found:
            if own.key in owners:
                for owner in own.metadata.ownerReferences or ():
                    owned.add((own.namespace, owner.kind or "", owner.name or ""))
        return owned


def _added(own: _Found) -> Mapping[str, str]:
    """The labels that Kubernetes' own controllers add to the pods of a workload.

    What nobody can know before there is a pod is `SOME_VALUE`: it is there, and no selector by
    value means it.
    """
    spec = own.workload.spec or WorkloadSpec()
    known = own.name if not any(label_value_problems(own.name)) else SOME_VALUE
    match own.kind:
        case "Deployment":
            return {TEMPLATE_HASH: SOME_VALUE}
        case "DaemonSet":
            return {_REVISION: SOME_VALUE}
        case "StatefulSet":
            only = spec.replicas in (None, 1)
            name = f"{own.name}-0" if only and not any(label_value_problems(known)) else SOME_VALUE
            return {_REVISION: SOME_VALUE, _POD_NAME: name, _POD_INDEX: "0" if only else SOME_VALUE}
        case "Job":
            return _of_job(known, spec.completionMode == "Indexed")
        case "CronJob":
            inner = spec.jobTemplate.spec if spec.jobTemplate else None
            return _of_job(SOME_VALUE, inner is not None and inner.completionMode == "Indexed")
    return {}


def _of_job(name: str, is_indexed: bool) -> Mapping[str, str]:
    found = dict(zip(_JOB, (name, SOME_VALUE), strict=True))
    found |= {f"{_BATCH}{key}": value for key, value in found.items()}
    return {**found, **({f"{_BATCH}job-completion-index": SOME_VALUE} if is_indexed else {})}


def _template(workload: WorkloadObject) -> tuple[Template | None, Path]:
    spec, path = workload.spec, ROOT / "spec"
    if spec is None:
        return None, path
    if spec.jobTemplate is not None:
        inner = spec.jobTemplate.spec
        return (inner.template if inner else None), path / "jobTemplate" / "spec" / "template"
    return spec.template, path / "template"


FRONTEND = Frontend(
    {
        "ReplicationController": ("",),
        "Deployment": ("apps", "extensions"),
        "ReplicaSet": ("apps", "extensions"),
        "DaemonSet": ("apps", "extensions"),
        "StatefulSet": ("apps",),
        "Job": ("batch", "extensions"),
        "CronJob": ("batch",),
    },
    Workloads,
)
