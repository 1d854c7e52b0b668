"""Folders as they are in git: what is no object is passed over, what looks like one is not.

In: small made-up trees. Out: the objects, names of the files that were passed over, or refusals.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import netpolc
from tests.cli.invocation import invoke
from tests.manifests.reading import written

POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}}
"""
OTHERS = {
    "mkdocs.yml": "site_name: a\nextension: !!python/name:material.emoji\n",
    "ci.yml": "on: {push: {branches: [main]}}\njobs: {test: {steps: [{run: make}]}}\n",
    "patch.yaml": "- {op: replace, path: /spec/replicas, value: 3}\n",
    "parameters.json": '[{"ParameterKey": "a", "ParameterValue": "b"}]',
    "dashboard.json": '{"title": "Traffic", "panels": [{"type": "graph"}]}',
    "template.yaml": "Bucket: !Sub '${Name}-x'\nOther: !GetAtt [a, b]\nAll: !Ref {a: b}\n",
    "words.yaml": "only text\n",
}
LIKE = {
    "kind.yaml": "kind: NetworkPolicy\nmetadata: {name: a}\n",
    "version.yaml": "apiVersion: networking.k8s.io/v1\n",
    "case.yaml": "apiversion: networking.k8s.io/v1\nKind: NetworkPolicy\n",
    "spec.yaml": "spec: {podSelector: {}}\n",
    "body.yaml": "podSelector: {}\npolicyTypes: [Ingress]\n",
    "list.yaml": "- apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n",
    "items.yaml": "items:\n- kind: NetworkPolicy\n",
    "space.yaml": "kind:NetworkPolicy\n",
    "list.json": '[{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}]',
    "spec.json": '{"spec": {"podSelector": {}}}',
    "type.json": '{"kind": 3, "a": 1}',
    "broken.json": '{"title": "Traffic",}',
    "broken.yaml": "title: [\n",
    "tag.yaml": POLICY.replace("spec: {", "spec: !local {"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with one policy, and other files beside it."""
    written(tmp_path, "web.yaml", POLICY)
    for name, content in OTHERS.items():
        written(tmp_path, name, content)
    return tmp_path


def test_what_is_no_object_is_passed_over_and_said(tree: Path) -> None:
    names = sorted(str(tree / name) for name in OTHERS)
    snapshot = netpolc.load([tree])
    assert [policy.origin.name for policy in snapshot.policies] == ["web"]
    assert list(snapshot.passed_over) == names
    told = invoke("list", str(tree)).stderr
    assert "passed over 7 files with what is no Kubernetes object (-v names them)\n" in told
    told = invoke("list", str(tree), "-v").stderr
    for name in names:
        assert f"passed over: {name}: no Kubernetes object\n" in told


def test_what_a_node_enforces_lacks_no_file_of_a_folder(tree: Path) -> None:
    """A policy may have become an answer of a proxy, or a pointer to what was not fetched."""
    refused = invoke("compile", str(tree))
    assert (refused.code, refused.stdout) == (2, "")
    for name in OTHERS:
        assert f"{tree / name}: not a Kubernetes object: remove it, or give --exclude\n" in (
            refused.stderr
        )
    others = [word for name in OTHERS for word in ("--exclude", name)]
    assert invoke("compile", str(tree), *others).code == 0


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_that_is_named_must_be_a_manifest(name: str, tree: Path) -> None:
    assert invoke("compile", str(tree / "web.yaml"), str(tree / name)).code == 2


@pytest.mark.parametrize("name", LIKE)
def test_what_looks_like_an_object_is_refused(name: str, tree: Path) -> None:
    written(tree, name, LIKE[name])
    outcome = invoke("compile", str(tree))
    assert outcome.code == 2
    assert outcome.stderr.startswith(f"{tree}/{name}:")


def test_an_object_beside_other_documents_of_its_file_is_read(tmp_path: Path) -> None:
    written(tmp_path, "both.yaml", f"a: 1\n---\n{POLICY}---\n- 2\n")
    snapshot = netpolc.load([tmp_path])
    assert (len(snapshot.policies), snapshot.passed_over) == (1, (f"{tmp_path}/both.yaml",))


def test_a_folder_without_any_object_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "mkdocs.yml", OTHERS["mkdocs.yml"])
    outcome = invoke("compile", str(tmp_path))
    assert (outcome.code, outcome.stderr) == (
        2,
        f"{tmp_path}: no Kubernetes object in there\nnetpolc: 1 error\n",
    )


def test_an_unknown_tag_matters_only_in_what_is_read(tmp_path: Path) -> None:
    other = "apiVersion: example.com/v1\nkind: Thing\nspec: !local {a: !b c}\n"
    written(tmp_path, "a.yaml", f"{other}---\n{POLICY}")
    assert netpolc.load([tmp_path]).ignored == {"example.com/v1 Thing": 1}
    items = POLICY.replace("shop", "!x shop").replace("\n", "\n  ")
    written(tmp_path, "a.yaml", f"items:\n- {items}")
    assert invoke("compile", str(tmp_path)).stderr.splitlines() == [
        f"{tmp_path}/a.yaml:4:36: metadata.namespace: unknown tag !x",
        "netpolc: 1 error",
    ]


@pytest.mark.parametrize("pattern", ["old", "old/", "b*.yaml", "{}/old", "{}/*/b.yaml"])
def test_what_is_excluded_is_not_read(pattern: str, tmp_path: Path) -> None:
    written(tmp_path, "web.yaml", POLICY)
    written(tmp_path, "old/b.yaml", "kind: [\n")
    assert invoke("compile", str(tmp_path)).code == 2
    chosen = ["--exclude", pattern.format(tmp_path)]
    assert invoke("compile", str(tmp_path), *chosen).code == 0
    assert invoke("compile", str(tmp_path / "old" / "b.yaml"), *chosen).code == 2


def test_patterns_with_a_slash_begin_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "k8s/web.yaml", POLICY)
    written(tmp_path, "k8s/old/b.yaml", "kind: [\n")
    monkeypatch.chdir(tmp_path)
    assert invoke("compile", "k8s", "--exclude", "old/*").code == 2
    assert invoke("compile", "k8s", "--exclude", "k8s/old/*").code == 0
    monkeypatch.chdir(tmp_path / "k8s")
    assert invoke("compile", ".", "--exclude", "old/*").code == 0


def test_objects_in_json_follow_one_another(tmp_path: Path) -> None:
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
    other = {"kind": "List", "items": [{**space, "metadata": {"name": "b"}}]}
    bad = {**space, "metadata": {"name": "-"}}
    text = json.dumps(space) + "\n" + json.dumps(other) + json.dumps(bad)
    path = written(tmp_path, "a.json", text.replace('"-"', '"c"'))
    assert set(netpolc.load([path]).cluster.namespaces) == {"a", "b", "c"}
    column = len(json.dumps(other)) + text.rpartition("\n")[2][len(json.dumps(other)) :].index(
        '"-"'
    )
    assert invoke("compile", written(tmp_path, "b.json", text)).stderr.startswith(
        f"{tmp_path}/b.json:2:{column + 1}: metadata.name: Invalid value"
    )
    for rest in ("{", '{"a": NaN}', "[]", "x"):
        outcome = invoke("compile", written(tmp_path, "c.json", json.dumps(space) + "\n" + rest))
        assert (outcome.code, f"{tmp_path}/c.json:2:" in outcome.stderr) == (2, True)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_byte_order_mark_says_how_to_read(encoding: str, form: str, tmp_path: Path) -> None:
    labels = {"name": "é", "labels": {"a": "é"}}
    given = {"apiVersion": "v1", "kind": "Namespace", "metadata": labels}
    text = json.dumps(given, ensure_ascii=False, indent=1)
    mark = "\ufeff" if encoding.endswith("be") else ""
    path = written(tmp_path, f"a.{form}", (mark + text).encode(encoding))
    said = invoke("compile", path).stderr
    assert said.startswith(f"{path}:5:11: metadata.name: Invalid value")
