"""Tables as text: CSV (RFC 4180) and Markdown (GitHub's tables).

Comes in: headers and rows of cells, whatever they say. Goes out: the text. Nothing is refused; what
a cell holds cannot break its row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Row = Sequence[str]
_QUOTED = re.compile(r'[",\r\n]')
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~&])")


def csv(headers: Row, rows: Iterable[Row]) -> str:
    """CSV with a line of headers; lines end in CR LF, as RFC 4180 asks."""
    return "".join(",".join(map(_csv_cell, row)) + "\r\n" for row in (headers, *rows))


def _csv_cell(text: str) -> str:
    return '"{}"'.format(text.replace('"', '""')) if _QUOTED.search(text) else text


def markdown(headers: Row, rows: Iterable[Row]) -> str:
    """A table of GitHub Flavored Markdown in which every cell is shown as it is."""
    lines = (headers, ["---"] * len(headers), *(map(_markdown_cell, row) for row in rows))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _markdown_cell(text: str) -> str:
    return _MARKUP.sub(r"\\\1", " ".join(text.splitlines()))
