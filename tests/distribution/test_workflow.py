"""The GitHub action and the workflow of the manual: each of their shell steps, as a runner runs it.

In: `action.yml`, the workflow in docs/repositories.md, and a repository with a change that opens a
database and leaves a rule without effect. Out: annotations, a summary, a file for code scanning and
exit codes that are written here by hand. What is not run: actions of others (checkout, the upload),
and pip, in whose place stands a program that notes what it is to install.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.invocation import program
from tests.helpers.scenarios import ROOT

OWN = "netpolc/netpolc@v0.1.0"
OTHERS = {"actions/checkout@v4", "github/codeql-action/upload-sarif@v3"}
WORKLOADS = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: batch, namespace: shop}
spec: {template: {metadata: {labels: {app: batch}}, spec: {containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec: {template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c}]}}}
"""
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 5432}]
"""
OPENED = POLICY.replace(
    "{app: web}}}]", "{app: web}}}, {podSelector: {matchLabels: {app: batch}}}]"
)
CHANGED = OPENED + "  egress:\n    - to: [{ipBlock: {cidr: 192.0.2.0/24}}]\n"
EXPECTED = """\
apiVersion: netpolc.dev/v1
kind: Expectations
metadata: {name: shop, namespace: shop}
expectations:
  - {to: "db[StatefulSet]", reachable-only-from: "web[Deployment]"}
"""
IF_DIFF = "${{ !cancelled() && inputs.diff != '' }}"
PYTHON = """\
#!/bin/sh
# python3 -m venv FOLDER
mkdir -p "$3/bin"
printf '%s\\n' '#!/bin/sh' 'echo "$@" >> "$CALLS"' > "$3/bin/pip"
printf '%s\\n' '#!/bin/sh' 'exec "$NETPOLC" "$@"' > "$3/bin/netpolc"
chmod +x "$3/bin/pip" "$3/bin/netpolc"
"""
KUSTOMIZE = """\
#!/bin/sh
[ "$1" = build ] && cat "$2"/*.yaml
"""


def workflow() -> dict[str, Any]:
    text = (ROOT / "docs" / "repositories.md").read_text()
    blocks = [own for own in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "runs-on" in own]
    (found,) = map(yaml.safe_load, blocks)
    assert isinstance(found, dict)
    return found


ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = workflow()["jobs"]["policies"]["steps"]


@dataclass
class Runner:
    """As much of a runner as these steps need."""

    folder: Path
    outputs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work, self.temp = self.folder / "work", self.folder / "temp"
        self.tools = self.folder / "tools"
        for own in (self.work, self.temp, self.tools):
            own.mkdir()
        for name, text in (("python3", PYTHON), ("kustomize", KUSTOMIZE)):
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)
        self.path = [str(self.tools), *os.environ["PATH"].split(":")]

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *who, *arguments], cwd=self.work, check=True, capture_output=True)

    def write(self, path: str, text: str) -> None:
        target = self.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def file(self, name: str) -> Path:
        return self.temp / name

    def shell(self, script: str, own: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """`shell: bash` of a runner; what it adds to the path is there for later steps."""
        environment = {
            **os.environ,
            **own,
            "PATH": ":".join(self.path),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_PATH": str(self.file("path")),
            "GITHUB_OUTPUT": str(self.file("output")),
            "GITHUB_STEP_SUMMARY": str(self.file("summary")),
            "CALLS": str(self.file("calls")),
            "NETPOLC": program(),
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(
            command, cwd=self.work, env=environment, capture_output=True, text=True, check=False
        )
        if self.file("path").exists():
            self.path = [*self.file("path").read_text().split(), *self.path]
        return done

    def action(self, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """The steps of the action; the first that fails, or the last one."""
        assert given.keys() <= ACTION["inputs"].keys()
        inputs = {name: own["default"] for name, own in ACTION["inputs"].items()} | given
        ran: list[subprocess.CompletedProcess[str]] = []
        for step in ACTION["runs"]["steps"]:
            condition = step.get("if", "success()")
            assert condition in ("success()", IF_DIFF)
            failed = any(own.returncode for own in ran)
            if not inputs["diff"] if condition == IF_DIFF else failed:
                continue
            assert step["shell"] == "bash"
            own = {name: evaluated(text, inputs) for name, text in step.get("env", {}).items()}
            ran.append(self.shell(step["run"], own))
        return next((own for own in ran if own.returncode), ran[-1])


def evaluated(text: str, inputs: dict[str, str]) -> str:
    """`${{ inputs.NAME }}` and `${{ github.base_ref }}`, put in."""
    text = text.replace("${{ github.base_ref }}", "main")
    return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: inputs[found[1]], text)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A repository with the change, on top of what is `origin/main`."""
    own = Runner(tmp_path)
    own.git("init", "-q")
    own.write("k8s/workloads.yaml", WORKLOADS)
    own.write("k8s/db.yaml", POLICY)
    own.write("overlays/prod/db.yaml", POLICY)
    own.write("expectations.yaml", EXPECTED)
    own.git("add", ".")
    own.git("commit", "-q", "-m", "before")
    own.git("update-ref", "refs/remotes/origin/main", "HEAD")
    own.write("k8s/db.yaml", CHANGED)
    return own


def given_in_manual() -> dict[str, str]:
    (step,) = [step for step in STEPS if step.get("uses") == OWN]
    return {name: evaluated(text, {}) for name, text in step["with"].items()}


def test_the_manual_uses_the_action_and_what_is_known_of_others() -> None:
    assert {step["uses"] for step in STEPS if "uses" in step} == {OWN, *OTHERS}
    assert given_in_manual()["diff"] == "origin/main"


def test_no_expression_stands_in_a_script() -> None:
    """Else whoever names a branch or a file writes the script."""
    for step in (*ACTION["runs"]["steps"], *STEPS):
        assert "${{" not in step.get("run", "")


def test_a_pull_request_is_annotated_summed_up_and_fails(runner: Runner) -> None:
    done = runner.action(given_in_manual())
    assert done.returncode == 1
    assert runner.file("calls").read_text() == f"install --quiet {ROOT}[matcher]\n"
    warnings = [line for line in done.stdout.splitlines() if line.startswith("::warning ")]
    (line,) = [line for line in warnings if "NP401" in line]
    assert line.startswith("::warning file=k8s/db.yaml,line=11,col=5,")
    assert runner.file("output").read_text() == "code=1\n"
    summary = runner.file("summary").read_text()
    (row,) = [row for row in summary.splitlines() if "batch" in row and "TCP 5432" in row]
    assert "shop/db" in row
    log = json.loads((runner.work / "netpolc.sarif").read_text())
    assert {own["ruleId"] for own in log["runs"][0]["results"]} >= {"NP401"}


def test_a_change_without_findings_passes_and_is_summed_up_all_the_same(runner: Runner) -> None:
    runner.write("k8s/db.yaml", OPENED)
    done = runner.action(given_in_manual())
    assert (done.returncode, runner.file("output").read_text()) == (0, "code=0\n"), done.stdout
    assert "batch" in runner.file("summary").read_text()


def test_what_is_not_valid_is_annotated_and_fails(runner: Runner) -> None:
    runner.write("k8s/db.yaml", POLICY.replace("5432", "postgres-is-no-port-name"))
    told = runner.action(given_in_manual())
    assert (told.returncode, runner.file("output").read_text()) == (2, "code=2\n")
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("::error ")]
    assert line.startswith("::error file=k8s/db.yaml,line=9,col=")
    assert runner.file("summary").read_text() == ""


def test_inputs_are_words_and_no_script(runner: Runner) -> None:
    quiet = {"paths": "k8s/workloads.yaml 'k8s/db.yaml'", "options": "--ignore NP401,NP5"}
    assert runner.action(quiet).returncode == 0
    assert runner.action({"paths": "k8s", "fail-on": "error"}).returncode == 0
    hostile = {"paths": "k8s $(touch x) `touch x`; touch x", "options": "--ignore 'NP4;touch x'"}
    assert runner.action(hostile).returncode == 2
    slip = {"paths": "k8s", "fail-on": "error", "diff": "--output=x"}
    assert runner.action(slip).returncode == 2
    assert not (runner.work / "x").exists()


def test_the_other_steps_of_the_manual(runner: Runner) -> None:
    runner.action(given_in_manual())
    overlays, expected = (step["run"] for step in STEPS if "run" in step)
    done = runner.shell(overlays, {})
    assert done.returncode == 0, done.stderr
    assert "findings" in done.stdout
    runner.write("overlays/prod/db.yaml", "kind: NetworkPolicy\n")
    assert runner.shell(overlays, {}).returncode == 2
    failed = runner.shell(expected, {})
    assert failed.returncode == 1, failed.stderr
    assert 'failures="1"' in (runner.work / "results.xml").read_text()
    runner.write("k8s/db.yaml", POLICY)
    assert runner.shell(expected, {}).returncode == 0


@pytest.mark.parametrize("schema", ["github-actions", "github-workflows"])
def test_they_are_what_their_schemas_say(schema: str, tmp_path: Path) -> None:
    """The schemas that check-jsonschema brings along, from SchemaStore."""
    path = ROOT / "action.yml"
    if schema == "github-workflows":
        path = tmp_path / "policies.yml"
        text = {"on" if str(name) == "True" else name: own for name, own in workflow().items()}
        path.write_text(yaml.safe_dump(text))
    command = [str(Path(program()).with_name("check-jsonschema"))]
    command += ["--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_hook_of_the_manual_checks_the_folders_that_it_is_given(runner: Runner) -> None:
    text = (ROOT / "docs" / "repositories.md").read_text()
    blocks = [own for own in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "hooks:" in own]
    ((use,),) = map(yaml.safe_load, blocks)
    ((chosen,), (shipped,)) = (
        use["hooks"],
        yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()),
    )
    assert chosen["id"] == shipped["id"]
    assert shipped["pass_filenames"] is False
    runner.write("manifests/db.yaml", CHANGED)
    runner.action({"paths": "k8s"})
    done = runner.shell(" ".join([shipped["entry"], *chosen["args"]]), {})
    assert done.returncode == 1
    assert "manifests/db.yaml:11:5: warning NP401" in done.stdout
