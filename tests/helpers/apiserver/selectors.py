"""Label and field selectors, as the query of a list or a watch has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.helpers.apiserver.refusals import Refusal

Chooses = Callable[[dict[str, Any]], bool]
_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|[^\s=!(),]+)")
_FIELDS = ("metadata.name", "metadata.namespace", "spec.nodeName", "status.phase")


def chooser(labels: str, fields: str) -> Chooses:
    """Whether an object is selected by both; a 400 for what cannot be understood."""
    every = [*_labels(labels), *_fields(fields)]
    return lambda document: all(one(document) for one in every)


def _fields(text: str) -> list[Chooses]:
    found = []
    for term in filter(None, text.split(",")):
        name, negative, value = re.fullmatch(r"([^=!]*)(!?)==?(.*)", term).groups()  # type: ignore[union-attr]
        if name not in _FIELDS:
            raise Refusal(400, "BadRequest", f"field label not supported: {name}")
        found.append(_field(name.split("."), value, bool(negative)))
    return found


def _field(path: list[str], value: str, negative: bool) -> Chooses:
    def chooses(document: dict[str, Any]) -> bool:
        own: Any = document
        for name in path:
            own = own.get(name) or {}
        return ((own or "") == value) is not negative

    return chooses


def _labels(text: str) -> list[Chooses]:
    tokens = _TOKEN.findall(text)
    found = []
    while tokens:
        negative = tokens[0] == "!"
        key = tokens.pop(1 if negative and len(tokens) > 1 else 0)
        if negative:
            tokens.pop(0)
        if not re.match(r"[\w]", key):
            expected = "!, identifier, or 'end of string'"
            raise Refusal(400, "BadRequest", f"found '{key}', expected: {expected}")
        operator = tokens.pop(0) if tokens and tokens[0] != "," else ""
        found.append(_requirement(key, operator, _values(operator, tokens), negative))
        if tokens and tokens.pop(0) != ",":
            raise Refusal(
                400, "BadRequest", "found something else, expected: ',' or 'end of string'"
            )
    return found


def _values(operator: str, tokens: list[str]) -> set[str]:
    if operator in ("in", "notin"):
        end = tokens.index(")")
        inside, tokens[: end + 1] = tokens[1:end], []
        return {own for own in inside if own != ","}
    if operator:
        return {tokens.pop(0)} if tokens and tokens[0] != "," else {""}
    return set()


def _requirement(key: str, operator: str, values: set[str], negative: bool) -> Chooses:
    def chooses(document: dict[str, Any]) -> bool:
        labels = document["metadata"].get("labels") or {}
        if not operator:
            return (key in labels) is not negative
        if operator in ("!=", "notin"):
            return labels.get(key) not in values
        return labels.get(key) in values

    return chooses
