"""Flow logs: decoded (`decode`), written with a verdict each (`rowwise`), and
judged in bulk (`audit`).

Comes in: logs, and the Program or snapshot to judge them by. Goes out: verdicts, counts and
summaries. All of it needs NumPy, and whatever is columns pyarrow (`pip install netpolc[audit]`):
CSV and JSON lines are judged row by row without it.
"""

from __future__ import annotations

from netpolc.flows.rowwise.copying import COLUMNS
from netpolc.flows.rowwise.counts import ALLOWED, BAD, DENIED, Counts
from netpolc.flows.rowwise.rows import judge_log

__all__ = ["ALLOWED", "BAD", "COLUMNS", "DENIED", "Counts", "judge_log"]
