"""A node's ruleset is a function of what concerns the node: of the policies that select its pods.

In: the small and the middle cluster of the benchmarks, random clusters with and without ordered
tiers. Out: for every node the ruleset of all policies, byte for byte, from those alone that select
a pod that is judged there.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from benches.workloads import SIZES, cached
from netpolc.backends.nft.lower import cost
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import Policy
from netpolc.core.labels import selects
from netpolc.passes import resolve
from tests.helpers import ordered
from tests.helpers.cluster_strategies import clusters
from tests.helpers.manifests import Manifest
from tests.helpers.ordered_strategies import ordered_snapshots
from tests.helpers.strategies import patient, policies


def concerning(snapshot: Snapshot, node: str) -> Snapshot:
    """The snapshot without policies that select no pod of the node, nor one of unknown node."""
    local: dict[str, list[dict[str, str]]] = {}
    labels = {own.name: dict(own.labels) for own in snapshot.cluster.namespaces.values()}
    for pod in snapshot.cluster.pods:
        if pod.node in (node, ""):
            local.setdefault(pod.namespace, []).append(dict(pod.labels))

    def concerns(policy: Policy) -> bool:
        subject = policy.subject
        spaces = subject.namespaces
        return any(
            selects(subject.pods, own)
            for name, several in local.items()
            if name == spaces or (not isinstance(spaces, str) and selects(spaces, labels[name]))
            for own in several
        )

    return replace(snapshot, policies=tuple(filter(concerns, snapshot.policies)))


def differing(snapshot: Snapshot) -> list[str]:
    """The nodes whose ruleset depends on more than what concerns them."""
    program = netpolc.compile(snapshot)
    return [
        node
        for node in snapshot.cluster.nodes
        if program.ruleset(node).text()
        != netpolc.compile(concerning(snapshot, node)).ruleset(node).text()
    ]


@pytest.mark.parametrize("size", ["S", "M"])
def test_every_node_of_a_cluster(size: str) -> None:
    snapshot = netpolc.load([str(cached(SIZES[size]))])
    nodes = list(snapshot.cluster.nodes)
    policies = len(snapshot.policies)
    assert any(len(concerning(snapshot, own).policies) < policies / 2 for own in nodes)
    assert differing(snapshot) == []


@patient(200)
@given(st.data(), st.sampled_from([resolve.MOST_PAIRS, 0]))
def test_random_clusters(data: st.DataObject, most_pairs: int) -> None:
    """Also where a pod that one rule admits by a port's name is not repeated by the next."""
    cluster: list[Manifest] = data.draw(clusters())
    objects = cluster + data.draw(policies(cluster, min_size=1))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(resolve, "MOST_PAIRS", most_pairs)
        assert differing(netpolc.load_objects(objects)) == []


@patient(60)
@given(ordered_snapshots(by_name=True))
def test_random_clusters_with_ordered_tiers(objects: list[Manifest]) -> None:
    assert differing(netpolc.load_objects(objects)) == []


@pytest.mark.parametrize("linear", [None, True, False], ids=["by cost", "linear", "merged"])
def test_clusters_with_named_ports_in_ordered_tiers(
    linear: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pods elsewhere with other numbers behind a name rename no chain; in both layouts of a tier,
    and in that which costs less.
    """
    if linear is not None:
        monkeypatch.setattr(cost, "linear", lambda asked, blocks: linear)
        monkeypatch.setattr(cost, "FEW_RULES", 10_000)
    for seed in range(80):
        assert differing(ordered.snapshot(Random(seed))) == [], f"seed {seed}"
