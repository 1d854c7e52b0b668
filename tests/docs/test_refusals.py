"""The table in docs/odd-objects.md is the code's: each place that refuses, and how often."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.scenarios import ROOT

REFUSING = {"error", "mend", "doubt", "_error", "mistyped", "report", "reported", "refuse_audit"}
PASSING_ON = {
    "expectations._error",
    "fields.mistyped",
    "naming.reported",
    "ordered_rules._tell",
    "policies.error",
    "policies.refuse_audit",
    "reading.read",
    "single.read",
    "workloads._expanded",
}
"""What hands on what others refuse, or only makes the place to put it."""
_ROW = re.compile(r"^\| `([\w.]+)` \| (\d+) \|", re.MULTILINE)


def refusals(path: Path) -> Iterator[str]:
    """`module.function` of each call that refuses something."""

    def walk(node: ast.AST, function: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.Call):
                called = child.func
                name = called.attr if isinstance(called, ast.Attribute) else ""
                name = called.id if isinstance(called, ast.Name) else name
                if name in REFUSING:
                    yield f"{path.stem}.{inside}"
            yield from walk(child, inside)

    return walk(ast.parse(path.read_text()), "")


def test_every_refusal_is_in_the_table() -> None:
    folder = ROOT / "netpolc" / "frontends"
    found = Counter(own for path in folder.rglob("*.py") for own in refusals(path))
    for name in PASSING_ON:
        assert found.pop(name) > 0, name
    page = (ROOT / "docs" / "odd-objects.md").read_text()
    assert dict(found) == {name: int(number) for name, number in _ROW.findall(page)}
