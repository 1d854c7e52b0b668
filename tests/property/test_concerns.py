"""A node's ruleset is a function of what concerns the node: of the policies that select its pods.

In: the small and the middle cluster of the benchmarks, random clusters. Out: for every node the
ruleset of all policies, byte for byte, from those alone that select a pod that is judged there.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from benches.workloads import SIZES, cached
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import Policy
from netpolc.core.labels import selects
from netpolc.passes import resolve
from tests.helpers.cluster_strategies import clusters
from tests.helpers.manifests import Manifest
from tests.helpers.strategies import patient, policies


def concerning(snapshot: Snapshot, node: str) -> Snapshot:
    """The snapshot without policies that select no pod of the node, nor one of unknown node."""
    local: dict[str, list[dict[str, str]]] = {}
    for pod in snapshot.cluster.pods:
        if pod.node in (node, ""):
            local.setdefault(pod.namespace, []).append(dict(pod.labels))

    def concerns(policy: Policy) -> bool:
        subject = policy.subject
        assert isinstance(subject.namespaces, str)
        return any(selects(subject.pods, own) for own in local.get(subject.namespaces, ()))

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
