"""Stubs: what comes from elsewhere, declared in a manifest or in the settings of a repository.

In: a policy that admits an ingress controller and Prometheus, which no folder here holds. Out: they
are parties, peers and owners of ports; a stub gives way to what is really there; what is wrong with
one is told at its line.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.invocation import invoke
from tests.manifests.reading import written

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: x, ports: [{containerPort: 8080}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {team: edge}}
      podSelector: {matchLabels: {app: nginx}}
    ports: [{port: 8080}]
  egress:
  - to: [{namespaceSelector: {matchLabels: {team: edge}}}]
    ports: [{port: metrics}]
"""
STUB = """---
apiVersion: netpolc.dev/v1
kind: Stub
metadata: {name: nginx, namespace: ingress}
labels: {app: nginx}
namespaceLabels: {team: edge}
ports: [{name: metrics, port: 9100}]
"""
TABLES = """exclude = ["old"]

[[stubs]]
name = "nginx"
namespace = "ingress"
labels = {app = "nginx"}
ports = [{name = "metrics", port = 9100}]

[[stubs]]
name = "edge"
namespace = "ingress"
namespace-labels = {team = "edge"}
"""
ROWS = [
    ("ingress/nginx[Stub]", "shop/web[Deployment]", "TCP 8080"),
    ("shop/web[Deployment]", "ingress/nginx[Stub]", "TCP 9100"),
]


def rows(*paths: str) -> set[tuple[str, ...]]:
    outcome = invoke("list", *paths, "-o", "csv")
    assert outcome.code == 0, outcome.stderr
    cells = (line.split(",") for line in outcome.stdout.splitlines()[1:])
    return {(source, destination, found) for source, destination, _, found in cells}


def codes(*paths: str) -> set[str]:
    outcome = invoke("check", *paths, "--fail-on", "error")
    return {word[:-1] for word in outcome.stdout.split() if word.startswith("NP")}


def test_without_stubs_the_peers_are_unknown(tmp_path: Path) -> None:
    assert "NP103" in codes(written(tmp_path, "k8s/shop.yaml", SHOP))


@pytest.mark.parametrize("where", ["manifest", ".netpolc.toml", "pyproject.toml"])
def test_a_stub_is_a_party_and_a_peer(tmp_path: Path, where: str) -> None:
    folder = str(tmp_path / "k8s")
    if where == "manifest":
        written(tmp_path, "k8s/shop.yaml", SHOP + STUB)
    else:
        written(tmp_path, "k8s/shop.yaml", SHOP)
        own = TABLES.replace("[[stubs]]", "[[tool.netpolc.stubs]]")
        table = f"[tool.netpolc]\n{own}" if where == "pyproject.toml" else TABLES
        written(tmp_path, where, table)
    assert {*ROWS} <= rows(folder)
    # Nothing is said of the stub itself, or of its peers: of the shop it is that DNS is forgotten.
    assert codes(folder) == {"NP503"}
    words = ("--src", "ingress/nginx", "--dst", "shop/web", "--port", "8080")
    assert invoke("eval", folder, *words).code == 0


def test_a_stub_gives_way_to_what_is_there(tmp_path: Path) -> None:
    real = """---
apiVersion: v1
kind: Namespace
metadata: {name: ingress, labels: {team: other}}
---
apiVersion: v1
kind: Pod
metadata: {name: real, namespace: ingress, labels: {app: nginx, more: x}}
status: {podIPs: [{ip: 10.0.0.1}]}
"""
    found = rows(written(tmp_path, "shop.yaml", SHOP + STUB + real))
    assert not any("Stub" in cell for row in found for cell in row)
    assert ("ingress/real[Pod]", "shop/web[Deployment]", "TCP 8080") not in found


def test_makers_of_pods_are_answered_by_stubs(tmp_path: Path) -> None:
    maker = (
        "---\napiVersion: monitoring.coreos.com/v1\nkind: Prometheus\n"
        "metadata: {name: main, namespace: ingress}\n"
    )
    assert "NP013" in codes(written(tmp_path, "a.yaml", SHOP + maker))
    assert "NP013" not in codes(written(tmp_path, "b.yaml", SHOP + maker + STUB))


@pytest.mark.parametrize(
    ("stub", "place", "words"),
    [
        ('labels = {app = "-"}', ":2:", "a valid label"),
        ('label = {app = "a"}', ":2:", 'unknown field "label"'),
        ("ports = [{port = 0}]", ":2:", "between 1 and 65535"),
        ('ports = [{port = 1, protocol = "udp"}]', ":2:", "supported values"),
        ("ports = [{port = nan}]", ":2", "JSON compliant"),
        ("", ":2:", "labels, ports or namespaceLabels"),
        ("labels = 2025-01-01", ":2:", "Expected `object`"),
    ],
)
def test_what_is_wrong_is_told_at_its_table(
    tmp_path: Path, stub: str, place: str, words: str
) -> None:
    written(tmp_path, "k8s/shop.yaml", SHOP)
    path = written(tmp_path, ".netpolc.toml", f'ignore = []\n[[stubs]]\nname = "x"\n{stub}\n')
    outcome = invoke("list", str(tmp_path / "k8s"))
    assert outcome.code == 2
    assert f"{path}{place}" in outcome.stderr
    assert words.replace("`", "") in outcome.stderr


def test_stubs_that_are_no_tables(tmp_path: Path) -> None:
    written(tmp_path, "k8s/shop.yaml", SHOP)
    path = written(tmp_path, ".netpolc.toml", 'stubs = ["x"]\n')
    outcome = invoke("list", str(tmp_path / "k8s"))
    assert (outcome.code, f"{path}:1: stubs: must be a list of tables" in outcome.stderr) == (
        2,
        True,
    )


def test_settings_stub_nothing_of_what_a_node_enforces(tmp_path: Path) -> None:
    written(tmp_path, "k8s/shop.yaml", SHOP)
    alone = invoke("compile", str(tmp_path / "k8s")).stdout
    written(tmp_path, ".netpolc.toml", TABLES)
    assert invoke("compile", str(tmp_path / "k8s")).stdout == alone
