"""`list` and `diff` at size: namespaces for workloads, a screenful, what a reviewer reads first.

In: two namespaces with a few workloads. Out: rows and lines counted by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.invocation import invoke
from tests.cli.test_hostile_text import FORMULA, TEXT, judged
from tests.cli.test_terminal import on_terminal
from tests.helpers.manifests import Manifest, namespace, pod, policy

WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
PORTS: list[dict[str, Any]] = [{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]


def declaring(key: str, address: str) -> Manifest:
    found = pod(key, address, app="web")
    found["spec"]["containers"] = [{"name": "c", "ports": PORTS}]
    return found


TEAMS = [
    namespace("shop"),
    namespace("ops"),
    declaring("shop/web", "10.0.0.1"),
    pod("shop/db", "10.0.0.2", app="db"),
    pod("shop/api", "10.0.0.3", app="api"),
    pod("ops/one", "10.0.1.1", app="one"),
    pod("ops/two", "10.0.1.2", app="two"),
]
FROM_OPS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}}}
SHOP = [
    policy("shop/closed", podSelector={}),
    policy("shop/web", **WEB, ingress=[{"from": [FROM_OPS], "ports": [{"port": 80}]}]),
    policy(
        "shop/db",
        podSelector={"matchLabels": {"app": "db"}},
        ingress=[{"from": [WEB, {**FROM_OPS, "podSelector": {"matchLabels": {"app": "one"}}}]}],
    ),
]


def written(path: Path, objects: list[Manifest]) -> str:
    path.write_text("".join(map(json.dumps, objects)))
    return str(path)


@pytest.fixture
def snapshot(tmp_path: Path) -> str:
    return written(tmp_path / "in.json", [*TEAMS, *SHOP])


def test_a_row_for_two_namespaces_and_ports(snapshot: str) -> None:
    """Of ops each of two reaches web, one reaches db; in shop one of six pairs is open."""
    found = invoke("list", snapshot, "--group", "namespace").stdout.splitlines()
    assert [re.split(r"  +", line) for line in found] == [
        ["source", "destination", "connection", "pairs"],
        ["ops", "ops", "all", "2 of 2"],
        ["ops", "shop", "all", "1 of 6"],
        ["ops", "shop", "TCP 80", "2 of 6"],
        ["ops", "0.0.0.0/0", "all", "2 of 2"],
        ["shop", "ops", "all", "6 of 6"],
        ["shop", "shop", "all", "1 of 6"],
        ["shop", "0.0.0.0/0", "all", "3 of 3"],
        ["0.0.0.0/0", "ops", "all", "2 of 2"],
    ]


def test_the_same_for_programs(snapshot: str) -> None:
    chosen = ("--group", "namespace", "--namespace", "shop", "--direction", "ingress")
    found = json.loads(invoke("list", snapshot, *chosen, "-o", "json").stdout)
    assert [(own["name"], len(own["pods"])) for own in found["parties"]] == [
        ("ops", 2),
        ("shop", 3),
    ]
    rows = [
        (own["source"], own["connection"], own["pairs"], own["of"]) for own in found["connections"]
    ]
    assert rows == [("ops", "all", 1, 6), ("ops", "TCP 80", 2, 6), ("shop", "all", 1, 6)]
    table = invoke("list", snapshot, *chosen, "-o", "csv").stdout.splitlines()
    assert table[:2] == [
        "source,destination,families,connection,pairs",
        "ops,shop,IPv4,all,1 of 6",
    ]


@pytest.mark.parametrize("more", [("--why",), ("--exposure",), ("-o", "html")])
def test_what_namespaces_do_not_go_with(snapshot: str, more: tuple[str, ...]) -> None:
    found = invoke("list", snapshot, "--group", "namespace", *more)
    assert (found.code, found.stdout) == (2, "")
    assert "--group namespace goes without" in found.stderr


def test_a_flowchart(snapshot: str) -> None:
    found = invoke("list", snapshot, "--group", "namespace", "-o", "mermaid").stdout
    assert found.splitlines() == [
        "flowchart LR",
        '  n0["ops"]',
        '  n1["shop"]',
        '  n2["0.0.0.0/0"]',
        '  n0 -->|"all"| n0',
        '  n0 -->|"all<br/>TCP 80"| n1',
        '  n0 -->|"all"| n2',
        '  n1 -->|"all"| n0',
        '  n1 -->|"all"| n1',
        '  n1 -->|"all"| n2',
        '  n2 -->|"all"| n0',
    ]
    chosen = ("--workload", "shop/db", "--direction", "ingress", "-o", "mermaid")
    assert invoke("list", snapshot, *chosen).stdout.splitlines() == [
        "flowchart LR",
        '  subgraph s0["ops"]',
        '    n0["ops/one#91;Pod#93;"]',
        "  end",
        '  subgraph s1["shop"]',
        '    n1["shop/db#91;Pod#93;"]',
        '    n2["shop/web#91;Pod#93;"]',
        "  end",
        '  n0 -->|"all"| n1',
        '  n2 -->|"all"| n1',
    ]


@pytest.mark.parametrize("text", [TEXT, FORMULA])
def test_a_flowchart_holds_names_as_data(text: str, tmp_path: Path) -> None:
    odd = pod("shop/web", "10.0.0.1")
    odd["metadata"]["ownerReferences"] = [{"kind": "Thing", "name": text, "controller": True}]
    found = invoke("list", written(tmp_path / "in.json", [odd]), "-o", "mermaid").stdout
    judged(found)
    quoted = r'"[^"\\<>`]*(?:<br/>[^"\\<>`]*)*"'
    for line in found.splitlines():
        bare = re.sub(quoted, "TEXT", line)
        assert re.fullmatch(
            r"flowchart LR|  end|  subgraph s\d\[TEXT\]| +n\d\[TEXT\]|  n\d -->\|TEXT\| n\d",
            bare,
        ), line


def on_screen(*arguments: str, lines: int = 24) -> list[str]:
    code = f"import sys; sys.argv = {['netpolc', *arguments]!r}; from netpolc.cli import run; run()"
    shown = on_terminal(code, LINES=str(lines), NO_COLOR="1")
    return [line.rstrip() for line in shown.splitlines()]


def test_beyond_a_screenful_a_terminal_says_how_to_see_more(tmp_path: Path) -> None:
    many = [pod(f"shop/web-{number}", f"10.0.0.{number}") for number in range(1, 9)]
    path = written(tmp_path / "in.json", [namespace("shop"), *many])
    rows = len(invoke("list", path).stdout.splitlines()) - 1
    assert rows == 8 * 7 + 2 * 8
    shown = on_screen("list", path)
    assert len(shown) <= 24
    assert f"{rows - 18} more rows: | less shows all, --group namespace fewer," in shown
    whole = on_screen("list", path, lines=200)
    assert not [line for line in whole if "more rows" in line]
    assert not [
        line for line in on_screen("list", path, "--port", "80", lines=99) if "more" in line
    ]
    grouped = on_screen("list", path, "--group", "namespace")
    assert not [line for line in grouped if "more rows" in line]


def compared(tmp_path: Path, *arguments: str) -> str:
    """From the policies of the shop to none in front of web, and a range that reaches db."""
    block = {"ipBlock": {"cidr": "192.0.2.0/24"}}
    db = policy("shop/db", podSelector={"matchLabels": {"app": "db"}}, ingress=[{"from": [block]}])
    web = policy("shop/web", **WEB, ingress=[{"from": [FROM_OPS]}])
    old = written(tmp_path / "old.json", [*TEAMS, *SHOP])
    new = written(tmp_path / "new.json", [*TEAMS, SHOP[0], web, db])
    found = invoke("diff", old, new, *arguments)
    assert found.code == 1
    return found.stdout


def test_a_comment_begins_with_what_opens_between_namespaces(tmp_path: Path) -> None:
    text = compared(tmp_path, "--summary")
    head, _, table = text.partition("\n<details>")
    assert head.splitlines() == [
        "### Network policies: connections: 1 added, 2 removed, 2 changed; "
        "workloads: 0 new, 0 lost",
        "",
        "- **opens** <code>192.0.2.0/24</code> → <code>shop</code>: <code>all</code> "
        "(1 pair of workloads)",
        "- **opens** <code>ops</code> → <code>shop</code>: <code>all except TCP 80</code> "
        "(2 pairs of workloads)",
        "- closes <code>ops</code> → <code>shop</code>: <code>all</code> (1 pair of workloads)",
        "- closes <code>shop</code> → <code>shop</code>: <code>all</code> (1 pair of workloads)",
    ]
    assert table.count("\n| ") == 2 + 5
    assert text.endswith("\n</details>\n")


def test_a_comment_stays_small_and_is_refused_as_anything_else(tmp_path: Path) -> None:
    many = [pod(f"shop/w{number}", f"10.0.0.{number}") for number in range(1, 10)]
    old = written(tmp_path / "old.json", many)
    new = written(tmp_path / "new.json", [*many, policy("shop/closed", podSelector={})])
    text = invoke("diff", old, new, "--summary").stdout
    assert text.count("\n| ") == 2 + 50
    assert "\nand 31 more rows\n" in text  # 9 * 8 pairs, and 9 that addresses reached
    assert invoke("diff", old, old, "--summary").stdout == "### Network policies: no difference\n"
    assert invoke("diff", old, new, "--summary", "-o", "json").code == 2


def test_examples_are_declared_ports_and_addresses_of_hosts(tmp_path: Path) -> None:
    """web declares 8080; the first address of a block stands for the block."""
    lines = compared(tmp_path).splitlines()
    assert "    now allowed: ops/one -> shop/web TCP/8080" in lines
    assert "    now allowed: 192.0.2.1 -> shop/db TCP/1" in lines


def test_a_flowchart_of_a_change(tmp_path: Path) -> None:
    lines = compared(tmp_path, "-o", "mermaid").splitlines()
    assert lines[0] == "flowchart LR"
    labels = sorted(line.split("|")[1] for line in lines if "-->" in line)
    changed = '"~ TCP 80 =#62; all"'
    assert labels == ['"+ all"', '"- all"', '"- all"', changed, changed]
    assert sum("stroke:#cf3f3f" in line for line in lines) == 2  # what is gone
    assert sum("stroke:#1f8043" in line for line in lines) == 1  # what is new
