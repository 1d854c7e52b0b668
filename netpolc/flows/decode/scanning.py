"""Blocks of lines to record batches by a scanner, with the reference decoder for the rest.

Comes in: blocks of whole lines. Goes out: batches with the records in the order of the lines. What
a scanner is not sure of is read by the reference decoder of the format, which tells of all that is
no record: so the two cannot differ. Scanners of blocks that do not depend on each other run ahead
in threads; they hold no lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from netpolc.flows.decode.lines import CHUNK, LineBlock, LogLine, Records, Told, line_blocks
from netpolc.flows.notes import LogError
from netpolc.flows.schema import (
    DROPPED,
    EGRESS,
    FORWARDED,
    INGRESS,
    ROWS,
    SCHEMA,
    Record,
    batches,
)

Result = TypeVar("Result")
_AHEAD = 3
"""Blocks that threads scan while another one is used."""
_WORDS = {
    "direction": pa.array((EGRESS, INGRESS), pa.string()),
    "verdict": pa.array((FORWARDED, DROPPED), pa.string()),
}


class Unsure(NamedTuple):
    """A line that is left to the reference, and how many rows are before it."""

    line: LogLine
    rows: int
    end: int
    """Of the line in its block."""


class Scanned(NamedTuple):
    """What a scanner made of a block."""

    batch: pa.RecordBatch
    unsure: list[Unsure]


Columns = dict[str, tuple[int, bytes, bytes]]
"""Of a column how many are null, bits of validity where some are and some are not, values: of text
the numbers of its words. There is room behind the last row."""
Words = dict[str, tuple[int, bytes, bytes]]
"""How many words a column of text has, their offsets, their bytes."""
Found = tuple[int, Columns, Words, list[tuple[int, int, int, int]]]


def scanned(block: LineBlock, found: Found) -> Scanned:
    """The columns of a scanner as a batch of `SCHEMA`."""
    count, given, words, left = found
    columns = [_column(field, count, given, words) for field in SCHEMA]
    unsure = [
        Unsure(
            LogLine(block.number + line, block.content[at : at + size].removesuffix(b"\r")),
            rows,
            at + size,
        )
        for line, rows, at, size in left
    ]
    return Scanned(pa.RecordBatch.from_arrays(columns, schema=SCHEMA), unsure)


def _column(field: pa.Field, count: int, given: Columns, words: Words) -> pa.Array:
    name = field.name
    if name not in given or given[name][0] == count:
        return pa.nulls(count, field.type)
    nulls, valid, values = given[name]
    is_coded = name in words or name in _WORDS
    kind = pa.int32() if is_coded else field.type
    buffers = [pa.py_buffer(valid) if nulls else None, pa.py_buffer(values)]
    found = pa.Array.from_buffers(kind, count, buffers, nulls)
    if not is_coded:
        return found
    known = _WORDS[name] if name in _WORDS else _text(*words[name])
    return pa.DictionaryArray.from_arrays(found, known, safe=False)


def _text(count: int, offsets: bytes, content: bytes) -> pa.Array:
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(content))


def completed(
    found: Scanned, read: Callable[[LogLine], Iterator[Record]]
) -> Iterator[pa.RecordBatch]:
    """The rows of a scanner with what the reference makes of the other lines, in order."""
    records: list[Record] = []
    before: list[int] = []
    for unsure in found.unsure:
        for record in read(unsure.line):
            records.append(record)
            before.append(unsure.rows)
    if not records:
        yield from _sliced(found.batch)
        return
    count = len(found.batch)
    order = np.insert(np.arange(count), before, np.arange(count, count + len(records)))
    table = pa.Table.from_batches([found.batch, *batches(records)]).unify_dictionaries()
    for batch in table.combine_chunks().take(pa.array(order)).combine_chunks().to_batches():
        yield from _sliced(batch)


def _sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(batch), ROWS):
        yield batch.slice(first, ROWS)


def scanned_batches(
    blocks: Iterable[bytes], told: Told, scan: Callable[[bytes], Found], reference: Records
) -> Iterator[pa.RecordBatch]:
    """All of a log whose lines do not depend on each other."""

    def read(line: LogLine) -> Iterator[Record]:
        return reference(iter([line]), told)

    def work(block: LineBlock) -> Scanned:
        return scanned(block, scan(block.content))

    for block, found in worked_ahead(line_blocks(blocks, told, CHUNK), work):
        if found is None:
            yield from batches(read(block.last_line()))
        else:
            yield from completed(found, read)


def worked_ahead(
    blocks: Iterable[LineBlock], work: Callable[[LineBlock], Result]
) -> Iterator[tuple[LineBlock, Result | None]]:
    """Blocks in their order with what threads make of them; a last line without an end has None.
    What stops the reading is raised when all blocks before it have been used.
    """
    waiting: deque[tuple[LineBlock, Future[Result] | None]] = deque()
    broken: LogError | None = None
    with ThreadPoolExecutor(_AHEAD) as pool:
        try:
            for block in blocks:
                waiting.append((block, pool.submit(work, block) if block.is_ended else None))
                if len(waiting) > _AHEAD:
                    yield _worked(waiting.popleft())
        except LogError as error:
            broken = error
        while waiting:
            yield _worked(waiting.popleft())
    if broken is not None:
        raise broken


def _worked(own: tuple[LineBlock, Future[Any] | None]) -> tuple[LineBlock, Any]:
    block, found = own
    return block, None if found is None else found.result()
