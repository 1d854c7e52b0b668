"""Events on objects that are not enforced as written: what the fake API server then has.

In: what an agent says of objects. Out: the Events, and what is counted where none can be written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netpolc.agent.telling.log import LogLines
from netpolc.agent.telling.objects import BURST, SECONDS, ObjectEvents
from netpolc.agent.telling.report import Report
from netpolc.apiserver import from_kubeconfig
from tests.apiserver.conftest import ask
from tests.helpers.apiserver import ApiServer
from tests.helpers.manifests import Manifest, namespace, policy

KEY = "NetworkPolicy", "shop", "db"
WHY = "it isolates what it selects and admits nothing: spec.ingress[0]: no"
TIER = {
    "apiVersion": "policy.networking.k8s.io/v1alpha1",
    "kind": "AdminNetworkPolicy",
    "metadata": {"name": "tier"},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path / "server") as made:
        for own in (namespace("shop"), namespace("default"), policy("shop/db"), TIER):
            made.store.apply(own)
        yield made


@contextmanager
def telling(server: ApiServer, clock: Callable[[], float]) -> Iterator[tuple[ObjectEvents, Report]]:
    report = Report("node-a", LogLines(LINES.append))
    LINES.clear()
    made = ObjectEvents(from_kubeconfig(str(server.kubeconfig())), report, clock)
    made.start()
    try:
        yield made, report
    finally:
        made.stop()


LINES: list[str] = []


def events(server: ApiServer, space: str) -> list[Manifest]:
    found: list[Manifest] = ask(server, f"/api/v1/namespaces/{space}/events").json["items"]
    return found


def counted(report: Report, wanted: str) -> None:
    """Wait until a number is told."""
    until = time.monotonic() + 30
    while f"netpolc_object_events_total{wanted}\n" not in report.metrics.text():
        assert time.monotonic() < until, report.metrics.text()
        time.sleep(0.01)


def test_an_event_is_beside_its_object_once(server: ApiServer) -> None:
    with telling(server, lambda: 0.0) as (one, report), telling(server, lambda: 0.0) as (two, its):
        for _ in range(3):
            one.tell(KEY, WHY)
        counted(report, '{result="written"} 1')
        two.tell(KEY, WHY)  # the agent of another node
        counted(its, '{result="known"} 1')
        one.tell(("AdminNetworkPolicy", "", "tier"), WHY)
        counted(report, '{result="written"} 2')
        one.tell(KEY, "x" * 5000)
        counted(report, '{result="written"} 3')
        one.tell(("NetworkPolicy", "shop", "gone"), WHY)
        counted(report, '{result="gone"} 1')
    stored = ask(server, "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/db").json
    first, long = sorted(events(server, "shop"), key=lambda own: len(own["message"]))
    assert first["involvedObject"] == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "namespace": "shop",
        "name": "db",
        "uid": stored["metadata"]["uid"],
    }
    assert (first["type"], first["message"]) == ("Warning", WHY)
    assert first["source"] == {"component": "netpolc", "host": "node-a"}
    assert len(long["message"]) == 1024
    (of_tier,) = events(server, "default")
    assert of_tier["involvedObject"]["kind"] == "AdminNetworkPolicy"


def test_there_are_only_so_many_and_nobody_waits(server: ApiServer) -> None:
    now = [0.0]
    with telling(server, lambda: now[0]) as (made, report):
        for number in range(BURST + 5):
            made.tell(KEY, f"because {number}")
        counted(report, '{result="dropped"} 5')
        counted(report, f'{{result="written"}} {BURST}')
        now[0] = SECONDS
        made.tell(KEY, f"because {BURST}")
        counted(report, f'{{result="written"}} {BURST + 1}')
    assert len(events(server, "shop")) == BURST + 1


def test_what_is_not_written_is_counted_and_told(server: ApiServer) -> None:
    server.chaos.forbidden.add("events")
    with telling(server, lambda: 0.0) as (made, report):
        for number in range(3):
            made.tell(KEY, f"because {number}")
        counted(report, '{result="failed"} 3')
    (told,) = [own for own in LINES if "an Event was not written" in own]
    assert "cannot create resource" in told


def test_the_report_tells_of_each_object_as_it_becomes_odd() -> None:
    told: list[tuple[object, str]] = []
    report = Report("node-a", LogLines(lambda line: None))
    report.on_refused = lambda key, why: told.append((key, why))
    for _ in range(2):
        report.objects({KEY: WHY})
    assert told == [(KEY, WHY)]
    report.objects({})
    report.objects({KEY: WHY})
    assert told == [(KEY, WHY)] * 2
