"""What scalars, keys and lists of objects mean, in YAML and in JSON.

In: texts written by hand, drawn values. Out: plain values, duplicate keys, documents.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from netpolc.core.errors import Problems
from netpolc.frontends.objects import PodItem, PodObject
from netpolc.manifests import Document, json_format, read
from netpolc.manifests.yaml import pyyaml_format, yaml_format
from tests.manifests.reading import loaded, plain_values, written


def test_lists_within_lists(tmp_path: Path) -> None:
    inner = {"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]}
    for name, text in (
        ("a.json", json.dumps({"kind": "List", "items": [inner, inner]})),
        ("a.yaml", "---\n" + json.dumps({"kind": "List", "items": [inner, inner]})),
    ):
        documents = loaded(written(tmp_path, name, text))
        assert [(d.api_version, d.kind) for d in documents] == [("v1", "Pod")] * 2


def scalar(text: str) -> object:
    """What YAML makes of a scalar."""
    (document,) = yaml_format.documents(f"a: {text}\n".encode())
    return document.plain["a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", 80),
        ("-1", -1),
        ("+7", 7),
        ("0x1F", 31),
        ("0b11", 3),
        ("017", 15),
        ("0o17", 15),
        ("-0O17", -15),
        ("0X1F", 31),
        ("0B11", 3),
        ("0o8", "0o8"),
        ("0o", "0o"),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("80:80", "80:80"),
        ("1:30", "1:30"),
        ("190:20:30.15", "190:20:30.15"),
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("yes", True),
        ("No", False),
        ("on", True),
        ("y", "y"),
        ("N", "N"),
        ("OFF", False),
        ("true", True),
        ("'yes'", "yes"),
        ('"80"', "80"),
        ("null", None),
        ("~", None),
        ("", None),
        ("Null", None),
        ("=", "="),
        ("v1.6", "v1.6"),
        ("09", 9.0),
        ("1.2.3", "1.2.3"),
        ("!!str 80", "80"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    """As kubectl reads them: YAML 1.1 without its base 60 and its dates."""
    found = scalar(text)
    assert (type(found), found) == (type(value), value)


def test_keys_are_their_text() -> None:
    (document,) = yaml_format.documents(b"{on: 1, 2: 3, 1.5: 4, null_: 5, yes: 6}")
    assert document.plain == {"on": 1, "2": 3, "1.5": 4, "null_": 5, "yes": 6}
    assert document.duplicates == []


def test_merge_keys_and_aliases() -> None:
    text = b"base: &b {a: 1, b: 2}\none: {<<: *b, b: 3}\ntwo: *b\nthree: {<<: [*b, {c: 4}]}\n"
    (document,) = yaml_format.documents(text)
    assert document.plain == {
        "base": {"a": 1, "b": 2},
        "one": {"a": 1, "b": 3},
        "two": {"a": 1, "b": 2},
        "three": {"a": 1, "b": 2, "c": 4},
    }
    assert document.duplicates == []


@pytest.mark.parametrize("reader", [yaml_format.documents, pyyaml_format.all_documents])
def test_of_merged_maps_the_first_counts(reader: Any) -> None:
    text = b"one: {<<: [{app: a, tier: b}, {app: c, role: d}], role: e}\n"
    (document,) = reader(text)
    assert document.plain == {"one": {"app": "a", "tier": "b", "role": "e"}}


def test_duplicate_keys_have_paths() -> None:
    text = b"a: 1\nb: [{c: 1, c: 2}]\na: 3\n'a': 4\n"
    (document,) = yaml_format.documents(text)
    assert document.plain == {"a": 4, "b": [{"c": 2}]}
    assert set(document.duplicates) == {("a",), ("b", 0, "c")}
    raw = b'{"a": 1, "b": [{"c": 1, "c": 2, "c": 3}], "a": 3}'
    value, found = json_format.strict_object(raw)
    assert value == {"a": 3, "b": [{"c": 3}]}
    assert set(found) == {("a",), ("b", 0, "c")}


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1.0, "b": -0, "c": 1e3, "d": 18446744073709551615, "e": 99999999999999999999}',
        '{"a": "\\u00e9 \\ud83d\\ude00 \\/ \\n", "é": "😀"}',
        '{"a": {"a": {"a": [], "b": {}}}, "b": [{"a": 1}, {"a": 1}], "": ""}',
    ],
)
def test_no_way_of_writing_a_value_changes_it(text: str) -> None:
    value, found = json_format.strict_object(text.encode())
    assert repr(value) == repr(json.loads(text))
    assert found == ()


@pytest.mark.parametrize(
    "number", ["123456789012345678901", "-12345678901234567890", "1" + "0" * 5000]
)
def test_numbers_that_fit_no_field(number: str) -> None:
    with pytest.raises(ValueError, match=f"a number of {len(number)} digits fits no field"):
        json_format.strict_object(f'{{"a": [{number}]}}'.encode())


def test_documents_of_a_list_are_decoded_one_after_another(tmp_path: Path) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
    untyped = {"metadata": {"name": "web"}}
    other = {"apiVersion": "v1", "kind": "Node", "status": {"podIPs": 7}}
    path = tmp_path / "pods.json"
    path.write_text(
        json.dumps({"apiVersion": "v1", "kind": "PodList", "items": [pod, untyped, other]})
    )
    problems = Problems()
    found: list[Document] = []
    for document in read([str(path)], problems, PodItem):
        assert not any(own.likely for own in found)
        found.append(document)
        decoded = document.typed(PodObject) if document.kind == "Pod" else None
        if decoded is not None:
            assert decoded.metadata is not None
            assert decoded.metadata.name == "web"
            again = document.typed(PodObject)
            assert again.metadata == decoded.metadata
    assert [(own.api_version, own.kind) for own in found] == [
        ("v1", "Pod"),
        ("v1", "Pod"),
        ("v1", "Node"),
    ]
    assert problems.diagnostics == []


@given(plain_values)
def test_yaml_reads_json_as_json_does(value: object) -> None:
    (found,) = yaml_format.documents(f"--- {json.dumps({'root': value})}\n".encode())
    assert found.plain == {"root": value}
