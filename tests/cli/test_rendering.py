"""Kustomizations and charts: rendered by the program that belongs to them, or refused.

In: small trees, and stand-ins on PATH that note how they were called and print a manifest. Out:
what is read, how the programs were called, what is said where there is none.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.invocation import invoke
from tests.manifests.reading import written

POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {podSelector: {matchLabels: {app: web}}}
"""
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: default}\n"
STAND_IN = """\
#!/bin/sh
echo "$0" "$@" >> "$CALLS"
cat <<'END'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: made, namespace: media}
spec: {podSelector: {matchLabels: {app: web}}}
END
"""
MADE = "NetworkPolicy media/made: "
IN_CLUSTER = ("--scope", "cluster", "-o", "concise")


class Programs:
    """Stand-ins on a PATH of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._calls = folder, folder / "calls"

    def add(self, name: str, text: str = STAND_IN) -> None:
        (self._folder / name).write_text(text)
        (self._folder / name).chmod(0o755)

    def calls(self) -> list[str]:
        found = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [line.removeprefix(f"{self._folder}/") for line in found]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """None of them, to begin with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CALLS", str(folder / "calls"))
    return Programs(folder)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A base with an overlay, a chart, and a manifest of its own beside them."""
    top = tmp_path / "k8s"
    written(top, "pod.yaml", POD)
    written(top, "app/base/kustomization.yaml", "resources: [web.yaml]\n")
    written(top, "app/base/web.yaml", POLICY)
    overlay = "namespace: media\nresources: [../../base]\n"
    written(top, "app/overlays/prod/kustomization.yml", overlay)
    written(top, "app/overlays/prod/patch.yaml", "kind: [\n")
    return top


def chart(top: Path) -> None:
    written(top, "chart/Chart.yaml", "apiVersion: v2\nname: x\nversion: 1.0.0\n")
    written(top, "chart/values.yaml", "np: true\n")
    written(top, "chart/templates/np.yaml", "{{- if .Values.np }}\nkind: [\n{{- end }}\n")
    written(top, "chart/charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 1.0.0\n")


def test_roots_are_rendered_and_the_rest_is_read(tree: Path, programs: Programs) -> None:
    programs.add("kustomize")
    programs.add("kubectl")
    found = invoke("check", str(tree), "--select", "NP101", *IN_CLUSTER)
    assert programs.calls() == [f"kustomize build {tree}/app/overlays/prod"]
    place = f"{tree}/app/overlays/prod (kustomize)"
    assert [line.partition(":")[0] for line in found.stdout.splitlines()[:-1]] == [place]
    assert MADE in found.stdout
    assert f"rendered {tree}/app/overlays/prod with kustomize build\n" in found.stderr


def test_kubectl_is_the_second_choice(tree: Path, programs: Programs) -> None:
    programs.add("kubectl")
    invoke("check", str(tree / "app"))
    assert programs.calls() == [f"kubectl kustomize {tree}/app/overlays/prod"]


def test_without_a_program_it_is_refused(tree: Path, programs: Programs) -> None:
    found = invoke("check", str(tree))
    assert found.code == 2
    assert found.stderr == (
        f"netpolc: {tree}/app/overlays/prod is a kustomization: install kustomize (or kubectl) to "
        "render it, or read its files as they are with --raw\n"
    )


def test_raw_reads_files_as_they_are_and_says_so(tree: Path, programs: Programs) -> None:
    programs.add("kustomize")
    for _ in range(2):
        found = invoke("check", str(tree / "pod.yaml"), str(tree / "app" / "base"), "--raw")
        assert "NetworkPolicy default/web: " in found.stdout
        assert found.stderr.startswith("--raw: kustomizations are read as they are, not as they")
    assert programs.calls() == []


@pytest.mark.parametrize("name", ["https://example.com/base", "github.com/a/b?ref=v1", "../gone"])
def test_nothing_is_fetched(name: str, tree: Path, programs: Programs) -> None:
    programs.add("kustomize")
    written(tree, "app/base/kustomization.yaml", f"resources: ['{name}']\n")
    found = invoke("check", str(tree / "app" / "overlays"))
    assert found.code == 2
    assert f"names {name!r}, which is not here and would be fetched" in found.stderr
    assert programs.calls() == []


@pytest.mark.parametrize(
    "text",
    [
        "patches: [{path: 'https://example.com/p.yaml'}]",
        "patchesStrategicMerge: ['http://example.com/p.yaml']",
        "configMapGenerator: [{name: a, files: ['a=https://example.com/a']}]",
        "transformers: [github.com/a/b]",
        "openapi: {path: 'ssh://example.com/a'}",
    ],
)
def test_nothing_else_is_fetched(text: str, tree: Path, programs: Programs) -> None:
    programs.add("kustomize")
    links = "commonAnnotations: {link: 'https://example.com'}\n"
    written(tree, "app/base/kustomization.yaml", f"resources: [web.yaml]\n{links}")
    assert invoke("check", str(tree), "--fail-on", "error").code == 0
    written(tree, "app/base/kustomization.yaml", f"resources: [web.yaml]\n{links}{text}\n")
    found = invoke("check", str(tree))
    assert (found.code, "would be fetched" in found.stderr) == (2, True)
    assert len(programs.calls()) == 1


def test_files_that_are_named_from_elsewhere_are_read_once(tree: Path, programs: Programs) -> None:
    programs.add("kustomize")
    written(tree, "shared/broken.yaml", "kind: [\n")
    written(tree, "app/base/kustomization.yaml", "resources: [../../shared/broken.yaml]\n")
    assert invoke("check", str(tree), "--fail-on", "error").code == 0


def test_a_chart_is_rendered_with_its_values(tree: Path, programs: Programs) -> None:
    programs.add("helm")
    chart(tree)
    words = ["--values", str(tree / "a.toml"), "--values", "b", "--set", "np=true"]
    words += ["--release", "one", "--default-namespace", "shop", "--exclude", "app"]
    found = invoke("check", str(tree), *words, "--select", "NP101", *IN_CLUSTER)
    assert MADE in found.stdout
    here = os.getcwd()
    assert programs.calls() == [
        f"helm template one {tree}/chart --skip-tests --namespace shop --values {tree}/a.toml "
        f"--values {here}/b --set np=true"
    ]
    invoke("check", str(tree / "chart"))
    assert (
        programs.calls()[1] == f"helm template chart {tree}/chart --skip-tests --namespace default"
    )


def test_without_helm_a_chart_is_one_message(tree: Path, programs: Programs) -> None:
    chart(tree)
    found = invoke("check", str(tree), "--exclude", "app")
    assert (found.code, found.stderr) == (
        2,
        f"netpolc: {tree}/chart is a Helm chart: install helm to render it, or give netpolc what "
        "`helm template` prints\n",
    )
    assert invoke("check", str(tree), "--exclude", "app", "--raw", "--fail-on", "error").code == 0


def test_a_program_that_fails_says_why(tree: Path, programs: Programs) -> None:
    programs.add("kustomize", "#!/bin/sh\necho 'no such field' >&2\nexit 1\n")
    found = invoke("check", str(tree))
    assert found.code == 2
    assert found.stderr.endswith("/app/overlays/prod: kustomize: no such field\n")


def test_programs_in_the_current_folder_are_not_run(
    tree: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("kustomize")
    monkeypatch.setenv("PATH", ".")
    monkeypatch.chdir(tree.parent / "bin")
    assert invoke("check", str(tree)).code == 2
    assert programs.calls() == []


@pytest.mark.parametrize("command", ["compile", "apply"])
def test_what_a_node_enforces_is_made_by_no_program(
    command: str, tree: Path, programs: Programs
) -> None:
    for name in ("kustomize", "kubectl", "helm"):
        programs.add(name)
    chart(tree)
    refused = "is a kustomization: give netpolc what `kustomize build` prints, or --raw"
    found = invoke(command, str(tree))
    assert (found.code, programs.calls()) == (2, [])
    assert sorted(found.stderr.splitlines()[:-1]) == [
        f"{tree}/app/base: {refused}",
        f"{tree}/app/overlays/prod: {refused}",
        f"{tree}/chart: is a Helm chart: give netpolc what `helm template` prints",
    ]


OVERLAYS = """\
#!/bin/sh
cat <<END
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: made, namespace: media}
spec: {podSelector: {matchLabels: {app: $(cat "$2/label")}}}
END
"""


def test_overlays_of_one_base_are_snapshots_of_their_own(tree: Path, programs: Programs) -> None:
    programs.add("kustomize", OVERLAYS)
    stage = written(tree, "app/overlays/stage/kustomization.yml", "resources: [../../base]\n")
    written(tree, "app/overlays/stage/label", "web")
    written(tree, "app/overlays/prod/label", "other")
    written(tree, "pod.yaml", POD.replace("other, namespace: default", "x, namespace: media"))
    found = invoke("check", str(tree), "--select", "NP101", *IN_CLUSTER)
    prod, stages = (f"{tree}/app/overlays/{own} (kustomize)" for own in ("prod", "stage"))
    lines = found.stdout.splitlines()[:-1]
    assert [line.partition(":")[0] for line in lines] == [prod, stages]
    outcome = invoke("list", str(tree))
    assert outcome.code == 2
    text = f"{prod}, {stages} make objects of the same names: give one of them at a time"
    assert text in outcome.stderr
    assert invoke("list", str(Path(stage).parent)).code == 0


PREFIXED = """\
#!/bin/sh
cat <<END
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x-web, namespace: media}
spec: {podSelector: {matchLabels: {app: none}}, ingress: [{}, {}]}
END
"""
CHART = """\
#!/bin/sh
cat <<END
---
# Source: x/templates/a.yaml
apiVersion: v1
kind: Pod
metadata: {name: x, labels: {app: web}}
---
# Source: x/templates/np.yaml

apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x}
spec: {podSelector: {matchLabels: {app: none}}}
---
# Source: x/templates/a.yaml
apiVersion: v1
kind: Pod
metadata: {name: y}
END
"""


def test_places_are_those_of_the_files(tree: Path, programs: Programs) -> None:
    programs.add("kustomize", PREFIXED)
    written(tree, "pod.yaml", POD.replace("other, namespace: default", "x, namespace: media"))
    found = invoke("check", str(tree), "--select", "NP101", *IN_CLUSTER).stdout
    start = f"{tree}/app/base/web.yaml:4:21: warning NP101: NetworkPolicy media/x-web: spec.podSel"
    assert found.startswith(start)
    # A list of another length is not gone into: what is shown is the deepest that both have.
    excerpt = invoke("explain", str(tree), "--src", "192.0.2.1", "--dst", "media/x", "--port", "1")
    assert excerpt.code == 0
    # Of two that may be meant neither is.
    base = tree / "app" / "base"
    (base / "kustomization.yaml").write_text("resources: [web.yaml, more.yaml]\n")
    (base / "more.yaml").write_text(POLICY.replace("name: web", "name: w"))
    (base / "web.yaml").write_text(POLICY.replace("name: web", "name: eb"))
    found = invoke("check", str(tree), "--select", "NP101", *IN_CLUSTER).stdout
    assert found.startswith(f"{tree}/app/overlays/prod (kustomize):4:21: warning NP101")


def test_places_in_a_chart_are_its_templates(tree: Path, programs: Programs) -> None:
    programs.add("helm", CHART)
    chart(tree)
    found = invoke("check", str(tree / "chart"), "--select", "NP101", *IN_CLUSTER).stdout
    assert found.startswith(f"{tree}/chart/templates/np.yaml (helm):6:21: warning NP101: ")
    listed = invoke("list", str(tree / "chart")).stdout
    assert "default/x[Pod]" in listed
    assert "default/y[Pod]" in listed
