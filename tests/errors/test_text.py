"""Texts that are no manifests: encodings, control characters, depth, size, numbers no type holds.

In: bytes made here, because editors would mend them. Out: exit code 2 and a message with its place.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.cli.invocation import Outcome, run
from tests.helpers.yaml_readers import needs_extension

POLICY = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web}\nspec: "
JSON_POLICY = (
    '{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",\n'
    ' "metadata": {"name": "web"}, "spec": '
)
_ERROR = re.compile(r"(?P<place>[^:]+(:\d+:\d+)?): (?P<message>.*)\nnetpolc: 1 error\n")


def refusal(outcome: Outcome) -> tuple[str, str]:
    """Place and message of the only error of a refused file."""
    assert (outcome.code, outcome.stdout) == (2, ""), outcome.stderr[-300:]
    match = _ERROR.fullmatch(outcome.stderr)
    assert match is not None, outcome.stderr[:300]
    return match["place"], match["message"]


def compiled(folder: Path, name: str, content: bytes | str, timeout: float = 20) -> Outcome:
    """The outcome of compiling one file of this content."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return run("compile", name, "--file", "out.nft", cwd=folder, timeout=timeout)


@pytest.mark.parametrize(
    ("name", "content", "place", "message"),
    [
        ("byte.yaml", b"kind: Pod\nname: \xc3\xa9\xff\n", "2:8", "not UTF-8: invalid start byte"),
        ("byte.json", b'{"a": 1,\n "\xff": 2}', "2:3", "not UTF-8: invalid start byte"),
        ("short.yaml", b"a: b\nname: \xe2\x82", "2:7", "not UTF-8: unexpected end of data"),
        ("surrogate.yaml", b"a: \xed\xa0\x80", "1:4", "not UTF-8: invalid continuation byte"),
        ("utf16.yaml", "kind: Pod\n".encode("utf-16")[:-1], "1:10", "not UTF-16: truncated data"),
        ("utf16.json", b"\xff\xfe{", "1:1", "not UTF-16: truncated data"),
        ("nul.json", b'{"a": 1,\n "b": "\0"}', "2:8", "broken JSON: Invalid control character at"),
        ("escape.yaml", b'a: "\\ud800"', "1:7", "broken YAML: found invalid Unicode character"),
        ("empty.json", b"", "1:1", "broken JSON: Expecting value"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(
    name: str, content: bytes, place: str, message: str, tmp_path: Path
) -> None:
    found, text = refusal(compiled(tmp_path, name, content))
    assert found == f"{name}:{place}"
    assert text.startswith(message)
    assert not (tmp_path / "out.nft").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("utf16be.yaml", "kind: Pod\n".encode("utf-16-be")),
        ("nul.yaml", b'kind: Pod\nmetadata: {name: "a\0b"}\n'),
        ("bell.yaml", b"kind: Pod\nmetadata: {name: a\x07b}\n"),
    ],
)
def test_control_characters_in_yaml_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    place, text = refusal(compiled(tmp_path, name, content))
    assert place.startswith(name)
    assert "control characters are not allowed" in text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("nul.yaml", 'kind: Pod\nmetadata: {name: "a\0b"}\n', id="control-yaml"),
        pytest.param("kind.json", '{"apiVersion": "v1",\n "kind": 7}', id="kind-no-string"),
        pytest.param("list.json", '["v1", "Pod"]', id="not-an-object"),
        pytest.param(
            "item.json",
            '{"apiVersion": "v1", "kind": "List", "items": [\n "Namespace team-a"]}',
            id="item-not-an-object",
        ),
        pytest.param("items.json", '{"kind": "List",\n "items": {"a": 1}}', id="items-no-list"),
        pytest.param("nan.json", JSON_POLICY + '{"x": NaN}}', id="nan"),
        pytest.param("half.json", '{"apiVersion": "v1",\n "kind": "\\ud800"}', id="surrogate"),
    ],
)
def test_every_syntax_message_has_line_and_column(name: str, content: str, tmp_path: Path) -> None:
    place, _ = refusal(compiled(tmp_path, name, content))
    assert re.fullmatch(re.escape(name) + r":\d+:\d+", place)


DEEP = 100_000


@pytest.mark.parametrize(
    "content",
    [
        '{"apiVersion": "v1", "kind": "Pod", "spec": ' + "[" * DEEP + "]" * DEEP + "}",
        JSON_POLICY + "[" * DEEP + "]" * DEEP + "}",
        '{"a":' * DEEP + "1" + "}" * DEEP,
        '{"items":[' * DEEP + "]}" * DEEP,
        "[" * DEEP,
    ],
    ids=["brackets-pod", "brackets-policy", "objects", "lists-of-lists", "never-closed"],
)
def test_json_nested_too_deeply_is_refused(content: str, tmp_path: Path) -> None:
    refusal(compiled(tmp_path, "deep.json", content))


def test_json_at_any_depth_is_refused_without_a_traceback(tmp_path: Path) -> None:
    for depth in range(900, 1020, 10):
        text = JSON_POLICY + "[" * depth + "]" * depth + "}"
        refusal(compiled(tmp_path, "deep.json", text))


def test_nested_yaml_is_refused(tmp_path: Path) -> None:
    refusal(compiled(tmp_path, "deep.yaml", POLICY + "[" * 90 + "]" * 90 + "\n"))


@pytest.mark.parametrize(
    "content",
    [POLICY + "[" * 3000 + "]" * 3000, POLICY + "{a: 1, a: " * 700 + "1" + "}" * 700],
    ids=["value", "duplicates"],
)
def test_nested_yaml_is_refused_without_a_traceback(content: str, tmp_path: Path) -> None:
    outcome = compiled(tmp_path, "deep.yaml", content)
    assert (outcome.code, outcome.stdout) == (2, "")


@pytest.mark.parametrize(
    "content",
    [POLICY + "[" * DEEP + "]" * DEEP, "a: " + "[" * DEEP, "a:\n  " + "- " * DEEP, "? " * DEEP],
    ids=["brackets", "never-closed", "hyphens", "keys"],
)
def test_yaml_nested_too_deeply_is_refused(content: str, tmp_path: Path) -> None:
    refusal(compiled(tmp_path, "deep.yaml", content))


@needs_extension
def test_100_megabytes_of_yaml_are_read(tmp_path: Path) -> None:
    head, rest = b"apiVersion: v1\nkind: Node\nmetadata: {name: a", b"}\nx: " + b"x" * (100 << 20)
    (tmp_path / "large.yaml").write_bytes(head + rest)
    assert run("compile", "large.yaml", "-o", "ir", cwd=tmp_path, timeout=120).code == 0
    (tmp_path / "large.yaml").write_bytes(head + b", nmae: b" + rest)
    outcome = run("compile", "large.yaml", cwd=tmp_path, timeout=120)
    assert refusal(outcome)[0] == "large.yaml:3:21"


def test_100_megabytes_of_json_are_read(tmp_path: Path) -> None:
    head = b'{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}, "x": "'
    (tmp_path / "large.json").write_bytes(head + b"x" * (100 << 20) + b'"}')
    outcome = run("compile", "large.json", "-o", "ir", cwd=tmp_path, timeout=120)
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("decimal.yaml", POLICY + "{ingress: [{ports: [{port: " + "9" * 5000 + "}]}]}"),
        pytest.param(
            "decimal.json",
            JSON_POLICY + '{"ingress": [{"ports": [{"port": ' + "9" * 5000 + "}]}]}}",
        ),
        ("hexadecimal.yaml", POLICY + "{ingress: [{ports: [{port: 0x" + "f" * 5000 + "}]}]}"),
    ],
)
def test_numbers_of_5000_digits_are_refused(name: str, content: str, tmp_path: Path) -> None:
    refusal(compiled(tmp_path, name, content))


def test_yaml_may_begin_in_flow_style(tmp_path: Path) -> None:
    text = "{apiVersion: v1, kind: Namespace, metadata: {name: team-a}}\n"
    assert compiled(tmp_path, "flow.yaml", text + "---\n" + text.replace("a}", "b}")).code == 0


def test_many_errors_of_a_large_file_come_to_an_end(tmp_path: Path) -> None:
    item = '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "Upper"}},\n'
    text = '{"apiVersion": "v1", "kind": "List", "items": [\n' + item * 20_000 + "{}]}"
    assert compiled(tmp_path, "many.json", text.replace(",\n{}]}", "]}"), timeout=300).code == 2


def test_a_broken_item_does_not_hide_the_next(tmp_path: Path) -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n- {metadata: {name: no-kind}}\n"
        "- {apiVersion: v1, kind: Pod, metadata: {name: Upper}}\n"
    )
    assert "list.yaml:5:" in compiled(tmp_path, "list.yaml", text).stderr


def test_items_that_are_no_list_are_refused_in_yaml(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: List\nitems: {apiVersion: v1, kind: Pod}\n"
    refusal(compiled(tmp_path, "items.yaml", text))


def test_a_truncated_pipe_of_json_is_refused() -> None:
    outcome = run("compile", "-", stdin=b'{"apiVersion": "v1", "kind": "List", "items": [\n')
    assert outcome.stderr.startswith("<stdin>:2:1: broken JSON: ")
    assert outcome.code == 2


def test_stdin_is_refused_by_its_name() -> None:
    outcome = run("compile", "-", stdin=(POLICY + "{ingres: []}").encode())
    assert outcome.stderr == (
        '<stdin>:4:8: spec.ingres: unknown field "spec.ingres"\nnetpolc: 1 error\n'
    )
    assert (outcome.code, outcome.stdout) == (2, "")


def test_names_of_files_may_be_anything(tmp_path: Path) -> None:
    name = os.fsdecode(b"a b'\"$(x)\xff.yaml")
    (tmp_path / name).write_text(POLICY + "{ingres: []}")
    outcome = run("compile", str(tmp_path), environment={"PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"})
    assert outcome.code == 2
    assert 'unknown field "spec.ingres"' in outcome.stderr
