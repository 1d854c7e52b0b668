"""Records of any format as CSV, each with its verdict.

Comes in: a log that is opened. Goes out: rows with the columns of the schema, of which `log` is
what the log says became of the packet, and `verdict` as an audit judges the record.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from netpolc.core.foreign import csv_copies
from netpolc.core.program import Program
from netpolc.flows.decode.decoding import stream_batches
from netpolc.flows.judging import RecordJudge, RecordOutcome
from netpolc.flows.notes import LogNotes
from netpolc.flows.records import NAMES
from netpolc.flows.rowwise.counts import ALLOWED, BAD, DENIED, REPLY, UNCLEAR, Counts
from netpolc.flows.sources import LogSource, Stream

HEAD = ",".join(["log" if name == "verdict" else name for name in NAMES]) + ",verdict\n"
WORDS = {
    RecordOutcome.DENY: DENIED,
    RecordOutcome.ALLOW: ALLOWED,
    RecordOutcome.FAR: DENIED,
    RecordOutcome.REPLY: REPLY,
    RecordOutcome.UNCLEAR: UNCLEAR,
    RecordOutcome.UNJUDGED: BAD,
    RecordOutcome.NO_POD: ALLOWED,
}


class JudgedRecords:
    """Judges logs one after the other."""

    def __init__(self, program: Program) -> None:
        self._judge = RecordJudge(program)
        self.problems: Counter[str] = Counter()
        """Why records are INVALID, and how many."""

    def judged(
        self, source: LogSource, stream: Stream, form: str, notes: LogNotes, counts: Counts
    ) -> Iterator[str]:
        """The rows of a log, batch by batch."""
        for batch in stream_batches(stream, source, notes, form):
            found = self._judge.judged(batch)
            self.problems.update(found.problems)
            rows = np.bincount(found.outcomes, minlength=len(RecordOutcome)).tolist()
            for outcome, word in WORDS.items():
                counts.add(word, rows[outcome])
            words = [WORDS[own] for own in RecordOutcome]
            verdicts = [words[own] for own in found.outcomes.tolist()]
            out = io.StringIO()
            columns = [_cells(batch[name]) for name in NAMES]
            csv.writer(out, lineterminator="\n").writerows(zip(*columns, verdicts, strict=True))
            yield out.getvalue()


def _cells(column: pa.Array) -> list[object]:
    """What a column says; nothing where the log does not."""
    if pa.types.is_dictionary(column.type):
        words = csv_copies([word or "" for word in column.dictionary.to_pylist()])
        column = pa.array(words, pa.string()).take(column.indices)
    elif pa.types.is_timestamp(column.type):
        column = pc.strftime(column.cast(pa.timestamp("us")), format="%Y-%m-%dT%H:%M:%SZ")
    elif pa.types.is_boolean(column.type):
        column = pc.if_else(column, "true", "false")
    found: list[object] = column.to_pylist()
    return found
