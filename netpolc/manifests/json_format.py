"""JSON: fast decoding with msgspec, duplicate keys with the standard library, places on demand.

Comes in: bytes. Goes out: decoded values, several where objects follow one another as kubectl takes
them. Refused: what else RFC 8259 refuses, and nesting too deep to follow.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from netpolc.manifests.syntax import (
    MAX_WIDTH,
    Elements,
    Lines,
    NumberedLines,
    SyntaxProblem,
    decoded,
    in_utf_8,
    numbered,
)

try:
    from netpolc.manifests._json import is_plain as is_plain
    from netpolc.manifests._json import listed as listed
except ImportError:  # not built here: what is written plainly is found out by writing it again

    def is_plain(raw: bytes | msgspec.Raw, /) -> bool:
        """Whether any decoder gives the same of a well-formed text; False if nobody can tell."""
        return False

    def listed(text: bytes, /) -> Listed | None:
        """The head and the items of a list; None where msgspec has to look."""
        return None


Listed = tuple[str | None, str | None, msgspec.Raw | None, list[msgspec.Raw]]
"""`apiVersion`, `kind`, `metadata` and `items` of a list."""
_BYTE = re.compile(r" \(byte (\d+)\)")
_SPACE = re.compile(r"[ \t\r\n]*")
_BOM = b"\xef\xbb\xbf"
_DIGITS = bytes(own if own == 0x2D else 0x30 if 0x30 <= own <= 0x39 else 0x20 for own in range(256))
_LONG = b"0" * 21, b"-" + b"0" * 20
"""Numbers of so many digits fit no field; every digit stands for any, as `_DIGITS` makes them."""
_CLOSING = {"}": "object", "]": "array"}


def checked(data: bytes) -> bytes:
    """The bytes without a byte order mark; `SyntaxProblem` when they are not UTF-8."""
    data = in_utf_8(data)
    if not data.isascii():
        decoded(data)
    return data.removeprefix(_BOM)


def broken(data: bytes, refused: Exception) -> SyntaxProblem:
    """Where a text that msgspec refused is broken, in the words of the standard library."""
    try:
        # Not of bytes, whose encoding it would guess; numbers may be of any length.
        json.loads(data.decode("utf-8", "replace"), parse_int=str)
    except json.JSONDecodeError as error:
        return _at(_trailing_comma(error))
    except RecursionError:
        return SyntaxProblem(0, 0, "nested too deeply")
    byte = _BYTE.search(str(refused))  # NaN and the like, which the standard library reads
    before = data[: int(byte.group(1))] if byte else b""
    line, column = Lines(before.decode("utf-8", "replace")).position(None)
    return SyntaxProblem(line, column, f"broken JSON: {without_byte(refused)}")


def without_byte(refused: Exception) -> str:
    """What msgspec says, but for the number of the byte."""
    return _BYTE.sub("", str(refused))


def _trailing_comma(error: json.JSONDecodeError) -> json.JSONDecodeError:
    """The error, told of the comma where a bracket follows one, as Python 3.13 and later do."""
    before = error.doc[: error.pos].rstrip(" \t\r\n")
    kind = _CLOSING.get(error.doc[error.pos : error.pos + 1])
    if kind is None or not before.endswith(","):
        return error
    message = f"Illegal trailing comma before end of {kind}"
    return json.JSONDecodeError(message, error.doc, len(before) - 1)


def values(data: bytes) -> list[bytes]:
    """The objects that follow one another in a text that is no single value."""
    text = decoded(data)
    return [text[start:end].encode() for start, end in _spans(text)]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each of several objects begins and ends; `SyntaxProblem` where they break off."""
    skip = json.JSONDecoder(parse_int=str).raw_decode
    at = _next(text, 0)
    while at < len(text):
        if text[at] != "{" and at:
            raise _at(json.JSONDecodeError("Extra data", text, at))
        try:
            _, end = skip(text, at)
        except json.JSONDecodeError as error:
            raise _at(_trailing_comma(error)) from None
        except RecursionError:
            raise SyntaxProblem(0, 0, "nested too deeply") from None
        yield at, end
        at = _next(text, end)


def _next(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _at(error: json.JSONDecodeError) -> SyntaxProblem:
    return SyntaxProblem(error.lineno, error.colno, f"broken JSON: {error.msg}")


class _Repeated(dict[str, Any]):
    """An object in which keys stand twice."""

    repeated: tuple[str, ...] = ()


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"a number of {len(text)} digits fits no field")
    return int(text)


def _plain_object(raw: bytes) -> dict[str, Any] | None:
    """An object in which no key stands twice: `is_plain`, or written again as it was written, but
    for spaces.

    None if that cannot be told, for example of escapes and fractions, which can be written in
    several ways, or if it may hold a number that fits no field, or cannot be decoded.
    """
    try:
        if is_plain(raw):
            return msgspec.json.decode(raw, type=dict[str, Any])
        digits = raw.translate(_DIGITS)  # a search for the pattern takes as long as all else here
        if _LONG[0] in digits or _LONG[1] in digits:
            return None
        value = msgspec.json.decode(raw, type=dict[str, Any])
        written = msgspec.json.encode(value)
        same = written == raw or written == msgspec.json.format(raw, indent=-1)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return value if same else None


def strict_object(raw: bytes) -> tuple[dict[str, Any], tuple[Elements, ...]]:
    """An object, already known to be well-formed, and the paths of its duplicate keys."""
    value = _plain_object(raw)
    if value is not None:
        return value, ()
    any_repeated = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal any_repeated
        fields = dict(pairs)
        if len(fields) == len(pairs):
            return fields
        any_repeated = True
        marked = _Repeated(fields)
        times = Counter(name for name, _ in pairs)
        marked.repeated = tuple(name for name in fields if times[name] > 1)
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
        self._items: dict[int, list[int]] = {}
        self._objects: dict[int, dict[str, tuple[int, int]]] = {}
        self._starts: list[int] = []

    def locate(self, document: int, elements: Elements, at_key: bool) -> tuple[int, int]:
        """Line and column of the value (or of its key), or of the deepest part that is there."""
        return self._lines.position(self._find(document, elements)[0 if at_key else 1])

    def excerpt(self, document: int, elements: Elements) -> NumberedLines:
        """The lines from the key of a field to the end of its value."""
        key, value = self._find(document, elements)
        _, end = self._skip(self._text, value)
        line, column = self._lines.position(key)
        # No more of the first and the last line than is shown: all of a file may be one line.
        begin = max(key - column + 1, key - MAX_WIDTH - 1)
        newline = self._text.find("\n", end, end + MAX_WIDTH + 1)
        lines = self._text[begin : newline if newline >= 0 else end + MAX_WIDTH + 1].split("\n")
        last = end - max(self._text.rfind("\n", begin, end), begin - 1) - 1
        return numbered(lines, line, key - begin, last)

    def _start(self, document: int) -> int:
        """Where one of several objects begins."""
        if document == 0:
            return _next(self._text, 0)
        self._starts = self._starts or [start for start, _ in _spans(self._text)]
        return self._starts[document]

    def _find(self, document: int, elements: Elements) -> tuple[int, int]:
        """Where the deepest part that is there begins: its key (in a list the value), its value."""
        key = value = self._start(document)
        for element in elements:
            found = self._entry(value, element)
            if found is None:
                break
            key, value = found
        return key, value

    def _space(self, offset: int) -> int:
        return _next(self._text, offset)

    def _entry(self, offset: int, element: str | int) -> tuple[int, int] | None:
        opening = self._text[offset]
        if opening == "[" and isinstance(element, int):
            item = self._item(offset, element)
            return None if item is None else (item, item)
        if opening == "{" and isinstance(element, str):
            return self._member(offset, element)
        return None

    def _item(self, offset: int, number: int) -> int | None:
        known = self._items.get(offset)
        if known is None:
            known = self._items[offset] = [self._space(offset + 1)]
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
