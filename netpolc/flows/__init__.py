"""Flow logs: rows with a verdict each (`rows`, what `eval --flows` does), and the logs that
clusters write, decoded to Arrow (`decode`) and judged in bulk (`audit`).

Comes in: logs, and the Program or snapshot to judge them by. Goes out: verdicts, counts and
summaries. `decode` and `audit` need pyarrow (`pip install netpolc[audit]`), and are imported by
whoever wants them; `rows` needs NumPy alone.
"""

from __future__ import annotations

from netpolc.flows.rows import ALLOWED, BAD, COLUMNS, DENIED, Counts, judge_log

__all__ = ["ALLOWED", "BAD", "COLUMNS", "DENIED", "Counts", "judge_log"]
