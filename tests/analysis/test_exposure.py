"""Newcomers and what is said of them, by hand."""

from __future__ import annotations

from typing import Any

import netpolc
from netpolc.analysis.connectivity import Grouping, describe_ports
from netpolc.analysis.connectivity.exposure import Exposure, expose
from netpolc.analysis.connectivity.newcomers import with_newcomers
from tests.helpers.manifests import Manifest, namespace, pod, policy

DB = pod("shop/db", "10.0.0.1", app="db")


def exposed(*objects: Manifest, grouping: Grouping = Grouping.WORKLOAD) -> Exposure:
    new = with_newcomers(netpolc.load_objects(objects))
    return expose(netpolc.compile(new.snapshot), new.pods, grouping)


def into(name: str, exposure: Exposure) -> dict[str, str]:
    """Which newcomers reach an existing party, and how."""
    found = [c for c in exposure.connections if c.destination.name == name]
    return {c.source.name: describe_ports(c.ports) for c in found}


def admitting(*peers: Manifest, subject: str = "db") -> Manifest:
    """Ingress to the database from these, on TCP 5432."""
    rule = {"from": list(peers), "ports": [{"port": 5432}]}
    return policy("shop/db", podSelector={"matchLabels": {"app": subject}}, ingress=[rule])


def expressions(key: str, operator: str, *values: str) -> Manifest:
    own: dict[str, Any] = {"key": key, "operator": operator}
    return {"matchExpressions": [{**own, "values": list(values)} if values else own]}


def names(exposure: Exposure) -> list[str]:
    return [party.name for party in exposure.newcomers]


def test_without_policies_any_pod_is_all_there_is_to_say() -> None:
    exposure = exposed(namespace("shop"), DB)
    assert [
        (c.source.name, c.destination.name, describe_ports(c.ports)) for c in exposure.connections
    ] == [
        ("[any new namespace]/[any pod]", "shop/db[Pod]", "all"),
        ("[any new namespace]/[any pod]", "0.0.0.0/0", "all"),
        ("shop/db[Pod]", "[any new namespace]/[any pod]", "all"),
        ("0.0.0.0/0", "[any new namespace]/[any pod]", "all"),
        ("shop/[any pod]", "shop/db[Pod]", "all"),
        ("shop/[any pod]", "0.0.0.0/0", "all"),
        ("shop/db[Pod]", "shop/[any pod]", "all"),
        ("0.0.0.0/0", "shop/[any pod]", "all"),
    ]


def test_labels_that_a_rule_asks_for() -> None:
    peer = {"podSelector": {"matchLabels": {"app": "web"}}}
    exposure = exposed(namespace("shop"), DB, admitting(peer))
    assert into("shop/db[Pod]", exposure) == {"shop/[pods with app=web]": "TCP 5432"}
    assert "shop/[pods with app=db]" in names(exposure)  # the subject is isolated: it differs


def test_a_namespace_that_a_rule_asks_for_need_not_exist() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"team": "x"}}}
    exposure = exposed(namespace("shop"), DB, namespace("there", team="x"), admitting(peer))
    assert into("shop/db[Pod]", exposure) == {
        "[new namespace with team=x]/[any pod]": "TCP 5432",
        "there/[any pod]": "TCP 5432",
    }


def test_a_name_is_taken_once() -> None:
    def by_name(name: str) -> Manifest:
        labels = {"kubernetes.io/metadata.name": name}
        return {"namespaceSelector": {"matchLabels": labels}}

    exposure = exposed(namespace("shop"), DB, admitting(by_name("shop"), by_name("later")))
    assert into("shop/db[Pod]", exposure) == {
        "[new namespace with kubernetes.io/metadata.name=later]/[any pod]": "TCP 5432",
        "shop/[any pod]": "TCP 5432",
        "shop/[pods with app=db]": "TCP 5432",
    }


def test_each_value_of_in_and_what_not_in_refuses() -> None:
    wanted = {"podSelector": expressions("app", "In", "web", "api")}
    exposure = exposed(namespace("shop"), DB, admitting(wanted))
    assert into("shop/db[Pod]", exposure) == {
        "shop/[pods with app=api]": "TCP 5432",
        "shop/[pods with app=web]": "TCP 5432",
    }
    refusing = {"podSelector": expressions("color", "NotIn", "red")}
    exposure = exposed(namespace("shop"), DB, admitting(refusing))
    assert into("shop/db[Pod]", exposure) == {
        "shop/[any pod]": "TCP 5432",
        "shop/[pods with app=db]": "TCP 5432",
    }
    assert "shop/[pods with color=red]" in names(exposure)


def test_exists_is_a_key_with_a_value_nobody_names() -> None:
    there = {"podSelector": expressions("app", "Exists")}
    absent = {"podSelector": expressions("old", "DoesNotExist")}
    found = into("shop/db[Pod]", exposed(namespace("shop"), DB, admitting(there)))
    assert set(found) == {"shop/[pods with app]", "shop/[pods with app=db]"}
    exposure = exposed(namespace("shop"), DB, admitting(absent))
    assert set(into("shop/db[Pod]", exposure)) == {"shop/[any pod]", "shop/[pods with app=db]"}
    assert "shop/[pods with old]" in names(exposure)


def test_a_contradiction_has_no_newcomer() -> None:
    both = [
        *expressions("app", "In", "web")["matchExpressions"],
        *expressions("app", "NotIn", "web")["matchExpressions"],
    ]
    peer = {"podSelector": {"matchExpressions": both}}
    exposure = exposed(namespace("shop"), DB, admitting(peer))
    assert into("shop/db[Pod]", exposure) == {}
    assert not any("web" in name for name in names(exposure))


def test_a_namespace_that_lacks_what_another_new_one_gives_is_shown() -> None:
    peer = {
        "namespaceSelector": expressions("env", "NotIn", "prod"),
        "podSelector": {"matchLabels": {"app": "web"}},
    }
    exposure = exposed(namespace("shop"), DB, admitting(peer))
    assert into("shop/db[Pod]", exposure) == {
        "[any new namespace]/[pods with app=web]": "TCP 5432",
        "shop/[pods with app=web]": "TCP 5432",
    }
    assert "[new namespace with env=prod]/[any pod]" in names(exposure)


def test_identities_of_what_exists_are_not_mixed_with_newcomers() -> None:
    objects = namespace("shop"), DB, pod("shop/b", "10.0.0.2"), pod("shop/c", "10.0.0.3")
    exposure = exposed(*objects, admitting(), grouping=Grouping.IDENTITY)
    assert [party.name for party in exposure.existing] == ["shop/b+1", "shop/db", "0.0.0.0/0"]
    assert set(into("shop/b+1", exposure)) >= {"shop/[any pod]", "shop/[pods with app=db]"}


def test_policies_alone_are_enough() -> None:
    exposure = exposed(admitting({"podSelector": {}}))
    assert {
        (c.source.name, describe_ports(c.ports))
        for c in exposure.connections
        if c.destination.name == "shop/[any pod]"
    } == {("0.0.0.0/0; ::/0", "all")}


def test_blocks_count_that_hold_whatever_address_there_will_be() -> None:
    everywhere = exposed(namespace("shop"), DB, admitting({"ipBlock": {"cidr": "0.0.0.0/0"}}))
    assert into("shop/db[Pod]", everywhere)["shop/[any pod]"] == "TCP 5432"
    somewhere = exposed(namespace("shop"), DB, admitting({"ipBlock": {"cidr": "10.0.0.0/8"}}))
    assert "shop/[any pod]" not in into("shop/db[Pod]", somewhere)
