"""What the two formats share: where a text is broken, how a piece of it is shown."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from collections.abc import Sequence

Elements = tuple[str | int, ...]
NumberedLines = tuple[tuple[int, str], ...]
"""Lines of a text with their numbers, from 1."""
MAX_WIDTH = 100
"""Characters of a line that are shown; JSON in one line may be megabytes."""


class SyntaxProblem(Exception):
    """A text that cannot be read; `line` is 0 when the place is unknown."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def in_utf_8(data: bytes) -> bytes:
    """The same text in UTF-8, if a byte order mark says that it is in UTF-16."""
    if not data.startswith(_UTF_16):
        return data
    try:
        return data.decode("utf-16").encode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-16", "replace")
        line, column = Lines(before).position(None)
        raise SyntaxProblem(line, column, f"not UTF-16: {error.reason}") from None


def decoded(data: bytes) -> str:
    """The text of a file; `SyntaxProblem` at the first byte that is not UTF-8."""
    data = in_utf_8(data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = Lines(data[: error.start].decode("utf-8", "replace")).position(None)
        raise SyntaxProblem(line, column, f"not UTF-8: {error.reason}") from None


def with_tabs(message: str, text: str, line: int, column: int) -> str:
    """What is wrong with YAML at a place (from 0), told of the tab if one stands before it
    there.
    """
    lines = text.split("\n", line + 1)
    if line < len(lines) and "\t" in lines[line][: column + 1]:
        return f"{message} (YAML does not allow tabs for indentation)"
    return message


def no_character(text: bytes, offset: int, reason: str) -> SyntaxProblem:
    """What is said of a character that YAML does not have, by its place in bytes."""
    line, column = Lines(text[:offset].decode("utf-8", "replace")).position(None)
    return SyntaxProblem(line, column, f"broken YAML: {reason}")


class Lines:
    """Where the lines of a text begin."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._end = len(text)

    def position(self, offset: int | None) -> tuple[int, int]:
        """Line and column, from 1, of a character; None is the end of the text."""
        at = self._end if offset is None else offset
        line = bisect_right(self._starts, at)
        return line, at - self._starts[line - 1] + 1


def numbered(lines: Sequence[str], number: int, first: int, last: int) -> NumberedLines:
    """Lines from `number` on, of which the piece meant begins at character `first` of the first one
    and ends before `last` of the last; too long a line is cut to that piece.
    """
    shown = []
    for at, line in enumerate(lines):
        begin = first if at == 0 else 0
        end = last if at == len(lines) - 1 else len(line)
        shown.append(
            (number + at, line.rstrip() if len(line) <= MAX_WIDTH else _cut(line, begin, end))
        )
    return tuple(shown)


def _cut(line: str, begin: int, end: int) -> str:
    end = min(end, begin + MAX_WIDTH)
    return f"{'…' if begin else ''}{line[begin:end]}{'…' if end < len(line) else ''}"
