"""Reads logs of bytes: all records, and what was told of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netpolc.flows.decode import decoded_batches
from netpolc.flows.notes import LogNotes
from netpolc.flows.sources import sources_of


def read_records(
    path: Path, *, keep_going: bool = False, form: str | None = None
) -> tuple[list[dict[str, Any]], LogNotes]:
    """Every record of what is at a path, as dictionaries without nulls, and the notes."""
    notes = LogNotes(keep_going=keep_going)
    rows = [
        {name: value for name, value in row.items() if value is not None}
        for source in sources_of([str(path)])
        for batch in decoded_batches(source, notes, form)
        for row in batch.to_pylist()
    ]
    return rows, notes


def records_of(folder: Path, content: bytes, **how: Any) -> tuple[list[dict[str, Any]], LogNotes]:
    """The same of a log with this content."""
    path = folder / "log"
    path.write_bytes(content)
    return read_records(path, **how)
