"""Datasets of pyarrow: files of a folder or a bucket, hive partitions, batch by batch.

Comes in: a dataset, a table or a reader. Goes out: a reader, whose memory is a batch. Refused:
what `judge_batch` refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from netpolc.flows.engines.judge_batch import COLUMNS, Names, judge_batch, judged_schema


def judge_dataset(source: Any, matcher: str, columns: Names = COLUMNS) -> pa.RecordBatchReader:
    """The rows of a `pyarrow.dataset.Dataset`, `Table` or `RecordBatchReader` with verdicts."""
    batches = source if isinstance(source, pa.RecordBatchReader) else source.to_batches()

    def judged() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield judge_batch(batch, matcher, columns)

    return pa.RecordBatchReader.from_batches(judged_schema(source.schema), judged())
