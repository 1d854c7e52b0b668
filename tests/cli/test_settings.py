"""Files of settings: which one is believed, by which command, and what is refused in it.

In: small trees with `.netpolc.toml` or `pyproject.toml`. Out: exit codes and what is said.
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
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: api, labels: {app: api}}\n"
POD += "status: {podIPs: [{ip: 10.0.0.1}]}\n"
NP101 = "warning NP101"
"""What is found in it: it selects no pod."""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a policy that is remarked on, and a broken one that is old."""
    written(tmp_path, "k8s/web.yaml", POLICY)
    written(tmp_path, "k8s/pod.yaml", POD)
    written(tmp_path, "k8s/old/web.yaml", "kind: [\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "head"), [(".netpolc.toml", ""), ("pyproject.toml", "[tool.netpolc]\n")]
)
@pytest.mark.parametrize("where", ["", "k8s/"])
def test_settings_are_found_above(name: str, head: str, where: str, tree: Path) -> None:
    assert invoke("check", "k8s").code == 2
    written(
        tree,
        where + name,
        f'{head}exclude = ["old"]\nignore = ["NP101", "NP004", "NP015", "NP5"]\n',
    )
    found = invoke("check", "k8s")
    assert (found.code, found.stdout) == (0, "no findings\n")
    assert invoke("check", "k8s", "--no-config").code == 2
    assert NP101 in invoke("check", "k8s", "--ignore", "NP004").stdout


def test_the_nearest_file_is_the_only_one(tree: Path) -> None:
    written(tree, ".netpolc.toml", 'exclude = ["old"]\n')
    written(tree, "k8s/pyproject.toml", '[tool.other]\nname = "netpolc"\n')
    assert invoke("check", "k8s").code == 1
    written(tree, "k8s/.netpolc.toml", "")
    assert invoke("check", "k8s").code == 2


def test_patterns_begin_at_the_folder_of_the_file(tree: Path) -> None:
    written(tree, ".netpolc.toml", 'exclude = ["k8s/old/*.yaml"]\n')
    os.chdir("k8s")
    assert invoke("check", ".").code == 1
    written(tree, ".netpolc.toml", 'exclude = ["old/*.yaml"]\n')
    assert invoke("check", ".").code == 2


def test_the_level_that_fails(tree: Path) -> None:
    written(tree, ".netpolc.toml", 'exclude = ["old"]\nfail-on = "error"\nselect = ["NP101"]\n')
    found = invoke("check", "k8s")
    assert (found.code, NP101 in found.stdout, "NP501" in found.stdout) == (0, True, False)
    assert invoke("check", "k8s", "--fail-on", "warning").code == 1
    assert "NP501" in invoke("check", "k8s", "--select", "NP5").stdout
    assert "NP015" in invoke("check", "k8s", "--select", "NP0").stdout


def test_the_namespace_of_what_names_none(tree: Path) -> None:
    written(tree, "k8s/other.yaml", POLICY.replace("name: web", "name: web, namespace: other"))
    written(tree, ".netpolc.toml", 'exclude = ["old"]\ndefault-namespace = "shop"\n')
    found = invoke("check", "k8s")
    assert "NetworkPolicy shop/web: " in found.stdout
    assert "NetworkPolicy other/web: " in found.stdout
    found = invoke("check", "k8s", "--default-namespace", "team")
    assert "NetworkPolicy team/web: " in found.stdout
    found = invoke("check", "k8s", "--no-config", "--exclude", "old")
    assert "NetworkPolicy default/web: " in found.stdout
    assert invoke("check", "k8s", "--default-namespace", "Shop").code == 2


def test_the_same_in_json(tree: Path) -> None:
    text = '{"apiVersion": "v1", "kind": "%s", "metadata": {"name": "a", "labels": {"a": "-"}}}'
    path = written(tree, "pod.json", text % "Pod")
    found = invoke("compile", path, "--default-namespace", "shop")
    assert found.stderr.startswith(f"{path}:1:79: metadata.labels[a]: Invalid value")
    good = written(tree, "pod.json", (text % "Pod").replace('"-"', '"b"'))
    policy = written(tree, "k8s/web.yaml", POLICY)
    listed = invoke("list", good, policy, "--default-namespace", "shop", "--group", "workload")
    assert "shop/a" in listed.stdout
    assert "default/a" not in listed.stdout


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('select = ["NP1"]\nexcludes = ["old"]\n', 2, "excludes: unknown key: there are default-"),
        ('\n\nexclude = "old"\n', 3, "exclude: must be a list of strings"),
        ("ignore = [1]\n", 1, "ignore: must be a list of strings"),
        ("fail-on = 2\n", 1, "fail-on: must be a string"),
        ('exclude = ["old"]\nfail-on = "never"\n', 2, "fail-on: 'never' is none of error, warning"),
        ('exclude = ["old"]\n\nselect = ["NP99"]\n', 3, "select: unknown code 'NP99'"),
        ('exclude = ["old"]\ndefault-namespace = "A"\n', 2, "default-namespace: is no name of"),
        ("[check]\nselect = []\n", 1, "check: unknown key"),
        ("exclude = [\n", 0, "broken TOML: "),
    ],
)
@pytest.mark.parametrize("header", [0, 1])
def test_what_is_wrong_is_told_with_its_line(
    header: int, text: str, line: int, message: str, tree: Path
) -> None:
    name = "pyproject.toml" if header else ".netpolc.toml"
    text = text.replace("[check]", "[tool.netpolc.check]") if header else text
    written(tree, name, "[tool.netpolc]\n" * header + text)
    found = invoke("check", "k8s")
    assert found.code == 2
    if line:
        assert found.stderr.startswith(f"{tree / name}:{line + header}: {message}")
    else:
        assert found.stderr.startswith(f"{tree / name}:")
        assert message in found.stderr


@pytest.mark.parametrize("command", ["compile", "apply", "verify", "status", "top"])
def test_what_a_node_enforces_depends_on_the_command_line(command: str, tree: Path) -> None:
    written(tree, ".netpolc.toml", 'exclude = ["old"]\n')
    if command in ("compile", "apply"):  # the others look at the kernel first
        found = invoke(command, "k8s")
        assert found.code == 2
        assert "k8s/old/web.yaml:2:1: broken YAML" in found.stderr
    assert "--no-config" not in invoke(command, "--help").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_file_of_somebody_else_is_not_believed(tree: Path) -> None:
    path = written(tree, ".netpolc.toml", 'exclude = ["old"]\n')
    assert invoke("check", "k8s").code == 1
    os.chown(path, 65534, 65534)
    found = invoke("check", "k8s")
    assert found.code == 2
    assert f"{path}: belongs to another user, and is not believed\n" in found.stderr
    os.chown(tree / "k8s", 65534, 65534)
    assert invoke("check", "k8s").code == 1
