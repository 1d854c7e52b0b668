"""Where fields stand, in texts written by hand, with the place of a field counted by hand.

In: YAML and JSON, in files and from pipes. Out: `file:line:column` of keys and values, and a place
for whatever is inside a JSON document.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.core.errors import Problems
from netpolc.manifests import json_format, read_objects
from tests.manifests.reading import OBJECT, Step, fields, loaded, paths, plain_values, written

NESTED = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web, "tier": 'a b', list: [[1, 2], [3, {x: y}]]}
spec:
- - one
  - two: 2
    three: |
      text
- {}
"""


@pytest.mark.parametrize(
    ("elements", "at_key", "place"),
    [
        ((), False, "1:1"),
        (("kind",), False, "2:7"),
        (("kind",), True, "2:1"),
        (("metadata",), False, "4:3"),
        (("metadata",), True, "3:1"),
        (("metadata", "labels"), False, "5:11"),
        (("metadata", "labels", "app"), False, "5:17"),
        (("metadata", "labels", "tier"), False, "5:30"),
        (("metadata", "labels", "tier"), True, "5:22"),
        (("metadata", "labels", "list", 1, 0), False, "5:53"),
        (("metadata", "labels", "list", 1, 1, "x"), False, "5:60"),
        (("spec", 0, 0), False, "7:5"),
        (("spec", 0, 1, "two"), False, "8:10"),
        (("spec", 0, 1, "three"), True, "9:5"),
        (("spec", 1), False, "11:3"),
        (("spec", 0, 7), False, "7:3"),
        (("metadata", "missing", "deeper"), False, "4:3"),
        (("nothing",), True, "1:1"),
        (("kind", 0), False, "2:7"),
    ],
)
def test_places_in_yaml(
    elements: tuple[Step, ...], at_key: bool, place: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "a.yaml", NESTED)
    (document,) = loaded(path)
    assert document.source.place(elements, at_key) == f"{path}:{place}"


JSON_TEXT = """\
{
\t"apiVersion": "v1", "kind" : "Pod",
\t"metadata":
\t\t{"name": "w\\"}{[]\\u00e9b",
  "labels": {"a": "é", "b": "2", "a": "3"}, "list": [ [1, -2.5e3], [], [ {"x" : null} ] ]},
"spec": []}
"""


@pytest.mark.parametrize(
    ("elements", "at_key", "place"),
    [
        ((), False, "1:1"),
        (("apiVersion",), False, "2:16"),
        (("kind",), True, "2:22"),
        (("kind",), False, "2:31"),
        (("metadata",), True, "3:2"),
        (("metadata",), False, "4:3"),
        (("metadata", "name"), False, "4:12"),
        (("metadata", "labels", "b"), False, "5:29"),
        (("metadata", "labels", "a"), False, "5:39"),
        (("metadata", "labels", "a"), True, "5:34"),
        (("metadata", "list", 0, 1), False, "5:59"),
        (("metadata", "list", 1), False, "5:68"),
        (("metadata", "list", 2, 0, "x"), False, "5:81"),
        (("metadata", "list", 9), False, "5:53"),
        (("metadata", "list", 1, 0), False, "5:68"),
        (("spec",), False, "6:9"),
        (("spec", 0), False, "6:9"),
        (("nothing", "at", "all"), False, "1:1"),
    ],
)
def test_places_in_json(
    elements: tuple[Step, ...], at_key: bool, place: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "a.json", JSON_TEXT)
    (document,) = loaded(path)
    assert document.source.place(elements, at_key) == f"{path}:{place}"


def test_places_of_documents_and_items(tmp_path: Path) -> None:
    text = f"# first\n---\n{OBJECT}---\n# only a comment\n---\n"
    text += "kind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec: {a: b}\n---\n" + OBJECT
    path = written(tmp_path, "a.yaml", text)
    documents = loaded(path)
    assert [document.source.place() for document in documents] == [
        f"{path}:3:1",
        f"{path}:11:3",
        f"{path}:15:1",
    ]
    assert documents[1].source.place(("spec", "a")) == f"{path}:13:13"
    items = [{"apiVersion": "v1", "kind": "Pod", "n": n} for n in range(3)]
    path = written(tmp_path, "b.json", json.dumps({"kind": "List", "items": items}, indent=1))
    places = [document.source.place(("n",)) for document in reversed(loaded(path))]
    assert places == [f"{path}:{line}:9" for line in (17, 12, 7)]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_line_ends_and_byte_order_marks(newline: str, mark: bytes, tmp_path: Path) -> None:
    yaml_text = "apiVersion: v1\nkind: Pod\nspec:\n  é: {a: b}\n"
    json_text = '{"apiVersion": "v1",\n "kind": "Pod",\n "spec":\n  {"é": {"a": "b"}}}\n'
    for name, text, place in (("a.yaml", yaml_text, "4:10"), ("a.json", json_text, "4:15")):
        path = written(tmp_path, name, mark + text.replace("\n", newline).encode())
        (document,) = loaded(path)
        assert document.source.place(("spec", "é", "a")) == f"{path}:{place}"
        assert fields(document)["spec"] == {"é": {"a": "b"}}


def test_stdin_and_pipes_can_be_located(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(OBJECT.encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    (document,) = loaded("-")
    assert document.source.place(("metadata", "name")) == "<stdin>:3:18"


def test_a_file_that_changed_since_is_named_only(tmp_path: Path) -> None:
    path = written(tmp_path, "a.yaml", OBJECT)
    (document,) = loaded(path)
    os.unlink(path)
    assert document.source.place(("kind",)) == path


@given(plain_values, st.sampled_from([None, 0, 2]))
def test_a_place_in_json_is_where_the_value_begins(value: object, indent: int | None) -> None:
    text = json.dumps({"root": value}, indent=indent, ensure_ascii=False)
    locator = json_format.Locator(text.encode())
    lines = text.split("\n")
    for at, inner in paths(value, ("root",)):
        line, column = locator.locate(0, at, False)
        rest = "\n".join((lines[line - 1][column - 1 :], *lines[line:]))
        assert json.JSONDecoder().raw_decode(rest)[0] == inner


def test_parsed_objects_have_places_of_their_own() -> None:
    problems = Problems()
    first: dict[str, object] = {"apiVersion": "v1", "kind": "Pod"}
    (document, _) = read_objects(iter([first, first]), problems)
    assert document.source.place().startswith("<objects>")
    read_objects([first, {"kind": "Pod"}], problems)
    assert list(map(str, problems.diagnostics)) == ["objects[1]: apiVersion missing"]
