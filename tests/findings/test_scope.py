"""What a check believes to be missing: nothing in a dump of a cluster, pods in a repository.

In: small snapshots with pods that have addresses or only templates. Out: levels, and what is not
said of peers that match nothing yet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.invocation import invoke
from tests.helpers.manifests import Manifest, namespace, pod, policy

TEMPLATE = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c"}]},
        }
    },
}
POD = pod("shop/web", "10.0.0.1", app="web")
NOBODY = {"podSelector": {"matchLabels": {"app": "nobody"}}}
WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
NOWHERE = {"namespaceSelector": {"matchLabels": {"team": "ops"}}}
PROMETHEUS = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "Prometheus",
    "metadata": {"name": "k8s", "namespace": "monitoring"},
}
UNMATCHED = [
    policy("shop/web", **WEB, ingress=[{"from": [NOBODY, NOWHERE]}]),
    policy("shop/gone", **NOBODY),
]


@pytest.fixture
def checked(tmp_path: Path) -> Any:
    """What `check -o json` finds in objects, as code and level."""

    def check(objects: list[Manifest], *arguments: str) -> list[tuple[str, str]]:
        path = tmp_path / "in.json"
        path.write_text("".join(map(json.dumps, objects)))
        found = json.loads(invoke("check", str(path), "-o", "json", *arguments).stdout)
        return [(own["code"], own["level"]) for own in found["findings"]]

    return check


@pytest.mark.parametrize(
    ("workload", "arguments", "level"),
    [
        (POD, (), "warning"),
        (POD, ("--scope", "repo"), "info"),
        (TEMPLATE, (), "info"),
        (TEMPLATE, ("--scope", "cluster"), "warning"),
    ],
)
def test_what_matches_nothing(
    workload: Manifest, arguments: tuple[str, ...], level: str, checked: Any
) -> None:
    found = checked([namespace("shop"), workload, *UNMATCHED], "--select", "NP1", *arguments)
    assert sorted(found) == [("NP101", level), ("NP102", level), ("NP103", level)]


def test_the_guess_is_said(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text("".join(map(json.dumps, [namespace("shop"), TEMPLATE, *UNMATCHED])))
    said = "scope: repo, as no pod has an address"
    found = invoke("check", str(path))
    assert (found.code, said in found.stdout) == (0, True)
    assert "selects no pod of namespace shop that is here" in found.stdout
    for arguments in (("--scope", "repo"), ("--scope", "cluster"), ("--select", "NP5")):
        assert said not in invoke("check", str(path), *arguments).stdout
    for form in ("json", "sarif"):
        assert '"scope": "repo"' in invoke("check", str(path), "-o", form).stdout
    settings = tmp_path / ".netpolc.toml"
    settings.write_text('scope = "cluster"\n')
    assert invoke("check", str(path)).code == 1
    settings.write_text('scope = "all"\n')
    assert "scope: 'all' is none of cluster, repo" in invoke("check", str(path)).stderr


def test_pods_that_another_object_makes_are_told_once(checked: Any) -> None:
    own = {"podSelector": {"matchLabels": {"app": "prometheus"}}}
    there = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    objects = [
        namespace("monitoring"),
        TEMPLATE,
        PROMETHEUS,
        policy("monitoring/prometheus", **own, ingress=[{"from": [own]}]),
        policy("shop/web", **WEB, ingress=[{"from": [{**there, **own}]}, {"from": [NOBODY]}]),
    ]
    for scope in ("repo", "cluster"):
        found = [code for code, _ in checked(objects, "--select", "NP013,NP1", "--scope", scope)]
        assert sorted(found) == ["NP013", "NP102"]  # of the peer in shop alone


DENY = policy("shop/deny", podSelector={})


@pytest.mark.parametrize(
    ("policies", "in_cluster", "in_repo"),
    [
        # All of one rule is admitted by another but for what does not exist yet.
        (
            [
                policy("shop/all", podSelector={}, ingress=[{"from": [{"podSelector": {}}]}]),
                policy("shop/web", **WEB, ingress=[{"from": [WEB, NOBODY]}]),
            ],
            [],
            [],
        ),
        # The same of two policies: the one that waits for more is no copy, and covers the other.
        (
            [
                policy("shop/a", **WEB, ingress=[{"from": [WEB]}]),
                policy("shop/b", **WEB, ingress=[{"from": [WEB, NOBODY]}]),
            ],
            ["NP302"],
            ["NP302"],
        ),
        # A policy that admits nobody, beside a deny, beside another that admits somebody.
        ([DENY, policy("shop/web", **WEB, ingress=[{"from": [NOBODY]}])], ["NP302"], []),
        (
            [
                policy(
                    "shop/all", podSelector={}, ingress=[{"from": [WEB], "ports": [{"port": 1}]}]
                ),
                policy("shop/web", **WEB, ingress=[{"from": [NOBODY]}]),
            ],
            [],
            [],
        ),
        # What can never match is no reason to wait.
        (
            [
                DENY,
                policy("shop/web", **WEB, ingress=[{"ports": [{"port": "absent"}]}]),
            ],
            ["NP302"],
            ["NP302"],
        ),
    ],
)
def test_what_adds_nothing(
    policies: list[Manifest], in_cluster: list[str], in_repo: list[str], checked: Any
) -> None:
    objects = [namespace("shop"), POD, pod("shop/db", "10.0.0.2", app="db"), *policies]
    for scope, expected in (("cluster", in_cluster), ("repo", in_repo)):
        found = [code for code, _ in checked(objects, "--select", "NP3", "--scope", scope)]
        assert found == expected, scope


def test_open_to_the_world_on_ports_that_nobody_has(checked: Any) -> None:
    everybody = {"ports": [{"port": "absent"}]}
    objects = [namespace("shop"), POD, policy("shop/web", **WEB, ingress=[everybody])]
    assert [code for code, _ in checked(objects, "--select", "NP2,NP7")] == ["NP201"]
    both = {"ports": [{"port": "absent"}, {"port": 80}]}
    objects[-1] = policy("shop/web", **WEB, ingress=[both])
    found = checked(objects, "--select", "NP2,NP7")
    assert sorted(code for code, _ in found) == ["NP201", "NP701"]


@pytest.mark.parametrize("scope", ["repo", "cluster"])
def test_a_monitoring_stack_of_an_operator_is_believed(scope: str) -> None:
    """As kube-prometheus is rendered: pods that an operator makes are subjects and peers."""
    tree = str(Path(__file__).parent / "trees" / "monitoring-stack")
    chosen = ("--select", "NP1,NP013", "--scope", scope, "-o", "json")
    findings = json.loads(invoke("check", tree, *chosen).stdout)["findings"]
    found = sorted(
        (own["code"], own["object"], own["message"].partition(":")[0]) for own in findings
    )
    unknown = "pods of {} are not in here"
    hosts = "selects hostNetwork pods, and no other pod; no policy isolates them"
    assert found == [
        ("NP013", "", unknown.format("a Prometheus")),
        ("NP013", "", unknown.format("an Alertmanager")),
        ("NP104", "NetworkPolicy monitoring/node-exporter", hosts),
    ]
