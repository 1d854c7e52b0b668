"""`netpolc check`: what is shown, waived and left out, and the exit codes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from tests.cli.invocation import invoke, run
from tests.helpers.manifests import Manifest, namespace, pod, policy
from tests.helpers.scenarios import ROOT


def snapshot(waived: str = "", **spec: object) -> bytes:
    """A pod, and a policy that selects nothing: NP101, NP501 and NP502."""
    own: Manifest = policy("shop/web", **(spec or {"podSelector": {"matchLabels": {"a": "b"}}}))
    if waived:
        own["metadata"]["annotations"] = {"netpolc.dev/ignore": waived}
    items = [namespace("shop"), pod("shop/web", "10.0.0.1"), own]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()


def codes(*arguments: str, stdin: bytes) -> tuple[int, list[str]]:
    outcome = invoke("check", "-", "-o", "json", *arguments, stdin=stdin)
    return outcome.code, [found["code"] for found in json.loads(outcome.stdout)["findings"]]


@pytest.mark.parametrize(
    ("arguments", "code", "found"),
    [
        ([], 1, ["NP501", "NP502", "NP101"]),
        (["--fail-on", "info"], 1, ["NP501", "NP502", "NP101"]),
        (["--fail-on", "error"], 0, ["NP501", "NP502", "NP101"]),
        (["--ignore", "NP101"], 0, ["NP501", "NP502"]),
        (["--ignore", "NP101", "--fail-on", "info"], 1, ["NP501", "NP502"]),
        (["--ignore", "NP5,np1"], 0, []),
        (["--select", "NP502", "--select", "NP1"], 1, ["NP502", "NP101"]),
        (["--select", "NP5", "--ignore", "NP501"], 0, ["NP502"]),
    ],
)
def test_what_is_shown_and_what_fails(arguments: list[str], code: int, found: list[str]) -> None:
    assert codes(*arguments, stdin=snapshot()) == (code, found)


def test_an_annotation_waives_codes_of_its_object() -> None:
    assert codes(stdin=snapshot("NP101, NP102")) == (0, ["NP501", "NP502"])
    # That of a policy says nothing about the namespace.
    assert codes(stdin=snapshot("NP501")) == (1, ["NP501", "NP502", "NP101"])


@pytest.mark.parametrize("option", ["--ignore", "--select"])
def test_what_makes_a_manifest_invalid_is_always_shown(option: str) -> None:
    wrong = snapshot("NP001", podSelector={}, ingres=[])
    code = "NP001" if option == "--ignore" else "NP101"
    assert codes(option, code, stdin=wrong) == (2, ["NP001"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-", "--select", "NP99"], "unknown code 'NP99': there are NP001, "),
        (["-", "--ignore", ""], "unknown code ''"),
        (["--explain", "NP1"], "unknown code 'NP1'"),
        ([], "give PATHs, or a live cluster"),
        (["-", "--fail-on", "notice"], "'notice' is not one of 'error', 'warning', 'info'"),
    ],
)
def test_misuse(arguments: list[str], words: str) -> None:
    outcome = invoke("check", *arguments, stdin=snapshot())
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr


def test_templates_alone_can_be_checked() -> None:
    """What `kustomize build` prints: workloads, no pods, no addresses."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": template},
    }
    wanted = policy("shop/web", podSelector={"matchLabels": {"app": "web"}})
    lost = policy("shop/api", podSelector={"matchLabels": {"app": "api"}})
    built = "---\n".join(yaml.safe_dump(item) for item in (workload, wanted, lost))
    chosen = ("--scope", "cluster", "--fail-on", "warning")
    done = run("check", "-", *chosen, stdin=built.encode())
    assert done.code == 1
    selectors = [n for n, text in enumerate(built.splitlines(), 1) if text == "    matchLabels:"]
    assert [line for line in done.stdout.splitlines() if "warning NP" in line] == [
        f"<stdin>:{selectors[-1]}:5: warning NP101: NetworkPolicy shop/api: spec.podSelector: "
        "selects no pod of namespace shop: the policy has no effect"
    ]


def test_a_snapshot_without_pods_says_nothing_of_selectors() -> None:
    alone = json.dumps(policy("shop/web", podSelector={"matchLabels": {"a": "b"}})).encode()
    assert codes(stdin=alone) == (0, [])


def test_the_pre_commit_hook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["pass_filenames"] is False
    program, *arguments = shlex.split(hook["entry"])
    assert program == "netpolc"
    (tmp_path / "all.json").write_bytes(snapshot())
    monkeypatch.chdir(tmp_path)
    assert invoke(*arguments, ".").code == 1


def test_a_policy_on_trial_is_read_as_it_is_meant() -> None:
    outcome = invoke("check", "tests/cases/audit-neither-denies-nor-opens/input.yaml")
    assert "NP302: NetworkPolicy x/a-enforced: adds nothing: covered by x/a-opens" in outcome.stdout
