"""Workload templates: a pod without address for each workload that has none in the snapshot.

Comes in: documents of Deployments and their like, and the owners that pods name. Goes out: pods and
who owns whom. Refused, with the place: names, labels and ports the API server would refuse.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.core.cluster import Pod
from netpolc.core.errors import ROOT, ObjectProblems, Path
from netpolc.core.ir import Origin
from netpolc.frontends.frontend import (
    PASSED_OVER,
    Frontend,
    Gathered,
    Name,
    Reader,
    check_fields,
)
from netpolc.frontends.objects import Metadata, PodSpec, Template, WorkloadObject, decode
from netpolc.frontends.pods import NamedPorts, controller, own_waivers
from netpolc.manifests import Document


class Workloads(Reader):
    """Reads workloads; they are expanded once all pods are known. Odd ones are passed over."""

    def __init__(self, gathered: Gathered) -> None:
        super().__init__(gathered)
        self._ports = NamedPorts()
        self._found: list[tuple[str, WorkloadObject, Document]] = []

    def read(self, document: Document, problems: ObjectProblems) -> Name | None:
        """Remember one."""
        check_fields(document, problems, self._gathered.strict)
        workload = decode(document, WorkloadObject, problems)
        if workload is None:
            return None
        namespace, name = self._gathered.names.namespaced(workload.metadata, problems)
        if not problems.failed:
            self._found.append((document.kind, workload, document))
        return namespace, name

    def stand_in(
        self, document: Document, kind: str, report: ObjectProblems
    ) -> tuple[Name | None, str | None]:
        """Nothing: its pods, if there are any, say who they are."""
        return self._gathered.odd.named(document, kind), PASSED_OVER

    def finish(self) -> None:
        """A template for each workload that has no pod, and the owner of every workload."""
        self._gathered.templates.extend(self._expanded())
        for kind, workload, _ in self._found:
            metadata = workload.metadata or Metadata()
            key = metadata.namespace or "default", kind, metadata.name or ""
            self._gathered.controllers[key] = controller(metadata.ownerReferences or ())

    def _expanded(self) -> Iterator[Pod]:
        """A pod for each workload that has none; what is wrong with one leaves it out."""
        odd, names = self._gathered.odd, self._gathered.names
        owned = self._owning()
        seen = set()
        for kind, workload, document in self._found:
            metadata = workload.metadata or Metadata()
            key = namespace, _, name = metadata.namespace or "default", kind, metadata.name or ""
            if metadata.ownerReferences or key in owned or key in seen:
                continue
            seen.add(key)
            template, path = _template(workload)
            if template is None:
                continue
            problems = odd.report(document)
            labels = template.metadata.labels if template.metadata else None
            spec = template.spec or PodSpec()
            pod = Pod(
                namespace,
                f"{name}[{kind}]",
                names.labels(labels, path / "metadata" / "labels", problems),
                (),
                "",
                (),
                bool(spec.hostNetwork),
                self._ports.read(spec, path / "spec", problems),
                Origin(kind, namespace, name, (), document.source),
                own_waivers(metadata),
                (kind, name),
            )
            odd.hand_on(document, kind, problems, PASSED_OVER)
            if not problems.failed:
                yield pod

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
        for kind, workload, _ in self._found:
            metadata = workload.metadata or Metadata()
            namespace = metadata.namespace or "default"
            if (namespace, kind, metadata.name or "") in owners:
                for owner in metadata.ownerReferences or ():
                    owned.add((namespace, owner.kind or "", owner.name or ""))
        return owned


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
