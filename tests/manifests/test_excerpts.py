"""The lines of a field, as findings and explanations show them.

In: texts written by hand, drawn lines. Out: numbers of lines with their text, cut where it is long.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.manifests import json_format, syntax
from netpolc.manifests.yaml import yaml_format

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
