"""Tables as text: CSV (RFC 4180) and Markdown (GitHub's tables).

Comes in: headers and rows of cells, whatever they say. Goes out: the text. Nothing is refused; what
a cell holds cannot break its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netpolc.core.foreign import csv_cell, markdown_cell

Row = Sequence[str]


def csv(headers: Row, rows: Iterable[Row], unread: str = "") -> str:
    """CSV with a line of headers; lines end in CR LF, as RFC 4180 asks.

    What is not judged is a last column, where there is anything: the same in each row.
    """
    if unread:
        headers, rows = (*headers, "unread"), ((*row, unread) for row in rows)
    return "".join(",".join(map(csv_cell, row)) + "\r\n" for row in (headers, *rows))


def markdown(headers: Row, rows: Iterable[Row], unread: str = "") -> str:
    """A table of GitHub Flavored Markdown in which every cell is shown as it is, below what is not
    judged.
    """
    lines = (headers, ["---"] * len(headers), *(map(markdown_cell, row) for row in rows))
    return markdown_note(unread) + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def markdown_code(text: str) -> str:
    """A word of its own in a line of Markdown."""
    return f"<code>{markdown_cell(text)}</code>"


def markdown_note(text: str) -> str:
    """A paragraph that is seen, if there is anything to say."""
    return f"> **Note:** {markdown_cell(text)}\n\n" if text else ""
