"""`check --fix` and `--diff`: edits that change nothing of what is admitted, and nothing else.

In: policies that add nothing, in the layouts of people. Out: files compared with what was written
by hand, `netpolc diff` of the snapshot before and after, and reasons for what is not edited.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.invocation import invoke

PODS = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
status: {podIPs: [{ip: 10.0.0.2}]}
"""
HEAD = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
POLICIES = f"""\
# All of the shop.

{HEAD}metadata:
  name: all
  namespace: shop
  annotations:
    team: shop
    netpolc.dev/ignore: "NP999, NP701"   # not the world
spec:
  podSelector: {{}}
  ingress:
    # ours
    - from:
        - podSelector: {{}}
      ports:
        - {{port: 80}}   # and
        - {{port: 443, endPort: 450}}
    # what came first
    - from: [{{podSelector: {{matchLabels: {{app: web}}}}}}]
      ports: [{{port: 444}}]   # within
    # others
    - from: [{{ipBlock: {{cidr: 192.0.2.0/24}}}}]
---
# The copy.
{HEAD}metadata: {{name: copy, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{}}}}
  ingress:
    - from: [{{ipBlock: {{cidr: 192.0.2.0/24}}}}]
    - from: [{{podSelector: {{}}}}]
      ports: [{{port: 443, endPort: 450}}, {{port: 80}}]
---
{HEAD}metadata: {{name: web, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: web}}}}
  ingress: [{{from: [{{podSelector: {{matchLabels: {{app: db}}}}}}], ports: [{{port: 80}}]}}]
"""
FIXED = f"""\
# All of the shop.

{HEAD}metadata:
  name: all
  namespace: shop
  annotations:
    team: shop
    netpolc.dev/ignore: "NP701"   # not the world
spec:
  podSelector: {{}}
  ingress:
    # ours
    - from:
        - podSelector: {{}}
      ports:
        - {{port: 80}}   # and
        - {{port: 443, endPort: 450}}
    # others
    - from: [{{ipBlock: {{cidr: 192.0.2.0/24}}}}]
"""
CODES = ("--select", "NP005,NP3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "k8s"
    found.mkdir()
    (found / "pods.yaml").write_text(PODS)
    return found


def test_everything_that_adds_nothing_goes_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    path = folder / "policies.yaml"
    path.write_text(POLICIES)
    before = tmp_path / "before"
    shutil.copytree(folder, before)
    found = invoke("check", str(folder), "--fix", *CODES)
    assert (found.code, found.stdout) == (0, "no findings\n")
    assert path.read_text() == FIXED
    assert (folder / "pods.yaml").read_text() == PODS
    assert [line.split(": ")[2] for line in found.stderr.splitlines()] == [
        "NP005",
        "NP301",
        "NP303",
        "NP302",
    ]
    # The findings said that all of it adds nothing: nobody reaches anybody else, or less.
    assert invoke("diff", str(before), str(folder)).stdout == "no difference\n"
    assert invoke("check", str(folder), "--fix", *CODES).stderr == ""


def test_a_patch_says_the_same_and_writes_nothing(folder: Path) -> None:
    path = folder / "policies.yaml"
    path.write_text(POLICIES)
    for arguments in (("--diff",), ("--fix", "--diff")):
        found = invoke("check", str(folder), *arguments, *CODES)
        assert found.code == 1
        assert path.read_text() == POLICIES
        lines = found.stdout.splitlines()
        assert lines[:2] == [f"--- {path}", f"+++ {path}"]
        gone = [line[1:] for line in lines[2:] if line.startswith("-")]
        new = [line[1:] for line in lines[2:] if line.startswith("+")]
        assert new == ['    netpolc.dev/ignore: "NP701"   # not the world']
        assert len(gone) == len(POLICIES.splitlines()) - len(FIXED.splitlines()) + 1
    path.write_text(FIXED)
    found = invoke("check", str(folder), "--diff", *CODES)
    assert (found.code, found.stdout, found.stderr) == (0, "", "")


def test_only_what_is_asked_for(folder: Path) -> None:
    path = folder / "policies.yaml"
    path.write_text(POLICIES)
    invoke("check", str(folder), "--fix", "--select", "NP005")
    assert path.read_text() == POLICIES.replace('"NP999, NP701"', '"NP701"')


WEB = "{podSelector: {matchLabels: {app: web}}}"
TODAY = f"""\
{HEAD}metadata: {{name: web, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: db}}}}
  ingress:
  - from: [{WEB}]
  - from: [{{podSelector: {{matchExpressions: [{{key: app, operator: NotIn, values: [db]}}]}}}}]
"""
TRIED = f"""\
{HEAD}metadata: {{name: all, namespace: shop, annotations: {{netpolc.dev/audit: "true"}}}}
spec: {{podSelector: {{}}, ingress: [{{}}]}}
---
{HEAD}metadata: {{name: web, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: web}}}}
  ingress:
  - ports: [{{port: 80}}]
"""


@pytest.mark.parametrize(
    ("policies", "code"),
    [(TODAY, "NP301"), (TRIED, "NP302")],
    ids=["covered by the pods of today", "covered by a policy that is only tried"],
)
def test_what_may_add_something_is_left(policies: str, code: str, folder: Path) -> None:
    path = folder / "policies.yaml"
    path.write_text(policies)
    found = invoke("check", str(folder), "--fix", *CODES)
    assert (found.code, code in found.stdout) == (1, True)
    assert (path.read_text(), found.stderr) == (policies, "")


def test_what_cannot_be_edited_is_told(folder: Path) -> None:
    first, *_, last = POLICIES.split("---\n")
    (folder / "all.yaml").write_text(first)
    (folder / "web.yaml").write_text(last)
    found = invoke("check", str(folder), "--fix", *CODES)
    assert (folder / "web.yaml").read_text() == last
    alone = "it is the only object of its file: remove the file"
    assert f"not fixed: {folder}/web.yaml:1:1: NP302: {alone}\n" in found.stderr
    assert found.code == 1


def test_standard_input_is_not_written(folder: Path) -> None:
    found = invoke("check", "-", "--fix", *CODES, stdin=(PODS + "---\n" + POLICIES).encode())
    assert found.stderr.count("it is in no file that can be written") == 4
    assert found.code == 1


def test_an_egress_rule_that_isolates_stays(folder: Path) -> None:
    """Without policyTypes a list of egress rules that is empty isolates nothing."""
    every = "  podSelector: {}\n  policyTypes: [Egress]\n  egress: [{}]\n"
    text = (
        f"{HEAD}metadata: {{name: all, namespace: other}}\nspec:\n{every}---\n"
        f"{HEAD}metadata: {{name: b, namespace: shop}}\n"
        f"spec:\n  podSelector: {{}}\n  egress:\n  - to: [{WEB}]\n  - to: [{WEB}]\n"
    )
    path = folder / "policies.yaml"
    path.write_text(text)
    invoke("check", str(folder), "--fix", *CODES)
    assert path.read_text() == text.replace(
        f"  - to: [{WEB}]\n  - to: [{WEB}]\n", f"  - to: [{WEB}]\n"
    )
    assert invoke("check", str(folder), "--fix", *CODES).stdout == "no findings\n"


def test_json_and_windows_line_ends(folder: Path) -> None:
    path = folder / "policies.yaml"
    path.write_bytes(POLICIES.replace("\n", "\r\n").encode())
    objects = [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": {"app": "db"}}},
        }
        for name in ("one", "two")
    ]
    other = folder / "json.json"
    other.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    written = other.read_text()
    invoke("check", str(folder), "--fix", *CODES)
    assert path.read_bytes() == FIXED.replace("\n", "\r\n").encode()
    assert other.read_text() == written
