"""The generator itself: the same bytes for the same seed, and clusters of the size asked for."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from benches.workloads import LOCAL_NODE, node_cluster, snapshot


def items(data: bytes) -> list[dict[str, Any]]:
    listed = json.loads(data)
    assert listed["kind"] == "List"
    found = listed["items"]
    assert isinstance(found, list)
    return found


def test_same_seed_same_bytes() -> None:
    assert snapshot(300, 30, 3, seed=7) == snapshot(300, 30, 3, seed=7)
    assert snapshot(300, 30, 3, seed=7) != snapshot(300, 30, 3, seed=8)


def test_counts() -> None:
    objects = items(snapshot(1_000, 100, 10))
    kinds = Counter(item["kind"] for item in objects)
    assert kinds["Pod"] == 1_000
    assert kinds["NetworkPolicy"] == 100
    assert kinds["Node"] == 10
    names = Counter(
        (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])
        for item in objects
    )
    assert max(names.values()) == 1


def test_living_pods_have_addresses_of_their_own() -> None:
    pods = [item for item in items(snapshot(1_000, 10, 10)) if item["kind"] == "Pod"]
    living = [
        pod
        for pod in pods
        if pod["status"]["phase"] == "Running" and not pod["spec"].get("hostNetwork")
    ]
    addresses = Counter(ip["ip"] for pod in living for ip in pod["status"]["podIPs"])
    assert len(living) < len(pods)
    assert max(addresses.values()) == 1


def test_policies_of_a_node_cluster_select_its_pods() -> None:
    objects = items(node_cluster(200, pods=4_000, local=40))
    local = [
        item["metadata"]
        for item in objects
        if item["kind"] == "Pod"
        and item["spec"]["nodeName"] == LOCAL_NODE
        and not item["spec"].get("hostNetwork")
    ]
    assert len(local) == 40
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    assert len(policies) == 200
    for policy in policies:
        wanted = policy["spec"]["podSelector"].get("matchLabels", {}).items()
        assert any(
            pod["namespace"] == policy["metadata"]["namespace"] and wanted <= pod["labels"].items()
            for pod in local
        )


def test_too_many_pods_a_node() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        snapshot(1_000, 10, 2)
