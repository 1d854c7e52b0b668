"""NP503 where DNS is admitted by address: resolvers of nodes and clouds, the DNS Service."""

from __future__ import annotations

from dataclasses import replace

import pytest

import netpolc
from netpolc.analysis.findings import check
from netpolc.core.cluster import Service
from netpolc.core.nets import parse_address
from tests.helpers.manifests import namespace, pod, policy

BOTH = ("UDP", "TCP")


@pytest.mark.parametrize(
    ("address", "protocols", "missing"),
    [
        ("169.254.169.254", BOTH, ""),
        ("169.254.20.10", BOTH, ""),
        ("169.254.169.253", BOTH, ""),
        ("168.63.129.16", BOTH, ""),
        ("10.96.0.10", BOTH, ""),
        ("10.96.0.10", ("UDP",), "over TCP (port 53), only over UDP for shop/web"),
        ("169.254.169.254", ("TCP",), "over UDP (port 53), only over TCP for shop/web"),
        ("10.96.0.80", BOTH, "over UDP and TCP (port 53) for shop/web"),
        ("192.0.2.53", BOTH, "over UDP and TCP (port 53) for shop/web"),
    ],
)
def test_by_address(address: str, protocols: tuple[str, ...], missing: str) -> None:
    ports = [{"protocol": own, "port": 53} for own in protocols]
    rule = {"to": [{"ipBlock": {"cidr": f"{address}/32"}}], "ports": ports}
    snapshot = netpolc.load_objects(
        [
            namespace("shop"),
            namespace("kube-system"),
            pod("shop/web", "10.0.0.1"),
            pod("kube-system/coredns", "10.0.0.2", **{"k8s-app": "kube-dns"}),
            policy("shop/web", podSelector={}, policyTypes=["Egress"], egress=[rule]),
        ]
    )
    origin = snapshot.policies[0].origin
    services = {
        (space, name): Service(space, name, selector, (), frozenset({parse_address(own)}), origin)
        for space, name, selector, own in (
            ("kube-system", "kube-dns", {"k8s-app": "kube-dns"}, "10.96.0.10"),
            ("shop", "web", {"app": "web"}, "10.96.0.80"),
        )
    }
    snapshot = replace(snapshot, cluster=replace(snapshot.cluster, services=services))
    found = check(snapshot, netpolc.compile(snapshot))
    said = [own.message for own in found if own.code == "NP503"]
    assert said == ([f"no egress rule admits DNS {missing}"] if missing else [])
