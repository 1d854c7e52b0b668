"""Records that name pods of which the snapshot has no address: judged by name, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from netpolc import compile as compile_
from netpolc import load
from netpolc.core.program import Program
from netpolc.core.semantics import Flow, Verdict, evaluate
from netpolc.flows.decode import decoded_batches
from netpolc.flows.judging import Judged, RecordJudge
from netpolc.flows.notes import LogNotes
from netpolc.flows.sources import LogSource
from tests.cli.invocation import invoke

Object = dict[str, Any]
BY_NAME = "a pod without an address in the snapshot, where its name does not decide"
WEB, OTHER = ({"podSelector": {"matchLabels": {"app": app}}} for app in ("web", "other"))


def pod(space: str, name: str, port: str = "", number: int = 0, ip: str = "") -> Object:
    ports = [{"name": port, "containerPort": number}] if port else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space, "labels": {"app": name}},
        "spec": {"containers": [{"ports": ports}]},
        **({"status": {"podIPs": [{"ip": ip}]}} if ip else {}),
    }


def policy(subject: str, **rules: list[Object]) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"of-{subject}", "namespace": "a"},
        "spec": {
            "podSelector": {"matchLabels": {"app": subject}},
            "policyTypes": [name.capitalize() for name in rules],
            **rules,
        },
    }


CLUSTER: list[Object] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b", "labels": {"team": "b"}}},
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.1"}]},
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "a"},
        "spec": {"template": pod("a", "web", "http", 8080)},
    },
    pod("a", "db", "sql", 5432),
    pod("b", "far"),
    pod("a", "live", ip="10.0.0.5"),
]


def written(folder: Path, *policies: Object, name: str = "cluster.json") -> str:
    path = folder / name
    path.write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [*CLUSTER, *policies]})
    )
    return str(path)


def log(folder: Path, *rows: str) -> str:
    path = folder / "log.csv"
    header = "src,dst,protocol,port,src_port,verdict,direction,is_reply"
    path.write_text("".join(f"{row}\n" for row in (header, *rows)))
    return str(path)


def judged(folder: Path, flow: str, *policies: Object, rest: str = "1,forwarded,,false") -> str:
    """What policies say of one record, or why it is not judged."""
    path = written(folder, *policies)
    outcome = invoke(
        "audit", log(folder, f"{flow},{rest}", "10.0.0.5,10.0.0.5,tcp,1,1,,,false"),
        "--policies", path, "-o", "json",
    )  # fmt: skip
    found = json.loads(outcome.stdout)
    rows = [row for row in found["flows"] if row["source"] != "a/live[Pod]" or row["port"] != 1]
    return rows[0]["policies"] if rows else str(next(iter(found["not_judged"])))


FROM_WEB = policy("db", ingress=[{"from": [WEB], "ports": [{"port": "sql"}]}])
FROM_B = policy(
    "db", ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}]}]
)  # fmt: skip
TO_SQL = policy("web", egress=[{"to": [{"podSelector": {}}], "ports": [{"port": "sql"}]}])
LIVE_FROM_WEB = policy("live", ingress=[{"from": [WEB]}])


@pytest.mark.parametrize(
    ("flow", "own", "says"),
    [
        ("a/web,a/db,tcp,5432", FROM_WEB, "allow"),
        ("a/web[Deployment],a/db,tcp,5432", FROM_WEB, "allow"),
        ("a/web,a/db,tcp,5433", FROM_WEB, "deny"),
        ("b/far,a/db,tcp,5432", FROM_WEB, "deny"),
        ("203.0.113.7,a/db,tcp,5432", FROM_WEB, "deny"),
        ("10.0.0.5,a/db,tcp,5432", FROM_WEB, "deny"),
        ("a/live,a/db,tcp,5432", FROM_WEB, "deny"),
        ("a/web,10.0.0.5,tcp,80", LIVE_FROM_WEB, "allow"),
        ("a/db,10.0.0.5,tcp,80", LIVE_FROM_WEB, "deny"),
        ("b/far,a/db,tcp,80", FROM_B, "allow"),
        ("a/web,a/db,tcp,80", FROM_B, "deny"),
        ("a/web,a/db,tcp,5432", TO_SQL, "allow"),
        ("a/web,a/db,tcp,80", TO_SQL, "deny"),
        ("a/web,10.0.0.5,tcp,5432", TO_SQL, "deny"),
        ("a/db,a/web,tcp,80", TO_SQL, "allow"),
        ("a/nobody,a/db,tcp,5432", FROM_WEB, "a pod that is not in the snapshot"),
        ("a/web-5d8f7-x2x4z,a/db,tcp,5432", FROM_WEB, "a pod that is not in the snapshot"),
        ("a/web,a/db,tcp,", FROM_WEB, "no port"),
    ],
)
def test_by_name_in_both_directions(flow: str, own: Object, says: str, tmp_path: Path) -> None:
    assert judged(tmp_path, flow, own) == says


def block(cidr: str, *but: str) -> Object:
    return {"ipBlock": {"cidr": cidr, **({"except": [*but]} if but else {})}}


@pytest.mark.parametrize(
    ("flow", "own", "says"),
    [
        # The pod may have an address of the block, or another one.
        ("a/web,a/db,tcp,80", policy("db", ingress=[{"from": [block("10.0.0.0/8")]}]), BY_NAME),
        ("a/web,a/db,tcp,80", policy("web", egress=[{"to": [block("10.0.0.0/8")]}]), BY_NAME),
        (
            "a/web,a/db,tcp,80",
            policy("web", egress=[{"to": [block("0.0.0.0/0", "10.0.0.0/8")]}]),
            BY_NAME,
        ),
        # A port that the rule does not have is denied wherever the pod is.
        (
            "a/web,a/db,tcp,80",
            policy("db", ingress=[{"from": [block("10.0.0.0/8")], "ports": [{"port": 443}]}]),
            "deny",
        ),
        # Every address of the family that pods have; and the name admits, whatever the block.
        ("a/web,a/db,tcp,80", policy("db", ingress=[{"from": [block("0.0.0.0/0")]}]), "allow"),
        ("a/web,a/db,tcp,80", policy("db", ingress=[{"from": [block("::/0")]}]), "deny"),
        (
            "a/web,a/db,tcp,80",
            policy("db", ingress=[{"from": [WEB, block("10.0.0.0/8")]}]),
            "allow",
        ),
        # The only addresses of the block belong to others: the pod has none of them.
        ("a/web,a/db,tcp,80", policy("db", ingress=[{"from": [block("10.0.0.5/32")]}]), "deny"),
        ("a/web,a/db,tcp,80", policy("db", ingress=[{"from": [block("192.168.0.1/32")]}]), "deny"),
        # The block is about the other end, whose address is known.
        ("10.0.0.9,a/db,tcp,80", policy("db", ingress=[{"from": [block("10.0.0.8/29")]}]), "allow"),
        ("10.0.0.1,a/db,tcp,80", policy("db", ingress=[{"from": [block("10.0.0.8/29")]}]), "deny"),
        # A name of a port in a block means the pods there, of which it may be one.
        (
            "a/web,a/db,tcp,5432",
            policy("web", egress=[{"to": [block("10.0.0.0/8")], "ports": [{"port": "sql"}]}]),
            BY_NAME,
        ),
        (
            "a/web,a/db,tcp,80",
            policy("web", egress=[{"to": [block("10.0.0.0/8")], "ports": [{"port": "sql"}]}]),
            "deny",
        ),
    ],
)  # fmt: skip
def test_a_block_may_hold_whom_nobody_knows(
    flow: str, own: Object, says: str, tmp_path: Path
) -> None:
    assert judged(tmp_path, flow, own) == says


def test_a_replica_may_be_itself_and_a_node_the_own_one(tmp_path: Path) -> None:
    closed = policy("web", ingress=[], egress=[])
    assert judged(tmp_path, "a/web,a/web,tcp,80", closed) == BY_NAME
    assert judged(tmp_path, "192.168.0.1,a/web,tcp,80", closed) == BY_NAME
    assert judged(tmp_path, "a/web,192.168.0.1,tcp,80", closed) == BY_NAME
    assert judged(tmp_path, "a/web,a/web,tcp,80") == "allow"
    assert judged(tmp_path, "192.168.0.1,a/web,tcp,80") == "allow"


def test_at_whose_end_and_replies(tmp_path: Path) -> None:
    seen = "1,forwarded,{},false"
    flow = "b/far,a/db,tcp,5432"
    assert judged(tmp_path, flow, FROM_WEB, rest=seen.format("ingress")) == "deny"
    far = judged(tmp_path, flow, FROM_WEB, rest=seen.format("egress"))
    assert far == "deny at the other end"


def test_a_reply_to_a_name(tmp_path: Path) -> None:
    isolated = policy("web", ingress=[])
    for port, says in (("5432", "deny, unless a reply"), ("5433", "deny")):
        flow = "a/db,a/web,tcp,40000"
        assert judged(tmp_path, flow, FROM_WEB, isolated, rest=f"{port},,,") == says
    blocked = policy("db", ingress=[{"from": [block("10.0.0.0/8")]}])
    assert judged(tmp_path, flow, blocked, isolated, rest="5432,,,") == BY_NAME


def test_unused_rules_are_those_that_nobody_can_have_needed(tmp_path: Path) -> None:
    """The second rule may hold the pod, the third one cannot, whatever its address."""
    rules: list[Object] = [
        {"from": [WEB], "ports": [{"port": "sql"}]},
        {"from": [block("10.0.0.0/8")]},
        {"from": [OTHER]},
    ]
    path = written(tmp_path, policy("db", ingress=rules))

    def unused(row: str) -> list[str]:
        found = invoke(
            "audit", log(tmp_path, row, "10.0.0.5,a/db,tcp,81,1,,,true"),
            "--policies", path, "--unused", "-o", "json",
        )  # fmt: skip
        return [own["rule"] for own in json.loads(found.stdout)["unused"]]

    assert unused("a/web,a/db,tcp,5432,1,,,false") == ["ingress[2]"]
    assert unused("b/far,a/db,tcp,5432,1,,,false") == ["ingress[0]", "ingress[2]"]
    path = written(tmp_path, policy("db", ingress=[rules[0], rules[2]]))
    assert unused("a/web,a/db,tcp,5432,1,,,false") == ["ingress[1]"]
    assert unused("b/far,a/db,tcp,5432,1,,,false") == [""], "it is denied"


def test_a_change_and_what_it_cuts(tmp_path: Path) -> None:
    path = log(tmp_path, "a/web,a/db,tcp,5432,1,forwarded,,false", "10.0.0.5,a/web,tcp,1,1,,,false")
    old = written(tmp_path, FROM_WEB)

    def changes(new: str) -> tuple[int, Any, Any]:
        arguments = "--policies", old, "--against", new, "-o", "json"
        outcome = invoke("audit", path, *arguments)
        found = json.loads(outcome.stdout)
        return outcome.code, [row["change"] for row in found["flows"]], found["not_judged"]

    def changed(*rules: Object) -> str:
        return written(tmp_path, policy("db", ingress=[*rules]), name="new.json")

    assert changes(changed({"from": [OTHER]})) == (1, ["cut"], {})
    assert changes(changed({"from": [WEB]})) == (0, [], {})
    assert changes(changed({"from": [block("10.0.0.0/8")]})) == (1, [], {BY_NAME: 1})


def test_every_form_names_the_pods(tmp_path: Path) -> None:
    path = log(tmp_path, "b/far,a/db,tcp,5432,1,forwarded,,false")
    asked = path, "--policies", written(tmp_path, FROM_WEB), "--denied"
    table = invoke("audit", *asked)
    assert table.code == 1
    assert "ingress denied a/db: isolated, and no rule accepts (a/of-db at " in table.stdout
    sarif = json.loads(invoke("audit", *asked, "-o", "sarif").stdout)["runs"][0]["results"]
    (text,) = [own["message"]["text"] for own in sarif]
    assert text.startswith("b/far[Pod] -> a/db[Pod] TCP/5432: denied, yet forwarded (1 records, ")
    assert "as of b/far -> a/db)" in text
    invoke("audit", *asked, "-o", "parquet", "--file", str(tmp_path / "found.parquet"))
    (row,) = pq.read_table(tmp_path / "found.parquet").to_pylist()
    assert (row["example_source"], row["example_destination"]) == ("b/far", "a/db")
    page = invoke("audit", *asked, "-o", "html")
    assert page.code == 1
    assert "denied, yet forwarded" in page.stdout
    assert "of ends that are not listed here" not in page.stdout


def test_policies_are_recommended_and_proven(tmp_path: Path) -> None:
    rows = [
        "a/web,a/db,tcp,5432,1,forwarded,,false",
        "b/far,a/db,tcp,5432,1,forwarded,,false",
        "10.0.0.5,a/web,tcp,8080,1,forwarded,,false",
    ]
    asked = log(tmp_path, *rows), "--policies", written(tmp_path, FROM_WEB)
    outcome = invoke("recommend", *asked)
    assert "# from a/web, TCP/5432: 1 record, as of a/web[Deployment] -> a/db" in outcome.stdout
    assert "# from a/live, TCP/8080: 1 record, as of a/live -> a/web[Deployment]" in outcome.stdout
    assert "2 of 2 different flows are admitted" in outcome.stderr
    assert "b/far" not in outcome.stdout, "policies deny it today"
    outcome = invoke("recommend", *asked, "--denied")
    assert "# from b/far, TCP/5432: 1 record, as of b/far -> a/db" in outcome.stdout
    assert "3 of 3 different flows are admitted" in outcome.stderr


def outcomes(folder: Path, cluster: list[Object], rows: list[str]) -> list[str]:
    """What policies say of each record, in order; "?" where it is not judged."""
    path = folder / "own.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": cluster}))
    found = []
    for batch in judged_batches(compile_(load([str(path)])), log(folder, *rows)):
        found += [_SAID.get(own, "?") for own in batch.outcomes.tolist()]
    return found


_SAID = {0: "deny", 1: "allow", 4: "unclear"}


def judged_batches(program: Program, path: str) -> Iterator[Judged]:
    judge = RecordJudge(program)
    for batch in decoded_batches(LogSource(path, {}), LogNotes()):
        yield judge.judged(batch)


def test_ports_that_rules_tell_apart_are_judged_apart(tmp_path: Path) -> None:
    """Records of one batch, each edge of a range and of a named port; also as replies."""
    rule = {"from": [WEB], "ports": [{"port": 100, "endPort": 200}, {"port": "sql"}]}
    cluster = [*CLUSTER, policy("db", ingress=[rule])]
    ports = {
        0: "deny", 99: "deny", 100: "allow", 150: "allow", 200: "allow", 201: "deny",
        5431: "deny", 5432: "allow", 5433: "deny", 65535: "deny", 70000: "?", -5: "?",
    }  # fmt: skip
    rows = [f"a/web,a/db,tcp,{port},1,,,false" for port in ports if 0 <= port < 1 << 16]
    rows += [f"a/web,a/db,udp,{port},1,,,false" for port in (150, 5432)]
    said = [own for port, own in ports.items() if 0 <= port < 1 << 16]
    assert outcomes(tmp_path, cluster, rows) == [*said, "deny", "deny"]
    # From db nothing is denied, to web either: a denied request may be a reply to web's.
    closed = [*cluster, policy("web", ingress=[])]
    rows = [f"a/db,a/web,tcp,40000,{port},,," for port in (99, 100, 150, 201, 5432)]
    assert outcomes(tmp_path, closed, rows) == ["deny", "unclear", "unclear", "deny", "unclear"]


def test_pods_that_nothing_tells_apart_stay_two(tmp_path: Path) -> None:
    """One of them is another pod to the other one, and to itself perhaps itself."""
    twins = []
    for name in ("one", "two", "three"):
        own = pod("a", name)
        own["metadata"]["labels"] = {"app": "twin"}
        twins.append(own)
    on_node = pod("a", "placed")
    on_node["metadata"]["labels"] = {"app": "twin"}
    on_node["spec"]["nodeName"] = "n"
    cluster = [*CLUSTER, *twins, on_node, policy("twin", ingress=[{"from": [WEB]}])]
    flows = {
        "a/one,a/two": "deny", "a/three,a/two": "deny", "a/three,a/one": "deny",
        "a/one,a/one": "?", "a/three,a/three": "?", "a/web,a/three": "allow",
        "a/one,a/placed": "deny", "a/placed,a/placed": "?",
        # A node reaches its own pods; nobody knows whether the others are on it.
        "192.168.0.1,a/placed": "allow", "192.168.0.1,a/three": "?",
    }  # fmt: skip
    rows = [f"{ends},tcp,80,1,,,false" for ends in flows]
    assert outcomes(tmp_path, cluster, rows) == [*flows.values()]


def test_each_combination_is_judged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many records there are of it, from however many ports, in both readings."""
    asked = []

    def counted(program: Program, flow: Flow) -> Verdict:
        asked.append(flow)
        return evaluate(program, flow)

    monkeypatch.setattr("netpolc.flows.unplaced.possible.evaluate", counted)
    rows = [f"b/far,a/db,tcp,5432,{port},,," for port in range(30_000, 40_000)]
    assert set(outcomes(tmp_path, [*CLUSTER, FROM_WEB], rows)) == {"unclear"}
    assert 2 <= len(asked) <= 10
