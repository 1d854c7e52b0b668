"""Two kinds of policies with one name are two policies, wherever one is named or looked up.

In: a second kind that means what NetworkPolicy does, registered for these tests. Out: every output
tells the two apart, and NetworkPolicy is named as ever, without its kind.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

import netpolc
from netpolc.analysis.connectivity.changes import Changes, as_json
from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.explain import explain, formats, policy
from netpolc.analysis.findings import check
from netpolc.analysis.findings.model import Finding
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import Origin, Tier
from netpolc.core.semantics import Flow
from netpolc.frontends import kinds
from netpolc.frontends.frontend import Frontend
from netpolc.frontends.networkpolicy import networkpolicy
from netpolc.frontends.policy_kinds import PolicyObjects
from netpolc.manifests import ManifestSource

PODS = [
    {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "shop"}},
    *(
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
            "spec": {"nodeName": "node-a", "containers": [{"name": "c"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": address}]},
        }
        for name, address in (("web", "10.0.0.1"), ("api", "10.0.0.2"))
    ),
]
TO_WEB = Flow("10.0.0.2", "10.0.0.1", "TCP", 80)


@pytest.fixture(autouse=True)
def toy_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Frontend(
        {"ToyPolicy": ("toys.example/v1",)}, partial(PolicyObjects, lower=networkpolicy.lower)
    )
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, toy))


def written(kind: str, port: int = 80, name: str = "web") -> dict[str, Any]:
    version = "toys.example/v1" if kind == "ToyPolicy" else "networking.k8s.io/v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": port}]}],
        },
    }


def read(*policies: dict[str, Any], odd_objects: str = "refuse") -> Snapshot:
    return netpolc.load_objects([*PODS, *policies], odd_objects=odd_objects)


def test_how_an_object_is_named() -> None:
    source = next(iter(read(written("NetworkPolicy")).policies)).origin.source
    assert isinstance(source, ManifestSource)

    def origin(kind: str, namespace: str, name: str) -> Origin:
        return Origin(kind, namespace, name, ("spec", "ingress", 0), source)

    for own, key, path, named in (
        (origin("NetworkPolicy", "shop", "web"), "NetworkPolicy", "shop/web", "shop/web"),
        (origin("Namespace", "", "shop"), "Namespace", "shop", "shop"),
        (origin("ToyPolicy", "shop", "web"), "ToyPolicy", "shop/web", "ToyPolicy/shop/web"),
        (origin("Cluster", "", "web"), "Cluster", "web", "Cluster/web"),
    ):
        assert (own.key[0], own.path, own.policy) == (key, path, named)
        assert str(own) == f"{named} ingress[0]"


def test_one_name_of_two_kinds_is_two_policies() -> None:
    snapshot = read(written("NetworkPolicy"), written("ToyPolicy", 443))
    assert [own.origin.key for own in snapshot.policies] == [
        ("NetworkPolicy", "shop", "web"),
        ("ToyPolicy", "shop", "web"),
    ]
    assert {rule.origin.kind for own in snapshot.policies for rule in own.rules} == {
        "NetworkPolicy",
        "ToyPolicy",
    }
    with pytest.raises(netpolc.InputError, match="ToyPolicy shop/web is already at"):
        read(written("ToyPolicy"), written("ToyPolicy", 443))
    closed = read(
        written("NetworkPolicy"),
        written("ToyPolicy"),
        written("ToyPolicy", 443),
        odd_objects="isolate",
    )
    assert [(own.origin.kind, len(own.rules)) for own in closed.policies] == [
        ("NetworkPolicy", 1),
        ("ToyPolicy", 0),
        ("ToyPolicy", 0),
    ]


def test_outputs_of_a_program_tell_them_apart() -> None:
    program = netpolc.compile(read(written("NetworkPolicy"), written("ToyPolicy", 443)))
    document = program.document()
    assert '"policies": ["shop/web", "ToyPolicy/shop/web"]' in document
    assert '"origin": "shop/web ingress[0]"' in document
    assert '"origin": "ToyPolicy/shop/web ingress[0]"' in document
    text = program.ruleset().text()
    assert 'comment "shop/web ingress[0]"' in text
    assert 'comment "ToyPolicy/shop/web ingress[0]"' in text
    assert 'comment "shop/web, ToyPolicy/shop/web"' in text


def test_chains_and_digests_follow_the_kind() -> None:
    one, other = (
        netpolc.compile(read(written(kind))).ruleset() for kind in ("NetworkPolicy", "ToyPolicy")
    )
    assert one.digest != other.digest
    chains = [re.findall(r"chain (i_[0-9a-f]{16}) ", own.text()) for own in (one, other)]
    assert [len(own) for own in chains] == [1, 1]
    assert chains[0] != chains[1]


def test_explain_names_the_kind() -> None:
    snapshot = read(written("NetworkPolicy", 443), written("ToyPolicy"))
    found = explain(netpolc.compile(snapshot), snapshot, TO_WEB)
    lines = [line.text for line in formats.text([found])]
    assert "ingress of shop/web: allowed by ToyPolicy/shop/web ingress[0]" in lines
    assert any(line.startswith("  shop/web isolates, at ") for line in lines)
    assert any(line.startswith("  ToyPolicy/shop/web isolates, at ") for line in lines)
    assert policy.find_policy(snapshot, "shop/web").origin.kind == "NetworkPolicy"
    toy = policy.find_policy(snapshot, "ToyPolicy/shop/web")
    assert next(policy.text(policy.describe(snapshot, toy))).startswith("ToyPolicy shop/web, at ")


def findings(snapshot: Snapshot, code: str) -> list[Finding]:
    return [own for own in check(snapshot, netpolc.compile(snapshot)) if own.code == code]


def test_what_adds_nothing_is_found_across_kinds() -> None:
    """By name alone the later kind would stand for the other, and cite itself."""
    snapshot = read(written("NetworkPolicy"), written("ToyPolicy"))
    (found,) = findings(snapshot, "NP303")
    assert found.object == "ToyPolicy shop/web"
    assert found.message == "means the same as shop/web"
    narrow = written("ToyPolicy", 80)
    narrow["spec"]["ingress"] = [
        {"ports": [{"port": 80}], "from": [{"podSelector": {"matchLabels": {"app": "api"}}}]}
    ]
    (found,) = findings(read(written("NetworkPolicy"), narrow), "NP302")
    assert found.object == "ToyPolicy shop/web"
    assert found.message == "adds nothing: covered by shop/web ingress[0]"


def test_diff_names_the_kind() -> None:
    without = netpolc.compile(read(written("NetworkPolicy", 443)))
    with_toy = netpolc.compile(read(written("NetworkPolicy", 443), written("ToyPolicy")))
    difference = Difference(without, with_toy)
    text = as_json(Changes(difference.changes(), (), ()))
    assert '"policy": "ToyPolicy/shop/web"' in text
    assert '"policy": "shop/web"' not in text


def test_policies_of_every_tier_have_an_order() -> None:
    network, toy = read(written("NetworkPolicy"), written("ToyPolicy")).policies
    assert network.order < toy.order
    assert network.order[:2] == (Tier.NETWORK_POLICY, 0)
