"""Whole agents on two nodes, a fake API server, real packets.

In: pods as namespaces, policies, agents that are ended in every way. Out: which packets get
through, and when.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.agent.nodes import Cluster, Traffic, policy_text, small_cluster
from tests.helpers.apiserver.server import USER
from tests.helpers.lab import unavailable
from tests.helpers.manifests import Manifest
from tests.helpers.scenarios import ROOT

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())),
]
RESTARTS = int(os.environ.get("NETPOLC_RESTARTS", "3"))
"""50 for a long run."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with small_cluster(tmp_path) as made:
        yield made


def start(cluster: Cluster, *words: str) -> None:
    for own in cluster.nodes:
        own.start(*words)
    cluster.until(lambda: all(own.ready() for own in cluster.nodes))


def apply_policy(cluster: Cluster) -> None:
    cluster.api.apply(json.loads(policy_text("server", "server", "client")))


def test_a_policy_holds_on_both_nodes_a_moment_after_it_was_applied(cluster: Cluster) -> None:
    server, client = cluster.pod("server", 0, app="server"), cluster.pod("client", 1, app="client")
    stranger, near = cluster.pod("stranger", 1, app="other"), cluster.pod("near", 0, app="other")
    start(cluster)
    assert [own.reaches(server) for own in (client, stranger, near)] == [True, True, True]
    apply_policy(cluster)
    cluster.until(lambda: "server" in cluster.nodes[0].table())
    assert [own.reaches(server) for own in (client, stranger, near)] == [True, False, False]
    status, text = cluster.nodes[0].asked("/metrics")
    assert status == 200
    assert "netpolc_ready 1" in text
    assert "netpolc_event_to_kernel_seconds_count" in text
    command = [sys.executable, "-m", "netpolc", "status"]
    told = partial(cluster.nodes[0].router.run, *command)
    cluster.until(lambda: "for node node-a, right since" in told())
    cluster.api.store.delete("NetworkPolicy", "default", "server")
    cluster.until(lambda: stranger.reaches(server))


def test_restarts_leak_nothing_and_drop_nothing(cluster: Cluster) -> None:
    server, client = cluster.pod("server", 0, app="server"), cluster.pod("client", 1, app="client")
    stranger = cluster.pod("stranger", 1, app="other")
    apply_policy(cluster)
    start(cluster)
    own = cluster.nodes[0]
    good, bad = Traffic(client, server), Traffic(stranger, server)
    for number in range(RESTARTS):
        own.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
        own.start()
        cluster.until(own.ready)
        server.received()
    sent, came = good.end()
    tried, leaked = bad.end()
    assert len(tried) > 50
    assert not leaked
    assert sent == came


def test_a_rolling_update_under_traffic(cluster: Cluster) -> None:
    """New pods are reached by whom their policy admits, and never by others, not even before the
    API server knows them.
    """
    client, stranger = cluster.pod("client", 1, app="client"), cluster.pod("bad", 1, app="other")
    servers = [cluster.pod(f"server-{number}", 0, app="server") for number in range(2)]
    apply_policy(cluster)
    start(cluster, "--pending", "deny")
    for number in range(2, 6):
        new = cluster.pod(f"server-{number}", 0, told=False, app="server")
        stranger.send(new, *(f"bad {at}" for at in range(50)))
        client.send(new, *(f"early {at}" for at in range(50)))
        time.sleep(0.05)
        assert not new.received()  # nobody knows it yet
        bad = Traffic(stranger, new)
        cluster.api.apply(new.manifest)
        cluster.until(partial(client.reaches, new))
        old = servers.pop(0)
        cluster.gone(old)
        tried, came = bad.end()
        assert tried
        assert not came
        servers.append(new)
    assert all(client.reaches(own) and not stranger.reaches(own) for own in servers)
    _, text = cluster.nodes[0].asked("/metrics")
    (line,) = (
        own for own in text.splitlines() if own.startswith("netpolc_pending_dropped_packets")
    )
    assert int(line.split()[-1]) >= 400


def test_the_table_stays_while_the_api_server_is_away(cluster: Cluster) -> None:
    server, stranger = cluster.pod("server", 0, app="server"), cluster.pod("s", 1, app="other")
    apply_policy(cluster)
    start(cluster)
    assert not stranger.reaches(server)
    cluster.api.stop()
    time.sleep(1)
    own = cluster.nodes[0]
    assert not stranger.reaches(server)
    assert own.asked("/livez")[0] == 200
    own.stop(signal.SIGKILL)
    own.start()
    cluster.until(lambda: own.asked("/livez")[0] == 200)
    assert own.asked("/readyz")[0] == 503
    assert not stranger.reaches(server)
    cluster.fabric.call(cluster.api.start)
    cluster.api.store.delete("NetworkPolicy", "default", "server")
    cluster.until(lambda: stranger.reaches(server), 60)


def test_once_loads_and_ends_and_cleanup_removes(cluster: Cluster) -> None:
    cluster.pod("server", 0, app="server")
    apply_policy(cluster)
    own = cluster.nodes[0]
    own.start("--once")
    assert own.agent is not None
    assert own.agent.wait(60) == 0
    assert "server" in own.table()
    own.agent = None
    own.start("--cleanup")
    assert own.agent is not None
    assert own.agent.wait(60) == 0
    assert own.table() == ""


ODD = {
    "apiVersion": "policy.networking.k8s.io/v1alpha1",
    "kind": "AdminNetworkPolicy",
    "metadata": {"name": "odd"},
    "spec": {"priority": 5000, "subject": {"namespaces": {}}},
}


def broken_policy() -> Manifest:
    """One that an API server of today would not store."""
    made: Manifest = json.loads(policy_text("broken", "server", "client"))
    made["spec"]["ingress"][0]["ports"] = [{"port": 99_999}]
    return made


def rules_of(folder: str) -> list[dict[str, list[str]]]:
    """What the ClusterRole of a folder below deploy/ allows."""
    role = yaml.safe_load((ROOT / "deploy" / folder / "clusterrole.yaml").read_text())
    found: list[dict[str, list[str]]] = role["rules"]
    return found


def events(cluster: Cluster) -> list[Manifest]:
    store = cluster.api.store
    every = store.at(store.resource("v1", "Event"), store.version)
    return [own.document for _, own in every]


def test_events_on_objects_that_are_not_enforced_as_written(cluster: Cluster) -> None:
    """With the rights that deploy/ gives, and no others; two agents, and one Event an object."""
    cluster.api.chaos.roles[USER] = [*rules_of("base"), *rules_of("events")]
    server, client = cluster.pod("server", 0, app="server"), cluster.pod("client", 1, app="client")
    start(cluster, "--events")
    assert client.reaches(server)
    cluster.api.apply(broken_policy(), ODD)
    cluster.until(lambda: len(events(cluster)) == 2)
    cluster.until(lambda: not client.reaches(server))  # in the strict direction
    told = "netpolc_object_events_total"
    cluster.until(lambda: all(told in own.asked("/metrics")[1] for own in cluster.nodes))
    about = {own["involvedObject"]["name"]: own for own in events(cluster)}
    assert set(about) == {"broken", "odd"}
    for own in about.values():
        assert (own["type"], own["reason"]) == ("Warning", "NotEnforcedAsWritten")
        assert own["metadata"]["namespace"] == "default"
        assert own["involvedObject"]["uid"]
    assert "99999" in about["broken"]["message"]
    cluster.api.apply(json.loads(policy_text("broken", "server", "client")))
    cluster.until(lambda: client.reaches(server))
    assert len(events(cluster)) == 2
    assert not [own for own in cluster.api.asked if own.code == 403]


def test_an_agent_that_may_write_no_events_enforces_all_the_same(cluster: Cluster) -> None:
    cluster.api.chaos.roles[USER] = rules_of("base")
    server, client = cluster.pod("server", 0, app="server"), cluster.pod("client", 1, app="client")
    start(cluster, "--events")
    assert client.reaches(server)
    cluster.api.apply(broken_policy())
    cluster.until(lambda: not client.reaches(server))
    node = cluster.nodes[0]
    failed = 'netpolc_object_events_total{result="failed"} 1'
    cluster.until(lambda: failed in node.asked("/metrics")[1])
    assert "events is forbidden" in node.log.read_text()
    assert node.ready()
    assert not events(cluster)
