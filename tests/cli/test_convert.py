"""`netpolc convert`: what it writes, what it refuses, and that it proves what it says.

In: manifests of APIs that are gone. Out: hand-written manifests of today's; of random ones the
independent reading of the API (`ordered_reference`) judges both sides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings

import netpolc
from netpolc.analysis.conversion import as_yaml, changed, convert, ordered
from netpolc.core.errors import Problems
from netpolc.manifests import read_objects
from tests.cli.invocation import Outcome, invoke
from tests.helpers import ordered_reference
from tests.helpers.ordered_strategies import Manifest, ordered_snapshots, telling_flows
from tests.helpers.scenarios import ROOT, read

V1, GROUP = "networking.k8s.io/v1", "policy.networking.k8s.io"
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: lab}
spec: {containers: [{name: c}]}
status: {podIPs: [{ip: 10.0.1.1}]}
---
"""
ADMIN = """
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata:
  name: guard
  uid: 0b5c
  labels: {owner: platform}
  annotations:
    why: audit 12
    kubectl.kubernetes.io/last-applied-configuration: "{}"
spec:
  priority: 7
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}
  ingress:
  - name: lab may look
    action: Allow
    from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: lab}}}]
    ports:
    - portNumber: {port: 80}
    - portNumber: {protocol: UDP, port: 53}
    - portRange: {protocol: SCTP, start: 10, end: 20}
    - portRange: {start: 9, end: 9}
    - namedPort: http
  - {action: Pass, from: [{namespaces: {}}]}
  egress:
  - {action: Deny, to: [{networks: [10.9.0.0/16, "::/0"]}, {nodes: {}}]}
  - {action: Allow, to: [{domainNames: ["*.example.com"]}]}
status: {conditions: []}
"""
BASELINE = """
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: default}
spec:
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {}}]}]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def converted(text: str, *options: str) -> tuple[list[Any], Outcome]:
    Path("old.yaml").write_text(text)
    outcome = invoke("convert", "old.yaml", *options)
    return list(yaml.safe_load_all(outcome.stdout)), outcome


def test_admin_and_baseline() -> None:
    found, outcome = converted(PODS + ADMIN + BASELINE)
    assert outcome.code == 0
    assert outcome.stderr.endswith("converted to 2 objects: no connection changes\n")
    assert found == [
        {
            "apiVersion": f"{GROUP}/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {
                "name": "guard",
                "labels": {"owner": "platform"},
                "annotations": {"why": "audit 12"},
            },
            "spec": {
                "tier": "Admin",
                "priority": 7,
                "subject": {
                    "pods": {
                        "namespaceSelector": {},
                        "podSelector": {"matchLabels": {"app": "web"}},
                    }
                },
                "ingress": [
                    {
                        "name": "lab may look",
                        "action": "Accept",
                        "from": [
                            {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "lab"}}}
                        ],
                        "protocols": [
                            {"tcp": {"destinationPort": {"number": 80}}},
                            {"udp": {"destinationPort": {"number": 53}}},
                            {"sctp": {"destinationPort": {"range": {"start": 10, "end": 20}}}},
                            {"tcp": {"destinationPort": {"number": 9}}},
                            {"destinationNamedPort": "http"},
                        ],
                    },
                    {"action": "Pass", "from": [{"namespaces": {}}]},
                ],
                "egress": [
                    {
                        "action": "Deny",
                        "to": [{"networks": ["10.9.0.0/16", "::/0"]}, {"nodes": {}}],
                    },
                    {"action": "Accept", "to": [{"domainNames": ["*.example.com"]}]},
                ],
            },
        },
        {
            "apiVersion": f"{GROUP}/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "default"},
            "spec": {
                "tier": "Baseline",
                "priority": 1000,
                "subject": {"namespaces": {}},
                "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}],
            },
        },
    ]


def test_policies_alone_and_into_a_file() -> None:
    Path("old.yaml").write_text(ADMIN)
    outcome = invoke("convert", "old.yaml", "--file", "new.yaml")
    assert (outcome.code, outcome.stdout) == (0, "")
    again = invoke("convert", "new.yaml")
    assert (again.code, again.stdout) == (0, "")
    assert again.stderr.endswith("nothing to convert\n")


def test_extensions_with_the_meaning_of_today() -> None:
    old = (
        PODS
        + """
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [], ports: [{port: http}]}]}
"""
    )
    found, outcome = converted(old)
    assert outcome.code == 0
    spec = {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [{"to": [], "ports": [{"port": "http"}]}],
    }
    metadata = {"name": "web", "namespace": "shop"}
    assert found == [
        {"apiVersion": V1, "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
    ]


LEGACY = (
    PODS
    + """
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  annotations: {net.beta.kubernetes.io/network-policy: '{"ingress":{"isolation":"DefaultDeny"}}'}
---
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - {from: [{namespaceSelector: {}, podSelector: null}], ports: [{protocol: tcp, port: 80}]}
  - {from: []}
  - {ports: []}
---
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata: {name: open, namespace: lab}
spec: {podSelector: {}}
"""
)


def test_extensions_with_the_meaning_of_1_6() -> None:
    found, outcome = converted(LEGACY, "--semantics", "v1.6")
    assert outcome.code == 0
    assert "old.yaml:31:1: lab/open: no effect, as nothing isolates namespace lab" in outcome.stderr
    assert found == [
        {
            "apiVersion": V1,
            "kind": "NetworkPolicy",
            "metadata": {"name": "default-deny", "namespace": "shop"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        },
        {
            "apiVersion": V1,
            "kind": "NetworkPolicy",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "web"}},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [{"namespaceSelector": {}}],
                        "ports": [{"protocol": "TCP", "port": 80}],
                    }
                ],
            },
        },
    ]


@pytest.mark.parametrize(
    "name", ["v16-annotation", "v16-no-annotation", "v16-annotation-no-policy"]
)
def test_examples_of_1_6_mean_the_same_today(name: str) -> None:
    """By their hand-written flows, with the new policies and none of the old ones."""
    scenario = read(ROOT / "examples" / name)
    outcome = invoke("convert", *map(str, scenario.manifests), "--semantics", "v1.6")
    assert outcome.code == 0
    others = [
        own
        for path in scenario.manifests
        for own in yaml.safe_load_all(path.read_text())
        if own is not None and own["kind"] != "NetworkPolicy"
    ]
    new = [own for own in yaml.safe_load_all(outcome.stdout) if own is not None]
    program = netpolc.compile(netpolc.load_objects([*others, *new]))
    for expected in scenario.expected:
        for flow in expected.flows(program):
            assert netpolc.evaluate(program, flow).allowed is expected.allowed, expected


def rules(count: int) -> str:
    return (
        ADMIN.partition("  ingress:")[0]
        + "  ingress:\n"
        + ("  - {action: Pass, from: [{namespaces: {}}]}\n" * count)
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (rules(26), "old.yaml:15:3: spec.ingress: has no equal: 26 entries, ClusterNetworkPolicy "
         "has at most 25; split it first"),
        (ADMIN.replace("end: 20", "end: 5"), "old.yaml:2:1: is not enforced as it is written "
         "(old.yaml:21:51): "),
        (ADMIN + BASELINE + "---" + ADMIN.replace("guard", "default"),
         "metadata.name: would be ClusterNetworkPolicy default, as what is at old.yaml:31:1"),
    ],
)  # fmt: skip
def test_what_has_no_equal_is_refused(text: str, told: str) -> None:
    Path("new.yaml").write_text("kept")
    Path("old.yaml").write_text(text)
    outcome = invoke("convert", "old.yaml", "--file", "new.yaml")
    assert told in outcome.stderr
    assert (outcome.code, outcome.stdout, Path("new.yaml").read_text()) == (2, "", "kept")


def test_odd_objects_are_not_converted() -> None:
    Path("old.yaml").write_text(ADMIN)
    outcome = invoke("convert", "old.yaml", "--odd-objects", "isolate")
    assert (outcome.code, outcome.stdout) == (2, "")


def test_a_difference_is_told_and_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the converter were wrong."""
    monkeypatch.setitem(ordered._ACTIONS, "Allow", "Deny")
    Path("old.yaml").write_text(PODS + ADMIN.replace("status: {conditions: []}\n", ""))
    text = (
        Path("old.yaml")
        .read_text()
        .replace('  - {action: Allow, to: [{domainNames: ["*.example.com"]}]}\n', "")
    )
    Path("old.yaml").write_text(text)
    outcome = invoke("convert", "old.yaml", "--file", "new.yaml")
    assert (outcome.code, outcome.stdout, Path("new.yaml").exists()) == (1, "", False)
    assert "- lab/probe[Pod] -> shop/web[Pod]" in outcome.stderr.replace("~ ", "- ")
    assert (
        'ingress denied by ClusterNetworkPolicy/guard ingress[0] "lab may look"' in outcome.stderr
    )
    assert "AdminNetworkPolicy/guard would not say the same" in outcome.stderr


def test_names_stay_data() -> None:
    hostile = 'a\n::error::b ##[group] : "c" #d'
    text = yaml.safe_dump([hostile], default_style='"', width=1000)[2:].strip()
    found, outcome = converted(ADMIN.replace("lab may look", text))
    assert outcome.code == 0
    assert found[0]["spec"]["ingress"][0]["name"] == hostile
    assert "##" not in outcome.stdout
    assert not any(line.lstrip().startswith("::") for line in outcome.stdout.splitlines())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ordered_snapshots())
def test_random_policies_mean_the_same(objects: list[Manifest]) -> None:
    snapshot = netpolc.load_objects(objects)
    names = [own["metadata"]["name"] for own in objects if own["kind"] in ordered_reference.ORDERED]
    assume(len(set(names)) == len(names))
    found = convert(read_objects(objects, Problems()), snapshot, "current")
    new = [own for own in yaml.safe_load_all(as_yaml(found.objects)) if own is not None]
    kept = [own for own in objects if own["kind"] not in ordered.KINDS]
    assert len(kept) + len(new) == len(objects)
    for flow in telling_flows(objects, 150):
        assert ordered_reference.allowed([*kept, *new], *flow) is ordered_reference.allowed(
            objects, *flow
        )
    after = netpolc.load_objects(new) if new else None
    changes, others = changed(snapshot, found.replaced, after.policies if after else ())
    assert (bool(changes), others) == (False, [])
