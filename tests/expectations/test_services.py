"""Services as ends of expectations: `to: svc/db` with the Service's port, not the pods'.

In: a Service whose port 80 leads to 5432 and whose port `metrics` leads to a port that one of the
two pods names. Out: results written by hand.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.expectations.test_command import SHOP, Entry, flow, judged
from tests.helpers.manifests import Manifest

PORTS = [
    {"name": "sql", "port": 80, "targetPort": 5432},
    {"name": "metrics", "port": 9100, "targetPort": "metrics"},
]


def service(name: str, selector: object, ports: object = PORTS) -> Manifest:
    metadata = {"name": name, "namespace": "shop"}
    spec = {"selector": selector, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def objects() -> list[Manifest]:
    found: list[Manifest] = json.loads(json.dumps(SHOP))
    metrics = {"name": "metrics", "containerPort": 9000}
    found[2]["spec"]["containers"][0]["ports"] = [metrics]  # of db-0 alone
    empty = service("nobody", {"app": "nobody"})
    return [*found, service("db", {"app": "db"}), empty]


@pytest.mark.parametrize(
    ("entry", "passes", "count"),
    [
        (flow("web-1", "svc/db", 80, "allow"), True, 4),  # two pods, two families
        (flow("web-1", "db[Service]", "TCP/80", "allow"), True, 4),
        (flow("web-1", "shop/d*[Service]", 80, "allow"), True, 4),
        (flow("web-1", "svc/db", 9100, "deny"), True, 2),  # db-0 alone has the port
        (flow("web-1", "svc/db", 9100, "allow"), False, 2),
        (flow("web-1", "svc/db", "all", "allow"), False, 6),
        (flow("web-1", "db-*", 80, "allow"), False, 4),  # of pods it is their own port
        (flow("192.0.2.200", "svc/db", 80, "deny"), True, 2),
        ({"to": "svc/db", "reachable-only-from": ["web-1", "192.0.2.0/24"], "port": 80}, True, 8),
        ({"to": "svc/db", "reachable-only-from": [], "port": 80}, False, 14),
        ({"from": "web-1", "reaches-only": "svc/db", "port": 5432}, False, 3),  # the world is open
    ],
)
def test_ports_of_a_service_lead_to_its_pods(entry: Entry, passes: bool, count: int) -> None:
    found = judged(entry, objects=objects())
    (result,) = json.loads(found.stdout)["expectations"]
    assert (result["passed"], found.code) == (passes, 0 if passes else 1)
    assert result["judged"] == count


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (flow("svc/db", "web-1", 80, "deny"), "shop/db[Service] opens no connections"),
        (flow("web-1", "svc/dbs", 80, "deny"), "shop/dbs[Service] matches no Service"),
        (flow("web-1", "svc/nobody", 80, "deny"), "shop/nobody[Service] leads to no pod"),
        (
            flow("web-1", "svc/db", 5432, "deny"),
            "shop/db[Service] has no such port: it has TCP/80 to 5432, TCP/9100 to metrics",
        ),
    ],
)
def test_services_that_tell_nothing(entry: Entry, words: str) -> None:
    found = judged(entry, objects=objects())
    assert found.code == 2
    assert words in found.stderr


def test_a_failure_has_the_port_of_the_pod() -> None:
    found: Any = judged(flow("192.0.2.200", "svc/db", 80, "allow"), objects=objects(), form="text")
    assert "denied: 192.0.2.200 -> shop/db-0 TCP/5432" in found.stdout
