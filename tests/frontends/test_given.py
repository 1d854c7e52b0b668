"""Manifests that a program has: what is read, and what is refused instead of being guessed."""

from __future__ import annotations

import enum
import io
from collections import UserDict, UserList
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import netpolc

NAN, INFINITE = float("nan"), float("inf")


def policy(port: Any = 80, **labels: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "a", "namespace": "shop", "labels": labels},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": port}]}]},
    }


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "main"}]},
    }


def ports(objects: Any) -> list[Any]:
    """The port of each policy, as it is read."""
    read = netpolc.load_objects(objects).policies
    return [str(port) for own in read for rule in own.rules for port in rule.ports]  # type: ignore[union-attr]


def refused(objects: Any) -> str:
    with pytest.raises(netpolc.InputError) as caught:
        netpolc.load_objects(objects)
    return str(caught.value)


class Port(enum.IntEnum):
    HTTP = 80


@pytest.mark.parametrize(
    "given",
    [
        UserDict(policy()),
        MappingProxyType(policy()),
        {**policy(), "spec": MappingProxyType(policy()["spec"])},
        {**policy(), "spec": UserDict(policy()["spec"])},
        policy(Port.HTTP),
        policy(np.int64(80)),
        policy(80.0),
        policy(np.float64(80)),
        {
            **policy(),
            "spec": {"podSelector": {}, "ingress": ({"ports": UserList([{"port": 80}])},)},
        },
        {**policy(), "metadata": {**policy()["metadata"], "creationTimestamp": datetime.now(UTC)}},
        {**policy(), "metadata": {**policy()["metadata"], "annotations": {"on": date(2026, 1, 2)}}},
    ],
    ids=lambda given: type(given).__name__,
)
def test_other_mappings_lists_and_numbers_mean_the_same(given: Any) -> None:
    assert ports([given]) == ports([policy()])


@pytest.mark.parametrize("number", [NAN, INFINITE, -INFINITE, np.float64("nan"), np.float32("inf")])
def test_no_number_opens_no_port(number: Any) -> None:
    text = refused([policy(), policy(number)])
    assert text.startswith("objects[1]: spec.ingress[0].ports[0].port: ")
    assert "is no number of a manifest" in text


def test_at_any_depth() -> None:
    deep: Any = NAN
    for _ in range(60):
        deep = {"x": [deep]}
    text = refused([{**policy(), "spec": {"podSelector": {}, "deep": deep}}])
    assert text.startswith("objects[0]: spec.deep.x[0].x[0]")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (policy(Decimal(80)), "spec.ingress[0].ports[0].port: a Decimal is no part"),
        (policy(b"http"), "spec.ingress[0].ports[0].port: bytes are no text"),
        (policy(10**30), "spec.ingress[0].ports[0].port: a number that fits no field"),
        (policy(object()), "spec.ingress[0].ports[0].port: an object is no part"),
        (policy({80}), "spec.ingress[0].ports[0].port: a set is no part"),
        (policy(app="\ud800"), "metadata.labels.app: half of a character"),
        (policy(**{"app\ud800": "x"}), "metadata.labels: half of a character"),
        ({**policy(), "metadata": {"labels": {None: "x"}}}, "metadata.labels: the key None"),
        ({**policy(), "metadata": {("a",): "x"}}, "metadata: the key ('a',) is no text"),
        (dict[Any, Any](policy()) | {1: "x"}, "the key 1 is no text"),
    ],
    ids=str,
)
def test_what_json_has_no_word_for_is_told_with_its_path(given: Any, told: str) -> None:
    assert f"objects[0]: {told}" in refused([given])


def test_an_object_that_holds_itself() -> None:
    own = policy()
    own["spec"]["again"] = own
    assert "nested too deeply, or an object that holds itself" in refused([own])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (policy(), "objects: one object and no list of objects: give [object]"),
        ("kind: Pod", "objects: a str and no list of objects: netpolc.load reads files and text"),
        (5, "objects: an int and no list of objects"),
        ([{"type": "ADDED", "object": policy()}], "objects[0]: a watch event: give its object"),
        ([{"metadata": {"name": "a"}, "spec": {}}], "objects[0]: apiVersion, kind missing: items"),
        ([{"api_version": "v1", "kind": "Pod"}], "sanitize_for_serialization(object)"),
        ([{"metadata": {"creation_timestamp": None}, "spec": {}}], "model_dump(by_alias=True)"),
        (
            [{"type": "ADDED", "object": object(), "raw_object": policy()}],
            "objects[0]: a watch event: give its raw_object",
        ),
        ([("ADDED", policy())], "objects[0]: a watch event: give its object"),
        ([[policy(), policy(), policy()]], "objects[0]: a list and no object: give all objects"),
        ([None], "objects[0]: a NoneType and no object"),
        (["kind: Pod"], "objects[0]: a str and no object"),
        ([{"kind": "Pod"}], "objects[0]: apiVersion missing"),
        ([{"apiVersion": "v1", "spec": {}}], "objects[0]: kind missing"),
        (
            [{"api_version": "v1", "items": [{"metadata": {"creation_timestamp": None}}]}],
            "objects[0]: items[0]: fields in snake case",
        ),
        ([SimpleNamespace(openapi_types={})], "sanitize_for_serialization(object) gives the wire"),
        ([SimpleNamespace(model_dump=dict)], "object.model_dump(by_alias=True) gives the wire"),
        ([SimpleNamespace(to_dict=dict)], "object.to_dict() gives the wire form"),
        (SimpleNamespace(to_dict=dict), "one SimpleNamespace and no list of objects: give [object"),
    ],
    ids=str,
)
def test_what_is_given_instead_of_a_list_of_objects(given: Any, told: str) -> None:
    assert told in refused(given)


@pytest.mark.parametrize("of", [list, tuple, iter, lambda own: (each for each in own)])
def test_any_iterable_of_objects(of: Callable[[list[Any]], Any]) -> None:
    assert ports(of([policy(), {"kind": "List", "items": [policy(81)]}][:1])) == ports([policy()])


def test_lists_of_the_api_are_read() -> None:
    served = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "metadata": {}}
    items = [{"metadata": policy()["metadata"], "spec": policy()["spec"]}]
    assert ports([{**served, "items": items}]) == ports([policy()])


def test_snapshots_and_programs_are_shown_in_a_line() -> None:
    snapshot = netpolc.load_objects([policy()])
    assert repr(snapshot) == "<Snapshot pods=0 policies=1 namespaces=1 nodes=0 warnings=1>"
    program = netpolc.compile(snapshot)
    assert repr(program) == "<Program pods=0 identities=0 combinations=0>"


def test_a_notebook_shows_tables() -> None:
    snapshot = netpolc.load_objects([policy(), pod("web-1", app="web"), pod("web-2")])
    assert "<td>shop</td><td>2</td><td>1</td>" in snapshot._repr_html_()
    program = netpolc.compile(snapshot)
    row = "<td>2</td><td>shop/web-1</td><td>1 rules</td><td>not judged</td>"
    assert row in program._repr_html_()
    matcher = netpolc.Matcher(program)
    assert f"<td>bytes</td><td>{matcher.nbytes}</td>" in matcher._repr_html_()


@pytest.mark.parametrize("given", ["examples", Path("examples")])
def test_one_path_is_no_list_of_paths(given: Any) -> None:
    with pytest.raises(
        netpolc.UsageError, match=r"one path and no list of them: give \['examples'\]"
    ):
        netpolc.load(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"examples": 1}, "paths: dict is no list of paths: load_objects takes parsed manifests"),
        (io.StringIO("kind: Pod"), "paths: StringIO is no list of paths"),
        (b"examples", "paths: bytes is no list of paths"),
        (None, "paths: NoneType is no list of paths"),
        ([policy()], r"paths\[0\]: dict is no path"),
        (["examples", ["tests"]], r"paths\[1\]: list is no path"),
    ],
)
def test_what_is_given_instead_of_a_list_of_paths(given: Any, told: str) -> None:
    with pytest.raises(netpolc.UsageError, match=told):
        netpolc.load(given)


def test_what_is_given_instead_of_what_comes_before() -> None:
    snapshot: Any = netpolc.load_objects([policy()])
    with pytest.raises(netpolc.UsageError, match="compile takes a Snapshot and no list"):
        netpolc.compile([policy()])  # type: ignore[arg-type]
    with pytest.raises(netpolc.UsageError, match="Matcher takes a Program and no Snapshot"):
        netpolc.Matcher(snapshot)
    with pytest.raises(netpolc.UsageError, match=r"one name .* give \('cni0',\)"):
        netpolc.Options(pod_bridges="cni0")  # type: ignore[arg-type]


def test_choices_are_named() -> None:
    with pytest.raises(netpolc.UsageError, match=r"semantics 'x' is not 'current' or 'v1\.6'"):
        netpolc.load_objects([], semantics="x")
    with pytest.raises(netpolc.UsageError, match="odd_objects 'x' is not 'refuse' or 'isolate'"):
        netpolc.load([], odd_objects="x")


@pytest.mark.parametrize("port", ["80", True, 80.5, NAN, INFINITE, Decimal(80), [80]])
def test_flows_of_no_port(port: Any) -> None:
    with pytest.raises(ValueError, match=r"port .* is no whole number"):
        netpolc.Flow("10.0.0.1", "10.0.0.2", "TCP", port)


@pytest.mark.parametrize("port", [80.0, np.float32(80), np.uint16(80), Port.HTTP])
def test_flows_of_a_port_of_a_data_frame(port: Any) -> None:
    flow = netpolc.Flow("10.0.0.1", "10.0.0.2", "TCP", port)
    assert (flow.port, type(flow.port)) == (80, int)


def test_flows_of_icmp() -> None:
    assert netpolc.Flow("10.0.0.1", "10.0.0.2", "ICMP").protocol == 1
    assert netpolc.Flow("fd00::1", "fd00::2", "icmp").protocol == 58
    assert netpolc.Flow("fd00::1", "fd00::2", "ICMPv6").protocol == 58
    with pytest.raises(ValueError, match="unknown protocol 'ICMPv6'"):
        netpolc.Flow("10.0.0.1", "10.0.0.2", "ICMPv6")
    with pytest.raises(ValueError, match="has no ports"):
        netpolc.Flow("10.0.0.1", "10.0.0.2", "ICMP", 80)
