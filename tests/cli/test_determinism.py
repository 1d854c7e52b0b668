"""The same snapshot gives the same bytes.

In: the objects of an example in other orders, files and formats, and other hash seeds. Out: equal
output, whatever form is asked for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import netpolc
from tests.cli.invocation import run
from tests.cli.snapshots import EXAMPLE, NODES, objects, write_shuffled

EXTRA = [
    {"apiVersion": "v1", "kind": "Pod",
     "metadata": {"name": f"pod-{n}", "labels": {"a": str(n % 3)}},
     "spec": {"nodeName": NODES[n % 2], "containers": [
         {"ports": [{"name": name, "containerPort": 8000 + n % 2} for name in ("web", "admin")]}]},
     "status": {"podIPs": [{"ip": f"10.70.0.{n}"}, {"ip": f"2001:db8:70::{n}"}]}}
    for n in range(1, 20)
] + [
    {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": f"p-{n}"},
     "spec": {"podSelector": {"matchExpressions": [
                  {"key": "a", "operator": "In", "values": [str(n % 3), str((n + 1) % 3)]}]},
              "policyTypes": ["Egress", "Ingress"],
              "ingress": [{"from": [{"podSelector": {}}, {"ipBlock": {"cidr": f"192.0.2.{n}/32"}}],
                           "ports": [{"port": "web"}, {"port": 100 + n, "endPort": 120}]}],
              "egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": "admin"}]}]}}
    for n in range(8)
]  # fmt: skip


def outputs(*paths: str) -> list[str]:
    """Everything that can be written about a snapshot."""
    program = netpolc.compile(netpolc.load(paths))
    rulesets = [program.ruleset(node) for node in (None, *NODES)]
    texts = [form for ruleset in rulesets for form in (ruleset.text(), ruleset.json())]
    return [program.document(), *texts]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("first")
    return outputs(*write_shuffled(folder, 0, [*objects(), *EXTRA]))


@pytest.mark.parametrize("seed", range(1, 9))
def test_order_and_files_do_not_matter(seed: int, tmp_path: Path, expected: list[str]) -> None:
    paths = write_shuffled(tmp_path, seed, [*objects(), *EXTRA])
    assert outputs(*paths) == expected
    assert outputs(str(tmp_path)) == expected


def test_the_same_path_twice_is_the_same_snapshot(tmp_path: Path, expected: list[str]) -> None:
    paths = write_shuffled(tmp_path, 1, [*objects(), *EXTRA])
    assert outputs(*paths, str(tmp_path), *paths) == expected


def test_the_hash_seed_does_not_matter(tmp_path: Path, expected: list[str]) -> None:
    write_shuffled(tmp_path, 0, [*objects(), *EXTRA])
    form, text, json_text = expected[0], expected[1], expected[2]
    for seed in ("0", "1", "4242"):
        environment = {"PYTHONHASHSEED": seed}
        for name, wanted in (("ir", form), ("nft", text), ("json", json_text)):
            done = run("compile", str(tmp_path), "-o", name, environment=environment)
            assert (done.code, done.stdout) == (0, wanted)


def test_parsed_objects_give_the_same(expected: list[str]) -> None:
    program = netpolc.compile(netpolc.load_objects([*EXTRA, *objects()]))
    assert [program.document(), program.ruleset().text()] == expected[:2]


def test_the_example_is_not_empty(expected: list[str]) -> None:
    assert "default/p-3" in expected[1]
    assert outputs(str(EXAMPLE)) != expected
