"""Rows of logs of our own names (CSV, JSON lines) that are copied with a verdict each.

Comes in: lines. Goes out: `CopiedRow`s with what is to be judged, and rows as they are written,
with a further column or field `verdict`. Of the other columns nothing is read. Ends may be all that
`flows_between` takes. A row that is no flow says why, and is copied like the others. Nothing here
needs pyarrow.
"""

from __future__ import annotations

import csv as csv_of_python
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import msgspec

from netpolc.core.foreign import csv_copies, inert_json
from netpolc.flows.decode import csv
from netpolc.flows.decode.lines import LineBlock, LogLine, Told, lines_of
from netpolc.flows.notes import LogError

COLUMNS = ("src", "dst", "protocol", "port")
VERDICT = "verdict"
_MOST_COLUMNS = 64
"""Of what the scanner splits (ext/flow_vpc.h)."""
_MANY = 100_000
"""Flows of which what they say is kept."""
_ICMP = {"ICMP": 1, "ICMPV6": 58, "ICMP6": 58}
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder().decode

Fields = tuple[object, object, object, object]


class CopiedRow(NamedTuple):
    """A row of the log; `fields` is None, and `problem` says why, when it has none to judge."""

    line: int
    fields: Fields | None
    content: Any
    problem: str = ""


class CopiedForm(Protocol):
    """How rows are read and written again."""

    is_json: bool
    has_scanner: bool
    """Whether it may be asked."""
    head: str
    """What comes before the rows."""
    roles: bytes | None
    """What each column means to the scanner (ext/flow_copies.h)."""

    def is_row(self, line: bytes) -> bool:
        """Whether a line that a scanner left is a row of its own."""

    def rows(self, lines: Iterator[LogLine]) -> Iterator[CopiedRow]:
        """The rows of lines; what a scanner must agree with."""

    def fields(self, cells: Sequence[str]) -> Fields:
        """What the four cells of a row say, as they are written."""

    def ending(self, verdict: str) -> bytes:
        """What a row that is copied as it is ends with."""

    def written(self, row: CopiedRow, verdict: str) -> str:
        """A row again."""


class _Sink:
    """A file whose `write` gives the text back: `csv.writer.writerow` returns it."""

    def write(self, text: str) -> str:
        return text


_line: Any = csv_of_python.writer(_Sink(), lineterminator="\n")


class CopiedCsv:
    """Rows of CSV, with the columns of a header."""

    is_json = False

    def __init__(self, header: csv.Cells) -> None:
        names = [name.strip() for name in header]
        self._header = header
        places = [names.index(name if name in names else f"{name}_pod") for name in COLUMNS]
        self._own: Callable[[csv.Cells], tuple[str, ...]] = itemgetter(*places)
        self.head = self._written(header, VERDICT)
        meanings = {place: number for number, place in enumerate(places, start=1)}
        self.roles: bytes | None = bytes(meanings.get(place, 0) for place in range(len(header)))
        self.has_scanner = len(header) <= _MOST_COLUMNS

    def is_row(self, line: bytes) -> bool:
        """A quoted cell may go on in the next line."""
        return b'"' not in line

    def rows(self, lines: Iterator[LogLine]) -> Iterator[CopiedRow]:
        """Bytes that are no UTF-8 stay as they are (surrogateescape)."""
        known: dict[tuple[str, ...], Fields] = {}
        for line, cells in csv.rows_of(lines, "surrogateescape"):
            if isinstance(cells, ValueError):
                yield CopiedRow(line.number, None, [], str(cells))
            elif len(cells) != len(self._header):
                problem = csv.of_other_width(cells, self._header)
                yield CopiedRow(line.number, None, cells, problem)
            else:
                own = self._own(cells)
                if own not in known:
                    if len(known) >= _MANY:
                        known.clear()
                    known[own] = self.fields(own)
                yield CopiedRow(line.number, known[own], cells)

    def fields(self, cells: Sequence[str]) -> Fields:
        """Without the spaces around them."""
        source, destination, protocol, port = map(str.strip, cells)
        return source, destination, _protocol(protocol), _port(port)

    def ending(self, verdict: str) -> bytes:
        """A further cell."""
        return f",{verdict}\n".encode()

    def written(self, row: CopiedRow, verdict: str) -> str:
        """A short row is filled up, so that the verdict stays in its column."""
        return self._written(row.content, verdict)

    def _written(self, cells: csv.Cells, verdict: str) -> str:
        padding = [""] * (len(self._header) - len(cells))
        text: str = _line.writerow([*csv_copies(cells[: len(self._header)]), *padding, verdict])
        return text


class CopiedJson:
    """Objects, one a line."""

    is_json, has_scanner, head = True, True, ""
    roles: bytes | None = None

    def is_row(self, line: bytes) -> bool:
        """Each is an object."""
        return True

    def rows(self, lines: Iterator[LogLine]) -> Iterator[CopiedRow]:
        """What is no object is the `row` of one."""
        expected = f"an object with {', '.join(COLUMNS)} is expected"
        for line in lines:
            try:
                line.content.decode()
                value = _value(line.content)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                yield CopiedRow(line.number, None, {}, str(error))
                continue
            if not isinstance(value, dict):
                yield CopiedRow(line.number, None, {"row": value}, expected)
                continue
            content = _decode(line.content)  # whose numbers are written as they were
            if any(name not in value for name in COLUMNS[:3]):
                yield CopiedRow(line.number, None, content, expected)
                continue
            fields = value["src"], value["dst"], value["protocol"], value.get("port")
            if any(isinstance(own, bool) for own in fields):
                yield CopiedRow(line.number, None, content, "true and false are no part of a flow")
                continue
            yield CopiedRow(line.number, self.fields(fields), content)

    def fields(self, cells: Sequence[object]) -> Fields:
        """Values of JSON."""
        source, destination, protocol, port = cells
        return source, destination, _protocol(protocol), _port(port)

    def ending(self, verdict: str) -> bytes:
        """A further field and the brace."""
        return f',"{VERDICT}":"{verdict}"}}\n'.encode()

    def written(self, row: CopiedRow, verdict: str) -> str:
        """The verdict takes the place of a field of its name."""
        text = msgspec.json.encode({**row.content, VERDICT: verdict}).decode()
        return inert_json(text) + "\n"


def csv_header(blocks: Iterator[LineBlock], told: Told) -> tuple[csv.Cells, LineBlock]:
    """The header of a CSV, as it is written, and what of its first block is left."""
    first = next(blocks, None)
    if first is None:
        raise LogError(f"{told.name}: the log is empty")
    read = first.number
    content = first.content

    def lines() -> Iterator[LogLine]:
        nonlocal read
        for line in lines_of(first, told):
            read = line.number + 1
            yield line

    row = next(csv.rows_of(lines(), "surrogateescape"), None)
    if row is None:
        raise LogError(f"{told.name}: the log is empty")
    header = csv.header_of(row, told, COLUMNS)
    for _ in range(read - first.number):
        content = content.partition(b"\n")[2]
    return header, LineBlock(read, content, first.is_ended)


def chained(first: LineBlock, blocks: Iterable[LineBlock]) -> Iterator[LineBlock]:
    """Blocks behind another one, which may be empty."""
    if first.content:
        yield first
    yield from blocks


def _protocol(given: object) -> object:
    if isinstance(given, str):
        if given.isascii() and given.isdigit() and len(given) < 4:
            return int(given)
        return _ICMP.get(given.upper(), given)
    return given


def _port(given: object) -> object:
    if isinstance(given, str):
        if not given:
            return None
        return int(given) if given.isascii() and given.isdigit() and len(given) < 8 else given
    return given
