"""What tests of manifests share: files that are written and read, values with their steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from netpolc.core.errors import ObjectProblems, Problems
from netpolc.manifests import Document, read

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
