"""Facts about a real API server (1.36) that its transcripts do not show, held by the fake."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
import time
from typing import Any

import pytest

from tests.apiserver.conftest import ask, named
from tests.helpers.apiserver import ApiServer

PODS = "/api/v1/pods"


def fill(server: ApiServer, count: int = 5) -> None:
    server.apply(*(named("Pod", f"p{number}", "a", spec={}) for number in range(count)))


def names(document: dict[str, Any]) -> list[str]:
    return [own["metadata"]["name"] for own in document["items"]]


def test_pages_are_of_one_version(server: ApiServer) -> None:
    fill(server)
    first = ask(server, f"{PODS}?limit=2").json
    assert first["metadata"]["remainingItemCount"] == 3
    server.store.delete("Pod", "a", "p3")
    token = first["metadata"]["continue"]
    rest = ask(server, f"{PODS}?limit=5&continue={token}").json
    assert names(first) + names(rest) == ["p0", "p1", "p2", "p3", "p4"]
    assert rest["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


def test_the_inconsistent_rest_is_of_now(server: ApiServer) -> None:
    fill(server)
    token = ask(server, f"{PODS}?limit=2").json["metadata"]["continue"]
    server.store.delete("Pod", "a", "p3")
    server.store.compact()
    expired = ask(server, f"{PODS}?limit=2&continue={token}")
    assert (expired.code, expired.json["reason"]) == (410, "Expired")
    rest = ask(server, f"{PODS}?continue={expired.json['metadata']['continue']}").json
    assert names(rest) == ["p2", "p4"]


def test_a_limit_is_ignored_where_any_version_will_do(server: ApiServer) -> None:
    fill(server)
    found = ask(server, f"{PODS}?limit=2&resourceVersion=0").json
    assert len(found["items"]) == 5
    assert "continue" not in found["metadata"]


def test_items_of_custom_resources_carry_their_kind(server: ApiServer) -> None:
    version = "policy.networking.k8s.io/v1alpha2"
    server.apply({"apiVersion": version, "kind": "ClusterNetworkPolicy", "metadata": {"name": "x"}})
    fill(server, 1)
    custom = ask(server, f"/apis/{version}/clusternetworkpolicies").json["items"][0]
    assert (custom["apiVersion"], custom["kind"]) == (version, "ClusterNetworkPolicy")
    assert not {"apiVersion", "kind"} & ask(server, PODS).json["items"][0].keys()


def test_a_watch_from_the_future_is_silent(server: ApiServer) -> None:
    answer = ask(server, f"{PODS}?watch=1&resourceVersion=99999&timeoutSeconds=1")
    assert (answer.code, answer.body) == (200, b"")


def test_an_old_version_in_the_window_survives_a_compaction(server: ApiServer) -> None:
    fill(server, 1)
    before = server.store.version
    fill(server, 2)
    server.store.compact()
    told = ask(server, f"{PODS}?watch=1&resourceVersion={before}&timeoutSeconds=1").lines
    assert [event["type"] for event in told] == ["MODIFIED", "ADDED"]


def test_initial_events_need_a_match(server: ApiServer) -> None:
    asked = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&timeoutSeconds=1"
    assert ask(server, f"{PODS}?{asked}").code == 422
    fill(server, 1)
    wanted = f"{PODS}?{asked}&resourceVersionMatch=NotOlderThan".replace("allowWatchBookmarks", "x")
    assert [event["type"] for event in ask(server, wanted).lines] == ["ADDED"]


def test_selectors_turn_changes_into_comings_and_goings(server: ApiServer) -> None:
    def web(**labels: str) -> None:
        server.apply(named("Pod", "web", "a", metadata={"labels": labels}))

    web(app="x")
    first = server.store.version
    web(app="web")
    web(app="web", more="1")
    web(app="x")
    query = f"watch=1&resourceVersion={first}&labelSelector=app%3Dweb&timeoutSeconds=1"
    told = ask(server, f"{PODS}?{query}").lines
    assert [event["type"] for event in told] == ["ADDED", "MODIFIED", "DELETED"]
    gone = told[-1]["object"]["metadata"]
    assert gone["labels"] == {"app": "x"}
    assert gone["resourceVersion"] == str(server.store.version)


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("labelSelector=app%3Dweb", ["p0"]),
        ("labelSelector=app!%3Dweb", ["p1", "p2"]),
        ("labelSelector=app", ["p0", "p1"]),
        ("labelSelector=!app", ["p2"]),
        ("labelSelector=app%20in%20(web,db)", ["p0", "p1"]),
        ("labelSelector=app%20notin%20(web),app", ["p1"]),
        ("fieldSelector=metadata.name%3Dp2", ["p2"]),
        ("fieldSelector=metadata.name!%3Dp2", ["p0", "p1"]),
    ],
)
def test_selectors(server: ApiServer, selector: str, chosen: list[str]) -> None:
    for number, labels in enumerate([{"app": "web"}, {"app": "db"}, {}]):
        server.apply(named("Pod", f"p{number}", "a", metadata={"labels": labels}))
    assert names(ask(server, f"{PODS}?{selector}").json) == chosen


def test_bookmarks_come_before_the_end_of_a_watch_that_saw_something(server: ApiServer) -> None:
    first = server.store.version
    fill(server, 1)
    server.apply(named("Node", "n"))
    query = f"watch=1&resourceVersion={first}&allowWatchBookmarks=1&timeoutSeconds=1"
    told = ask(server, f"{PODS}?{query}").lines
    assert [event["type"] for event in told] == ["ADDED", "BOOKMARK"]
    assert told[1]["object"]["metadata"] == {"resourceVersion": str(server.store.version)}


def test_refusals_name_who_asked(server: ApiServer) -> None:
    server.chaos.forbidden.add("pods")
    answer = ask(server, PODS)
    assert answer.code == 403
    assert answer.json["message"] == (
        'pods is forbidden: User "system:serviceaccount:kube-system:netpolc" cannot list resource '
        '"pods" in API group "" at the cluster scope'
    )
    server.chaos.missing.add("adminnetworkpolicies")
    path = "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies"
    assert ask(server, path).code == 404
    found = ask(server, path.rpartition("/")[0]).json["resources"]
    assert [own["name"] for own in found] == ["baselineadminnetworkpolicies"]


def test_large_lists_are_compressed_for_who_asks(server: ApiServer) -> None:
    fill(server)
    server.chaos.gzip_from = 100
    answer = ask(server, PODS, **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(answer.body))["items"]) == 5
    assert "Content-Encoding" not in ask(server, PODS).headers


def test_a_list_can_be_cut(server: ApiServer) -> None:
    fill(server)
    server.chaos.cut_lists = 1
    with pytest.raises(http.client.IncompleteRead):
        ask(server, PODS)
    assert len(ask(server, PODS).json["items"]) == 5


def test_busy_servers_say_when_to_come_again(server: ApiServer) -> None:
    server.chaos.refuse(429, "3")
    answer = ask(server, PODS)
    assert (answer.code, answer.headers["Retry-After"]) == (429, "3")
    assert ask(server, PODS).code == 200


@pytest.mark.parametrize("end", ["cut_watches", "stop"])
def test_watches_end_in_the_middle(server: ApiServer, end: str) -> None:
    def soon() -> None:
        while not server.requests("pods", watch=True):
            time.sleep(0.01)
        getattr(server, end)()

    thread = threading.Thread(target=soon)
    thread.start()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(server, f"{PODS}?watch=1&resourceVersion={server.store.version}&timeoutSeconds=20")
    thread.join()


def test_a_restart_keeps_objects_and_versions(server: ApiServer) -> None:
    fill(server)
    before, url = ask(server, PODS).json, server.url
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(server, PODS)
    server.start()
    assert (ask(server, PODS).json, server.url) == (before, url)


def test_tokens_and_authorities_rotate(server: ApiServer) -> None:
    server.rotate_token("second")
    assert ask(server, PODS, "first-token").code == 401
    assert ask(server, PODS, "second").code == 200
    old = server.ca_file
    server.rotate_authority()
    assert server.ca_file != old
    assert ask(server, PODS).code == 200
