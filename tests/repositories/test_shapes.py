"""Repositories as they are: eleven small made-up trees, each in the shape of many real ones.

In: the folders beside this file. Out, written here by hand for each: what `check` finds and its
exit code, every connection of `list`, the answer of `explain`, and what of the tree is said not to
be read. Kustomizations and charts are rendered by stand-ins that print what is in `rendered/`; a
test holds that to the real kustomize where there is one.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.cli.invocation import invoke

HERE = Path(__file__).parent
EVERYBODY = "0.0.0.0/0; ::/0"
RENDERER = """\
#!/bin/sh
for own; do
    file="$RENDERED/$(basename -- "$own").yaml"
    [ ! -f "$file" ] || found=$file
done
cat "$found"
"""
"""Stands in for `kustomize build FOLDER` and `helm template NAME FOLDER ...`."""


@dataclass(frozen=True)
class Shape:
    """A tree, and what is true of it."""

    path: str
    code: int
    """Of `check`."""
    findings: list[str]
    """Level, code and object of each, but for pods that nothing isolates (NP501, NP502)."""
    open_pods: list[str]
    """NP501 and NP502: `ingress web` for each workload that no policy isolates."""
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    explain: tuple[str, str, str] = ("", "", "")
    """Source, destination, port."""
    answer: str = ""
    ignored: int = 0
    passed_over: int = 0
    options: tuple[str, ...] = ()


FINDING = re.compile(
    r"^\S.*?:\d+:\d+: (\w+) (NP\d+): (?:(\w+ [\w/-]+)|(\w+)[\w.\[\]]*): (.*)$", re.MULTILINE
)
SHAPES = [
    Shape(
        "kustomize/overlays/prod",  # the namespace is the overlay's, the port is the patch's
        0,
        ["info NP904 NetworkPolicy prod/api"],
        ["egress api[Deployment]"],
        [
            ("prod/api[Deployment]", "prod/api[Deployment]", "TCP 9090"),
            ("prod/api[Deployment]", EVERYBODY, "all"),
        ],
        ("prod/api", "prod/api", "8080"),
        "DENY prod/api[Deployment] -> prod/api[Deployment] TCP/8080",
    ),
    Shape(
        "helm",
        0,
        ["info NP701 NetworkPolicy shop/helm"],
        ["egress helm[Deployment]"],
        [
            ("shop/helm[Deployment]", "shop/helm[Deployment]", "TCP 8080"),
            ("shop/helm[Deployment]", EVERYBODY, "all"),
            (EVERYBODY, "shop/helm[Deployment]", "TCP 8080"),
        ],
        ("192.0.2.1", "shop/helm", "8080/tcp"),
        "ALLOW 192.0.2.1 -> shop/helm[Deployment] TCP/8080",
        options=("--default-namespace", "shop"),
    ),
    Shape(
        "tools",  # .github is hidden; those of mkdocs, npm and docker-compose are no objects
        1,
        ["warning NP401 NetworkPolicy shop/web"],
        ["egress web[Deployment]"],
        [
            ("shop/web[Deployment]", "shop/web[Deployment]", "all"),
            ("shop/web[Deployment]", EVERYBODY, "all"),
        ],
        ("192.0.2.1", "shop/web[Service]", "80"),
        "DENY 192.0.2.1 -> shop/web[Deployment] TCP/80",
        passed_over=3,
    ),
    Shape(
        "monitoring",  # pods that an operator makes are declared by stubs, and so nothing is amiss
        0,
        [],
        ["egress grafana[Deployment]"],
        [
            ("monitoring/alertmanager[Stub]", EVERYBODY, "all"),
            ("monitoring/grafana[Deployment]", "monitoring/prometheus[Stub]", "TCP 9090"),
            ("monitoring/grafana[Deployment]", EVERYBODY, "all"),
            ("monitoring/prometheus[Stub]", "monitoring/alertmanager[Stub]", "TCP 9093"),
            ("monitoring/prometheus[Stub]", "monitoring/grafana[Deployment]", "TCP 3000"),
            ("monitoring/prometheus[Stub]", EVERYBODY, "all"),
        ],
        ("monitoring/prometheus", "monitoring/grafana", "TCP/3000"),
        "ALLOW monitoring/prometheus[Stub] -> monitoring/grafana[Deployment] TCP/3000",
        ignored=4,
        passed_over=2,
    ),
    Shape(
        "operators",  # what has a template of pods is a workload, whatever its kind
        0,
        ["info NP013 kind"],
        ["ingress resize[Service]", "egress board[Rollout]", "egress resize[Service]"],
        [
            ("shop/board[Rollout]", "shop/resize[Service]", "all"),
            ("shop/board[Rollout]", EVERYBODY, "all"),
            ("shop/resize[Service]", "shop/board[Rollout]", "TCP 8080"),
            ("shop/resize[Service]", "shop/resize[Service]", "all"),
            ("shop/resize[Service]", EVERYBODY, "all"),
            (EVERYBODY, "shop/resize[Service]", "all"),
        ],
        ("shop/resize", "shop/board[Rollout]", "8080"),
        "ALLOW shop/resize[Service] -> shop/board[Rollout] TCP/8080",
        ignored=1,
    ),
    Shape(
        "argo",  # an app of apps: what they hold lies beside them
        0,
        ["info NP013 kind", "info NP013 kind"],
        ["egress wiki[StatefulSet]"],
        [("wiki/wiki[StatefulSet]", EVERYBODY, "all")],
        ("192.0.2.1", "wiki/wiki", "80"),
        "DENY 192.0.2.1 -> wiki/wiki[StatefulSet] TCP/80",
        ignored=2,
    ),
    Shape(
        "flux",  # two kinds called Kustomization: a file that is rendered, objects that are not
        0,
        ["info NP013 kind"] * 3 + ["info NP701 NetworkPolicy mail/mail"],
        ["egress mail[Deployment]"],
        [
            ("mail/mail[Deployment]", "mail/mail[Deployment]", "TCP 25"),
            ("mail/mail[Deployment]", EVERYBODY, "all"),
            (EVERYBODY, "mail/mail[Deployment]", "TCP 25"),
        ],
        ("192.0.2.1", "mail/mail", "25"),
        "ALLOW 192.0.2.1 -> mail/mail[Deployment] TCP/25",
        ignored=4,
    ),
    Shape(
        "jsonnet",  # a List, and objects one after the other, with numbers as jsonnet writes them
        0,
        ["info NP701 NetworkPolicy monitoring/blackbox"],
        ["egress blackbox[Deployment]"],
        [
            ("monitoring/blackbox[Deployment]", "monitoring/blackbox[Deployment]", "TCP 9115"),
            ("monitoring/blackbox[Deployment]", EVERYBODY, "all"),
            (EVERYBODY, "monitoring/blackbox[Deployment]", "TCP 9115"),
        ],
        ("192.0.2.1", "monitoring/blackbox", "9115"),
        "ALLOW 192.0.2.1 -> monitoring/blackbox[Deployment] TCP/9115",
        passed_over=2,
    ),
    Shape(
        "crossplane",  # a policy within a Composition is one that is applied in other words
        1,
        ["warning NP003 spec"],
        ["ingress agent[Deployment]"],
        [(EVERYBODY, "platform/agent[Deployment]", "all")],
        ("platform/agent", "192.0.2.1", "443"),
        "DENY platform/agent[Deployment] -> 192.0.2.1 TCP/443",
        ignored=3,
    ),
    Shape(
        "clusters/eu",  # one of several clusters with the same names; its settings lie in it
        0,
        [],
        [],
        [
            ("finance/bank[Pod]", "0.0.0.0/0 except 192.0.2.0/24", "all"),
            ("finance/bank[Pod]", "192.0.2.0/24", "all"),
            ("192.0.2.0/24", "finance/bank[Pod]", "TCP 443"),
        ],
        ("192.0.2.9", "finance/bank", "443"),
        "ALLOW 192.0.2.9 -> 10.1.0.5 TCP/443",
    ),
    Shape(
        "openshift",  # a DeploymentConfig makes pods, a Template is not applied as it is
        0,
        [],
        ["egress shop[DeploymentConfig]"],
        [
            ("openshift-ingress/router[Stub]", "openshift-ingress/router[Stub]", "all"),
            ("openshift-ingress/router[Stub]", "shop/shop[DeploymentConfig]", "all"),
            ("openshift-ingress/router[Stub]", EVERYBODY, "all"),
            ("shop/shop[DeploymentConfig]", "openshift-ingress/router[Stub]", "all"),
            ("shop/shop[DeploymentConfig]", EVERYBODY, "all"),
            (EVERYBODY, "openshift-ingress/router[Stub]", "all"),
        ],
        ("192.0.2.1", "shop/shop", "8443"),
        "DENY 192.0.2.1 -> shop/shop[DeploymentConfig] TCP/8443",
        ignored=1,
    ),
]
each = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.path.partition("/")[0])


@pytest.fixture(autouse=True)
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that print what was rendered before, and no others."""
    for name in ("kustomize", "helm"):
        (tmp_path / name).write_text(RENDERER)
        (tmp_path / name).chmod(0o755)
    for name in ("cat", "basename"):
        (tmp_path / name).symlink_to(shutil.which(name) or "/bin/false")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RENDERED", str(HERE / "rendered"))
    monkeypatch.chdir(HERE)


def test_there_are_eleven() -> None:
    trees = {path.name for path in HERE.iterdir() if path.is_dir()} - {"rendered", "__pycache__"}
    assert {shape.path.partition("/")[0] for shape in SHAPES} == trees
    assert len(trees) == 11


@each
def test_check(shape: Shape) -> None:
    outcome = invoke("check", shape.path, *shape.options)
    found = FINDING.findall(outcome.stdout)
    remarks = [f"{level} {code} {named or kind}" for level, code, named, kind, _ in found]
    of_pods = {"NP501", "NP502"}
    assert sorted(own for own in remarks if own.split()[1] not in of_pods) == shape.findings
    open_pods = [
        f"{direction} {pod}"
        for _, code, _, _, text in found
        if code in of_pods
        for direction, names in re.findall(r"for (\w+): (.*)$", text)
        for pod in names.split(", ")
    ]
    assert sorted(open_pods) == sorted(shape.open_pods)
    assert outcome.code == shape.code
    said = outcome.stderr
    ignored = re.findall(r"^ignored (\d+) object", said, re.MULTILINE)
    passed_over = re.findall(r"^passed over (\d+) file", said, re.MULTILINE)
    assert ignored == ([str(shape.ignored)] if shape.ignored else [])
    assert passed_over == ([str(shape.passed_over)] if shape.passed_over else [])


@each
def test_list(shape: Shape) -> None:
    outcome = invoke("list", shape.path, *shape.options, "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(outcome.stdout)))
    found = [(row["source"], row["destination"], row["connection"]) for row in rows]
    assert sorted(found) == sorted(shape.rows)
    assert outcome.code == 0


@each
def test_explain(shape: Shape) -> None:
    source, destination, port = shape.explain
    flow = ("--src", source, "--dst", destination, "--port", port)
    outcome = invoke("explain", shape.path, *shape.options, *flow)
    assert outcome.stdout.partition("\n")[0] == shape.answer
    assert outcome.code == (0 if shape.answer.startswith("ALLOW") else 1)


@pytest.mark.parametrize("folder", ["kustomize", "helm", "flux"])
def test_what_nobody_renders_is_refused(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/no/such/folder")
    outcome = invoke("check", folder)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"install {'helm' if folder == 'helm' else 'kustomize'}" in outcome.stderr


def test_both_overlays_at_once_are_two_namespaces() -> None:
    rows = csv.DictReader(io.StringIO(invoke("list", "kustomize", "-o", "csv").stdout))
    ends = {(row["source"], row["connection"]) for row in rows if row["destination"][0] != "0"}
    assert ends == {("dev/api[Deployment]", "TCP 8080"), ("prod/api[Deployment]", "TCP 9090")}


def test_clusters_with_the_same_names_are_not_one() -> None:
    outcome = invoke("check", "clusters")
    assert outcome.code == 2
    assert "Pod default/bank is already at clusters/eu/bank.yaml:1:1" in outcome.stdout
    assert invoke("check", "clusters", "--exclude", "us").code == 0


def test_files_that_were_passed_over_are_named() -> None:
    said = invoke("check", "tools", "-v").stderr.splitlines()
    names = [line.split(": ")[1] for line in said if line.startswith("passed over: ")]
    assert names == ["tools/docker-compose.yml", "tools/mkdocs.yml", "tools/package.json"]
    assert invoke("check", "tools/mkdocs.yml").code == 2  # a file that is named is a manifest
    assert invoke("compile", "tools").code == 2  # and so is all that a node enforces


def test_a_policy_in_plain_sentences() -> None:
    said = invoke("explain", "openshift/shop.yaml#shop/from-router").stdout
    assert "It selects every pod in namespace shop (1 here: shop/shop[DeploymentConfig])" in said
    document = json.loads(invoke("explain", "argo/#wiki/deny", "-o", "json").stdout)
    assert len(document["policies"]) == 1


BUILDS = [["kustomize", "build"], ["kubectl", "kustomize"]]
REAL = next(([own, *rest] for own, *rest in BUILDS if shutil.which(own)), None)
FOLDERS = ["kustomize/overlays/dev", "kustomize/overlays/prod", "flux/clusters/prod/flux-system"]
WHERE = [shutil.which(REAL[0]), *REAL[1:]] if REAL else None


@pytest.mark.skipif(WHERE is None, reason="needs kustomize or kubectl")
@pytest.mark.parametrize(
    "folder",
    ["kustomize/overlays/dev", "kustomize/overlays/prod", "flux/clusters/prod/flux-system"],
)
def test_what_was_rendered_is_what_kustomize_makes(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert WHERE is not None
    command = [str(own) for own in (*WHERE, HERE / folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    recorded = (HERE / "rendered" / f"{Path(folder).name}.yaml").read_text()
    assert list(yaml.safe_load_all(made)) == list(yaml.safe_load_all(recorded))
