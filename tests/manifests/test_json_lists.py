"""Where the items of a JSON list stand, as the extension finds it in one pass.

In: drawn values, texts that are broken somewhere. Out: the same items as two other decoders find,
or nothing, so that msgspec looks and tells.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netpolc.manifests.splitting import Head

listed = pytest.importorskip("netpolc.manifests._json").listed

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=20,
)
FORMS: list[dict[str, Any]] = [
    {},
    {"indent": 4},
    {"separators": (",", ":")},
    {"ensure_ascii": False, "indent": "\t"},
]


def plain(found: tuple[Any, ...]) -> list[Any]:
    """What was found, its parts decoded by the standard library."""
    version, kind, metadata, items = found
    own = None if metadata is None else json.loads(bytes(metadata))
    return [version, kind, own, [json.loads(bytes(item)) for item in items]]


@given(st.lists(VALUES, max_size=5), st.none() | VALUES, VALUES, st.sampled_from(FORMS))
def test_items_are_those_of_the_standard_library(
    items: list[Any], metadata: Any, other: Any, form: dict[str, Any]
) -> None:
    whole = {"kind": "List", "other": other, "metadata": metadata, "items": items}
    text = json.dumps({"apiVersion": "v1", **whole}, **form)
    found = listed(text.encode())
    if "\\ud" in text and found is None:
        return  # surrogates
    assert found is not None
    assert plain(found) == ["v1", "List", metadata, items]
    bare = listed(json.dumps({"items": items, "other": other}, **form).encode())
    assert bare is not None
    assert plain(bare) == [None, None, None, items]


TEXT = (
    b'{"kind": "PodList", "items": [{"a": [1.5e-3, true, {}]}, "\\u00e4\\n"], '
    b'"metadata": {"b": ""}}'
)


@given(
    st.integers(0, len(TEXT)),
    st.integers(0, 4),
    st.binary(max_size=2)
    | st.sampled_from([b"]", b"}", b"[", b"{", b'"', b",", b"\\", b"0", b":"]),
)
@example(len(TEXT), 0, b" x")
@example(len(TEXT), 0, b"\0")
@example(0, 0, b"\0")
def test_what_is_found_in_a_changed_text_two_others_find(at: int, lost: int, more: bytes) -> None:
    text = TEXT[:at] + more + TEXT[at + lost :]
    try:
        text.decode()
    except UnicodeDecodeError:
        return  # refused before anybody looks for lists
    found = listed(text)
    if found is None:
        return
    head = msgspec.json.decode(text, type=Head)
    assert found[:2] == (head.apiVersion, head.kind)
    assert head.items is not None
    assert [bytes(item) for item in found[3]] == [bytes(item) for item in head.items]
    assert bytes(found[2] or b"null") == bytes(head.metadata)
    assert plain(found)[3] == json.loads(text)["items"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"items": null}',
        '{"items": [], "items": []}',
        '{"items": [1,]}',
        '{"items": [,1]}',
        '{"items": [1 2]}',
        '{"items": [01]}',
        '{"items": [+1]}',
        '{"items": [1.]}',
        '{"items": [.5]}',
        '{"items": [1e]}',
        '{"items": [-]}',
        '{"items": [NaN]}',
        '{"items": [truE]}',
        '{"items": [{"a" 1}]}',
        '{"items": [{"a": 1,}]}',
        '{"items": [{a: 1}]}',
        '{"items": [{]}]}',
        '{"items": ["\\x"]}',
        '{"items": ["\\u12g4"]}',
        '{"items": ["\\ud800"]}',
        '{"items": ["\\uDC00\\uD800"]}',
        '{"items": ["\\ud83d\\ude00"]}',
        '{"items": ["a\tb"]}',
        '{"items": ["a]}',
        '{"items": [\f]}',
        '{"items": []} {}',
        '{"items": []',
        '{"items": []},',
        '{"kind": 5, "items": []}',
        '{"kind": "\\u0041", "items": []}',
        '{"kind": "List", "kind": "List", "items": []}',
        f'{{"items": [{"[" * 61}{"]" * 61}]}}',
    ],
)
def test_nothing_is_found_in_what_may_be_no_list(text: str) -> None:
    assert listed(text.encode()) is None


def test_parts_keep_the_text_they_lie_in() -> None:
    made = b",".join(b'{"a": %d}' % number for number in range(1000))
    found = listed(b'{"items": [%s]}' % made)
    del made
    assert found is not None
    assert [json.loads(bytes(item))["a"] for item in found[3]] == list(range(1000))
