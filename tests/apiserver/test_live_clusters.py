"""Commands that read a live cluster: what they say, and where they say it is from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.conftest import named
from tests.cli.invocation import Outcome, invoke
from tests.helpers.apiserver import ApiServer
from tests.helpers.scenarios import ROOT


def pod(name: str, address: str) -> dict[str, Any]:
    spec = {"nodeName": "n1", "containers": [{"ports": [{"containerPort": 80}]}]}
    labels = {"labels": {"app": name}}
    status = {"podIP": address, "phase": "Running"}
    return named("Pod", name, "shop", metadata=labels, spec=spec, status=status)


def policy(port: int) -> dict[str, Any]:
    web = {"podSelector": {"matchLabels": {"app": "web"}}}
    rule = {"from": [web], "ports": [{"port": port}]}
    spec = {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [rule]}
    return named("NetworkPolicy", "db", "shop", spec=spec)


@pytest.fixture
def prod(server: ApiServer) -> list[str]:
    """The options that name a small cluster."""
    addresses = [{"type": "InternalIP", "address": "192.0.2.1"}]
    server.apply(
        named("Namespace", "shop"),
        named("Namespace", "other"),
        named("Node", "n1", status={"addresses": addresses}),
        pod("web", "10.0.0.1"),
        pod("db", "10.0.0.2"),
        named("Pod", "far", "other", spec={}, status={"podIP": "10.0.0.3"}),
        policy(80),
    )
    return ["--kubeconfig", str(server.kubeconfig(context="prod"))]


FLOW = ["--src", "shop/web", "--dst", "shop/db", "--port"]


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for own in value.values() if isinstance(value, dict) else value:
        if isinstance(own, dict | list):
            yield from _dicts(own)


def test_list(prod: list[str], server: ApiServer) -> None:
    outcome = invoke("list", *prod, "--context", "prod", "--workload", "shop/db", "-o", "csv")
    assert "shop/web[Pod],shop/db[Pod],IPv4,TCP 80\n" in outcome.stdout
    assert not [own for own in server.asked if own.is_watch]
    lists = [own.path for own in server.asked if own.path.endswith("/pods")]
    assert lists == ["/api/v1/pods"]


def test_explain_says_where_policies_are(prod: list[str]) -> None:
    outcome = invoke("explain", *prod, *FLOW, "80")
    assert outcome.code == 0
    assert "shop/db isolates, at prod:shop/db" in outcome.stdout


def test_eval(prod: list[str]) -> None:
    assert invoke("eval", *prod, *FLOW, "80").code == 0
    assert invoke("eval", *prod, *FLOW, "81").code == 1


def test_check_has_places_of_objects(prod: list[str]) -> None:
    found = json.loads(invoke("check", *prod, "-o", "json").stdout)
    assert "prod:shop" in {own["file"] for own in found["findings"]}
    sarif = json.loads(invoke("check", *prod, "-o", "sarif").stdout)
    assert "prod%3Ashop" in json.dumps(sarif["runs"][0]["results"])


def test_one_namespace(prod: list[str], server: ApiServer) -> None:
    outcome = invoke("list", *prod, "-n", "shop", "-o", "csv")
    assert "other/far" not in outcome.stdout
    assert "/api/v1/namespaces/shop/pods" in [own.path for own in server.asked]
    assert "other/far" in invoke("list", *prod, "-A", "-o", "csv").stdout
    assert invoke("list", *prod, "-A", "-n", "shop").code == 2


def test_compile_equals_that_of_a_dump(prod: list[str], server: ApiServer, tmp_path: Path) -> None:
    store = server.store
    every = [own.document for one in store.served for _, own in store.at(one, store.version)]
    dump = tmp_path / "dump.json"
    dump.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": every}))
    live = invoke("compile", *prod, "--node", "n1")
    assert live.code == 0
    assert live.stdout == invoke("compile", str(dump), "--node", "n1").stdout


def test_diff_is_what_applying_would_change(prod: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "k8s"
    folder.mkdir()
    (folder / "policy.json").write_text(json.dumps(policy(80)))
    assert invoke("diff", *prod, str(folder)).code == 0
    (folder / "policy.json").write_text(json.dumps(policy(81)))
    outcome = invoke("diff", *prod, str(folder), "-o", "json")
    assert outcome.code == 1
    places = {own["place"] for own in _dicts(json.loads(outcome.stdout)) if "place" in own}
    column = json.dumps(policy(81)).index('{"from"') + 1
    assert places == {"prod:shop/db", f"{folder / 'policy.json'}:1:{column}"}
    text = invoke("diff", *prod, str(folder)).stdout
    assert "now denied: shop/web -> shop/db TCP/80" in text
    assert "prod:shop/db" in text
    assert "now allowed: shop/web -> shop/db TCP/81" in text
    assert invoke("diff", *prod, "a", "b").code == 2


def test_objects_without_a_namespace_are_in_that_of_the_context(
    prod: list[str], tmp_path: Path
) -> None:
    kubeconfig = Path(prod[1])
    content = json.loads(kubeconfig.read_text())
    content["contexts"][0]["context"]["namespace"] = "shop"
    kubeconfig.write_text(json.dumps(content))
    own = policy(81)
    del own["metadata"]["namespace"]
    (tmp_path / "policy.json").write_text(json.dumps(own))
    outcome = invoke("diff", *prod, str(tmp_path / "policy.json"))
    assert "now denied: shop/web -> shop/db TCP/80" in outcome.stdout


def test_expectations_of_a_live_cluster(prod: list[str], tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    (tmp_path / "expected.yaml").write_text(
        "apiVersion: netpolc.dev/v1\nkind: Expectations\nmetadata: {name: own, namespace: shop}\n"
        "expectations:\n"
        "- {from: [web], to: db, port: TCP/80, expect: allow}\n"
        "- {from: [web], to: db, port: TCP/81, expect: allow}\n"
    )
    outcome = invoke("test", *prod, str(tmp_path / "expected.yaml"))
    assert outcome.code == 1
    lines = outcome.stdout.splitlines()
    assert lines[0] == "pass  shop/own: allow web -> db TCP/80"
    assert lines[1] == "FAIL  shop/own: allow web -> db TCP/81"
    assert "shop/db at prod:shop/db" in outcome.stdout


def test_what_is_forbidden_is_said_and_the_rest_is_told(prod: list[str], server: ApiServer) -> None:
    server.chaos.forbidden |= {"nodes", "clusternetworkpolicies"}
    outcome = invoke("explain", *prod, *FLOW, "80")
    assert outcome.code == 0
    for plural in ("nodes", "clusternetworkpolicies"):
        assert f"note: prod: {plural} are not known: {plural}" in outcome.stderr
    server.chaos.forbidden.remove("nodes")
    assert invoke("compile", *prod).code == 0


def test_what_is_forbidden_is_a_finding(prod: list[str], server: ApiServer) -> None:
    server.chaos.forbidden |= {"nodes", "networkpolicies"}
    outcome = invoke("check", *prod, "-o", "json", "--select", "NP016")
    assert outcome.code == 1
    found = json.loads(outcome.stdout)["findings"]
    assert [(own["code"], own["level"], own["file"]) for own in found] == [
        ("NP016", "warning", "prod:networkpolicies"),
        ("NP016", "warning", "prod:nodes"),
    ]
    assert "nodes are not known, and judged as if there were none: nodes" in found[1]["message"]
    sarif = json.loads(invoke("check", *prod, "-o", "sarif").stdout)
    results = [own["ruleId"] for own in sarif["runs"][0]["results"]]
    assert results.count("NP016") == 2
    assert "prod:nodes: warning NP016" in invoke("check", *prod, "-o", "concise").stdout
    assert invoke("check", *prod, "--ignore", "NP", "-o", "concise").stdout == "no findings\n"


def test_what_is_forbidden_is_a_finding_beside_what_is_not_valid(
    prod: list[str], server: ApiServer
) -> None:
    server.chaos.forbidden.add("nodes")
    broken = policy(80)
    broken["spec"]["ingress"] = [{"ports": [{"port": 99_999}]}]
    server.apply(broken)
    outcome = invoke("check", *prod, "--odd-objects", "refuse", "-o", "json")
    assert outcome.code == 2
    codes = [own["code"] for own in json.loads(outcome.stdout)["findings"]]
    assert codes[0] == "NP016"
    assert "NP001" in codes


def test_no_ruleset_is_made_of_a_part(prod: list[str], server: ApiServer) -> None:
    server.chaos.forbidden.add("networkpolicies")
    outcome = invoke("compile", *prod)
    assert (outcome.code, outcome.stdout) == (3, "")
    assert "no ruleset without networkpolicies" in outcome.stderr


def test_wrong_contexts_and_servers(prod: list[str], server: ApiServer) -> None:
    outcome = invoke("list", *prod, "--context", "dev")
    assert outcome.code == 2
    assert "no context 'dev'; there are prod" in outcome.stderr
    missing = invoke("list", "--kubeconfig", "/nonexistent")
    assert missing.code == 2
    assert "/nonexistent: No such file" in missing.stderr
    assert invoke("list").code == 2
    server.stop()
    refused: Outcome = invoke("list", *prod)
    assert refused.code == 3
    assert "Connection refused" in refused.stderr


def test_policies_that_nobody_judges_are_told(prod: list[str], server: ApiServer) -> None:
    from tests.helpers.apiserver import Served

    cilium = Served("cilium.io", "v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy", custom=True)
    server.store.served.append(cilium)
    metadata = {"name": "l7", "namespace": "shop"}
    server.apply(
        {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": metadata}
    )
    assert "CiliumNetworkPolicy" in invoke("list", *prod).stdout


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl (kubernetes-client)")
def test_a_plugin_of_kubectl(prod: list[str], tmp_path: Path) -> None:
    script = tmp_path / "kubectl-netpolc"
    program = ROOT / ".venv" / "bin" / "kubectl-netpolc"
    if not program.exists():
        pytest.skip("needs kubectl-netpolc beside the interpreter (make setup)")
    script.symlink_to(program)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["kubectl", "netpolc", "explain", *prod, "--context", "prod", *FLOW, "80"]
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "at prod:shop/db" in done.stdout
