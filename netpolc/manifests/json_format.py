"""JSON: fast decoding with msgspec, duplicate keys with the standard library, places on demand.

Comes in: bytes. Goes out: decoded values. Refused: what RFC 8259 refuses, and nesting too deep to
follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from netpolc.manifests.syntax import (
    Elements,
    Lines,
    NumberedLines,
    SyntaxProblem,
    decoded,
    numbered,
)

_BYTE = re.compile(r" \(byte (\d+)\)")
_SPACE = re.compile(r"[ \t\r\n]*")
_BOM = b"\xef\xbb\xbf"


def checked(data: bytes) -> bytes:
    """The bytes without a byte order mark; `SyntaxProblem` when they are not UTF-8."""
    if not data.isascii():
        decoded(data)
    return data.removeprefix(_BOM)


def broken(data: bytes, error: Exception) -> SyntaxProblem:
    """Where a text that msgspec refused is broken, in the words of the standard library."""
    try:
        json.loads(data)
    except json.JSONDecodeError as found:
        return SyntaxProblem(found.lineno, found.colno, f"broken JSON: {found.msg}")
    except RecursionError:
        return SyntaxProblem(0, 0, "nested too deeply")
    byte = _BYTE.search(str(error))  # NaN and the like, which the standard library reads
    before = data[: int(byte.group(1))] if byte else b""
    line, column = Lines(before.decode("utf-8", "replace")).position(None)
    return SyntaxProblem(line, column, f"broken JSON: {_BYTE.sub('', str(error))}")


class _Repeated(dict[str, Any]):
    """An object in which keys stand twice."""

    repeated: tuple[str, ...] = ()


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"a number of {len(text)} digits fits no field")
    return int(text)


def strict_object(raw: bytes) -> tuple[dict[str, Any], tuple[Elements, ...]]:
    """An object, already known to be well-formed, and the paths of its duplicate keys."""
    any_repeated = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal any_repeated
        fields = dict(pairs)
        if len(fields) == len(pairs):
            return fields
        any_repeated = True
        marked = _Repeated(fields)
        names = [name for name, _ in pairs]
        marked.repeated = tuple(name for name in fields if names.count(name) > 1)
        return marked

    value = json.loads(raw, object_pairs_hook=members, parse_int=_integer)
    return value, tuple(_repeated(value, ())) if any_repeated else ()


def _repeated(part: object, at: Elements) -> Iterator[Elements]:
    if isinstance(part, _Repeated):
        yield from ((*at, name) for name in part.repeated)
    if isinstance(part, dict):
        for name, below in part.items():
            yield from _repeated(below, (*at, name))
    elif isinstance(part, list):
        for number, below in enumerate(part):
            yield from _repeated(below, (*at, number))


class Locator:
    """Finds line and column of a field in a JSON text, skipping over what lies before it."""

    def __init__(self, data: bytes) -> None:
        self._text = decoded(data)
        self._lines = Lines(self._text)
        self._skip = json.JSONDecoder(parse_int=str).raw_decode  # of any length
        self._items: list[int] = []
        self._objects: dict[int, dict[str, tuple[int, int]]] = {}

    def locate(self, document: int, elements: Elements, at_key: bool) -> tuple[int, int]:
        """Line and column of the value (or of its key), or of the deepest part that is there."""
        return self._lines.position(self._find(elements)[0 if at_key else 1])

    def excerpt(self, document: int, elements: Elements) -> NumberedLines:
        """The lines from the key of a field to the end of its value."""
        key, value = self._find(elements)
        _, end = self._skip(self._text, value)
        line, column = self._lines.position(key)
        begin = key - column + 1
        newline = self._text.find("\n", end)
        lines = self._text[begin : newline if newline >= 0 else None].split("\n")
        last = end - self._text.rfind("\n", 0, end) - 1
        return numbered(lines, line, column - 1, last)

    def _find(self, elements: Elements) -> tuple[int, int]:
        """Where the deepest part that is there begins: its key (in a list the value), its value."""
        key = value = self._space(0)
        for element in elements:
            found = self._entry(value, element)
            if found is None:
                break
            key, value = found
        return key, value

    def _space(self, offset: int) -> int:
        match = _SPACE.match(self._text, offset)
        return match.end() if match else offset

    def _entry(self, offset: int, element: str | int) -> tuple[int, int] | None:
        opening = self._text[offset]
        if opening == "[" and isinstance(element, int):
            item = self._item(offset, element)
            return None if item is None else (item, item)
        if opening == "{" and isinstance(element, str):
            return self._member(offset, element)
        return None

    def _item(self, offset: int, number: int) -> int | None:
        at = self._space(offset + 1)
        known = self._items if self._items[:1] == [at] else [at]
        if len(known) > len(self._items):
            self._items = (
                known  # the longest list seen is the list of objects: remember its offsets
            )
        while len(known) <= number:
            _, end = self._skip(self._text, known[-1])
            end = self._space(end)
            if self._text[end] != ",":
                return None
            known.append(self._space(end + 1))
        return known[number] if self._text[known[number]] != "]" else None

    def _member(self, offset: int, name: str) -> tuple[int, int] | None:
        known = self._objects.get(offset)
        if known is None:
            known = self._objects[offset] = dict(self._members(offset))
        return known.get(name)  # of duplicates the last one counts

    def _members(self, offset: int) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name, and where name and value begin, of each member of an object."""
        at = self._space(offset + 1)
        while self._text[at] == '"':
            name, end = self._skip(self._text, at)
            value = self._space(self._space(end) + 1)
            yield name, (at, value)
            _, end = self._skip(self._text, value)
            at = self._space(end)
            if self._text[at] == ",":
                at = self._space(at + 1)
