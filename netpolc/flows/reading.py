"""Logs from beginning to end: each source decoded and audited, whatever its format.

Comes in: the paths of logs. Goes out: an audit that has taken in all of them. Refused (`LogError`):
what decoding refuses, and logs that say nothing of the pods of the snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import pyarrow as pa

from netpolc.flows.audit import Audit
from netpolc.flows.decode import decoded_batches
from netpolc.flows.decode.telling import check_format
from netpolc.flows.judging import Judged, RecordOutcome
from netpolc.flows.notes import Gravity, LogError, LogNotes
from netpolc.flows.sources import sources_of

Report = Callable[[int, int], None]
"""Told how many bytes are read, of how many (0: nobody knows)."""


class Taker(Protocol):
    """Whatever looks at judged batches too."""

    def add(self, batch: pa.RecordBatch, judged: Judged, /) -> None:
        """Take in a batch."""


def take_in(
    paths: Iterable[str],
    audit: Audit,
    notes: LogNotes,
    form: str | None = None,
    also: Taker | None = None,
    report: Report = lambda done, total: None,
) -> None:
    """Read all logs into an audit, and into what else is given."""
    check_format(form)
    sources = sources_of(paths)
    sizes = [source.size for source in sources]
    total = sum(sizes) if all(sizes) else 0
    before = 0
    for source in sources:
        for batch in decoded_batches(source, notes, form):
            found = audit.add(batch)
            if also is not None and found is not None:
                also.add(found.batch, found.by_row())
            report(before + source.done, total)
        before += source.size or source.done
    names = ", ".join(source.name for source in sources[:3])
    _check_records(audit, notes, names)
    _check_pods(audit, notes, names)


def _check_records(audit: Audit, notes: LogNotes, names: str) -> None:
    """Where there is nothing to judge, an answer would be none."""
    totals = audit.totals
    if notes.count(Gravity.DAMAGED) or totals.outcomes.total():
        return
    why = "there is no record in it"
    if totals.outside_span:
        why = f"none of {totals.records} records lies between --since and --until"
    notes.give_up(LogError(f"{names}: {why}: nothing to judge"), names)


def _check_pods(audit: Audit, notes: LogNotes, names: str) -> None:
    """Whatever was asked, a log of another cluster has no answer to it."""
    totals = audit.totals
    strangers = totals.outcomes[RecordOutcome.NO_POD] + totals.outcomes[RecordOutcome.UNJUDGED]
    judged = totals.outcomes.total()
    if judged and strangers == judged and not notes.count(Gravity.DAMAGED):
        why = ", ".join(f"{count}: {problem}" for problem, count in totals.problems.most_common(3))
        error = LogError(
            f"{names}: none of {judged} records can be judged: no end is a pod of the snapshot (it "
            "is of another cluster or time, or addresses were translated before they were logged)"
            + (f"; {why}" if why else "")
        )
        notes.give_up(error, names)
