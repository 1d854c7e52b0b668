"""CSV with a header of our own names (`schema.SCHEMA`), in any order and among others.

`src` and `dst` are addresses or `namespace/pod`; times are RFC 3339 or seconds since 1970. A quoted
cell may hold commas and no line ends.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from netpolc.flows.decode.jsonlines import record_of, unknown_names
from netpolc.flows.decode.lines import LogLine, Told, ended
from netpolc.flows.notes import LogError
from netpolc.flows.schema import SCHEMA, Record

NAME = "csv"
_NEEDED = ("protocol", "port")


def detects(text: str) -> bool:
    """Whether a line is a header of it."""
    names = _cells(text)
    ends = (("src", "src_pod"), ("dst", "dst_pod"))
    return all(name in names for name in _NEEDED) and all(
        any(name in names for name in own) for own in ends
    )


def records(lines: Iterator[LogLine], told: Told) -> Iterator[Record]:
    """A record for each row."""
    rows = ended(lines, told)
    first = next(rows, None)
    if first is None:
        return
    text = first.content.decode("utf-8", "replace")
    try:
        header = _cells(text) if detects(text) else []
    except ValueError:
        header = []
    if not header or len({*header}) != len(header):
        raise LogError(
            f"{told.at(first)}: a header with src, dst, protocol and port is expected, each once"
        )
    for name in unknown_names(header):
        told.note(first, f"column {name} has no meaning here")
    told.notes.check_columns(NAME, {*header} & {*SCHEMA.names}, told.at(first))
    for line in rows:
        try:
            cells = _cells(line.content.decode("utf-8"))
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} fields, the header has {len(header)}")
            record = record_of(dict(zip(header, cells, strict=True)))
        except ValueError as error:
            told.damage(line, "no record of this format", str(error))
            continue
        yield record


def _cells(text: str) -> list[str]:
    text = text.removeprefix("\ufeff")
    try:
        cells = next(csv.reader([text], strict=True), []) if '"' in text else text.split(",")
    except csv.Error as error:
        raise ValueError(str(error)) from None
    return [cell.strip() for cell in cells]
