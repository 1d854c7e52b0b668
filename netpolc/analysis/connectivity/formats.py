"""Tables as text: CSV (RFC 4180) and Markdown (GitHub's tables).

Comes in: headers and rows of cells, whatever they say. Goes out: the text. Nothing is refused; what
a cell holds cannot break its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netpolc.core.foreign import csv_cell, markdown_cell

Row = Sequence[str]


def csv(headers: Row, rows: Iterable[Row]) -> str:
    """CSV with a line of headers; lines end in CR LF, as RFC 4180 asks."""
    return "".join(",".join(map(csv_cell, row)) + "\r\n" for row in (headers, *rows))


def markdown(headers: Row, rows: Iterable[Row]) -> str:
    """A table of GitHub Flavored Markdown in which every cell is shown as it is."""
    lines = (headers, ["---"] * len(headers), *(map(markdown_cell, row) for row in rows))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
