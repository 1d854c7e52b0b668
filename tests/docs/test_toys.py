"""What one adds is one file and one line: a toy of each kind works end to end, and is gone after.

In: a kind of policy, a backend, a check, forms of output and a command, written here as their
authors would, and registered where those of the house are. Out: what users see of each. The kind
is in `tests/frontends/test_kinds.py` with all that names its policies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from netpolc.analysis import findings
from netpolc.analysis.connectivity import forms as connections
from netpolc.analysis.connectivity.changes import Changes
from netpolc.analysis.connectivity.listing import Connections
from netpolc.analysis.explain import forms as explanations
from netpolc.analysis.explain.model import Explanation
from netpolc.analysis.findings import formats
from netpolc.analysis.findings.model import Code, Level, Remark
from netpolc.analysis.findings.view import View
from netpolc.backends import forms as backends
from netpolc.backends.form import Emit, Form
from netpolc.cli import main
from netpolc.core.cluster import Unread
from netpolc.core.errors import ROOT, ObjectProblems
from netpolc.core.ir import ANY, SELECT_ALL, Action, Direction, PodPeer, Policy, Rule, Tier
from netpolc.core.program import Program
from netpolc.frontends import kinds
from netpolc.frontends.fields import Fields, metadata
from netpolc.frontends.frontend import Frontend
from netpolc.frontends.policy_kinds import PolicyObjects
from netpolc.manifests import Document

ADMIT_ALL: dict[str, Any] = {"podSelector": {}, "ingress": [{}]}


def policy(kind: str, version: str, **content: object) -> dict[str, Any]:
    named = {"name": "web", "namespace": "shop"}
    return {"apiVersion": version, "kind": kind, "metadata": named, **content}


def pod(name: str, address: str) -> dict[str, Any]:
    named = {"name": name, "namespace": "shop"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": named,
        "spec": {"nodeName": "node-a", "containers": []},
        "status": {"podIP": address},
    }


NODE: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}}
PODS = [NODE, pod("a", "10.0.0.1"), pod("b", "10.0.0.2")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = policy("NetworkPolicy", "networking.k8s.io/v1", spec=ADMIT_ALL)
    return written(tmp_path, [*PODS, own])


def written(folder: Path, objects: list[dict[str, Any]]) -> Path:
    content = {"apiVersion": "v1", "kind": "List", "items": objects}
    (folder / "all.json").write_text(json.dumps(content))
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


# A kind: what a file of `frontends` holds, and a line in KINDS.
def lower_quarantine(document: Document, problems: ObjectProblems, strict: bool) -> Policy | None:
    """`Quarantine`: the pods of its namespace let nothing in, or everything where it is `open`."""
    fields = Fields(problems, strict)
    body = document.fields(problems, strict) or {}
    fields.mapping(body, ROOT, ("apiVersion", "kind", "metadata", "open"))
    named = metadata(fields, body.get("metadata"), ROOT / "metadata")
    if problems.failed:
        return None
    origin = named.origin(document.kind, document.source)
    rules = [Rule(Direction.INGRESS, Action.ACCEPT, ANY, ANY, origin)] if body.get("open") else []
    subject = PodPeer(named.namespace, SELECT_ALL)
    isolates = frozenset({Direction.INGRESS})
    return Policy(Tier.NETWORK_POLICY, 0, subject, isolates, tuple(rules), origin)


QUARANTINE = Frontend(
    {"Quarantine": ("toys.example/v1",)}, partial(PolicyObjects, lower=lower_quarantine)
)


def test_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = written(tmp_path, [*PODS, policy("Quarantine", "toys.example/v1")])
    asked = ("--src", "shop/a", "--dst", "shop/b", "--port", 80)
    assert run("eval", paths, *asked).exit_code == 0
    with monkeypatch.context() as patched:
        patched.setattr(kinds, "KINDS", (*kinds.KINDS, QUARANTINE))
        denied = run("eval", paths, *asked)
        ruleset = run("compile", paths).stdout
        paths = written(tmp_path, [*PODS, policy("Quarantine", "toys.example/v1", shut=True)])
        refused = run("compile", paths)
        isolated = run("eval", paths, "--odd-objects", "isolate", *asked)
    assert denied.exit_code == 1
    assert "Quarantine/shop/web" in denied.stdout
    assert 'comment "Quarantine/shop/web"' in ruleset
    assert refused.exit_code == 2
    assert "unknown field" in refused.stderr
    assert "shut" in refused.stderr
    assert isolated.exit_code == 1
    assert "ignored 1 object" in run("eval", paths, *asked).stderr


# A backend: what a folder of `backends` holds, and a line in BACKENDS.
def open_hosts(program: Program) -> Emit:
    def emit(node: str | None, options: object) -> str:
        return "".join(f"{pod.key}\n" for pod in program.cluster.pods if pod.is_on(node))

    return emit


HOSTS = (Form("hosts", "the pods of a node", open_hosts),)


def test_a_backend(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(backends, "BACKENDS", (*backends.BACKENDS, HOSTS))
        assert run("compile", folder, "-o", "hosts").stdout == "shop/a\nshop/b\n"
        out = tmp_path / "out"
        assert run("compile", folder, "-o", "hosts", "--all-nodes", "--file", out).exit_code == 0
        assert (out / "node-a.hosts").read_text() == "shop/a\nshop/b\n"
        assert "[nft|json|ir|hosts]" in run("compile", "--help").stdout
    assert run("compile", folder, "-o", "hosts").exit_code == 2


# A check: what a module of `findings` holds, and an entry in its list.
CODE = Code("NP999", Level.ERROR, "a toy", "Because.", "a: 1", "a: 2")


def look(view: View) -> Iterator[Remark]:
    for own in view.policies:
        yield Remark(CODE.code, own.origin, "is no toy", waived=own.waived)


def test_a_check(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(findings, "CHECKS", (*findings.CHECKS, look))
        patched.setitem(findings.CATALOGUE, CODE.code, CODE)
        found = run("check", folder)
        assert run("check", "--explain", "NP999").stdout.startswith("NP999 (error): a toy\n")
        assert "NP999" in run("check", folder, "-o", "sarif").stdout
    assert found.exit_code == 1
    assert "error NP999: NetworkPolicy shop/web: is no toy" in found.stdout
    assert "NP999" not in run("check", folder).stdout


# Forms: a function, and a line where the forms of the command are.
def count_connections(listing: Connections) -> str:
    return f"{len(listing.connections)} connections\n"


def count_changes(found: Changes) -> str:
    return f"{len(found.changes)} changes\n"


def count_findings(checked: formats.Checked) -> str:
    return f"{len(checked.findings)} findings\n"


def count_sides(found: list[Explanation], most: int | None, unread: Sequence[Unread]) -> str:
    return f"{sum(len(own.sides) for own in found)} directions\n"


@pytest.mark.parametrize(
    ("registry", "form", "arguments", "expected"),
    [
        (connections.LISTINGS, count_connections, ["list", "{}"], "connections\n"),
        (connections.DIFFERENCES, count_changes, ["diff", "{}", "{}"], "0 changes\n"),
        (formats.FORMATS, count_findings, ["check", "{}"], "findings\n"),
        (
            explanations.FLOWS,
            count_sides,
            ["explain", "{}", "--src", "shop/a", "--dst", "shop/b", "--port", "80"],
            "2 directions\n",
        ),
    ],
    ids=["list", "diff", "check", "explain"],
)
def test_a_form(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    registry: dict[str, Callable[..., str]],
    form: Callable[..., str],
    arguments: list[str],
    expected: str,
) -> None:
    command = [own.format(folder) for own in arguments]
    with monkeypatch.context() as patched:
        patched.setitem(registry, "toy", form)
        assert run(*command, "-o", "toy").stdout.endswith(expected)
        assert "|toy" in run(arguments[0], "--help").stdout.replace("\n", "").replace(" ", "")
    refused = run(*command, "-o", "toy")
    assert refused.exit_code == 2
    assert "'toy' is not one of" in refused.stderr


# A command: a module of `cli`, and a line in its list.
@click.command("greet")
@click.argument("name")
def greet(name: str) -> None:
    """Say hello."""
    click.echo(f"hello {name}")


def test_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setitem(main.commands, "greet", greet)
        assert run("greet", "pods").stdout == "hello pods\n"
        assert "greet" in run("--help").stdout
    assert run("greet", "pods").exit_code == 2
