"""Lines of a log, with their numbers, from blocks of bytes as they come.

Comes in: blocks. Goes out: lines, each with its number and whether it was ended. Counted as damage:
a stream that ends early, a line longer than `LONGEST` (it is skipped without being held), and what
a format makes of a line that it cannot read. Memory is flat in the length of the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from netpolc.flows.notes import LogNotes
from netpolc.flows.records import Record

try:
    from netpolc.flows.decode._scan import joined
    from netpolc.flows.decode._scan import keep_memory as keep_memory

    HAS_SCANNERS = True
except ImportError:  # not built here
    HAS_SCANNERS = False

    def joined(pieces: list[bytes | memoryview], /) -> tuple[bytes, int]:
        """Pieces as one, and how many lines end in it."""
        whole = b"".join(pieces)
        return whole, whole.count(b"\n")

    def keep_memory() -> None:
        """Nothing here."""


CHUNK = 1 << 22
"""Bytes of lines that are scanned at once."""
LONGEST = 1 << 20
"""Bytes of a line: a record of any of these formats has a few thousand."""
_T = TypeVar("_T")
_UNREADABLE = "no record of this format"
UNENDED = "the last line has no end and may be cut"
"""Of text whose last number may lack its last digits: nobody can tell."""


class LogLine(NamedTuple):
    """A line without its end; of the last one of a log `is_ended` tells whether it had one."""

    number: int
    content: bytes
    is_ended: bool = True


class Told:
    """LogNotes of one log: they know its name."""

    def __init__(self, name: str, notes: LogNotes) -> None:
        self.name, self.notes = name, notes

    def at(self, line: LogLine) -> str:
        """The place of a line."""
        return f"{self.name}:{line.number}"

    def note(self, line: LogLine, kind: str, count: int = 1) -> None:
        """What is no flow and no loss."""
        self.notes.note(kind, self.at(line), count)

    def lose(self, line: LogLine, kind: str, count: int = 1) -> None:
        """Flows that the log says it lacks."""
        self.notes.lose(kind, self.at(line), count)

    def damage(self, line: LogLine, kind: str, detail: str = "") -> None:
        """What cannot be read."""
        self.notes.damage(kind, self.at(line), detail)


Records = Callable[[Iterator[LogLine], Told], Iterator[Record]]
"""What a format of lines is: lines to records, telling of all that is none."""


class LineBlock(NamedTuple):
    """Whole lines with their ends, and the number of the first; or the last line of a log, which
    has no end.
    """

    number: int
    content: bytes
    is_ended: bool = True

    def last_line(self) -> LogLine:
        """The line without an end."""
        return LogLine(self.number, self.content, self.is_ended)


def numbered_lines(blocks: Iterable[bytes], told: Told) -> Iterator[LogLine]:
    """The lines of a log; blank ones are left out."""
    for block in line_blocks(blocks, told):
        yield from lines_of(block, told)


def lines_of(block: LineBlock, told: Told) -> Iterator[LogLine]:
    """The lines of a block, without blank ones; those that are too long are told."""
    lines = block.content.split(b"\n")
    for number, content in enumerate(lines[: len(lines) - block.is_ended], block.number):
        line = LogLine(number, content.removesuffix(b"\r"), block.is_ended)
        if content.strip() and not refuse_length(line, told):
            yield line


class _Gathered:
    """Whole lines that wait until they are enough for a block."""

    def __init__(self) -> None:
        self._number = 1
        self._pieces: list[bytes | memoryview] = []
        self.size = 0

    def add(self, piece: bytes | memoryview) -> None:
        """Lines, or the beginning of one whose end comes next."""
        if len(piece):
            self._pieces.append(piece)
            self.size += len(piece)

    def taken(self) -> Iterator[LineBlock]:
        """All that waits, as one block."""
        if self._pieces:
            content, lines = joined(self._pieces)
            block = LineBlock(self._number, content)
            self._number += lines
            self._pieces, self.size = [], 0
            yield block

    def refuse(self, told: Told) -> None:
        """The line that would be next is too long."""
        _refuse_length(self._number, told)
        self._number += 1

    def last(self, rest: bytes) -> LineBlock:
        """The line without an end."""
        return LineBlock(self._number, rest, is_ended=False)


def line_blocks(blocks: Iterable[bytes], told: Told, size: int = 1) -> Iterator[LineBlock]:
    """Blocks cut at ends of lines, of about `size` bytes; a line that is too long is left out where
    it is in several of them.
    """
    lines, rest, too_long = _Gathered(), b"", False
    for block in _until_broken(blocks, told):
        begin, end = 0, block.rfind(b"\n") + 1
        if not end:
            rest += b"" if too_long else block
        else:
            if too_long:
                begin, too_long = block.find(b"\n") + 1, False
                yield from lines.taken()
                lines.refuse(told)
            lines.add(rest)
            lines.add(memoryview(block)[begin:end])
            rest = block[end:]
        if lines.size >= size:
            yield from lines.taken()
        if len(rest) > LONGEST:
            rest, too_long = b"", True
    yield from lines.taken()
    if too_long:
        lines.refuse(told)
    elif rest.strip():
        yield lines.last(rest)


def refuse_length(line: LogLine, told: Told) -> bool:
    """Whether a line is too long; it is told."""
    if len(line.content) <= LONGEST:
        return False
    _refuse_length(line.number, told)
    return True


def _refuse_length(number: int, told: Told) -> None:
    told.damage(LogLine(number, b""), f"a line of more than {LONGEST} bytes")


def _until_broken(blocks: Iterable[bytes], told: Told) -> Iterator[bytes]:
    try:
        yield from blocks
    except OSError as error:
        told.notes.damage(f"it cannot be read to its end: {error}", told.name)


def read_lines(
    lines: Iterable[LogLine], told: Told, read: Callable[[LogLine], Record | None]
) -> Iterator[Record]:
    """What `read` makes of each line; what it refuses (`ValueError`) is damage."""
    for line in lines:
        try:
            record = read(line)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            told.damage(line, _UNREADABLE, str(error))
            continue
        if record is not None:
            yield record


def json_reader(type_: type[_T], read: Callable[[_T, LogLine, Told], Record | None]) -> Records:
    """A format of one JSON object a line, read as a typed structure; further fields are skipped."""
    decode = msgspec.json.Decoder(type_).decode

    def records(lines: Iterator[LogLine], told: Told) -> Iterator[Record]:
        return read_lines(lines, told, lambda line: read(decode(line.content), line, told))

    return records


def ended(lines: Iterable[LogLine], told: Told) -> Iterator[LogLine]:
    """The lines but for a last one without an end, which is damage: for text in columns."""
    for line in lines:
        if line.is_ended:
            yield line
        else:
            told.damage(line, UNENDED, "end it with a newline if it is whole")
