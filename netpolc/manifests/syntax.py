"""What the two formats share: where a text is broken."""

from __future__ import annotations

import re
from bisect import bisect_right

Elements = tuple[str | int, ...]


class SyntaxProblem(Exception):
    """A text that cannot be read; `line` is 0 when the place is unknown."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


def decoded(data: bytes) -> str:
    """The text of a file; `SyntaxProblem` at the first byte that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = Lines(data[: error.start].decode("utf-8", "replace")).position(None)
        raise SyntaxProblem(line, column, f"not UTF-8: {error.reason}") from None


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
