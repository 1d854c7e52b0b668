"""What both readers of YAML give: documents, and where their fields stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from netpolc.manifests.syntax import Elements


class YamlDocument(NamedTuple):
    """One document: its value (None of an empty one), and what is odd about it."""

    value: object
    """An object that the extension read is JSON, `msgspec.Raw`."""
    duplicates: list[Elements]
    """The paths of keys that stand there twice."""
    tags: list[tuple[Elements, str]]
    """Paths and tags of values whose tag nobody knows; they are read as if they had none."""

    @property
    def plain(self) -> Any:
        """The value in plain Python values."""
        return (
            msgspec.json.decode(self.value) if isinstance(self.value, msgspec.Raw) else self.value
        )

    def items(self, values: list[Any]) -> Iterator[YamlDocument]:
        """The `values` of its list `items`, each with what is odd about it."""
        duplicates: dict[object, list[Elements]] = {}
        tags: dict[object, list[tuple[Elements, str]]] = {}
        for path in self.duplicates:
            if len(path) > 2 and path[0] == "items":
                duplicates.setdefault(path[1], []).append(path[2:])
        for path, tag in self.tags:
            if len(path) > 1 and path[0] == "items":
                tags.setdefault(path[1], []).append((path[2:], tag))
        for index, value in enumerate(values):
            yield YamlDocument(value, duplicates.get(index, []), tags.get(index, []))


class FieldPlace(NamedTuple):
    """Where a field stands, lines and columns from 0: its key (in a list its value), and its
    value.
    """

    key_line: int
    key_column: int
    line: int
    column: int
    end_line: int
    end_column: int
