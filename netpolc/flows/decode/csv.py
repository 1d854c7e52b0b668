"""CSV with a header of our own names (`records.Record`), in any order and among others.

`src` and `dst` are addresses or `namespace/pod`; times are RFC 3339 or seconds since 1970. A quoted
cell may hold commas and some line ends. Of a row whose quotes are odd only the first line is bad:
the next ones are read again.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from netpolc.flows.decode.jsonlines import record_of, unknown_names
from netpolc.flows.decode.lines import LogLine, Told, ended
from netpolc.flows.notes import LogError
from netpolc.flows.records import NAMES, Record

NAME = "csv"
_ENDS = (("src", "src_pod"), ("dst", "dst_pod"))
_NEEDED = ("protocol", "port")
_MOST_LINES = 100
"""Of a row: what opens a quote and never closes it costs no more."""
Cells = list[str]
Row = tuple[LogLine, Cells | ValueError]


def detects(text: str) -> bool:
    """Whether a line is a header of it."""
    return not _missing([cell.strip() for cell in _cells(text)])


def resembles(text: str) -> bool:
    """Whether a line is like a header, and lacks something."""
    names = {cell.strip() for cell in text.split(",")}
    return any(name in names for own in _ENDS for name in own)


def header_of(row: Row, told: Told, once: Sequence[str] = NAMES) -> Cells:
    """The names of the columns of the first row, as they are written.

    `LogError` where it lacks what a flow has, or has a column twice that is to be there `once`.
    """
    line, cells = row
    names = [] if isinstance(cells, ValueError) else [cell.strip() for cell in cells]
    missing = _missing(names)
    if missing or isinstance(cells, ValueError) or any(names.count(name) > 1 for name in once):
        raise LogError(
            f"{told.at(line)}: a header with src, dst, protocol and port is expected, each once"
            + (f": no column {', '.join(missing)}" if names and missing else "")
        )
    return cells


def rows_of(lines: Iterator[LogLine], errors: str = "strict") -> Iterator[Row]:
    """The cells of each row with its first line, or why it has none; `errors` as of `decode`."""
    again: list[LogLine] = []
    held: list[LogLine] = []
    """Lines of the row that is being read."""

    def texts() -> Iterator[str]:
        while len(held) < _MOST_LINES:
            line = again.pop() if again else next(lines, None)
            if line is None:
                return
            if held:  # blank lines are left out of `lines`
                yield "\n" * (line.number - held[-1].number - 1)
            held.append(line)
            yield _text(line, errors)

    reader = csv.reader(texts(), strict=True)
    while True:
        held.clear()
        try:
            cells = next(reader, None)
        except (csv.Error, ValueError) as error:
            again += reversed(held[1:])
            yield held[0], ValueError(str(error))
            reader = csv.reader(texts(), strict=True)
            continue
        if cells is None:
            return
        yield held[0], cells


def records(lines: Iterator[LogLine], told: Told) -> Iterator[Record]:
    """A record for each row."""
    rows = rows_of(ended(lines, told))
    first = next(rows, None)
    if first is None:
        return
    header = [name.strip() for name in header_of(first, told)]
    for name in unknown_names(header):
        told.note(first[0], f"column {name} has no meaning here")
    told.notes.check_columns(NAME, {*header} & {*NAMES}, told.at(first[0]))
    for line, cells in rows:
        try:
            if isinstance(cells, ValueError):
                raise cells
            if len(cells) != len(header):
                raise ValueError(of_other_width(cells, header))
            record = record_of(dict(zip(header, map(str.strip, cells), strict=True)))
        except ValueError as error:
            told.damage(line, "no record of this format", str(error))
            continue
        yield record


def of_other_width(cells: Cells, header: Cells) -> str:
    """What is wrong with a row that is not as wide as the header."""
    return f"{len(cells)} fields, the header has {len(header)}"


def _missing(names: Cells) -> list[str]:
    """What a header lacks."""
    ends = [own[0] for own in _ENDS if not {*own} & {*names}]
    return ends + [name for name in _NEEDED if name not in names]


def _text(line: LogLine, errors: str) -> str:
    text = line.content.decode("utf-8", errors) + "\n"
    return text.removeprefix("\ufeff") if line.number == 1 else text


def _cells(text: str) -> Cells:
    """Of a line by itself; `ValueError` where it is none."""
    try:
        return next(csv.reader([text.removeprefix("\ufeff")], strict=True), [])
    except csv.Error as error:
        raise ValueError(str(error)) from None
