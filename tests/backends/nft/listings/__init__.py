"""One ruleset in the words of several versions of nft, recorded.

`recorded/OPTIONS/` holds a transaction as netpolc wrote it, and what each nft listed once it was
loaded: as text (stateless, numeric priorities) and as JSON. `python -m
tests.backends.nft.listings [ROOT...]` as root records again, with the nft of this machine and of
each root folder (`make test-trixie` leaves one below build/trixie).
"""

from __future__ import annotations

from pathlib import Path

import netpolc
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

RECORDED = Path(__file__).with_name("recorded")
OPTIONS = {
    "logged-and-rejected": netpolc.Options(deny="reject", log="10/second"),
    "audited": netpolc.Options(hook="postrouting", audit=True),
    "rechecked": netpolc.Options(established="recheck", log="3/hour"),
    "rechecked-in-low-bits": netpolc.Options(established="recheck", mark_mask=0xFF00),
}


def snapshot() -> list[Manifest]:
    """Every kind of set and map: addresses, pairs, blocks, ports; both families."""
    objects: list[Manifest] = [namespace("default"), node("node-a", "192.0.2.10")]
    names = ("target", "sink", "a", "b")
    objects += [pod(own, f"10.9.0.{at}", f"fd00:9::{at}") for at, own in enumerate(names, start=1)]
    blocks = [{"ipBlock": {"cidr": f"203.0.113.{16 * at}/29"}} for at in range(6)]
    one = [{"podSelector": {"matchLabels": {"name": "a"}}}]
    all_but = {"key": "name", "operator": "NotIn", "values": ["target"]}
    several = [{"podSelector": {"matchExpressions": [all_but]}}]
    rules = [{"from": one, "ports": [{"port": 100 * at}]} for at in range(1, 7)]
    rules += [{"from": blocks, "ports": [{"port": 250}, {"port": 300, "protocol": "UDP"}]}]
    ranges = [{"to": several, "ports": [{"port": 1000, "endPort": 1020}]}, {"to": one}]
    target, sink = ({"matchLabels": {"name": own}} for own in ("target", "sink"))
    objects.append(policy("in", podSelector=target, ingress=rules))
    objects.append(policy("out", podSelector=sink, policyTypes=["Egress"], egress=ranges))
    return objects
