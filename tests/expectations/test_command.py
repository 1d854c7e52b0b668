"""`netpolc test`: what passes, what fails and why, what is no expectation."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.invocation import Outcome, invoke
from tests.helpers.manifests import Manifest, namespace, pod, policy

Entry = dict[str, Any]
SHOP: list[Manifest] = [
    namespace("shop"),
    pod("shop/web-1", "10.0.0.1", "fd00::1", app="web"),
    pod("shop/db-0", "10.0.0.2", "fd00::2", app="db"),
    pod("shop/db-1", "10.0.0.3", "fd00::3", app="db"),
    policy(
        "shop/db",
        podSelector={"matchLabels": {"app": "db"}},
        ingress=[
            {
                "from": [
                    {"podSelector": {"matchLabels": {"app": "web"}}},
                    {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}},
                ],
                "ports": [{"port": 5432}, {"port": 8000, "endPort": 8010, "protocol": "UDP"}],
            }
        ],
    ),
]


NO_PORTS: list[Any] = [
    *("TCP/", "tcpp/1", "TCP80", "80-", "90-80", "65536", "", "-5", "/80", "TCP/80/81"),
    *(-1, True, {}, 65536, 1.5),
]


def expectations(*entries: Entry, name: str = "shop") -> Manifest:
    kind = {"apiVersion": "netpolc.dev/v1", "kind": "Expectations"}
    metadata = {"name": name, "namespace": "shop"}
    return {**kind, "metadata": metadata, "expectations": list(entries)}


def judged(*entries: Entry, objects: list[Manifest] = SHOP, form: str = "json") -> Outcome:
    items = [*objects, expectations(*entries)]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
    return invoke("test", "-", "-o", form, stdin=listed)


def flow(source: Any, to: Any, port: Any, expect: str) -> Entry:
    return {"from": source, "to": to, "port": port, "expect": expect}


@pytest.mark.parametrize(
    ("entry", "passes"),
    [
        (flow("web-1", "db-0", "TCP/5432", "allow"), True),
        (flow("web-1", "db-*", 5432, "allow"), True),
        (flow("shop/web-?", ["db-0", "db-1[Pod]"], "5432", "allow"), True),
        (flow("web-1", "db-0", "UDP/8000-8010", "allow"), True),
        (flow("web-1", "db-0", "UDP/8000-8011", "allow"), False),
        (flow("web-1", "db-0", "UDP/7999-8010", "allow"), False),
        (flow("web-1", "db-0", ["UDP/8011", "UDP/7999", "SCTP", "ICMP"], "deny"), True),
        (flow("web-1", "db-0", "all", "deny"), False),
        (flow("db-*", "web-1", "all", "allow"), True),
        (flow("db-*", "db-*", "all", "deny"), True),
        (flow("192.0.2.0/24", "db-0", 5432, "allow"), False),
        (flow("192.0.2.0/25", "db-0", 5432, "allow"), True),
        (flow("192.0.2.5", "db-0", 5432, "allow"), True),
        (flow("192.0.2.128/25", "db-0", 5432, "deny"), True),
        (flow("::/0", "db-0", "all", "deny"), True),
        (flow("10.0.0.1", "db-0", 5432, "allow"), True),  # an address that is a pod's
        ({"to": "db-*", "reachable-only-from": ["web-1", "192.0.2.0/25"]}, True),
        ({"to": "db-*", "reachable-only-from": ["web-1", "192.0.2.0/26"]}, False),
        ({"to": "db-*", "reachable-only-from": ["192.0.2.0/24"]}, False),
        ({"to": "db-*", "reachable-only-from": [], "port": "TCP/22"}, True),
        ({"from": "web-1", "reaches-only": "db-*", "port": 5432}, False),
        ({"from": "web-1", "reaches-only": ["db-*", "0.0.0.0/0", "::/0"]}, True),
    ],
)
def test_an_expectation(entry: Entry, passes: bool) -> None:
    outcome = judged(entry)
    (found,) = json.loads(outcome.stdout)["expectations"]
    assert found["passed"] is passes
    assert outcome.code == (0 if passes else 1)
    assert bool(found["failures"]) is not passes


def test_templates_have_no_address_and_are_judged_all_the_same() -> None:
    """What `kustomize build` prints; whatever address comes, it is one of the world's."""

    def workload(name: str) -> Manifest:
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": []}}
        kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
        return {
            **kind,
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"template": template},
        }

    objects = [workload("web"), workload("db"), workload("job"), SHOP[-1]]
    outcome = judged(
        flow("web[Deployment]", "db", 5432, "allow"),
        flow("job", "db", 5432, "deny"),
        {"to": "db", "reachable-only-from": ["web", "192.0.2.0/24"]},
        objects=objects,
    )
    assert outcome.code == 0, outcome.stdout
    rule = {"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}
    objects.append(policy("shop/world", podSelector={}, ingress=[rule]))
    assert judged(flow("job", "db", 1, "deny"), objects=objects).code == 1, "open over IPv4"
    assert judged(flow("job", "db", 1, "allow"), objects=objects).code == 1, "closed over IPv6"


def test_a_failure_names_flow_and_rule() -> None:
    outcome = judged(flow("web-1", "db-1", [5432, 80], "allow"), form="text")
    assert outcome.code == 1
    assert outcome.stdout.splitlines() == [
        "FAIL  shop/shop: allow web-1 -> db-1 5432,80",
        "      at <stdin>:1:1489",
        "      denied: shop/web-1 -> shop/db-1 TCP/80",
        "        egress  allowed shop/web-1: no policy isolates the pod",
        "        ingress denied  shop/db-1: isolated, and no rule accepts "
        "(shop/db at <stdin>:1:956)",
        "      and 1 more of 4 flows",
        "1 expectation, 1 failed; 4 flows judged",
    ]


def test_junit() -> None:
    entries = [flow("web-1", "db-0", 5432, "allow"), flow("web-1", "db-0", 22, "allow")]
    entries[1]["name"] = "ssh"
    root = ElementTree.fromstring(judged(*entries, form="junit").stdout)
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    good, bad = suite
    assert (good.get("classname"), len(good)) == ("shop/shop", 0)
    assert bad.get("name") == "ssh"
    assert bad[0].get("message") == "denied: shop/web-1 -> shop/db-0 TCP/22"


@pytest.mark.parametrize(
    ("entry", "path", "words"),
    [
        ({"from": "a", "to": "b"}, "expectations[0]", "needs one of expect, reachable-only-from"),
        (flow("a", "b", 1, "permit"), "expectations[0].expect", "Unsupported value"),
        ({**flow("a", "b", 1, "allow"), "prot": 1}, "expectations[0].prot", "unknown field"),
        (flow("a b", "b", 1, "allow"), "expectations[0].from", "an address or a CIDR"),
        (flow("10.0.0.1/8", "b", 1, "allow"), "expectations[0].from", "an address or a CIDR"),
        (flow(["a", 5], "b", 1, "allow"), "expectations[0].from[1]", "must be of type string"),
        (flow([], "b", 1, "allow"), "expectations[0].from", "Required value"),
        ({"from": "a", "expect": "allow"}, "expectations[0].to", "Required value"),
        ({"from": "a", "to": "b", "reachable-only-from": "c"}, "expectations[0].from", "Forbidden"),
        *(
            (flow("a", "b", port, "allow"), "expectations[0].port", "must be like TCP/80")
            for port in NO_PORTS
        ),
        (flow("a", "b", [80, "x"], "allow"), "expectations[0].port[1]", "must be like TCP/80"),
    ],
)
def test_what_is_no_expectation(entry: Entry, path: str, words: str) -> None:
    outcome = judged(entry)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f" {path}: " in outcome.stderr
    assert words in outcome.stderr


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (flow("nobody", "db-0", 1, "deny"), "shop/nobody matches no pod and no workload"),
        (flow("other/web-1", "db-0", 1, "deny"), "other/web-1 matches no pod"),
        (flow("web-1[Deployment]", "db-0", 1, "deny"), "shop/web-1[Deployment] matches no pod"),
        (flow("db-0", "db-0", 1, "allow"), "is about no flow"),
        (flow("192.0.2.1", "198.51.100.1", 1, "deny"), "is about no flow"),
        ({"to": "db-0", "reachable-only-from": "nobody"}, "shop/nobody matches no pod"),
    ],
)
def test_expectations_about_nobody_are_refused(entry: Entry, words: str) -> None:
    outcome = judged(entry)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr


def test_without_expectations_there_is_nothing_to_pass() -> None:
    outcome = invoke("test", "-", stdin=json.dumps(SHOP[0]).encode())
    assert outcome.code == 2
    assert "no Expectations object" in outcome.stderr
    empty = judged()
    assert empty.code == 2
    assert "expectations: Required value" in empty.stderr


def test_other_commands_pass_over_expectations() -> None:
    items = [*SHOP, expectations(flow("nobody", "web-1", 1, "deny"))]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
    outcome = invoke("compile", "-", stdin=listed)
    assert (outcome.code, outcome.stderr) == (0, "")
