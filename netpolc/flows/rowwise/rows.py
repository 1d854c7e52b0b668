"""Flow logs row by row: what was read, with a verdict behind it.

Comes in: logs of any format that `netpolc.flows.decode` knows. Goes out: every record in order with
`verdict`. Logs of our own names as CSV or JSON lines are copied with all their columns: an end is
an address, `namespace/pod` or whatever else `flows_between` takes; a pod stands for all its
addresses, a workload for all its pods, and a flow is allowed if it is between all pairs of one
family. A row that is no flow is INVALID, reported with its line, counted, and no reason to stop.
Records of other formats are written as CSV (`decoded`). Refused (`LogError`): what decoding
refuses, and logs whose rows do not fit together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TextIO

import numpy as np

from netpolc.core.errors import UsageError
from netpolc.core.program import Program
from netpolc.flows.decode import csv, jsonlines
from netpolc.flows.decode.lines import (
    CHUNK,
    LONGEST,
    UNENDED,
    LineBlock,
    LogLine,
    Told,
    line_blocks,
    lines_of,
    refuse_length,
)
from netpolc.flows.decode.telling import check_format, opened_log
from netpolc.flows.notes import LogError, LogNotes
from netpolc.flows.rowwise.copying import (
    CopiedCsv,
    CopiedForm,
    CopiedJson,
    CopiedRow,
    chained,
    csv_header,
)
from netpolc.flows.rowwise.counts import Counts
from netpolc.flows.rowwise.named import FieldsJudge
from netpolc.flows.sources import LogSource, Stream, blocks, sources_of

if TYPE_CHECKING:
    from netpolc.flows.rowwise.decoded import JudgedRecords

try:
    from netpolc.flows.decode._scan import copied, copied_flows
except ImportError:  # not built here: every row is read by itself
    copied = copied_flows = None  # type: ignore[assignment]

BLOCK = 20_000
"""Rows judged at once: enough to hide what a call costs, few enough to stay in the cache."""
_ODD = -1
_MANY = 100_000
"""Flows of which the verdict is kept."""

Report = Callable[[str, str], None]
"""Told the place of a row that is none, and why."""
Progress = Callable[[int, int], None]
"""Told how many bytes are read, of how many (0: nobody knows)."""


def judge_log(
    program: Program,
    paths: Iterable[str],
    out: TextIO,
    notes: LogNotes,
    report: Report,
    form: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Counts:
    """Write logs with their verdicts; `progress` is called after each block of rows."""
    check_format(form)
    sources = sources_of(paths)
    sizes = [source.size for source in sources]
    judging = _Judging(program, out, notes, report)
    before = 0
    for source in sources:

        def advance(source: LogSource = source, before: int = before) -> None:
            progress(before + source.done, sum(sizes) if all(sizes) else 0)

        try:
            with opened_log(source, form) as (stream, found):
                judging.log(source, stream, found, advance)
        except LogError as error:
            notes.give_up(error, source.name)
        before += source.size or source.done
    return judging.counts


class _Judging:
    """Judges logs one after the other, and writes them to one output."""

    def __init__(self, program: Program, out: TextIO, notes: LogNotes, report: Report) -> None:
        self._program, self._out, self._notes, self._report = program, out, notes, report
        self._judge = FieldsJudge(program)
        self._records: JudgedRecords | None = None
        self._head: tuple[str, str] | None = None
        self.counts = Counts()

    def log(
        self, source: LogSource, stream: Stream, form: str, advance: Callable[[], None]
    ) -> None:
        """One log of a format."""
        if form not in (csv.NAME, jsonlines.NAME):
            self._decoded(source, stream, form, advance)
            return
        told = Told(source.name, self._notes)
        found = line_blocks(blocks(stream), told, CHUNK)
        copy: CopiedForm = CopiedJson()
        if form == csv.NAME:
            header, first = csv_header(found, told)
            copy, found = CopiedCsv(header), chained(first, found)
        self._begin(copy.head, source.name)
        rows = _Copying(self._judge, copy, told, self._report)
        for text in rows.judged(found, self.counts):
            self._out.write(text)
            advance()

    def _begin(self, head: str, name: str) -> None:
        """All logs have one head, which is written once."""
        if self._head is None:
            self._head = head, name
            self._out.write(head)
        elif self._head[0] != head:
            raise LogError(f"{name}: other columns than {self._head[1]}: judge them apart")

    def _decoded(
        self, source: LogSource, stream: Stream, form: str, advance: Callable[[], None]
    ) -> None:
        """Records of another format."""
        try:
            from netpolc.flows.rowwise.decoded import HEAD, JudgedRecords
        except ImportError as error:
            raise UsageError(
                f"{source.name}: logs of format {form} need pyarrow: pip install netpolc[audit] "
                f"({error})"
            ) from None
        if self._records is None:
            self._records = JudgedRecords(self._program)
        self._begin(HEAD, source.name)
        for text in self._records.judged(source, stream, form, self._notes, self.counts):
            self._out.write(text)
            advance()
        for problem, count in self._records.problems.items():
            self._report(source.name, f"{count} records are not judged: {problem}")
        self._records.problems.clear()


class _Copying:
    """Judges the rows of one log of our own names."""

    def __init__(self, judge: FieldsJudge, form: CopiedForm, told: Told, report: Report) -> None:
        self._judge, self._form, self._told, self._report = judge, form, told, report
        self._known: dict[tuple[str, ...], tuple[str, str]] = {}
        """Verdicts of flows, with the reason of an INVALID one."""

    def judged(self, found: Iterator[LineBlock], counts: Counts) -> Iterator[str]:
        """The rows again, in blocks. From the first block on that has lines which may be no rows of
        their own each row is read by itself.
        """
        form = self._form
        for block in found:
            text = self._plain(block, counts)
            if text is not None:
                yield text
                continue
            rest = iter([block]) if form.is_json else chained(block, found)
            rows = form.rows(self._lines(rest))
            while some := list(islice(rows, BLOCK)):
                yield "".join(self._each(some, counts))

    def _lines(self, found: Iterator[LineBlock]) -> Iterator[LogLine]:
        for block in found:
            for line in lines_of(block, self._told):
                if not (line.is_ended or self._form.is_json):
                    self._told.note(line, UNENDED)
                yield line

    def _each(self, rows: list[CopiedRow], counts: Counts) -> Iterator[str]:
        for row, (verdict, problem) in zip(rows, self._verdicts_of(rows), strict=True):
            counts.add(verdict)
            if problem:
                self._tell(row.line, problem)
            yield self._form.written(row, verdict)

    def _verdicts_of(self, rows: list[CopiedRow]) -> Iterable[tuple[str, str]]:
        """Of CSV, whose fields are text and numbers, each distinct flow is judged once."""
        if self._form.is_json:
            return self._judge.verdicts(rows)
        asked = {(row.fields, row.problem): row for row in rows}
        found = dict(zip(asked, self._judge.verdicts(list(asked.values())), strict=True))
        return [found[row.fields, row.problem] for row in rows]

    def _plain(self, block: LineBlock, counts: Counts) -> str | None:
        """Each distinct flow of a block is judged once; None where rows have to be looked for."""
        form = self._form
        if not (block.is_ended and form.has_scanner and copied is not None):
            return None
        numbers, flows = copied_flows(block.content, LONGEST, form.roles)
        of_line = np.frombuffer(numbers, np.int32)
        left = list(_picked(block, np.flatnonzero(of_line == _ODD).tolist()))
        if not all(form.is_row(line.content) for line in left):
            return None
        verdicts = self._verdicts(flows)
        rows = np.bincount(of_line[of_line >= 0], minlength=len(flows)).tolist()
        for (verdict, _), count in zip(verdicts, rows, strict=True):
            counts.add(verdict, count)
        problems: dict[int, str] = {}
        bad = [number for number, (_, problem) in enumerate(verdicts) if problem]
        for line in np.flatnonzero(np.isin(of_line, bad)).tolist() if bad else ():
            problems[block.number + line] = verdicts[of_line[line]][1]
        odd = [self._odd(line, counts, problems) for line in left]
        for number in sorted(problems):
            self._tell(number, problems[number])
        endings = [form.ending(verdict) for verdict, _ in verdicts]
        text = copied(block.content, numbers, endings, odd, form.is_json)
        return text.decode("utf-8", "surrogateescape")

    def _verdicts(self, flows: list[tuple[str, str, str, str]]) -> list[tuple[str, str]]:
        known = self._known
        if len(known) >= _MANY:
            known.clear()
        fresh = [own for own in flows if own not in known]
        asked = [CopiedRow(0, self._form.fields(own), None) for own in fresh]
        known.update(zip(fresh, self._judge.verdicts(asked), strict=True))
        return [known[own] for own in flows]

    def _odd(self, line: LogLine, counts: Counts, problems: dict[int, str]) -> bytes:
        """A line that the scanner is not sure of."""
        if refuse_length(line, self._told):
            return b""
        (row,) = self._form.rows(iter([line]))
        ((verdict, problem),) = self._judge.verdicts([row])
        counts.add(verdict)
        if problem:
            problems[line.number] = problem
        return self._form.written(row, verdict).encode("utf-8", "surrogateescape")

    def _tell(self, line: int, problem: str) -> None:
        self._report(f"{self._told.name}:{line}", problem)


def _picked(block: LineBlock, places: list[int]) -> Iterator[LogLine]:
    """Some lines of a block."""
    if places:
        lines = block.content.split(b"\n")
        for place in places:
            yield LogLine(block.number + place, lines[place].removesuffix(b"\r"))
