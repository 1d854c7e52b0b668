"""Workloads as ends of flows: with pods that have addresses, and with none at all.

In: a shop of Deployments without pods, and a cluster with replicas. Out: `explain`, `eval`, flow
logs, `test` and the Python API take the names that `list` prints, and ask where a name is unclear.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import netpolc
from tests.cli.invocation import invoke

TEMPLATE = """
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  template:
    metadata: {{labels: {{app: {app}}}}}
    spec: {{containers: [{{name: c, image: x}}]}}
---"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
  - from: [{ipBlock: {cidr: 10.0.0.0/8}}]
    ports: [{port: 1}]
  - from: [{ipBlock: {cidr: 0.0.0.0/0}}]
    ports: [{port: 2}]
"""
POD = """
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: shop
  labels: {{app: {app}}}
  ownerReferences: [{{kind: StatefulSet, name: {app}, controller: true}}]
status: {{podIPs: [{{ip: {address}}}]}}
---"""


def deployment(name: str, kind: str = "Deployment") -> str:
    return TEMPLATE.format(name=name, kind=kind, app=name)


@pytest.fixture
def shop(tmp_path: Path) -> str:
    (tmp_path / "shop.yaml").write_text(deployment("web") + deployment("db") + POLICY)
    return str(tmp_path)


def judged(*words: str) -> tuple[int, str]:
    outcome = invoke("eval", *words)
    return outcome.code, outcome.stdout.partition("\n")[0] or outcome.stderr.strip()


@pytest.mark.parametrize(
    ("source", "destination", "more"),
    [
        ("shop/web", "shop/db", ()),
        ("shop/web[Deployment]", "shop/db[Deployment]", ()),
        ("deployment/web", "deploy/db", ("-n", "shop")),
        ("deployments/web", "db", ("--namespace", "shop")),
        ("shop/deploy/web", "shop/db", ()),
    ],
)
def test_a_template_is_asked_by_every_name(
    shop: str, source: str, destination: str, more: tuple[str, ...]
) -> None:
    words = (shop, "--src", source, "--dst", destination, *more)
    between = "shop/web[Deployment] -> shop/db[Deployment] TCP"
    assert judged(*words, "--port", "5432") == (0, f"ALLOW {between}/5432")
    assert judged(*words, "--port", "5433") == (1, f"DENY {between}/5433")


def test_nothing_is_said_of_addresses_where_nothing_is_enforced(shop: str) -> None:
    for command in ("list", "check"):
        outcome = invoke(command, shop)
        assert "isolated" not in outcome.stderr
        assert "NP004" not in outcome.stdout
    words = ("explain", shop, "--src", "shop/web", "--dst", "shop/db", "--port", "5432")
    outcome = invoke(*words)
    assert (outcome.code, outcome.stderr) == (0, "")
    heads = [line for line in outcome.stdout.splitlines() if line.startswith("ALLOW ")]
    between = "ALLOW shop/web[Deployment] -> shop/db[Deployment] TCP/5432"
    assert heads == [f"{between} over IPv4", f"{between} over IPv6"]  # what came close differs
    ends = json.loads(invoke(*words, "-o", "json").stdout)["flows"][0]
    assert ends["source"] == {"address": None, "pod": "shop/web[Deployment]", "node": None}
    assert "nothing is isolated" in invoke("compile", shop).stderr


def test_blocks_hold_no_pod_of_unknown_address_unless_they_hold_a_family(shop: str) -> None:
    words = (shop, "--src", "shop/db", "--dst", "shop/db", "--port")
    code, line = judged(*words, "1")
    assert (code, line) == (1, "DENY shop/db[Deployment] -> shop/db[Deployment] TCP/1")
    explained = invoke("explain", *words, "1").stdout
    assert "shop/db[Deployment] has no address yet" in explained
    outcome = invoke("eval", *words, "2")
    heads = [line for line in outcome.stdout.splitlines() if line[0] != " "]
    between = "shop/db[Deployment] -> shop/db[Deployment] TCP/2"
    assert heads == [f"ALLOW {between} over IPv4", f"DENY {between} over IPv6"]


def test_a_template_and_an_address(shop: str) -> None:
    assert judged(shop, "--src", "10.1.2.3", "--dst", "shop/db", "--port", "1") == (
        0,
        "ALLOW 10.1.2.3 -> shop/db[Deployment] TCP/1",
    )
    assert judged(shop, "--src", "11.1.2.3", "--dst", "shop/db", "--port", "1")[0] == 1


def test_names_that_are_unclear_or_unknown(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(deployment("web") + deployment("db") + deployment("web", "StatefulSet"))
    code, said = judged(str(path), "--src", "shop/web", "--dst", "shop/db", "--port", "1")
    assert code == 2
    assert "may be shop/web[Deployment], shop/web[StatefulSet]: say which" in said
    assert judged(str(path), "--src", "shop/sts/web", "--dst", "shop/db", "--port", "1")[0] == 0
    code, said = judged(str(path), "--src", "shop/bd", "--dst", "shop/db", "--port", "1")
    assert (code, "did you mean shop/db[Deployment]?" in said) == (2, True)
    outcome = invoke("list", str(path), "--workload", "shop/wbe")
    assert (outcome.code, "did you mean shop/web[" in outcome.stderr) == (2, True)


def test_replicas_are_asked_once_unless_they_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    near = [POD.format(name=f"web-{n}", app="web", address=f"10.0.0.{n + 1}") for n in range(3)]
    far = POD.format(name="web-3", app="web", address="192.0.2.1")
    db = POD.format(name="db-0", app="db", address="192.0.2.2")
    path.write_text("".join([*near, far, db]) + POLICY)
    program = netpolc.compile(netpolc.load([path]))
    flows = netpolc.flows_between(program, "shop/web", "shop/db", "TCP", 1)
    assert [str(flow) for flow in flows] == [
        "10.0.0.1 -> 192.0.2.2 TCP/1",
        "192.0.2.1 -> 192.0.2.2 TCP/1",
    ]
    verdicts = [netpolc.evaluate(program, flow).allowed for flow in flows]
    assert verdicts == [True, False]
    assert judged(str(path), "--src", "shop/web", "--dst", "shop/db", "--port", "1")[0] == 1
    assert judged(str(path), "--src", "shop/web", "--dst", "shop/db", "--port", "5432")[0] == 0
    # Replicas are different pods, which is not to say that a pod does not reach itself.
    assert [str(f) for f in netpolc.flows_between(program, "shop/web-0", "shop/web-0", "TCP", 1)]
    (own,) = netpolc.flows_between(program, "shop/web-3", "shop/web-3", "TCP", 9)
    assert netpolc.evaluate(program, own).allowed


def test_flow_logs_name_workloads(shop: str, tmp_path: Path) -> None:
    log = tmp_path / "flows.csv"
    log.write_text(
        "src,dst,protocol,port\nshop/web,shop/db,TCP,5432\nshop/web[Deployment],shop/db,tcp,5433\n"
        "shop/no,shop/db,TCP,5432\n10.1.1.1,shop/db[Deployment],TCP,1\nshop/web,shop/db,TCP,x\n"
    )
    outcome = invoke("eval", shop, "--flows", str(log))
    verdicts = [line.rpartition(",")[2] for line in outcome.stdout.splitlines()[1:]]
    assert verdicts == ["ALLOW", "DENY", "INVALID", "ALLOW", "INVALID"]
    assert f"{log}:4: unknown pod or workload 'shop/no'" in outcome.stderr


def test_expectations_name_a_kind(shop: str, tmp_path: Path) -> None:
    path = tmp_path / "expectations.yaml"
    entry = "{{from: {source}, to: deployment/db, port: TCP/5432, expect: {expect}}}"
    head = "apiVersion: netpolc.dev/v1\nkind: Expectations\nmetadata: {name: x, namespace: shop}\n"
    good = entry.format(source="deploy/web", expect="allow")
    path.write_text(f"{head}expectations: [{good}]\n")
    assert invoke("test", shop).code == 0
    unknown = entry.format(source="shop/wbe", expect="allow")
    path.write_text(f"{head}expectations: [{unknown}]\n")
    outcome = invoke("test", shop)
    assert (outcome.code, "did you mean shop/web[Deployment]?" in outcome.stderr) == (2, True)
