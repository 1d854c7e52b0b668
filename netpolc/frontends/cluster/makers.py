"""Pods that come from objects of other projects: templates that are read, makers that are named.

Comes in: a document of a kind that no frontend reads. Goes out: whether it has a template of pods
as a Deployment has it, and a warning (NP013) about what makes pods without one, where nothing is
known of these pods: what policies say of them cannot be judged then.
"""

from __future__ import annotations

from typing import Any

import msgspec

from netpolc.core.errors import ROOT, ObjectProblems
from netpolc.frontends.fields import DEFAULT_NAMESPACE
from netpolc.frontends.frontend import Gathered
from netpolc.manifests import Document

CODE = "NP013"
_MAKERS = {
    "acid.zalan.do": {"postgresql"},
    "argoproj.io": {"Application", "ApplicationSet", "CronWorkflow", "Workflow"},
    "cassandra.datastax.com": {"CassandraDatacenter"},
    "elasticsearch.k8s.elastic.co": {"Elasticsearch"},
    "helm.cattle.io": {"HelmChart"},
    "helm.toolkit.fluxcd.io": {"HelmRelease"},
    "jobset.x-k8s.io": {"JobSet"},
    "k8s.mariadb.com": {"MariaDB"},
    "kafka.strimzi.io": {"Kafka", "KafkaBridge", "KafkaConnect", "KafkaMirrorMaker2"},
    "keda.sh": {"ScaledJob"},
    "kibana.k8s.elastic.co": {"Kibana"},
    "kubevirt.io": {"VirtualMachine", "VirtualMachineInstance"},
    "kustomize.toolkit.fluxcd.io": {"Kustomization"},
    "monitoring.coreos.com": {"Alertmanager", "Prometheus", "PrometheusAgent", "ThanosRuler"},
    "opentelemetry.io": {"OpenTelemetryCollector"},
    "postgresql.cnpg.io": {"Cluster", "Pooler"},
    "psmdb.percona.com": {"PerconaServerMongoDB"},
    "rabbitmq.com": {"RabbitmqCluster"},
    "ray.io": {"RayCluster", "RayJob", "RayService"},
    "sparkoperator.k8s.io": {"ScheduledSparkApplication", "SparkApplication"},
    "tekton.dev": {"PipelineRun", "TaskRun"},
}
"""By API group, kinds whose controllers make pods, or objects that make some, out of fields that
are no template of pods."""


class _PodSpec(msgspec.Struct, frozen=True, gc=False):
    containers: list[Any] | None = None


class _Template(msgspec.Struct, frozen=True, gc=False):
    spec: _PodSpec | None = None


class _Spec(msgspec.Struct, frozen=True, gc=False):
    template: _Template | None = None


class _Place(msgspec.Struct, frozen=True, gc=False):
    namespace: str | None = None


class _Placed(msgspec.Struct, frozen=True, gc=False):
    metadata: _Place | None = None


class _Other(msgspec.Struct, frozen=True, gc=False):
    spec: _Spec | None = None


def has_template(document: Document) -> bool:
    """Whether it has containers at `spec.template.spec`, as Rollouts and Knative Services do.

    Only of groups of other projects: Kubernetes' own kinds with templates are all read.
    """
    content = document.content
    if "." not in document.group or document.group.endswith(".k8s.io"):
        return False
    if isinstance(content, msgspec.Raw) and b'"template"' not in bytes(content):
        return False  # not decoded, as there may be very many
    try:
        found = document.typed(_Other).spec
    except (msgspec.MsgspecError, RecursionError):
        return False
    template = found.template if found is not None else None
    return template is not None and template.spec is not None and bool(template.spec.containers)


class Makers:
    """What makes pods of which nothing is known."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._found: list[Document] = []

    def note(self, document: Document) -> None:
        """Remember it, if it is of such a kind."""
        if document.kind in _MAKERS.get(document.group, ()):
            self._found.append(document)

    def finish(self) -> None:
        """Name those in namespaces without pods or stubs; where there are some, theirs are among
        them."""
        known = {namespace for namespace, _ in self._gathered.pods}
        stubs = (own for own in self._gathered.templates if own.origin.kind == "Stub")
        known.update(pod.namespace for pod in stubs)
        for document in self._found:
            report = ObjectProblems(self._gathered.problems, document.source.place)
            try:
                own = document.typed(_Placed).metadata
            except (msgspec.MsgspecError, RecursionError):
                own = None
            namespace = (own.namespace if own else None) or DEFAULT_NAMESPACE
            self._gathered.unseen.add(namespace)
            if namespace not in known:
                self._gathered.unknown_pods.add(namespace)
                article = "an" if document.kind[0] in "AEIOU" else "a"
                text = (
                    f"pods of {article} {document.kind} are not in here: nothing is known of them"
                )
                report.warning(ROOT / "kind", text, code=CODE)
