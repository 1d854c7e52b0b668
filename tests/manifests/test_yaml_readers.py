"""The extension reads YAML as PyYAML does, which is the oracle: values, refusals, lines and
columns.

In: every YAML file of tests and examples, texts written by hand, drawn ones, sound and damaged.
"""

from __future__ import annotations

import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netpolc.core.errors import Problems
from netpolc.frontends.objects import PodItem, PodObject
from netpolc.manifests import read
from netpolc.manifests.syntax import SyntaxProblem
from netpolc.manifests.yaml import yaml_format
from tests.fuzz.inputs import PIECES, torn
from tests.helpers.scenarios import ROOT
from tests.helpers.yaml_readers import assert_alike, needs_extension
from tests.manifests.reading import OBJECT, plain_values, refused, written

FILES = sorted(path for folder in ("tests", "examples") for path in (ROOT / folder).rglob("*.y*ml"))


def test_the_extension_is_there_where_libyaml_is() -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to ask for yaml.h")
    asked = subprocess.run(
        [compiler, "-E", "-"], input=b"#include <yaml.h>\n", capture_output=True, check=False
    )
    if asked.returncode:
        pytest.skip("libyaml's header is not installed")
    assert yaml_format.BUILT, "run `make setup`: the extension is not built"


@needs_extension
def test_every_file_is_read_alike() -> None:
    assert len(FILES) > 300
    for path in FILES:
        assert_alike(path.read_bytes())


SCALARS = [
    "0o17", "-0o17", "0O17", "0o", "0o8", "0o_", "0X1f", "0Xg", "0B11", "0B", "0o1_7", "Y", "N",
    "80", "-1", "+7", "0", "-0", "+0", "00", "0x1F", "-0x1f", "0x", "0xg", "0x_1", "0b11", "-0b1",
    "0b", "0b2", "017", "-017", "018", "0_7", "09", "1_000", "1_0.5", "1.", ".5", "-.5", ".", "+",
    "1.5", "-0.0", "1e3", "1E+3", "1e-3", "1e", "1e999", "-1e999", "1.5.1", "1-2", "1e3e", "_1",
    "999999999999999999", "1000000000000000000", "18446744073709551616", "0777777777777777",
    "0x7fffffffffffffff", "0xfffffffffffffff", "1" + "0" * 70, ".inf", "-.INF", ".Inf", ".iNf",
    ".nan", "-.nan", ".NaN", "yes", "Yes", "YES", "yEs", "y", "n", "No", "on", "OFF", "oFF", "true",
    "TRUE", "tRUE", "False", "falsE", "null", "Null", "NULL", "nULL", "~", "~a", "", "'yes'",
    '"80"', "=", "<<", "'<<'", "2024-01-02", "1:30", "!!str 80", "!!str", "! 80", "!!int '3'",
    "!a b", "!!float 1", "!!binary aGk=", "!!null x", "!!set {a}", "é",
    "\"\\x00\\x1f\\x7f\\u2028\\t\\\"\\\\\"", '"\\uD800"', "'a\n\n  b'", "|\n    a\n\n     b\n",
    ">-\n    a\n    b\n", "[]", "{}", "[a, [b]]", "&x 1", "&x [1]", "*x", "a: b", "- a", "\ta",
    "@a", "`a", "%a", "'", '"', "[", "}", "? a",
]  # fmt: skip


@needs_extension
@pytest.mark.parametrize("text", SCALARS)
def test_scalars_are_read_alike(text: str) -> None:
    for form in (f"a: {text}\n", f"- {text}\n", f"{text}: a\n", f"{{{text}: 1}}", f"[{text}, 1]"):
        assert_alike(form.encode())


MAPS = [
    "a: 1\na: 2\n", "a: {x: 1}\nb: 2\n'a': {x: 3}\n", "a: 1\nb: 1\na: 2\nb: 2\na: 3\n",
    "- {a: 1, a: {c: 1, c: 2}}\n- [{b: 1, b: 1}]\n", "a: {b: 1, b: 2}\na: {b: 3, b: 4}\n",
    '"\\n": 1\n"\\x0a": 2\n"é": 3\n"\\xe9": 4\n"\\"": 5\n',
    "".join(f"k{n % 17}: {n}\n" for n in range(40)), "".join(f"k{n}: {n}\n" for n in range(500)),
    "a: &a {x: 1}\nb: *a\n", "a: &a {x: 1}\nb: {<<: *a, x: 2, y: 3}\nc: {z: 1, <<: *a}\n",
    "a: &a {x: 1, on: 2}\nb: &b {y: '\\\",{[', <<: *a}\nc: {<<: [*b, {q: [1, {r: 2}]}, *a], w: 0}",
    "a: {b: {c: &a {on: 1, 2: 3}}}\nd: {<<: *a}\n", "a: &a {x: 1}\nb: {<<: *a, <<: {y: 2}, x: 3}\n",
    "a: &a [1]\nb: {<<: *a}\n", "b: {<<: 1}\n", "b: {<<: [1]}\n", "b: {<<: }\n", "b: {<<: []}\n",
    "b: {<<: {x: 1, x: 2}}\n", "a: &a {x: 1, x: 2}\nb: *a\n", "a: &a 1\na: *a\n", "b: {<<: {}}\n",
    "a: &a 1\nb: &a 2\nc: *a\n", "a: &a {b: *a}\n", "a: *b\n", "&a a: 1\nb: *a\n", "*a : 1\n",
    "a: &a x\n*a : 1\n", "a: &a 5\n*a : 1\nb: *a\n", "{a: 1}: b\n", "? [a]\n: b\n",
    "? |\n  a\n: b\n", "\ufeffa: 1\n", "\ufeff}\n", "\ufeff\x01", "a: &a:1\nb: &a 2\ns: *a\n",
    "a: &a [0a: &a [1]]\nb: *a\n", "a: &a 1\nb: &a 2\n", "a: &a {<<: &b {x: 1}, y: *b}\nc: *a\n",
    "a: &a\nb: *a\n", "<<: {a: 1}\n", "- &a a\n- *a\n- *a\n", "a: &a {x: 1}\n---\nb: *a\n",
    "---\n---\na: 1\n...\n---\n", "# only\n", "", "--- a\n--- b\n", "a: 1\n---\nb: [\n",
    "a: 1\n b: 2\n", "a:\n\tb: 1\n", "a: \x01\n", "é: \x01\n", "%YAML 9.1\n---\na\n",
    "a: {b: " + "[" * 97 + "]" * 97 + "}", "a: {b: " + "[" * 98 + "]" * 98 + "}",
    "a: {b: " + "[" * 99 + "]" * 99 + "}", "- " * 60 + "[" * 39 + "]" * 39,
    "- " * 60 + "[" * 41 + "]" * 41, "- &a a\n- *a\n- " + "[" * 98 + "a" + "]" * 98,
    "- &a a\n- *a\n- " + "[" * 99 + "a" + "]" * 99, "- &a a\n- *a\n- " + "[" * 99 + "]" * 99,
    "- &a " + "[" * 50 + "]" * 50 + "\n- " + "[" * 50 + "*a" + "]" * 50,
    "a: &a [" + "x, " * 999 + "x]\nb: [" + "*a, " * 97 + "*a]\n",
    "a: &a [" + "x, " * 999 + "x]\nb: [" + "*a, " * 998 + "*a]\n",
    "a: &a " + "x" * 9000 + "\nb: [" + "*a, " * 998 + "*a]\n",
]  # fmt: skip


@needs_extension
@pytest.mark.parametrize("text", MAPS)
def test_maps_documents_and_aliases_are_read_alike(text: str) -> None:
    for end, mark in product(("\n", "\r\n"), (b"", b"\xef\xbb\xbf")):
        assert_alike(mark + text.replace("\n", end).encode())


samples = st.builds(
    lambda value, flow, style: yaml.dump(
        value, Dumper=yaml.CSafeDumper, default_flow_style=flow, default_style=style
    ).encode(),
    st.lists(plain_values, max_size=3) | st.dictionaries(st.text(max_size=3), plain_values),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, '"', "'", "|", ">"]),
)


@needs_extension
@given(samples)
def test_drawn_values_are_read_alike(data: bytes) -> None:
    assert_alike(data)


@needs_extension
@given(torn(samples | st.sampled_from([text.encode() for text in MAPS + SCALARS])))
def test_damaged_texts_are_read_alike(data: bytes) -> None:
    assert_alike(data)


@needs_extension
@given(st.lists(st.sampled_from([*PIECES[:25], b"a", b" ", b"\n", b"&a ", b"*a", b"<<: "])))
def test_pieces_in_any_order_are_read_alike(pieces: list[bytes]) -> None:
    assert_alike(b"".join(pieces))


def test_without_the_extension_all_is_read_by_pyyaml(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same objects, problems and places; the limit is that of PyYAML."""
    text = OBJECT + "---\nkind: List\nitems:\n- {kind: Pod, apiVersion: v1, x: 1, x: 2}\n---\n- a\n"
    path = written(tmp_path, "a.yaml", text)

    def found() -> list[object]:
        problems = Problems()
        documents = list(read([path], problems))
        told = [(own.kind, own.source.place(("metadata", "name"))) for own in documents]
        return [*told, [own.duplicates for own in documents], list(map(str, problems.diagnostics))]

    before = found()
    assert before[2] == [(), (("x",),)]
    assert before[3] == [f"{path}:9:1: not a Kubernetes object: expected a map"]
    monkeypatch.setattr(yaml_format, "BUILT", False)
    assert found() == before
    monkeypatch.setattr(yaml_format, "MAX_BYTES", 10)
    assert refused(path) == [f"{path}: 0 MB of YAML is too large; use JSON (kubectl get -o json)"]


@pytest.mark.parametrize(
    "text", ["!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "!!int 0b"]
)
def test_texts_that_are_none_of_their_tag_are_refused(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, "a.yaml", f"{OBJECT}x: {text}\n")
    tag = text.split()[0]
    assert refused(path) == [f"{path}:4:4: broken YAML: not a value of {tag}"]


@needs_extension
def test_the_limit_is_told_with_what_asks_for_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_format, "MAX_BYTES", 10)
    assert list(yaml_format.documents(b"a: 12345678901234\n"))
    with pytest.raises(SyntaxProblem, match="0 MB of YAML with a tag is too large") as caught:
        list(yaml_format.documents(b"a: 1\nb: !c 2\n"))
    assert (caught.value.line, caught.value.column) == (2, 4)


@needs_extension
def test_pods_are_decoded_in_the_pass_that_finds_them(tmp_path: Path) -> None:
    """As in JSON: a pod from YAML is not made a dict first."""
    path = written(tmp_path, "a.yaml", OBJECT)
    (document,) = read([path], Problems(), PodItem)
    assert isinstance(document.likely, PodItem)
    found = document.typed(PodObject)
    assert found.metadata is not None
    assert found.metadata.name == "web"
