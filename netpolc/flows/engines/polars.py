"""polars: lazy frames, in the streaming engine batch by batch.

Comes in: a `LazyFrame` (`scan_parquet`, ...). Goes out: another one, with two columns more.
Refused: what `judge_batch` refuses.
"""

from __future__ import annotations

from typing import Any

from netpolc.core.errors import UsageError
from netpolc.flows.engines.judge_batch import COLUMNS, POLICIES, REASON, Names, judge_batch


def judge_frame(frame: Any, matcher: str, columns: Names = COLUMNS) -> Any:
    """The rows of a `polars.LazyFrame` with verdicts; collect with `engine="streaming"`."""
    import polars

    schema = dict(frame.collect_schema())
    for name in (POLICIES, REASON):
        if name in schema:
            raise UsageError(f"a column {name} is there already")

    def judged(part: Any) -> Any:
        import pyarrow as pa

        table = part.to_arrow()
        batches = [judge_batch(own, matcher, columns) for own in table.to_batches()]
        if not batches:
            batches = [judge_batch(pa.RecordBatch.from_pylist([], table.schema), matcher, columns)]
        return polars.from_arrow(pa.Table.from_batches(batches))

    more = {POLICIES: polars.String, REASON: polars.String}
    return frame.map_batches(judged, schema={**schema, **more}, streamable=True)
