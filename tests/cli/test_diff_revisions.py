"""`netpolc diff --git`: folders that are new or gone, an old side that is broken, renders of both.

In: a repository with one revision, changed since. Out: what one side does not have is added or
removed, what is broken at the revision is told and stops nothing, and links lead nowhere outside.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from netpolc.core.errors import UsageError
from netpolc.manifests.git import tree_of
from tests.cli.invocation import Outcome, invoke
from tests.cli.test_diff import git
from tests.manifests.reading import written

SHOP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  selector: {matchLabels: {app: NAME}}
  template: {metadata: {labels: {app: NAME}}, spec: {containers: [{name: c, image: x}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: NAME, namespace: shop}
spec: {podSelector: {matchLabels: {app: NAME}}, policyTypes: [Ingress, Egress]}
"""
RENDERER = """#!/bin/sh
shift
printf 'apiVersion: v1\\nkind: Pod\\nmetadata: {name: '
cat "$1/name"
printf ', namespace: made}\\n'
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    top = tmp_path / "repo"
    written(top, "old/web.yaml", SHOP.replace("NAME", "web"))
    git(top, "init", "--quiet")
    commit(top)
    monkeypatch.chdir(top)
    return top


def with_renderer(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kustomize on PATH that makes a pod with the name in `name`."""
    written(top, "bin/kustomize", RENDERER)
    (top / "bin" / "kustomize").chmod(0o755)
    monkeypatch.setenv("PATH", f"{top / 'bin'}:{os.environ['PATH']}")


def commit(top: Path) -> None:
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message", "x")


def compared(*paths: str) -> Outcome:
    return invoke("diff", "--git", "HEAD", *paths)


def test_a_folder_that_is_new(repository: Path) -> None:
    written(repository, "new/db.yaml", SHOP.replace("NAME", "db"))
    outcome = compared("new")
    assert outcome.code == 1
    assert "+ workload shop/db[Deployment]" in outcome.stdout.splitlines()
    assert "new is not in revision HEAD: everything in it is new" in outcome.stderr
    both = compared("new", "old")
    assert "workloads: 1 new, 0 lost" in both.stdout


@pytest.mark.parametrize("is_left", [True, False])
def test_a_folder_that_is_gone(repository: Path, is_left: bool) -> None:
    (repository / "old" / "web.yaml").unlink()
    if is_left:
        written(repository, "old/README.md", "moved")
    else:
        (repository / "old").rmdir()
    outcome = compared("old")
    assert outcome.code == 1
    assert "- workload shop/web[Deployment]" in outcome.stdout.splitlines()
    assert "everything in it is gone" in outcome.stderr


def test_policies_alone_change_nothing_and_that_is_said(repository: Path) -> None:
    written(repository, "new/p.yaml", SHOP.replace("NAME", "db").partition("---")[2])
    outcome = compared("new")
    assert (outcome.code, outcome.stdout) == (0, "no difference\n")
    assert "neither side has a pod or a workload" in outcome.stderr


def test_an_old_side_that_is_broken(repository: Path) -> None:
    written(repository, "old/web.yaml", SHOP.replace("NAME", "web").replace("podSel", "podSol"))
    written(repository, "old/x.yaml", "apiVersion: [")
    commit(repository)
    written(repository, "old/web.yaml", SHOP.replace("NAME", "web").replace(", Egress", ""))
    (repository / "old" / "x.yaml").unlink()
    outcome = compared("old")
    assert outcome.code == 1
    assert "HEAD:old/x.yaml:2:1: broken YAML" in outcome.stderr
    assert 'unknown field "spec.podSolector"' in outcome.stderr
    assert "the old side is broken" in outcome.stderr
    written(repository, "old/y.yaml", "apiVersion: [")
    assert compared("old").code == 2  # of the new side everything has to be good


def test_both_sides_are_rendered(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_renderer(repository, monkeypatch)
    written(repository, "app/kustomization.yaml", "resources: [../base]\n")
    written(repository, "base/kustomization.yaml", "resources: []\n")
    written(repository, "app/name", "one")
    written(repository, "app/pod.yaml", SHOP.replace("NAME", "left"))
    written(repository, "app/more/pod.yaml", SHOP.replace("NAME", "both"))
    commit(repository)
    written(repository, "app/name", "two")
    outcome = compared("app")
    lines = outcome.stdout.splitlines()
    assert [line for line in lines if "workload" in line][:2] == [
        "+ workload made/two[Pod]",
        "- workload made/one[Pod]",
    ]
    assert "rendered HEAD:app with kustomize build" in outcome.stderr
    assert str(repository) not in outcome.stderr


def test_a_render_that_fails_at_the_revision(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_renderer(repository, monkeypatch)
    written(repository, "app/kustomization.yaml", "resources: [gone.yaml]\n")
    written(repository, "app/name", "one")
    commit(repository)
    written(repository, "app/kustomization.yaml", "resources: []\n")
    outcome = compared("app")
    assert outcome.code == 1
    assert "the old side is broken, and counts as empty: HEAD:app: the kust" in outcome.stderr
    assert "+ workload made/one[Pod]" in outcome.stdout


def test_links_of_a_revision_lead_nowhere_outside(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = written(tmp_path, "secret", "stolen")
    with_renderer(repository, monkeypatch)
    written(repository, "app/kustomization.yaml", "resources: []\n")
    (repository / "app" / "name").symlink_to(secret)
    commit(repository)
    (repository / "app" / "name").unlink()
    written(repository, "app/name", "two")
    outcome = compared("app")
    assert "stolen" not in outcome.stdout + outcome.stderr
    assert "metadata.name: Required value" in outcome.stderr  # there is nothing to be read


def test_no_chain_of_links_leads_outside(repository: Path, tmp_path: Path) -> None:
    """Each link stays inside by its text, and the second leads out through the first."""
    written(tmp_path, "secret", "stolen")
    (repository / "down").mkdir()
    (repository / "down" / "up").symlink_to("..")
    (repository / "away").symlink_to("down/up/../secret")
    (repository / "near").symlink_to("old/web.yaml")
    commit(repository)
    folder = tmp_path / "folder"
    folder.mkdir()
    tree_of("HEAD", "old").write(folder)
    assert not (folder / "away").is_symlink()
    assert (folder / "near").read_text() == (folder / "old" / "web.yaml").read_text()


def test_a_clone_without_its_files_is_told(repository: Path, tmp_path: Path) -> None:
    written(repository, "app/kustomization.yaml", "resources: []\n")
    commit(repository)
    for own in (repository / ".git" / "objects").rglob("*"):
        if own.is_file() and _type(repository, own.parent.name + own.name) == "blob":
            own.unlink()
    with pytest.raises(UsageError, match="are not here: fetch them first"):
        tree_of("HEAD", "app").write(tmp_path / "folder")


def _type(top: Path, name: str) -> str:
    words = ["git", "-C", str(top), "cat-file", "-t", name]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
