"""Lists that come in any pieces give the same items, and reduced objects the same snapshot."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.apiserver.errors import Unreachable
from netpolc.apiserver.reducing import Documents, Reducer
from netpolc.apiserver.streaming import ListStream, lines
from tests.helpers.scenarios import Scenario, everything

META = {"resourceVersion": "7", "continue": "abc"}
NAMES = st.text(alphabet='ab"\\{}[],:é', max_size=6)
ITEMS: st.SearchStrategy[list[Any]] = st.lists(
    st.fixed_dictionaries(
        {
            "metadata": st.fixed_dictionaries({"name": NAMES}),
            "spec": st.recursive(
                NAMES | st.integers() | st.none(),
                lambda below: (
                    st.lists(below | st.just({"metadata": {}}), max_size=3)
                    | st.dictionaries(
                        st.sampled_from(["metadata", "items", "a"]), below, max_size=2
                    )
                ),
                max_leaves=6,
            ),
        }
    ),
    max_size=5,
)


def written(items: list[Any], indent: int | None = None) -> bytes:
    document = {"kind": "PodList", "apiVersion": "v1", "metadata": META, "items": items}
    separators = (",", ":") if indent is None else None
    return json.dumps(document, separators=separators, indent=indent).encode() + b"\n"


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@given(ITEMS, st.integers(1, 400), st.sampled_from([None, 2]))
def test_items_of_a_list_in_pieces(items: list[Any], size: int, indent: int | None) -> None:
    stream = ListStream(pieces(written(items, indent), size))
    assert [json.loads(bytes(own)) for own in stream] == items
    assert (stream.metadata.resourceVersion, stream.metadata.rest) == ("7", "abc")


@given(ITEMS, st.integers(1, 200), st.data())
def test_a_list_that_was_cut_is_no_list(items: list[Any], size: int, data: st.DataObject) -> None:
    text = written(items)
    end = data.draw(st.integers(0, len(text) - 3))
    with pytest.raises(Unreachable):
        list(ListStream(pieces(text[:end], size)))


def test_metadata_after_the_items() -> None:
    text = json.dumps({"items": [{"a": 1}], "metadata": META}, separators=(",", ":")).encode()
    stream = ListStream([text])
    assert [json.loads(bytes(own)) for own in stream] == [{"a": 1}]


@given(
    st.lists(st.binary(max_size=5).map(lambda own: own.hex().encode() or b"x")), st.integers(1, 9)
)
def test_lines_in_pieces(given_lines: list[bytes], size: int) -> None:
    text = b"".join(line + b"\n" for line in given_lines)
    assert list(lines(pieces(text, size))) == given_lines


def reduced(document: dict[str, Any]) -> dict[str, Any]:
    reducer = Reducer(document["apiVersion"], document["kind"])
    found: dict[str, Any] = json.loads(reducer.reduced(json.dumps(document).encode()))
    return found


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "u",
        "labels": {"app": "web"},
        "annotations": {"netpolc.dev/ignore": "NP501", "other": "x"},
        "managedFields": [{"manager": "kubelet"}],
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": True, "uid": "r"}],
    },
    "spec": {
        "nodeName": "n1",
        "containers": [
            {
                "name": "c",
                "image": "i",
                "env": [{}],
                "ports": [{"name": "http", "containerPort": 80}],
            }
        ],
        "initContainers": [
            {"name": "s", "restartPolicy": "Always", "ports": [{"containerPort": 9}]}
        ],
        "volumes": [{"name": "v"}],
    },
    "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]},
}


def test_a_pod_keeps_what_is_read_of_it() -> None:
    found = reduced(POD)
    assert found["metadata"] == {
        "name": "web",
        "namespace": "shop",
        "uid": "u",
        "labels": {"app": "web"},
        "annotations": {"netpolc.dev/ignore": "NP501"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": True}],
    }
    assert found["spec"] == {
        "nodeName": "n1",
        "containers": [{"ports": [{"name": "http", "containerPort": 80}]}],
        "initContainers": [{"restartPolicy": "Always", "ports": [{"containerPort": 9}]}],
    }
    assert found["status"] == POD["status"]


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": {"name": "x", "namespace": "a", "labels": ["no", "map"]}},
        {"metadata": {"name": 7, "namespace": "a"}},
        {"metadata": {"name": "x", "namespace": "a"}, "spec": {"containers": "none"}},
        {"metadata": {"name": "x", "namespace": "a"}, "spec": []},
        {"metadata": "none"},
    ],
)
def test_what_is_odd_stays_odd(odd: dict[str, Any]) -> None:
    """It is for the frontends to judge: reduced and whole it is refused in the same words."""
    document = {"apiVersion": "v1", "kind": "Pod", **odd}
    problems = []
    for own in (document, reduced(document)):
        with pytest.raises(netpolc.InputError) as error:
            netpolc.load_objects([own])
        problems.append(str(error.value))
    assert problems[0] == problems[1]


def objects_of(scenario: Scenario) -> list[dict[str, Any]]:
    every = [
        own for path in scenario.manifests for own in yaml.safe_load_all(path.read_text()) if own
    ]
    found = [item for own in every for item in own.get("items", [own])]
    return [{"apiVersion": "v1", **own} for own in json.loads(json.dumps(found, default=str))]


def program(scenario: Scenario, objects: list[dict[str, Any]]) -> str:
    snapshot = netpolc.load_objects(
        objects, semantics=scenario.semantics, odd_objects=scenario.odd_objects
    )
    return netpolc.compile(snapshot).document()


@pytest.mark.parametrize("scenario", everything(), ids=lambda own: own.name)
def test_reduced_objects_mean_the_same(scenario: Scenario) -> None:
    """Every scenario of the repository compiles to the same program from reduced objects."""
    objects = objects_of(scenario)
    assert program(scenario, [reduced(own) for own in objects]) == program(scenario, objects)


def test_documents_are_decoded_when_asked_for() -> None:
    found = Documents([b'{"a":1}', b'{"a":2}', b'{"a":3}'])
    assert list(found) == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert (found[1], list(found[1:]), len(found)) == ({"a": 2}, [{"a": 2}, {"a": 3}], 3)
