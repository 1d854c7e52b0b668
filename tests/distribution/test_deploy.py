"""What `deploy/` promises: manifests that an API server takes, and an agent that may do little.

In: the manifests, as kustomize and Helm would make them where they are installed. Out: their
fields, against an expectation by hand of the types that the API has (kubernetes.io/docs/reference),
and what netpolc itself says of them.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from typing import Any

import msgspec
import pytest
import yaml

import netpolc
from netpolc.apiserver.resources import RESOURCES
from tests.cli.invocation import invoke
from tests.helpers.scenarios import ROOT

DEPLOY = ROOT / "deploy"
Labels = dict[str, str]


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """No field but these: one that is misspelt would be dropped in silence, or refused."""


class Meta(Strict):
    name: str
    namespace: str | None = None
    labels: Labels = {}


class RoleRule(Strict):
    api_groups: list[str]
    resources: list[str]
    verbs: list[str]


class Reference(Strict):
    kind: str
    name: str
    api_group: str | None = None
    namespace: str | None = None


class ServiceAccount(Strict, tag_field="kind", tag="ServiceAccount"):
    api_version: str
    metadata: Meta


class ClusterRole(Strict, tag_field="kind", tag="ClusterRole"):
    api_version: str
    metadata: Meta
    rules: list[RoleRule]


class ClusterRoleBinding(Strict, tag_field="kind", tag="ClusterRoleBinding"):
    api_version: str
    metadata: Meta
    role_ref: Reference
    subjects: list[Reference]


class FieldRef(Strict):
    field_path: str


class From(Strict):
    field_ref: FieldRef


class Variable(Strict):
    name: str
    value_from: From


class Capabilities(Strict):
    add: list[str]
    drop: list[str]


class Seccomp(Strict):
    type: str


class SecurityContext(Strict):
    run_as_user: int
    privileged: bool
    allow_privilege_escalation: bool
    read_only_root_filesystem: bool
    capabilities: Capabilities
    seccomp_profile: Seccomp


class HttpGet(Strict):
    host: str
    path: str
    port: int


class Probe(Strict):
    http_get: HttpGet
    period_seconds: int
    timeout_seconds: int = 1
    failure_threshold: int = 3


class Resources(Strict):
    requests: dict[str, str]
    limits: dict[str, str]


class Mount(Strict):
    name: str
    mount_path: str


class HostPath(Strict):
    path: str
    type: str


class Volume(Strict):
    name: str
    host_path: HostPath


class Container(Strict):
    name: str
    image: str
    args: list[str]
    env: list[Variable]
    security_context: SecurityContext
    startup_probe: Probe
    liveness_probe: Probe
    readiness_probe: Probe
    resources: Resources
    volume_mounts: list[Mount]
    image_pull_policy: str = "IfNotPresent"


class Toleration(Strict):
    operator: str


class PodSpec(Strict):
    service_account_name: str
    priority_class_name: str
    host_network: bool
    dns_policy: str
    enable_service_links: bool
    termination_grace_period_seconds: int
    node_selector: Labels
    tolerations: list[Toleration]
    containers: list[Container]
    volumes: list[Volume]


class PodMeta(Strict):
    labels: Labels


class Template(Strict):
    metadata: PodMeta
    spec: PodSpec


class Selector(Strict):
    match_labels: Labels


class RollingUpdate(Strict):
    max_unavailable: str


class Strategy(Strict):
    type: str
    rolling_update: RollingUpdate


class DaemonSetSpec(Strict):
    selector: Selector
    update_strategy: Strategy
    template: Template


class DaemonSet(Strict, tag_field="kind", tag="DaemonSet"):
    api_version: str
    metadata: Meta
    spec: DaemonSetSpec


Object = ServiceAccount | ClusterRole | ClusterRoleBinding | DaemonSet
VERSIONS: dict[Any, str] = {
    ServiceAccount: "v1",
    ClusterRole: "rbac.authorization.k8s.io/v1",
    ClusterRoleBinding: "rbac.authorization.k8s.io/v1",
    DaemonSet: "apps/v1",
}


def plain() -> list[dict[str, Any]]:
    """The manifests that the kustomization names."""
    base = DEPLOY / "base"
    listed = yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]
    return [yaml.safe_load((base / name).read_text()) for name in listed]


def chart(
    events: bool = False, release: str = "netpolc", namespace: str = "kube-system"
) -> list[dict[str, Any]]:
    """The templates, by the few functions of Go's language that they use: no helm is needed."""
    values = yaml.safe_load((DEPLOY / "chart/values.yaml").read_text())
    assert values["events"] is False
    values["events"] = events
    values["about"] = yaml.safe_load((DEPLOY / "chart/Chart.yaml").read_text())
    names = {".Release.Name": release, ".Release.Namespace": namespace}
    found = []
    for path in sorted((DEPLOY / "chart/templates").glob("*.yaml")):
        found += list(yaml.safe_load_all(_filled(path.read_text(), values, names)))
    return found


def _filled(text: str, values: dict[str, Any], names: dict[str, str]) -> str:
    text = re.sub(r"\{\{- (\$\w+ :=|/\*) ?.*\}\}\n", "", text)
    kept = r"\1" if values["events"] else ""
    text = re.sub(
        r" *\{\{- if .Values.events \}\}\n(.*?) *\{\{- end \}\}\n", kept, text, flags=re.DOTALL
    )
    text = re.sub(r" *\{\{- (with|range) .*?\}\}\n.*?\{\{- end \}\}\n", "", text, flags=re.DOTALL)

    def value(found: re.Match[str]) -> str:
        words = found[1].removeprefix("-").split("|")
        path = words[0].strip()
        host, _, port = str(values["listen"]).rpartition(":")
        known = {
            "$port": port,
            "$host": f'"{host}"',
            'printf "--listen=%s" .Values.listen': f'"--listen={host}:{port}"',
        }
        if path in known:
            return known[path]
        if path.startswith("toYaml"):
            part = values[path.rpartition(".")[2]]
            indent = " " * int(words[1].split()[1])
            lines = yaml.safe_dump(part).splitlines()
            return "\n" + "\n".join(indent + line for line in lines)
        if path in names:
            quoted = [word.strip() for word in words[1:]] == ["quote"]
            return f'"{names[path]}"' if quoted else names[path]
        own: Any = values
        for name in path.removeprefix(".Values.").split("."):
            own = own[name]
        return str(own or values["about"]["appVersion"])

    return re.sub(r"\{\{(-? ?[^}]*)\}\}", value, text)


def with_events() -> list[dict[str, Any]]:
    """The manifests with the component that lets agents write Events, as kustomize applies it."""
    component = DEPLOY / "events"
    own = yaml.safe_load((component / "kustomization.yaml").read_text())
    objects = [
        *plain(),
        *(yaml.safe_load((component / name).read_text()) for name in own["resources"]),
    ]
    (daemon,) = (one for one in objects if one["kind"] == "DaemonSet")
    (patch,) = own["patches"]
    (operation,) = yaml.safe_load(patch["patch"])
    assert operation["path"] == "/spec/template/spec/containers/0/args/-"
    daemon["spec"]["template"]["spec"]["containers"][0]["args"].append(operation["value"])
    return objects


def chart_with_events() -> list[dict[str, Any]]:
    """The templates with `events: true`."""
    return chart(events=True)


def test_names_of_a_release_that_yaml_takes_for_something_else_stay_texts() -> None:
    """`helm install 2026 -n on`: real Helm refused what was no text where Kubernetes asks one."""
    objects = typed(chart(release="2026", namespace="on"))
    assert {own.metadata.name for own in objects} == {"2026"}
    assert {own.metadata.labels["app.kubernetes.io/instance"] for own in objects} == {"2026"}
    assert {own.metadata.namespace for own in objects} == {"on", None}


def typed(documents: list[dict[str, Any]]) -> list[Any]:
    return [msgspec.convert(own, type=Object) for own in documents]


@pytest.mark.parametrize("made", [plain, chart])
def test_every_field_is_one_of_the_api(made: Any) -> None:
    objects = typed(made())
    assert {type(own) for own in objects} == set(VERSIONS)
    for own in objects:
        assert own.api_version == VERSIONS[type(own)]
        namespaced = isinstance(own, ServiceAccount | DaemonSet)
        assert own.metadata.namespace == ("kube-system" if namespaced else None)
        assert own.metadata.name == "netpolc"


@pytest.mark.parametrize("made", [plain, chart])
def test_the_agent_may_do_little(made: Any) -> None:
    (daemon,) = (own for own in typed(made()) if isinstance(own, DaemonSet))
    spec = daemon.spec.template.spec
    (container,) = spec.containers
    own = container.security_context
    assert own.capabilities == Capabilities(["NET_ADMIN"], ["ALL"])
    assert own.read_only_root_filesystem
    assert not own.privileged
    assert not own.allow_privilege_escalation
    assert spec.host_network
    assert spec.priority_class_name == "system-node-critical"
    assert spec.tolerations == [Toleration("Exists")]
    assert daemon.spec.update_strategy.rolling_update.max_unavailable == "10%"
    assert set(daemon.spec.selector.match_labels) <= set(daemon.spec.template.metadata.labels)
    written = {own.name: own.host_path.path for own in spec.volumes}
    assert written == {"run": "/run/netpolc", "boot": "/var/lib/netpolc"}
    assert {own.name: own.mount_path for own in container.volume_mounts} == written
    probes = container.liveness_probe, container.readiness_probe, container.startup_probe
    assert [probe.http_get.path for probe in probes] == ["/livez", "/readyz", "/livez"]
    assert {probe.http_get.port for probe in probes} == {9841}
    assert container.env == [Variable("NODE_NAME", From(FieldRef("spec.nodeName")))]
    assert invoke(*container.args, "--help").code == 0


@pytest.mark.parametrize("made", [plain, chart])
def test_it_reads_what_it_follows_and_writes_nothing(made: Any) -> None:
    objects = typed(made())
    (role,) = (own for own in objects if isinstance(own, ClusterRole))
    (binding,) = (own for own in objects if isinstance(own, ClusterRoleBinding))
    granted = {
        (group, name) for own in role.rules for group in own.api_groups for name in own.resources
    }
    assert granted == {(own.group, own.plural) for own in RESOURCES}
    assert all(own.verbs == ["get", "list", "watch"] for own in role.rules)
    assert binding.role_ref.name == role.metadata.name
    (subject,) = binding.subjects
    assert (subject.kind, subject.name, subject.namespace) == (
        "ServiceAccount",
        "netpolc",
        "kube-system",
    )


@pytest.mark.parametrize("made", [with_events, chart_with_events])
def test_with_events_it_may_create_them_and_nothing_else_more(made: Any) -> None:
    objects = typed(made())
    rules = [rule for own in objects if isinstance(own, ClusterRole) for rule in own.rules]
    more = [rule for rule in rules if rule.verbs != ["get", "list", "watch"]]
    assert more == [RoleRule([""], ["events"], ["create"])]
    roles = {own.metadata.name for own in objects if isinstance(own, ClusterRole)}
    bound = [own for own in objects if isinstance(own, ClusterRoleBinding)]
    assert {own.role_ref.name for own in bound} == roles
    assert {subject.name for own in bound for subject in own.subjects} == {"netpolc"}
    (daemon,) = (own for own in objects if isinstance(own, DaemonSet))
    (container,) = daemon.spec.template.spec.containers
    assert "--events" in container.args
    assert invoke(*container.args, "--help").code == 0


def test_the_patch_that_denies_what_is_pending_names_an_option_that_there_is() -> None:
    own = yaml.safe_load((DEPLOY / "pending-deny/kustomization.yaml").read_text())
    assert own["resources"] == ["../base"]
    (patch,) = own["patches"]
    (operation,) = yaml.safe_load(patch["patch"])
    (daemon,) = (one for one in plain() if one["kind"] == "DaemonSet")
    container = daemon["spec"]["template"]["spec"]["containers"][0]
    assert operation["path"] == "/spec/template/spec/containers/0/args/-"
    assert invoke(*container["args"], operation["value"], "--help").code == 0


def test_netpolc_finds_nothing_wrong_with_it() -> None:
    found = invoke("check", str(DEPLOY / "base"), "--raw")
    assert "error" not in found.stdout, found.stdout
    snapshot = netpolc.load([DEPLOY / "base"], raw=True)
    (pod,) = snapshot.cluster.pods
    assert pod.host_network


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
def test_helm_makes_the_same() -> None:
    command = ["helm", "template", "netpolc", str(DEPLOY / "chart"), "-n", "kube-system"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert typed([own for own in yaml.safe_load_all(made.stdout) if own])


def test_the_image_starts_what_the_daemon_set_passes_arguments_to() -> None:
    lines = (ROOT / "distribution/Dockerfile").read_text().splitlines()
    (entry,) = (line for line in lines if line.startswith("ENTRYPOINT"))
    assert shlex.split(entry) == ["ENTRYPOINT", "[netpolc]"]
