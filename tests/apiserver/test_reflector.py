"""A reflector converges on what the server has, whatever happens on the way.

What it asks for, and when, is what client-go's reflector asks (`tools/cache/reflector.go`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from netpolc.apiserver import Absent, Listed, Trouble
from netpolc.apiserver.client import Client
from netpolc.apiserver.errors import ApiRefusal
from netpolc.apiserver.follow import reflector as module
from netpolc.apiserver.follow.backoff import Backoff, Gate
from netpolc.apiserver.resources import RESOURCES
from tests.apiserver.conftest import named
from tests.apiserver.following import CLUSTER_POLICY, Clock, Stepped, simulate
from tests.helpers.apiserver import ApiServer

Follow = Callable[..., Stepped]


@pytest.fixture
def follow(server: ApiServer) -> Iterator[Follow]:
    made: list[Stepped] = []

    def one(*arguments: Any) -> Stepped:
        made.append(Stepped(server, *arguments))
        return made[-1]

    yield one
    for own in made:
        own.close()


def pod(name: str, **labels: str) -> dict[str, Any]:
    return named("Pod", name, "shop", metadata={"labels": labels}, spec={"containers": [{}]})


def truth(server: ApiServer) -> dict[tuple[str, str], Any]:
    served = server.store.resource("v1", "Pod")
    return {
        key: own.document["metadata"].get("labels")
        for key, own in server.store.at(served, server.store.version)
    }


def queries(server: ApiServer, plural: str = "pods") -> list[dict[str, str]]:
    return [own.query for own in server.requests(plural)]


def test_one_request_lists_and_watches(server: ApiServer, follow: Follow) -> None:
    server.apply(pod("a", app="web"), pod("b"))
    own = follow()
    own.step()
    assert own.state() == truth(server)
    (asked,) = queries(server)
    assert asked == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "resourceVersion": "",
        "timeoutSeconds": "1",
    }


def test_a_watch_goes_on_where_the_last_one_ended(server: ApiServer, follow: Follow) -> None:
    own = follow()
    own.step()
    server.apply(pod("a"), pod("b"))
    server.store.delete("Pod", "shop", "a")
    own.step()
    server.apply(pod("b", app="web"))
    own.step()
    assert own.kinds() == ["Listed", "Changed", "Changed", "Gone", "Changed"]
    assert own.state() == truth(server)
    assert "sendInitialEvents" not in queries(server)[1]
    assert int(queries(server)[2]["resourceVersion"]) == server.store.version - 1


def test_bookmarks_move_the_version(server: ApiServer, follow: Follow) -> None:
    server.chaos.bookmark_seconds = 0.0
    own = follow()
    own.step()
    server.apply(pod("a"))
    server.apply(named("Node", "n"))
    own.step()
    assert own.told[-1] == own.told[1]  # nothing is told of a bookmark
    server.store.forget()
    own.step()
    assert own.kinds() == ["Listed", "Changed", "Trouble"]  # an empty watch on a still clock
    assert int(queries(server)[-1]["resourceVersion"]) == server.store.version


@pytest.mark.parametrize("how", ["forbidden", "ignored"])
def test_servers_without_watchlist_are_listed(
    server: ApiServer, follow: Follow, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.2)
    server.chaos.watch_list, server.chaos.pace = how, 1.0
    server.apply(pod("a"), pod("b"))
    own = follow()
    own.step()
    server.apply(pod("c"))
    own.step()
    assert own.state() == truth(server)
    lists = [own.query for own in server.requests("pods", watch=False)]
    assert lists == [{"resourceVersion": "0"}]


def test_an_expired_watch_is_followed_by_a_list_not_older(
    server: ApiServer, follow: Follow
) -> None:
    server.chaos.watch_list = "forbidden"
    own = follow()
    own.step()
    seen = queries(server)[-1]["resourceVersion"]
    server.apply(pod("a"), pod("b"))
    server.store.delete("Pod", "shop", "a")
    server.store.forget()
    own.step(2)
    assert own.state() == truth(server) == {("shop", "b"): {}}
    lists = [own.query for own in server.requests("pods", watch=False)]
    assert lists == [{"resourceVersion": "0"}, {"resourceVersion": seen}]


def test_a_version_from_the_future_is_forgotten(server: ApiServer, follow: Follow) -> None:
    """A server that was restored from a backup knows less than its client."""
    server.chaos.watch_list = "forbidden"
    server.apply(pod("a"))
    own = follow()
    own.step()
    server.store.forget()
    server.store.version += 1
    server.apply(pod("b"))
    server.store.forget()
    own.reflector._version = "999999"
    own.reflector._must_list = True
    own.step()
    assert own.state() == truth(server)
    lists = [own.query for own in server.requests("pods", watch=False)]
    assert lists[-2:] == [{"resourceVersion": "999999"}, {"limit": "500"}]


def test_pages_that_expire_are_followed_by_the_whole_list(
    server: ApiServer, follow: Follow
) -> None:
    server.chaos.watch_list = "forbidden"
    server.apply(*(pod(f"p{number}") for number in range(7)))
    own = follow()
    own.reflector._unavailable = True  # the newest, in pages
    server.chaos.page, server.chaos.compact_between_pages = 3, True
    own.step()
    assert own.state() == truth(server)
    lists = [own.query for own in server.requests("pods", watch=False)]
    assert [("continue" in asked, asked.get("limit")) for asked in lists] == [
        (False, "500"),
        (True, "500"),
        (False, None),
    ]


@pytest.mark.parametrize("watch_list", ["on", "forbidden"])
def test_a_cut_answer_is_asked_for_again(
    server: ApiServer, follow: Follow, watch_list: str
) -> None:
    server.chaos.watch_list = watch_list
    server.apply(pod("a"), pod("b"))
    own = follow()
    server.chaos.cut_lists = 1
    own.step(3)
    assert own.state() == truth(server)
    assert [event for event in own.told if isinstance(event, Listed)][1:] == []


def test_compressed_lists_are_read(server: ApiServer, follow: Follow) -> None:
    server.chaos.watch_list, server.chaos.gzip_from = "forbidden", 1
    server.apply(*(pod(f"p{number}", app="web") for number in range(300)))
    own = follow()
    own.step()
    assert own.state() == truth(server)


@pytest.mark.parametrize("code", [429, 503])
def test_busy_servers_are_left_alone_for_as_long_as_they_say(
    server: ApiServer, follow: Follow, code: int
) -> None:
    own = follow()
    server.chaos.refuse(code, "7")
    own.step()
    while not server.requests("pods")[1:]:
        own.step()
    assert own.clock.now >= 7.0
    assert own.state() == truth(server)


def test_an_outage_costs_few_requests(server: ApiServer, follow: Follow) -> None:
    """Seven kinds ask one server that refuses all: at most 20 requests in a minute."""
    clock = Clock()
    gate = Gate(clock, lambda: 0.0)  # the shortest waits there are
    several = [follow(own, clock, gate) for own in RESOURCES]
    for own in several:
        own.step()
    server.apply(pod("a"))
    before, start = len(server.asked), clock.now
    server.chaos.refuse(503, times=10_000)
    simulate(several, clock, start + 60.0)
    assert 7 <= len(server.asked) - before <= 20
    server.chaos._refusals.clear()
    simulate(several, clock, clock.now + 62.0)
    (pods,) = (own for own in several if own.resource.plural == "pods")
    assert pods.state() == truth(server)
    assert [own.kinds().count("Listed") for own in several] == [1] * 7


def test_a_restarted_server_is_watched_on(server: ApiServer, follow: Follow) -> None:
    own = follow()
    server.apply(pod("a"))
    own.step()
    server.stop()
    own.step(3)
    server.start()
    server.apply(pod("b"))
    while own.state() != truth(server):
        own.step()
    assert own.kinds().count("Listed") == 1


def test_an_optional_kind_is_asked_for_until_it_is_there(server: ApiServer, follow: Follow) -> None:
    server.chaos.missing.add("clusternetworkpolicies")
    own = follow(CLUSTER_POLICY)
    waits = own.step(12)
    assert own.kinds() == ["Absent"]  # told once
    assert max(waits) == 30.0
    server.chaos.missing.clear()
    own.step(1)
    assert own.kinds() == ["Absent", "Listed"]


def test_a_kind_that_goes_away_is_absent_again(server: ApiServer, follow: Follow) -> None:
    own = follow(CLUSTER_POLICY)
    own.step()
    server.chaos.missing.add("clusternetworkpolicies")
    own.step(2)
    assert own.kinds()[0] == "Listed"
    assert own.kinds()[-1] == "Absent"


def test_forbidden_kinds(server: ApiServer, follow: Follow) -> None:
    """What the server has and nobody may read is not empty, though it was never listed."""
    server.chaos.forbidden |= {"clusternetworkpolicies", "pods"}
    optional, required = follow(CLUSTER_POLICY), follow()
    for own in (optional, required):
        own.step(3)
        troubles = [event for event in own.told if isinstance(event, Trouble)]
        assert troubles == own.told
        assert "cannot watch" in troubles[-1].message
    server.chaos.forbidden.clear()
    for own in (optional, required):
        own.step()
        assert own.kinds()[-1] == "Listed"


def test_a_forbidden_kind_that_no_server_has_is_absent(
    server: ApiServer, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server says 403 before it looks whether there is such a kind."""
    server.chaos.missing.add("clusternetworkpolicies")
    own = follow(CLUSTER_POLICY)
    forbidden = ApiRefusal(403, "Forbidden", "you cannot watch clusternetworkpolicies")

    def get(client: Client, path: str, *rest: Any) -> Any:
        if path.endswith("/clusternetworkpolicies"):
            raise forbidden
        return whole(client, path, *rest)

    whole = Client.get
    monkeypatch.setattr(Client, "get", get)
    own.step()
    (absent,) = own.told
    assert isinstance(absent, Absent)
    assert "you cannot watch" in absent.reason


def test_what_is_forbidden_later_stands(server: ApiServer, follow: Follow) -> None:
    """A policy that can no longer be read is not taken for one that is gone."""
    own = follow(CLUSTER_POLICY)
    own.step()
    server.chaos.forbidden.add("clusternetworkpolicies")
    own.step(3)
    assert "Absent" not in own.kinds()


def test_a_silent_watch_is_given_up(
    server: ApiServer, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    own = follow()
    own.step()
    server.chaos.silent, server.chaos.pace = True, 100.0
    server.apply(pod("a"))
    own.step()
    assert isinstance(own.told[-1], Trouble)
    assert "no answer in time" in own.told[-1].message
    server.chaos.silent, server.chaos.pace = False, 0.1
    own.step()
    assert own.state() == truth(server)


def test_waits_grow_to_half_a_minute_and_begin_again() -> None:
    clock = Clock()
    backoff = Backoff(clock, lambda: 0.0)
    waits = [backoff.next() for _ in range(7)]
    assert waits == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
    assert backoff.next(45.0) == 45.0
    clock.now += 121.0
    assert backoff.next() == 0.8
    assert Backoff(clock, lambda: 1.0).next() == 1.6
