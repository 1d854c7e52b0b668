"""Edits of YAML that leave comments, order and quotes as they are.

In: texts and what is to go. Out: the same texts without it, written by hand, and refusals of what
cannot go alone.
"""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolc.analysis.fixes.editing import Edit, NotEditable, edited

BLOCK = """\
# Rules of the shop
spec:   # as agreed
  ingress:
    # first
    - from: []   # nobody
      ports: [1]
      # inside the first

    # second
    -
      ports: [2]
  # about egress
  egress: [{to: [a]}, {to: [b]}]   # two
"""


@pytest.mark.parametrize(
    ("elements", "gone", "left"),
    [
        (
            ("spec", "ingress", 0),
            "    # first\n    - from: []   # nobody\n      ports: [1]\n      # inside the first\n",
            "",
        ),
        (("spec", "ingress", 1), "    # second\n    -\n      ports: [2]\n", ""),
        (("spec", "ingress", 0, "ports"), "      ports: [1]\n      # inside the first\n", None),
        (("spec", "egress", 0), "[{to: [a]}, {to", "[{to"),
        (("spec", "egress", 1), "}, {to: [b]}]", "}]"),
        (("spec", "egress", 0, "to", 0), "[a]", "[]"),
    ],
)
def test_what_goes_and_nothing_else(
    elements: tuple[str | int, ...], gone: str, left: str | None
) -> None:
    if left is None:  # the comment below it is of the item, not of the field
        gone, left = "      ports: [1]\n", ""
    assert BLOCK.count(gone) == 1
    assert edited(BLOCK, Edit(0, elements)) == BLOCK.replace(gone, left)


def test_an_only_rule_leaves_an_empty_list() -> None:
    text = "spec:\n  ingress:   # open\n  # all\n  - {}\n  policyTypes: [Ingress]\n"
    expected = "spec:\n  ingress: []   # open\n  policyTypes: [Ingress]\n"
    assert edited(text, Edit(0, ("spec", "ingress", 0))) == expected


def test_an_only_annotation_goes_with_its_map() -> None:
    text = "metadata:\n  name: a\n  annotations:\n    # why\n    x: y\nspec: {}   # none\n"
    expected = "metadata:\n  name: a\nspec: {}   # none\n"
    assert edited(text, Edit(0, ("metadata", "annotations", "x"))) == expected
    flow = "metadata: {annotations: {x: y}, name: a}\n"
    assert edited(flow, Edit(0, ("metadata", "annotations", "x"))) == (
        "metadata: {annotations: {}, name: a}\n"
    )


@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_a_text_takes_the_place_of_another_in_its_quotes(quote: str) -> None:
    text = f"metadata:\n  annotations: {{k: {quote}a, b{quote}}}  # why\n".replace(
        "a, b", "a b" if not quote else "a, b"
    )
    old = "a b" if not quote else "a, b"
    done = edited(text, Edit(0, ("metadata", "annotations", "k"), "a"))
    assert done == text.replace(f"{quote}{old}{quote}", f"{quote}a{quote}")


DOCUMENTS = """\
# Copyright of the shop

a: 1
# the end of a
--- # b begins
b: 2
---
c: |
  text
"""


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "# Copyright of the shop\n\n--- # b begins\nb: 2\n---\nc: |\n  text\n"),
        (1, "# Copyright of the shop\n\na: 1\n# the end of a\n---\nc: |\n  text\n"),
        (2, "# Copyright of the shop\n\na: 1\n# the end of a\n--- # b begins\nb: 2\n"),
    ],
)
def test_a_document_goes_with_its_separator(number: int, expected: str) -> None:
    assert edited(DOCUMENTS, Edit(number)) == expected


def test_line_ends_stay() -> None:
    text = "items:\r\n- a: 1\r\n- b: 2   # two\r\n- c: 3"
    assert edited(text, Edit(0, ("items", 1))) == "items:\r\n- a: 1\r\n- c: 3"
    assert edited(text, Edit(0, ("items", 2))) == "items:\r\n- a: 1\r\n- b: 2   # two\r\n"


@pytest.mark.parametrize(
    ("text", "edit", "reason"),
    [
        ("a: 1\n", Edit(0), "only object of its file"),
        ("a:\n- &x {b: 1}\n- *x\n", Edit(0, ("a", 0)), "an anchor or an alias is in it"),
        ("a:\n- &x {b: 1}\n- *x\n", Edit(0, ("a", 1)), "an anchor or an alias is in it"),
        ("a: [1, # one\n  2]\n", Edit(0, ("a", 0)), "a comment is between its brackets"),
        ("- - a\n- b\n", Edit(0, (0, 0)), "only entry of a list in a list"),
        ("a: >-\n  long\n  text\n", Edit(0, ("a",), "b"), "no text on one line"),
        ("a: 'x'\n", Edit(0, ("a",), "it's"), "its quotes are in it"),
        ("a: x\n", Edit(0, ("a",), "- b: no"), "broken YAML"),
        ("- a: 1\n  b: 2\n", Edit(0, (0, "a")), "on the line of its list's dash"),
    ],
)
def test_what_cannot_go_alone_stays(text: str, edit: Edit, reason: str) -> None:
    with pytest.raises(NotEditable, match=reason):
        edited(text, edit)


WORDS = st.sampled_from(["a", "b: c", "'q'", "[x, y]", "{k: v}", "null", "1"])
COMMENTS = st.sampled_from(["", "# note", "   # indented", "#"])


@st.composite
def lists(draw: st.DrawFn) -> str:
    """A block list whose items have comments above, behind and below."""
    lines = ["top: 1", "items:"]
    for _ in range(draw(st.integers(1, 5))):
        above, behind = draw(COMMENTS), draw(st.sampled_from(["", "  # behind"]))
        lines += [f"  {above}"] if above else [""] * draw(st.integers(0, 1))
        lines.append(f"  - {draw(WORDS)}{behind}")
    return "\n".join([*lines, draw(st.sampled_from(["last: 2", "# end", ""]))]) + "\n"


@settings(deadline=None)
@given(lists(), st.data())
def test_an_item_of_any_list(text: str, data: st.DataObject) -> None:
    """What is left are lines of the text, in order; and it says the same without that item."""
    before = yaml.safe_load(text)
    number = data.draw(st.integers(0, len(before["items"]) - 1))
    after = edited(text, Edit(0, ("items", number)))
    del before["items"][number]
    assert yaml.safe_load(after) == before
    left = iter(
        text.replace("items:", "items: []").splitlines()
        if not before["items"]
        else text.splitlines()
    )
    assert all(line in left for line in after.splitlines())
