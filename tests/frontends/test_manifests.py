"""Manifests: where fields stand, what scalars mean, which files are read.

In: texts written by hand, with the place of a field counted by hand. Out: `file:line:column`, plain
values, documents in a stable order.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc import manifests
from netpolc.core.errors import ObjectProblems, Problems
from netpolc.frontends.objects import PodItem, PodObject
from netpolc.manifests import Document, json_format, read, read_objects, syntax, yaml_format

Step = str | int
OBJECT = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"


def loaded(*paths: str | Path) -> list[Document]:
    """Documents of files that must be fine."""
    problems = Problems()
    documents = list(read(list(paths), problems))
    assert problems.diagnostics == []
    return documents


def refused(*paths: str | Path) -> list[str]:
    problems = Problems()
    list(read(list(paths), problems))
    return [str(diagnostic) for diagnostic in problems.diagnostics]


def fields(document: Document) -> dict[str, Any]:
    found = document.fields(ObjectProblems(Problems(), document.source.place), True)
    assert found is not None
    return found


def written(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


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


def test_lists_within_lists(tmp_path: Path) -> None:
    inner = {"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]}
    for name, text in (
        ("a.json", json.dumps({"kind": "List", "items": [inner, inner]})),
        ("a.yaml", "---\n" + json.dumps({"kind": "List", "items": [inner, inner]})),
    ):
        documents = loaded(written(tmp_path, name, text))
        assert [(d.api_version, d.kind) for d in documents] == [("v1", "Pod")] * 2


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


def scalar(text: str) -> object:
    """What YAML makes of a scalar."""
    ((_, value, _),) = yaml_format.documents(f"a: {text}\n".encode())
    assert isinstance(value, dict)
    return value["a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", 80),
        ("-1", -1),
        ("+7", 7),
        ("0x1F", 31),
        ("0b11", 3),
        ("017", 15),
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
    ((_, value, duplicates),) = yaml_format.documents(b"{on: 1, 2: 3, 1.5: 4, null_: 5, yes: 6}")
    assert value == {"on": 1, "2": 3, "1.5": 4, "null_": 5, "yes": 6}
    assert duplicates == []


def test_merge_keys_and_aliases() -> None:
    text = b"base: &b {a: 1, b: 2}\none: {<<: *b, b: 3}\ntwo: *b\nthree: {<<: [*b, {c: 4}]}\n"
    ((_, value, duplicates),) = yaml_format.documents(text)
    assert value == {
        "base": {"a": 1, "b": 2},
        "one": {"a": 1, "b": 3},
        "two": {"a": 1, "b": 2},
        "three": {"a": 1, "b": 2, "c": 4},
    }
    assert duplicates == []


def test_duplicate_keys_have_paths() -> None:
    text = b"a: 1\nb: [{c: 1, c: 2}]\na: 3\n'a': 4\n"
    ((_, value, duplicates),) = yaml_format.documents(text)
    assert value == {"a": 4, "b": [{"c": 2}]}
    assert set(duplicates) == {("a",), ("b", 0, "c")}
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


def test_what_cannot_be_read_is_told_first(tmp_path: Path) -> None:
    wrong = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "A"}}
    (tmp_path / "a.json").write_text(json.dumps(wrong))
    (tmp_path / "b.json").write_text('{"apiVersion": "v1", }')
    with pytest.raises(netpolc.InputError) as caught:
        netpolc.load([str(tmp_path)])
    places = [own.place for own in caught.value.diagnostics]
    assert places == [f"{tmp_path}/b.json:1:20", f"{tmp_path}/a.json:1:58"]


texts = st.text('ab é"\\\n\t{}[],:', max_size=5)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def paths(value: object, at: tuple[Step, ...] = ()) -> list[tuple[tuple[Step, ...], object]]:
    """Every value inside a value, with the steps to it."""
    found = [(at, value)]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found += paths(inner, (*at, number))
    return found


@given(plain_values, st.sampled_from([None, 0, 2]))
def test_a_place_in_json_is_where_the_value_begins(value: object, indent: int | None) -> None:
    text = json.dumps({"root": value}, indent=indent, ensure_ascii=False)
    locator = json_format.Locator(text.encode())
    lines = text.split("\n")
    for at, inner in paths(value, ("root",)):
        line, column = locator.locate(0, at, False)
        rest = "\n".join((lines[line - 1][column - 1 :], *lines[line:]))
        assert json.JSONDecoder().raw_decode(rest)[0] == inner


@given(plain_values)
def test_yaml_reads_json_as_json_does(value: object) -> None:
    ((_, found, _),) = yaml_format.documents(f"--- {json.dumps({'root': value})}\n".encode())
    assert found == {"root": value}


YAML_RULES = """\
spec:
  ingress:
    - from:
        - podSelector: {}

      # of the next
    - ports: [{port: 80},
              {port: 81}]
---
spec: {ingress: [{}]}"""


@pytest.mark.parametrize(
    ("document", "at", "lines"),
    [
        (0, ("spec", "ingress", 0), {3: "    - from:", 4: "        - podSelector: {}"}),
        (
            0,
            ("spec", "ingress", 1, "ports"),
            {7: "    - ports: [{port: 80},", 8: "              {port: 81}]"},
        ),
        (1, ("spec", "ingress", 0, "from"), {10: "spec: {ingress: [{}]}"}),
    ],
)
def test_the_lines_of_a_yaml_field(document: int, at: Any, lines: dict[int, str]) -> None:
    found = yaml_format.Locator(YAML_RULES.encode()).excerpt(document, at)
    assert dict(found) == lines


def test_the_lines_of_a_json_field() -> None:
    rules = [{"from": [{"podSelector": {}}]}, {"ports": [{"port": n} for n in range(40)]}]
    value = {"spec": {"ingress": rules}, "status": {}}
    folded = json_format.Locator(json.dumps(value, indent=1).encode())
    assert folded.excerpt(0, ("spec", "ingress", 0, "from", 0, "podSelector")) == (
        (7, '      "podSelector": {}'),
    )
    assert [number for number, _ in folded.excerpt(0, ("spec", "ingress", 0))] == [*range(4, 11)]
    one_line = json_format.Locator(json.dumps(value).encode())
    assert one_line.excerpt(0, ("spec", "ingress", 0)) == (
        (1, '…{"from": [{"podSelector": {}}]}…'),
    )
    ((_, cut),) = one_line.excerpt(0, ("spec", "ingress", 1))
    assert cut.startswith('…{"ports": [{"port": 0}, ')
    assert len(cut) == 102


@given(
    st.lists(st.text(alphabet=" \n", max_size=260), min_size=3, max_size=3),
    st.text(alphabet="x", max_size=130),
)
def test_a_json_field_is_cut_as_its_whole_lines_would_be(gaps: list[str], own: str) -> None:
    """Only a part of the first and of the last line is looked at, which may be all of a file."""
    before, between, after = gaps
    text = f'{{{before}"a": 1,{between}"key":{between}"{own}"{after}}}'
    begin, end = text.index('"key"'), text.rindex('"') + 1
    start = text.rfind("\n", 0, begin) + 1
    number = text.count("\n", 0, begin) + 1
    lines = text.split("\n")[number - 1 : text.count("\n", 0, end) + 1]
    last = end - text.rfind("\n", 0, end) - 1
    expected = syntax.numbered(lines, number, begin - start, last)
    assert json_format.Locator(text.encode()).excerpt(0, ("key",)) == expected


def names(folder: Path, documents: list[Document]) -> list[str]:
    return [document.source.place().removeprefix(f"{folder}/") for document in documents]


def test_files_are_read_in_order_and_once(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "A.JSON", "c/z.yaml", "c/d/y.json", "B.YAML"):
        text = json.dumps({"apiVersion": "v1", "kind": "Pod"}) if "J" in name.upper() else OBJECT
        written(tmp_path, name, text)
    for name in (".hidden.yaml", ".git/a.yaml", "notes.txt", "yaml", "a.yaml.bak"):
        written(tmp_path, name, "{")
    expected = ["A.JSON", "B.YAML", "a.yml", "b.yaml", "c/d/y.json", "c/z.yaml"]
    expected = [f"{name}:1:1" for name in expected]
    assert names(tmp_path, loaded(tmp_path)) == expected
    assert names(tmp_path, loaded(tmp_path, tmp_path / "b.yaml", f"{tmp_path}/c")) == expected
    assert names(tmp_path, loaded(f"{tmp_path}/b.yaml", tmp_path)) == [
        "b.yaml:1:1",
        *(name for name in expected if name != "b.yaml:1:1"),
    ]


def test_hidden_files_are_read_when_they_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, ".hidden/.a.yaml", OBJECT)
    assert len(loaded(path)) == 1
    assert refused(tmp_path) == [f"{tmp_path}: holds no .yaml, .yml or .json file"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    written(tmp_path, "real/a.yaml", OBJECT)
    (tmp_path / "b.yaml").symlink_to("real/a.yaml")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(loaded(tmp_path)) == 1
    assert len(loaded(tmp_path / "b.yaml", tmp_path / "real")) == 1


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    """The kubelet's layout: hidden folders with the data, links beside them."""
    written(tmp_path, "..2024_01_01/policy.yaml", OBJECT)
    (tmp_path / "..data").symlink_to("..2024_01_01")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    assert len(loaded(tmp_path)) == 1


def test_one_broken_file_does_not_hide_the_next(tmp_path: Path) -> None:
    written(tmp_path, "a.yaml", "a: [")
    written(tmp_path, "b.json", "{")
    written(tmp_path, "c.yaml", OBJECT)
    found = refused(tmp_path)
    assert [text.partition(":")[0] for text in found] == [
        f"{tmp_path}/a.yaml",
        f"{tmp_path}/b.json",
    ]


def test_parsed_objects_have_places_of_their_own() -> None:
    problems = Problems()
    first: dict[str, object] = {"apiVersion": "v1", "kind": "Pod"}
    (document, _) = read_objects(iter([first, first]), problems)
    assert document.source.place().startswith("<objects>")
    read_objects([first, {"kind": "Pod"}], problems)
    assert [str(d).partition(": ")[2] for d in problems.diagnostics] == [
        "not a Kubernetes object: apiVersion missing"
    ]


def test_files_that_change_while_they_are_read_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second half of a file comes while the first is read; a third file comes in between."""
    file, late = tmp_path / "a.yaml", tmp_path / "b.yaml"
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n---\n"
    file.write_text(text)
    read, readings = manifests.File.read, []

    def disturbed(self: manifests.File) -> bytes:
        data = read(self)
        readings.append(self.name)
        if len(readings) == 1:
            file.write_text(text + text.replace("one", "two"))
            late.write_text(text.replace("one", "three"))
        return data

    monkeypatch.setattr(manifests.File, "read", disturbed)
    problems = Problems()
    assert len(list(manifests.read([str(tmp_path)], problems))) == 3
    assert readings == [str(file), str(file), str(late)]
    assert problems.diagnostics == []


def test_files_that_go_on_changing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n")
    read = manifests.File.read

    def disturbed(self: manifests.File) -> bytes:
        data = read(self)
        file.write_bytes(data + b"#")
        return data

    monkeypatch.setattr(manifests.File, "read", disturbed)
    problems = Problems()
    assert list(manifests.read([str(tmp_path)], problems)) == []
    assert [own.message for own in problems.diagnostics] == ["changed during each of 5 readings"]
