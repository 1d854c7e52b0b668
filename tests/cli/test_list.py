"""`netpolc list`: rows written by hand, every form as a golden file, filters, refusals.

`expected/` holds the forms, rewritten by `--update-golden`.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from netpolc.cli.review import graphviz
from netpolc.core.errors import SystemRefusal
from tests.cli.invocation import invoke, run
from tests.cli.test_terminal import on_terminal
from tests.helpers.manifests import namespace, pod, policy
from tests.helpers.scenarios import ROOT

HERE = Path(__file__).parent
THREE_TIER = str(ROOT / "examples" / "three-tier")
DUAL = str(ROOT / "examples" / "dual-stack")
TEMPLATES = str(ROOT / "examples" / "deployment-template")
needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")


def rows(*arguments: str) -> list[tuple[str, str, str]]:
    """Source, destination and connection, without `[Kind]`."""
    outcome = invoke("list", *arguments, "-o", "csv")
    assert (outcome.code, outcome.stderr) == (0, "")
    header, *found = csv.reader(io.StringIO(outcome.stdout, newline=""), strict=True)
    assert header == ["source", "destination", "families", "connection"]
    return [(re.sub(r"\[Pod\]", "", a), re.sub(r"\[Pod\]", "", b), d) for a, b, _, d in found]


def test_filters_by_workload_namespace_direction_and_port() -> None:
    database = [
        ("production/backend-1", "production/database-1", "TCP 5432"),
        ("production/backend-2", "production/database-1", "TCP 5432"),
    ]
    into = ("--direction", "ingress")
    for pattern in ("database-1", "production/database-?", "*/data*", "database-1[Pod]"):
        assert rows(THREE_TIER, "--workload", pattern, *into) == database
    assert rows(THREE_TIER, "--workload", "backend-*", "--direction", "egress") == database
    assert rows(THREE_TIER, "--port", "TCP/5432", "--namespace", "prod*", *into) == database
    assert rows(THREE_TIER, "--workload", "backend-1", "--workload", "backend-2") == [
        *database,
        ("production/frontend-1", "production/backend-1", "TCP 8080"),
        ("production/frontend-1", "production/backend-2", "TCP 8080"),
        ("production/frontend-2", "production/backend-1", "TCP 8080"),
        ("production/frontend-2", "production/backend-2", "TCP 8080"),
    ]
    assert ("kube-system/coredns", "0.0.0.0/0; ::/0", "all") in rows(THREE_TIER, "--port", "5432")
    dns = rows(THREE_TIER, "--workload", "frontend-1", "--direction", "egress", "--port", "udp/53")
    assert dns == [
        ("production/frontend-1", "kube-system/coredns", "UDP 53"),
        ("production/frontend-1", "other/client", "UDP 53"),
    ]
    assert rows(THREE_TIER, "--workload", "backend-1", "--port", "25") == []


def test_direction_alone_is_that_of_workloads() -> None:
    outgoing = rows(THREE_TIER, "--direction", "egress")
    incoming = rows(THREE_TIER, "--direction", "ingress")
    assert not any(source.startswith("0.0.0.0/0") for source, _, _ in outgoing)
    assert not any(destination.startswith("0.0.0.0/0") for _, destination, _ in incoming)
    assert sorted({*outgoing, *incoming}) == sorted(rows(THREE_TIER))


def test_groups_of_pods_that_no_policy_tells_apart() -> None:
    assert rows(THREE_TIER, "--group", "identity", "--workload", "backend-1") == [
        ("production/backend-1+1", "production/database-1", "TCP 5432"),
        ("production/frontend-1+1", "production/backend-1+1", "TCP 8080"),
    ]


def test_exposure_of_a_workload() -> None:
    assert rows(THREE_TIER, "--exposure", "--workload", "database-1", "--direction", "ingress") == [
        ("production/[pods with tier=backend]", "production/database-1", "TCP 5432")
    ]
    arriving = rows(THREE_TIER, "--exposure", "--direction", "ingress")
    assert all("[" in destination for _, destination, _ in arriving)


def test_newcomers_without_any_connection_are_named() -> None:
    closed = policy("shop/closed", podSelector={"matchLabels": {"app": "db"}})
    closed["spec"]["policyTypes"] = ["Ingress", "Egress"]
    items = [namespace("shop"), pod("shop/web", "10.0.0.1"), closed]
    stdin = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
    outcome = invoke("list", "-", "--exposure", stdin=stdin)
    assert (outcome.code, outcome.stderr) == (0, "no connection: shop/[pods with app=db]\n")
    assert "shop/[any pod]" in outcome.stdout
    assert "app=db" not in outcome.stdout
    document = json.loads(invoke("list", "-", "--exposure", "-o", "json", stdin=stdin).stdout)
    assert "shop/[pods with app=db]" in [party["name"] for party in document["parties"]]


def test_an_identity_in_many_namespaces_is_in_no_box() -> None:
    arguments = ("list", THREE_TIER, "--group", "identity")
    document = json.loads(invoke(*arguments, "-o", "json").stdout)
    spaces = {party["name"]: party["namespace"] for party in document["parties"]}
    assert spaces["kube-system/coredns+1"] is None
    assert spaces["production/backend-1+1"] == "production"
    graph = invoke(*arguments, "-o", "dot").stdout
    assert re.findall(r"^    label=(\S+);", graph, re.MULTILINE) == ['"production"']


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workload", "databse-1"], "no workload with pods of its own matches 'databse-1'"),
        (["--namespace", "staging"], "no namespace with pods of its own matches 'staging'"),
        (["--workload", "client", "--namespace", "production"], "no workload"),
        (["--port", "http"], "'http' is no port"),
        (["--port", "TCP/65536"], "'TCP/65536' is no port"),
        (["--port", "0"], "'0' is no port"),
        (["--port", "ICMP/1"], "'ICMP/1' is no port"),
        (["--direction", "both"], "'both' is not one of"),
        (["-o", "html", "--port", "80"], "-o html has its own filters"),
        (["-o", "html", "--exposure"], "-o html has its own filters"),
    ],
)
def test_refusals(arguments: list[str], message: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    outcome = invoke("list", THREE_TIER, *arguments, "--file", str(target))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert not target.exists()


@pytest.mark.parametrize("form", ["table", "json", "csv", "md", "dot", "mermaid"])
@pytest.mark.parametrize("example", ["dual-stack", "deployment-template", "v18-ip-blocks"])
def test_golden(example: str, form: str, update_golden: bool) -> None:
    arguments = ["list", str(ROOT / "examples" / example), "-o", form]
    text = invoke(*arguments).stdout
    golden = HERE / "expected" / f"list-{example}.{form}"
    if update_golden:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, newline="")
    assert text == golden.read_bytes().decode()


def test_a_file_holds_what_is_printed(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    outcome = invoke("list", THREE_TIER, "--file", str(target))
    assert (outcome.code, outcome.stdout) == (0, "")
    assert target.read_text() == invoke("list", THREE_TIER).stdout
    refused = invoke("list", THREE_TIER, "--file", str(tmp_path / "no" / "folder"))
    assert refused.code == 3
    assert "cannot write" in refused.stderr


def test_a_page_with_the_reasons(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    outcome = invoke("list", THREE_TIER, "-o", "html", "--file", str(target))
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")
    page = target.read_text()
    assert page.startswith("<!doctype html>")
    assert f"<title>Who can reach whom: {THREE_TIER}</title>" in page
    assert f"{THREE_TIER}/policies.yaml:34:1" in page
    by_identity = invoke("list", THREE_TIER, "-o", "html", "--group", "identity").stdout
    assert '"name":"kube-system/coredns+1"' in by_identity


def test_the_json_names_every_party_it_connects() -> None:
    document = json.loads(invoke("list", DUAL, "-o", "json").stdout)
    parties = {party["name"]: party for party in document["parties"]}
    assert document["version"] == 1
    assert parties["web/public4[Pod]"]["namespace"] == "web"
    for found in document["connections"]:
        assert {found["source"], found["destination"]} <= set(parties)
    (own,) = (
        found
        for found in document["connections"]
        if (found["source"], found["destination"]) == ("clients/both[Pod]", "web/public6[Pod]")
    )
    assert own == {
        "source": "clients/both[Pod]",
        "destination": "web/public6[Pod]",
        "families": ["IPv6"],
        "connection": "TCP 80",
        "ports": ["TCP 80"],
        "others": False,
    }


@needs_graphviz
def test_svg_is_a_drawing_of_every_workload() -> None:
    outcome = invoke("list", TEMPLATES, "-o", "svg")
    assert (outcome.code, outcome.stderr) == (0, "")
    texts = {text for text in ElementTree.fromstring(outcome.stdout).itertext() if text.strip()}
    assert {"shop/web[Deployment]", "shop/report[CronJob]", "TCP 8080"} <= texts


def test_svg_without_graphviz_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(HERE))
    outcome = invoke("list", TEMPLATES, "-o", "svg")
    assert (outcome.code, outcome.stdout) == (3, "")
    assert "install it (apt install graphviz), or take -o dot" in outcome.stderr


def test_a_drawing_that_takes_too_long_or_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "dot"
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    slow.write_text("#!/bin/sh\nexec sleep 20\n")
    slow.chmod(0o755)
    with pytest.raises(SystemRefusal, match="dot did not draw 1 arrows in 0 seconds"):
        graphviz.svg('digraph { "a" -> "b" }', patience=0.2)
    slow.write_text("#!/bin/sh\necho no such font >&2; exit 4\n")
    with pytest.raises(SystemRefusal, match="dot refused the graph: no such font"):
        graphviz.svg('digraph { "a" -> "b" }')


def test_a_terminal_gets_a_drawn_table_and_a_pipe_columns() -> None:
    code = f"import sys; sys.argv[1:] = ['list', {DUAL!r}]\nfrom netpolc.cli import run; run()"
    assert "───" in on_terminal(code)
    assert "\x1b[3" not in on_terminal(code, NO_COLOR="1")
    piped = run("list", DUAL)
    assert "───" not in piped.stdout
    assert re.match(r"source +destination +families +connection\n", piped.stdout)


def owned(name: str, address: str, owner: dict[str, object]) -> dict[str, object]:
    found = pod(f"shop/{name}", address, **{"pod-template-hash": "7d9f"})
    found["metadata"]["ownerReferences"] = [{"controller": True, **owner}]
    return found


def test_owners_by_name_and_owners_that_are_none(tmp_path: Path) -> None:
    """A ReplicaSet stands for its Deployment; a reference without a kind or a name is none."""
    objects = [
        owned("web-7d9f-a", "10.0.0.1", {"kind": "ReplicaSet", "name": "web-7d9f"}),
        owned("one", "10.0.0.2", {"name": "one-7d9f"}),
        owned("two", "10.0.0.3", {"kind": "ReplicaSet"}),
    ]
    path = tmp_path / "in.json"
    path.write_text("".join(map(json.dumps, objects)))
    listed = json.loads(invoke("list", str(path), "-o", "json").stdout)
    names = [own["name"] for own in listed["parties"] if own["pods"]]
    assert names == ["shop/one[Pod]", "shop/two[Pod]", "shop/web[Deployment]"]
    for pattern in ("web-7d9f", "shop/web-7d9f[ReplicaSet]"):
        found = invoke("list", str(path), "--workload", pattern)
        assert found.code == 2
        said = f"matches {pattern!r}: ReplicaSet web-7d9f is of shop/web[Deployment]\n"
        assert found.stderr.endswith(said)
