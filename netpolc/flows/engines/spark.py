"""Spark: `mapInArrow` over a data frame, in the Python of every executor.

Comes in: a data frame and the file of a matcher on the driver. Goes out: a data frame with two
columns more. Spark ships the file to each executor (`addFile`), where it is opened once a process.
`mapInArrow` goes by position: so the frame is put in the order of its own schema, and each batch is
checked for its names. Refused: what `judge_batch` refuses.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from netpolc.core.errors import UsageError
from netpolc.flows.engines.judge_batch import COLUMNS, POLICIES, REASON, Names, judge_batch


def judge_spark(frame: Any, matcher: str, columns: Names = COLUMNS) -> Any:
    """The rows of a `pyspark.sql.DataFrame` with verdicts."""
    from pyspark.sql.types import StringType, StructType

    missing = [name for name in columns if name.partition(".")[0] not in frame.columns]
    if missing:
        raise UsageError(f"the frame has no column {', '.join(missing)}")
    names = list(frame.columns)
    frame.sparkSession.sparkContext.addFile(matcher)
    shipped = os.path.basename(matcher)
    schema = StructType(list(frame.schema.fields))
    for name in (POLICIES, REASON):
        if name in names:
            raise UsageError(f"a column {name} is there already")
        schema = schema.add(name, StringType())

    def judged(batches: Iterable[Any]) -> Iterator[Any]:
        from pyspark import SparkFiles

        path = SparkFiles.get(shipped)
        for batch in batches:
            if batch.schema.names != names:
                raise UsageError(f"columns {batch.schema.names}, expected are {names}")
            yield judge_batch(batch, path, columns)

    return frame.select(*[f"`{name}`" for name in names]).mapInArrow(judged, schema)
