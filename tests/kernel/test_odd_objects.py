"""Odd objects and shared addresses in a real kernel: what is loaded, judged and told.

In: snapshots with an odd object, or with two pods at one address, applied as a user would. Out: the
fate of packets, what `status` and the metrics say, and that facts about objects change no rule.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.lab import Flow, Injector, Router
from tests.helpers.scenarios import ROOT
from tests.kernel.test_commands import netpolc as command

pytestmark = pytest.mark.kernel
NODE = """apiVersion: v1
kind: Node
metadata: {name: node-a}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
"""
POD = """apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}
spec: {{nodeName: node-a}}
status:
  conditions: [{{type: PodReadyToStartContainers, status: "{ready}"}}]
  podIPs: [{{ip: {address}}}]
---
"""
POLICIES = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}
"""
ODD = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: mine, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: web}}}}
  ingress: [{{from: [{{ipBlock: {{cidr: {cidr}}}}}]}}]
"""
CILIUM = """apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: l7, namespace: shop}
spec: {endpointSelector: {}}
"""
OUTSIDE, SHARED, OTHER = "203.0.113.7", "10.64.0.20", "10.64.0.21"
TO_SHARED: Flow = (OUTSIDE, SHARED, 6, 5432)
FROM_SHARED: Flow = (SHARED, OUTSIDE, 6, 80)
TOLD = "NetworkPolicy shop/mine: it isolates what it selects and admits nothing"


def pods(web: tuple[str, str], db: tuple[str, str]) -> str:
    (web_at, web_ready), (db_at, db_ready) = web, db
    return POD.format(name="web-0", app="web", address=web_at, ready=web_ready) + POD.format(
        name="db-0", app="db", address=db_at, ready=db_ready
    )


@pytest.mark.parametrize(
    ("web_ready", "db_ready", "arrives", "leaves"),
    [
        ("False", "True", False, True),  # it is db-0's, which admits nobody
        ("True", "False", True, True),  # it is web-0's, which admits everybody
        ("True", "True", False, False),  # nothing tells: closed in both directions
        ("False", "False", False, False),
    ],
)
def test_two_pods_with_one_address(
    web_ready: str,
    db_ready: str,
    arrives: bool,
    leaves: bool,
    injector: Injector,
    tmp_path: Path,
) -> None:
    injector.flush()
    path = tmp_path / "cluster.yaml"
    path.write_text(NODE + pods((SHARED, "True"), (OTHER, "True")) + POLICIES)
    assert command(injector.router, "apply", str(path), "--node", "node-a").returncode == 0
    assert injector.judge([TO_SHARED, FROM_SHARED]) == [True, True]
    path.write_text(NODE + pods((SHARED, web_ready), (SHARED, db_ready)) + POLICIES)
    done = command(injector.router, "apply", str(path), "--node", "node-a", "--verify")
    assert done.returncode == 0, done.stderr
    assert f"has address {SHARED}" in done.stderr
    assert injector.judge([TO_SHARED, FROM_SHARED]) == [arrives, leaves]


def status(router: Router, *words: str) -> str:
    return command(router, "status", *words).stdout


def test_odd_objects_are_told_by_the_table(injector: Injector, tmp_path: Path) -> None:
    injector.flush()
    path = tmp_path / "cluster.yaml"
    text = NODE + pods((SHARED, "True"), (OTHER, "True")) + POLICIES.partition("---\n")[2]
    path.write_text(f"{text}---\n{ODD.format(cidr='010.0.0.0/8')}")
    router, at = injector.router, (str(path), "--node", "node-a")
    assert command(router, "apply", *at).returncode == 2
    assert "is not loaded" in status(router)
    assert command(router, "apply", *at, "--odd-objects", "isolate").returncode == 0
    assert injector.judge([TO_SHARED]) == [False]
    assert f"odd       {TOLD}\n" in status(router)
    assert "snapshot  matches" in status(router, *at)
    assert json.loads(status(router, "-o", "json"))["loaded"]["odd"] == [TOLD]
    name, treatment = TOLD.split(": ")
    metrics = status(router, "-o", "prometheus")
    assert 'netpolc_odd_objects{table="netpolc"} 1\n' in metrics
    sample = f'table="netpolc",object="{name}",treatment="{treatment}"'
    assert f"netpolc_odd_object_info{{{sample}}} 1\n" in metrics


@pytest.mark.parametrize("established", ["keep", "recheck"])
def test_facts_about_objects_change_no_rule(
    established: str, injector: Injector, tmp_path: Path
) -> None:
    injector.flush()
    path, router = tmp_path / "cluster.yaml", injector.router
    text = NODE + pods((SHARED, "True"), (OTHER, "True")) + POLICIES.partition("---\n")[2]
    how = ("--node", "node-a", "--odd-objects", "isolate", "--established", established)
    listings = []
    for cidr in ("10.0.0.0/8", "10.0.0.5/8", "10.0.0.0/8"):
        path.write_text(f"{text}---\n{ODD.format(cidr=cidr)}")
        assert command(router, "apply", str(path), *how).returncode == 0
        loaded = json.loads(status(router, str(path), "--node", "node-a", "-o", "json"))
        assert loaded["drift"] == []
        told = ["NetworkPolicy shop/mine: it is read as 10.0.0.0/8"] if "5/" in cidr else []
        assert loaded["loaded"]["odd"] == told
        rules = router.ruleset().partition("\tset ")[2]  # behind the counters
        assert "chain forward" in rules
        listings.append((loaded["loaded"]["digest"], rules))
    assert listings[0] == listings[1] == listings[2]


def test_a_loaded_table_says_what_is_not_judged(injector: Injector, tmp_path: Path) -> None:
    injector.flush()
    path, router = tmp_path / "cluster.yaml", injector.router
    text = NODE + pods((SHARED, "True"), (OTHER, "True")) + POLICIES.rpartition("---\n")[0]
    path.write_text(f"{text}---\n{CILIUM}")
    at = (str(path), "--node", "node-a")
    assert command(router, "apply", *at).returncode == 0
    assert injector.judge([TO_SHARED]) == [True]
    assert "odd       1 CiliumNetworkPolicy (cilium.io/v2): not judged\n" in status(router)
    sample = 'object="1 CiliumNetworkPolicy (cilium.io/v2)",treatment="not judged"} 1\n'
    assert sample in status(router, "-o", "prometheus")
    path.write_text(text)
    assert json.loads(status(router, *at, "-o", "json"))["drift"] == []
    assert command(router, "apply", *at).returncode == 0
    assert "not judged" not in status(router)


def test_the_watch_enforces_around_an_odd_object(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(NODE + POLICIES.partition("---\n")[2])
    (tmp_path / "tenant.yaml").write_text(ODD.format(cidr="010.0.0.0/8"))
    words = ["apply", "--watch", str(tmp_path), "--node", "node-a"]
    with (
        Router() as router,
        router.call(
            lambda: subprocess.Popen(
                [sys.executable, "-m", "netpolc", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
        ) as watching,
    ):
        try:
            assert watching.stdout is not None
            assert "loaded table inet netpolc" in watching.stdout.readline()
            (tmp_path / "p.yaml").write_text(pods((SHARED, "True"), (OTHER, "True")))
            assert "table inet netpolc" in watching.stdout.readline()
            assert f"{SHARED} : goto i_" in router.ruleset()
            assert f"{OTHER} : goto i_" in router.ruleset()
        finally:
            watching.terminate()
        assert watching.stderr is not None
        assert "it isolates what it selects and admits nothing" in watching.stderr.read()
