"""Policies of kinds that are not judged are said in every form of every command.

In: a pod, a NetworkPolicy, and policies of Cilium and Istio beside them. Out: a field, a line, a
banner or a property, counted by hand; with `--unread error` an exit code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import netpolc
from netpolc.core.cluster import Unread
from tests.cli.invocation import invoke
from tests.cli.test_hostile_text import TEXT, judged, well_formed
from tests.helpers.manifests import pod, policy

CILIUM = {
    "apiVersion": "cilium.io/v2",
    "kind": "CiliumNetworkPolicy",
    "metadata": {"name": "l7", "namespace": "shop"},
    "spec": {"endpointSelector": {}},
}
ISTIO = {
    "apiVersion": "security.istio.io/v1",
    "kind": "AuthorizationPolicy",
    "metadata": {"name": "strict", "namespace": "shop"},
}
EXPECT = {
    "apiVersion": "netpolc.dev/v1",
    "kind": "Expectations",
    "metadata": {"name": "team", "namespace": "shop"},
    "expectations": [{"from": "192.0.2.1", "to": "web", "port": 80, "expect": "deny"}],
}
SAID = (
    "not judged, whatever they say: 1 CiliumNetworkPolicy (cilium.io/v2), "
    "1 AuthorizationPolicy (security.istio.io/v1)"
)
FIELD = {
    "cilium.io/v2 CiliumNetworkPolicy": ["shop/l7"],
    "security.istio.io/v1 AuthorizationPolicy": ["shop/strict"],
}
KIND = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
FLOW = ("--src", "shop/web", "--dst", "192.0.2.1", "--port", "80")


def written(path: Path, *objects: object) -> str:
    base = (pod("shop/web", "10.0.0.1", app="web"), policy("shop/web", podSelector={}))
    path.write_text("".join(json.dumps(own) + "\n" for own in (*base, *objects)))
    return str(path)


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    return written(tmp_path / "snapshot.json", CILIUM, ISTIO)


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("check", "--select", "NP7"),
        ("check", "-o", "github", "--select", "NP7"),
        ("check", "-o", "junit"),
        ("list",),
        ("list", "-o", "csv"),
        ("list", "-o", "md"),
        ("list", "-o", "dot"),
        ("list", "-o", "html"),
        ("explain", *FLOW),
        ("eval", *FLOW),
    ],
)
def test_forms_for_people_say_it(snapshot: str, command: tuple[str, ...]) -> None:
    assert SAID in invoke(command[0], snapshot, *command[1:]).stdout


@pytest.mark.parametrize(
    "command", [("check",), ("list",), ("explain", *FLOW), ("compile", "--format", "ir")]
)
def test_json_has_a_field(snapshot: str, command: tuple[str, ...]) -> None:
    form = () if command[0] == "compile" else ("-o", "json")
    assert json.loads(invoke(command[0], snapshot, *command[1:], *form).stdout)["unread"] == FIELD


def test_sarif_has_a_property(snapshot: str) -> None:
    (run,) = json.loads(invoke("check", snapshot, "-o", "sarif").stdout)["runs"]
    assert run["properties"]["unread"] == FIELD


def test_junit_has_a_property(snapshot: str) -> None:
    xml = ElementTree.fromstring(invoke("check", snapshot, "-o", "junit").stdout)
    (found,) = xml.findall("testsuite/properties/property")
    assert found.attrib == {"name": "unread", "value": SAID}


def test_the_page_has_a_banner(snapshot: str) -> None:
    banner = f'<p class="banner" role="note">{SAID}</p>'
    assert banner in invoke("list", snapshot, "-o", "html").stdout
    assert banner in invoke("diff", snapshot, snapshot, "-o", "html").stdout


def test_a_ruleset_says_it_and_is_the_same_otherwise(snapshot: str, tmp_path: Path) -> None:
    said = [
        "1 CiliumNetworkPolicy (cilium.io/v2): not judged",
        "1 AuthorizationPolicy (security.istio.io/v1): not judged",
    ]
    text = invoke("compile", snapshot).stdout
    assert all(f'comment "{own}"' in text for own in said)
    objects = json.loads(invoke("compile", snapshot, "-o", "json").stdout)["nftables"]
    comments = [own["add"].get("counter", {}).get("comment") for own in objects if "add" in own]
    assert set(said) <= set(comments)
    plain = netpolc.compile(netpolc.load([written(tmp_path / "plain.json")])).ruleset(None)
    assert plain.digest in text
    assert "not judged" not in plain.text()


def test_a_template_that_makes_a_policy(tmp_path: Path) -> None:
    template = {
        "apiVersion": "template.openshift.io/v1",
        "kind": "Template",
        "metadata": {"name": "project", "namespace": "shop"},
        "objects": [policy("${NAME}/default-deny", podSelector={})],
    }
    path = written(tmp_path / "template.json", template)
    said = "not judged, whatever they say: 1 Template (template.openshift.io/v1)"
    assert said in invoke("list", path).stdout
    template["objects"] = [pod("shop/job")]
    path = written(tmp_path / "other.json", template)
    assert "not judged" not in invoke("list", path).stdout


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        # Kyverno, as it generates today and as it did at first
        (
            {"rules": [{"generate": {**KIND, "name": "deny", "data": {"spec": {}}}}]},
            "spec.rules[0].generate.kind",
        ),
        (
            {"rules": [{"generate": {"kind": "NetworkPolicy", "clone": {"name": "deny"}}}]},
            "spec.rules[0].generate.kind",
        ),
        # work for other clusters
        (
            {"workload": {"manifests": [pod("shop/job"), policy("deny", podSelector={})]}},
            "spec.workload.manifests[1].kind",
        ),
    ],
)
def test_what_makes_a_policy_is_not_passed_over(
    tmp_path: Path, spec: dict[str, Any], where: str
) -> None:
    maker = {"apiVersion": "example.com/v1", "kind": "Maker", "metadata": {"name": "a"}}
    path = written(tmp_path / "maker.json", {**maker, "spec": spec})
    outcome = invoke("check", path)
    assert f"NP003: {where}: example.com/v1 Maker is not read" in outcome.stdout
    assert outcome.code == 1
    (tmp_path / "maker.yaml").write_text(yaml.safe_dump({**maker, "spec": spec}))
    assert f"NP003: {where}: " in invoke("check", str(tmp_path / "maker.yaml")).stdout


def test_what_only_names_a_policy_makes_none(tmp_path: Path) -> None:
    own = {"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "PolicyReport"}
    metadata = {"name": "a", "namespace": "shop", "ownerReferences": [{**KIND, "name": "web"}]}
    report = {**own, "metadata": metadata, "scope": {**KIND, "name": "web", "namespace": "shop"}}
    names = {"kind": "CiliumNetworkPolicy", "plural": "ciliumnetworkpolicies"}
    definition: dict[str, Any] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "a"},
        "spec": {"group": "cilium.io", "names": names},
    }
    path = written(tmp_path / "names.json", report, definition)
    assert "not judged" not in invoke("list", path).stdout


def test_a_described_policy_says_it(snapshot: str) -> None:
    found = invoke("explain", f"{snapshot}#shop/web")
    assert found.stdout.endswith(f"{SAID}\n")
    document = json.loads(invoke("explain", f"{snapshot}#shop/web", "-o", "json").stdout)
    assert document["unread"] == FIELD


def test_expectations_say_it(tmp_path: Path) -> None:
    path = written(tmp_path / "all.json", CILIUM, ISTIO, EXPECT)
    assert SAID in invoke("test", path).stdout
    assert json.loads(invoke("test", path, "-o", "json").stdout)["unread"] == FIELD
    assert SAID in invoke("test", path, "-o", "junit").stdout


@pytest.mark.parametrize("question", [(), ("--unused",), ("--denied",)])
def test_audits_say_it(tmp_path: Path, snapshot: str, question: tuple[str, ...]) -> None:
    log = tmp_path / "log.csv"
    log.write_text("src,dst,protocol,port\n10.0.0.1,192.0.2.1,tcp,80\n192.0.2.1,10.0.0.1,tcp,80\n")
    asked = ("audit", str(log), "--policies", snapshot, *question)
    assert invoke(*asked).stdout.endswith(f"{SAID}\n")
    assert json.loads(invoke(*asked, "-o", "json").stdout)["unread"] == FIELD
    header, *rows = invoke(*asked, "-o", "csv").stdout.splitlines()
    assert header.endswith(",unread")
    assert all(row.endswith(f',"{SAID}"') for row in rows)
    table = tmp_path / "table.txt"
    invoke(*asked, "--file", str(table))
    assert table.read_text().endswith(f"{SAID}\n")


def test_an_audit_of_a_change_says_what_either_side_has(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("src,dst,protocol,port\n10.0.0.1,192.0.2.1,tcp,80\n")
    sides = [written(tmp_path / f"{own['kind']}.json", own) for own in (CILIUM, ISTIO)]
    asked = ("audit", str(log), "--policies", sides[0], "--against", sides[1], "-o", "json")
    assert json.loads(invoke(*asked).stdout)["unread"] == FIELD


def compared(tmp_path: Path, old: Any, new: Any, *arguments: str) -> tuple[int, str]:
    paths = [written(tmp_path / "old.json", *old), written(tmp_path / "new.json", *new)]
    outcome = invoke("diff", *paths, *arguments)
    return outcome.code, outcome.stdout


def test_trees_that_differ_in_what_is_not_judged_alone(tmp_path: Path) -> None:
    other = {**CILIUM, "spec": {"endpointSelector": {"matchLabels": {"app": "web"}}}}
    assert compared(tmp_path, [CILIUM], [other]) == (
        0,
        "no difference in what is judged\n"
        "not judged, whatever they say: 1 CiliumNetworkPolicy (cilium.io/v2); 1 of them differ, "
        "and what that changes is not known\n",
    )
    _, text = compared(tmp_path, [CILIUM], [other], "-o", "json")
    kind = {"cilium.io/v2 CiliumNetworkPolicy": ["shop/l7"]}
    found = json.loads(text)
    assert (found["unread"], found["unread_changed"]) == (kind, kind)
    _, text = compared(tmp_path, [CILIUM], [CILIUM], "-o", "json")
    assert "unread_changed" not in json.loads(text)
    assert "of them differ" not in compared(tmp_path, [CILIUM], [CILIUM])[1]
    for form in ("md", "dot"):
        assert "1 of them differ" in compared(tmp_path, [CILIUM], [other], "-o", form)[1]


def test_without_such_policies_nothing_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "plain.json")
    for command in ("check", "list"):
        assert "unread" not in invoke(command, path, "-o", "json").stdout
    assert invoke("diff", path, path).stdout == "no difference\n"


@pytest.mark.parametrize(
    "command", [("list",), ("explain", *FLOW), ("eval", *FLOW), ("compile",), ("diff",)]
)
def test_they_are_refused_where_that_is_asked_for(snapshot: str, command: tuple[str, ...]) -> None:
    paths = (snapshot, snapshot) if command[0] == "diff" else (snapshot,)
    found = invoke(command[0], *paths, *command[1:], "--unread", "error")
    assert (found.code, found.stdout) == (2, "")
    assert f"{snapshot}:3:" in found.stderr
    assert f"{snapshot}:4:" in found.stderr
    assert "security.istio.io/v1 AuthorizationPolicy is not read" in found.stderr


def test_a_check_goes_on_and_fails(snapshot: str) -> None:
    assert invoke("check", snapshot, "--fail-on", "error").code == 0
    chosen = ("--select", "NP5", "--fail-on", "error", "--unread", "error")
    found = invoke("check", snapshot, *chosen)
    assert found.code == 1
    assert found.stdout.count("error NP003") == 2
    assert "info NP502" in found.stdout


def test_settings_may_ask_for_it(snapshot: str) -> None:
    settings = Path(snapshot).with_name(".netpolc.toml")
    settings.write_text('unread = "error"\n')
    assert invoke("list", snapshot).code == 2
    assert invoke("list", snapshot, "--unread", "warn").code == 0
    settings.write_text('unread = "loud"\n')
    found = invoke("list", snapshot)
    assert (found.code, found.stderr.count(f"{settings}:1: unread: 'loud' is none of")) == (2, 1)


def test_an_object_may_waive_it(tmp_path: Path) -> None:
    metadata = {**CILIUM["metadata"], "annotations": {"netpolc.dev/ignore": "NP003"}}  # type: ignore[dict-item]
    path = written(tmp_path / "waived.json", {**CILIUM, "metadata": metadata})
    found = invoke("list", path, "--unread", "error")
    assert (found.code, "not read" in found.stderr) == (0, False)
    assert "1 CiliumNetworkPolicy" in found.stdout


def test_python_has_them(snapshot: str) -> None:
    found = netpolc.load([snapshot]).unread
    assert [(own.kind, own.name) for own in found] == [
        ("cilium.io/v2 CiliumNetworkPolicy", "shop/l7"),
        ("security.istio.io/v1 AuthorizationPolicy", "shop/strict"),
    ]
    assert all(isinstance(own, Unread) for own in found)


@pytest.mark.parametrize(
    "command",
    [
        *(("list", "-o", form) for form in ("table", "json", "csv", "md", "dot")),
        *(("check", "-o", form) for form in ("text", "json", "sarif", "github", "junit")),
        ("diff", "-o", "md"),
        ("compile", "--format", "ir"),
    ],
    ids=" ".join,
)
def test_what_they_are_called_steers_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    odd = {
        "apiVersion": f"{TEXT}/v1",
        "kind": f"{TEXT}NetworkPolicy",
        "metadata": {"name": TEXT, "namespace": TEXT},
    }
    path = written(tmp_path / "odd.json", odd)
    paths = (path, path) if command[0] == "diff" else (path,)
    found = invoke(command[0], *paths, *command[1:])
    form = command[-1]
    assert "task.complete" in found.stdout
    judged(found.stdout, form)
    well_formed(found.stdout, form)
    judged(found.stderr)


def test_the_banner_is_text(tmp_path: Path) -> None:
    odd = {**CILIUM, "kind": "</p><script>NetworkPolicy"}
    page = invoke("list", written(tmp_path / "odd.json", odd), "-o", "html").stdout
    well_formed(page, "html")
    assert "1 &lt;/p&gt;&lt;script&gt;NetworkPolicy (cilium.io/v2)" in page
