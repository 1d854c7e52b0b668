"""Both readers of YAML, the extension and PyYAML, asked the same: what is understood and where it
stands.

In: bytes. Out: nothing; an `AssertionError` where they differ, also in the place of a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from netpolc.manifests.syntax import SyntaxProblem
from netpolc.manifests.yaml import pyyaml_format, yaml_format
from tests.manifests.reading import paths

PLACES = 200
"""So many fields of a document are looked for."""
needs_extension = pytest.mark.skipif(
    not yaml_format.BUILT, reason="built without libyaml: PyYAML reads all YAML"
)


def read(
    documents: Callable[[bytes], Iterator[Any]], data: bytes
) -> tuple[list[tuple[Any, Any, Any]], object]:
    """Values with duplicate keys and tags, and the refusal that ended them."""
    found = []
    try:
        for document in documents(data):
            found.append((document.plain, document.duplicates, document.tags))  # noqa: PERF401
    except SyntaxProblem as problem:
        return [], (problem.line, problem.column, problem.message)
    return found, None


def assert_alike(data: bytes) -> None:
    """Same values of the same types in the same order, same refusals, same places."""
    expected, refused = read(pyyaml_format.all_documents, data)
    found, problem = read(yaml_format.documents, data)
    assert problem == refused
    assert repr(found) == repr(expected)
    if refused is None and found:
        own, reference = yaml_format.Locator(data), pyyaml_format.Marks(data)
        for number, (value, duplicates, _) in enumerate(found):
            every = [at for at, _ in islice(paths(value), PLACES)]
            for at in [*every, *duplicates, ("no", 7), (*every[-1], 0), (*every[-1], "a")]:
                assert own._find(number, at) == reference.find(number, at), (number, at)
