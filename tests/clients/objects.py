"""Policies, pods and columns as clients of the API and data frames hold them.

In: objects that each client made of what a server sends. Out: the same verdicts, written by hand,
and for objects in another form the words that lead to the right one. What an empty list or selector
says must survive every client: `ingress: []` denies, `ingress: [{}]` allows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

import netpolc

Wire = dict[str, Any]


def pod(name: str, number: int) -> Wire:
    container = {"name": "main", "image": "main"}
    container_ports = [{"name": "sql", "containerPort": 5432, "protocol": "TCP"}]
    metadata = {"name": name, "namespace": "shop", "labels": {"app": name}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"nodeName": "node-a", "containers": [{**container, "ports": container_ports}]},
        "status": {"phase": "Running", "podIPs": [{"ip": f"10.0.0.{number}"}]},
    }


def policy(name: str, **spec: Any) -> Wire:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": name}}, **spec},
    }


NETWORK = {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}
PEERS = [{"ipBlock": NETWORK}, {"podSelector": {}}]
PORTS = [{"port": "sql"}, {"port": 8000, "endPort": 8010}, {"protocol": "UDP", "port": 53}]
OBJECTS = [
    pod("open", 1),
    pod("shut", 2),
    pod("sql", 3),
    policy("open", ingress=[{}], policyTypes=["Ingress"]),
    policy("shut", ingress=[], egress=[], policyTypes=["Ingress", "Egress"]),
    policy("sql", ingress=[{"from": PEERS, "ports": PORTS}]),
]
WANTED = {
    ("192.0.2.1", "10.0.0.1", "TCP", 80): True,
    ("192.0.2.1", "10.0.0.2", "TCP", 80): False,
    ("10.0.0.2", "192.0.2.1", "TCP", 80): False,
    ("192.0.2.1", "10.0.0.3", "TCP", 5432): True,
    ("192.0.2.129", "10.0.0.3", "TCP", 5432): False,
    ("10.0.0.1", "10.0.0.3", "TCP", 8010): True,
    ("10.0.0.1", "10.0.0.3", "TCP", 8011): False,
    ("10.0.0.1", "10.0.0.3", "UDP", 53): True,
    ("10.0.0.1", "10.0.0.3", "TCP", 53): False,
}
KINDS = {"Pod": "V1Pod", "NetworkPolicy": "V1NetworkPolicy"}


def verdicts(objects: Any) -> dict[tuple[str, str, str, int], bool]:
    program = netpolc.compile(netpolc.load_objects(objects))
    return {row: netpolc.evaluate(program, netpolc.Flow(*row)).allowed for row in WANTED}


def of_kubernetes(wire: Wire) -> Any:
    return getattr(import_module("kubernetes.client"), KINDS[wire["kind"]]).from_dict(wire)


def api(module: str) -> Any:
    """Its way of writing objects, without a connection."""
    client = import_module(f"{module}.client")
    made = client.ApiClient.__new__(client.ApiClient)
    made.configuration, made.client_side_validation = client.Configuration(), False
    return made


def of_asyncio(wire: Wire) -> Any:
    response = SimpleNamespace(data=json.dumps(wire))
    return api("kubernetes_asyncio").deserialize(response, KINDS[wire["kind"]])


def of_lightkube(wire: Wire) -> Any:
    group = "core_v1" if wire["kind"] == "Pod" else "networking_v1"
    return getattr(import_module(f"lightkube.resources.{group}"), wire["kind"]).from_dict(wire)


def of_kr8s(wire: Wire) -> Any:
    return getattr(import_module("kr8s.objects"), wire["kind"])(wire, api=SimpleNamespace())


def of_kubesdk(wire: Wire) -> Any:
    group = {
        "Pod": "kube_models.api_v1.io.k8s.api.core.v1",
        "NetworkPolicy": "kube_models.apis_networking_k8s_io_v1.io.k8s.api.networking.v1",
    }[wire["kind"]]
    return getattr(import_module(group), wire["kind"]).from_dict(wire)


def of_cloudcoil(wire: Wire) -> Any:
    group = "core" if wire["kind"] == "Pod" else "networking"
    module = import_module(f"cloudcoil.models.kubernetes.{group}.v1")
    return getattr(module, wire["kind"]).model_validate(wire)


def of_kopf(wire: Wire) -> Any:
    return import_module("kopf._cogs.structs.bodies").Body(wire)


SANITIZED = "ApiClient().sanitize_for_serialization(object)"
DUMPED = "object.model_dump(by_alias=True)"
TO_DICT = "object.to_dict()"
Of = Callable[[Wire], Any]

FORMS: dict[str, tuple[Of, Callable[[Any], Any]]] = {
    "kubernetes": (of_kubernetes, lambda own: api("kubernetes").sanitize_for_serialization(own)),
    "kubernetes, pydantic": (of_kubernetes, lambda own: own.model_dump(by_alias=True)),
    "kubernetes_asyncio": (
        of_asyncio,
        lambda own: api("kubernetes_asyncio").sanitize_for_serialization(own),
    ),
    "lightkube": (of_lightkube, lambda own: own.to_dict()),
    "kr8s": (of_kr8s, lambda own: own.to_dict()),
    "kr8s, raw": (of_kr8s, lambda own: own.raw),
    "kubesdk": (of_kubesdk, lambda own: own.to_dict()),
    "kubesdk without nulls": (of_kubesdk, lambda own: own.to_dict(drop_nones=True)),
    "cloudcoil": (of_cloudcoil, lambda own: own.model_dump(by_alias=True)),
    "kopf": (of_kopf, lambda own: own),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_wire_form_of_a_client_means_what_the_server_sent(name: str) -> None:
    made, wire = FORMS[name]
    assert verdicts([wire(made(deepcopy(own))) for own in OBJECTS]) == WANTED


OWN: dict[str, tuple[Of, str]] = {
    "kubernetes": (of_kubernetes, SANITIZED),
    "kubernetes_asyncio": (of_asyncio, SANITIZED),
    "lightkube": (of_lightkube, TO_DICT),
    "kr8s": (of_kr8s, TO_DICT),
    "kubesdk": (of_kubesdk, TO_DICT),
    "cloudcoil": (of_cloudcoil, DUMPED),
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("wire", [OBJECTS[0], OBJECTS[-1]], ids=["pod", "policy"])
def test_an_object_of_a_client_is_told_which_call_gives_the_wire_form(
    name: str, wire: Wire
) -> None:
    made, call = OWN[name]
    own = made(deepcopy(wire))
    for given in ([own], own):
        with pytest.raises(netpolc.InputError) as caught:
            netpolc.load_objects(given)
        assert call in str(caught.value)


SNAKE: dict[str, tuple[Of, Callable[[Any], Any]]] = {
    "kubernetes": (of_kubernetes, lambda own: own.to_dict()),
    "kubernetes, pydantic": (of_kubernetes, lambda own: own.model_dump()),
    "kubernetes_asyncio": (of_asyncio, lambda own: own.to_dict()),
    "cloudcoil": (of_cloudcoil, lambda own: own.model_dump()),
}


@pytest.mark.parametrize("name", SNAKE)
@pytest.mark.parametrize("wire", [OBJECTS[0], OBJECTS[-1]], ids=["pod", "policy"])
def test_snake_case_is_told_which_call_gives_the_wire_form(name: str, wire: Wire) -> None:
    made, form = SNAKE[name]
    own = form(made(deepcopy(wire)))
    for given in ([own], [{"kind": "List", "items": [own]}]):
        with pytest.raises(netpolc.InputError) as caught:
            netpolc.load_objects(given)
        assert "fields in snake case" in str(caught.value)
        assert SANITIZED in str(caught.value)
        assert DUMPED in str(caught.value)


COLUMNS: dict[str, Callable[[list[Any]], Any]] = {
    "pandas": lambda items: import_module("pandas").Series(items),
    "pandas with an index": lambda items: import_module("pandas").Series(
        items, index=range(len(items), 0, -1)
    ),
    "pandas categories": lambda items: import_module("pandas").Series(items, dtype="category"),
    "pandas objects": lambda items: import_module("pandas").Series(items, dtype=object),
    "pandas index": lambda items: import_module("pandas").Index(items),
    "polars": lambda items: import_module("polars").Series(items),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_data_frames(name: str) -> None:
    form = COLUMNS[name]
    matcher = netpolc.Matcher(netpolc.compile(netpolc.load_objects(OBJECTS)))
    src, dst, protocol, port = map(list[Any], zip(*WANTED, strict=True))
    found = matcher.verdicts(form([*src, None]), form([*dst, dst[0]]), "TCP", form([*port, 80]))
    wanted = [int(own and row[2] == "TCP") for row, own in WANTED.items()]
    assert found.tolist() == [*wanted, netpolc.VerdictCode.INVALID]
    missing = matcher.allowed(form(src), form(dst), form(protocol), form([*port[:-1], None]))
    assert missing.tolist() == [*list(WANTED.values())[:-1], False]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_data_frame_is_no_column(library: str) -> None:
    frame = import_module(library).DataFrame({"src": ["10.0.0.1"]})
    matcher = netpolc.Matcher(netpolc.compile(netpolc.load_objects(OBJECTS)))
    with pytest.raises(ValueError, match="verdicts_arrow takes tables"):
        matcher.verdicts(frame, ["10.0.0.1"], "TCP", 80)
