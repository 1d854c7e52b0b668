"""What the two formats share: where a text is broken."""

from __future__ import annotations

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
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        raise SyntaxProblem(line, column, f"not UTF-8: {error.reason}") from None


def position(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a character."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
