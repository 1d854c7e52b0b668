"""The one function that all engines run: a record batch in, the same with verdicts out.

Comes in: a batch with columns of ends, protocol and port in any of the types that
`Matcher.verdicts_arrow` takes, and the path of a saved `Matcher`. Goes out: the batch with
`policies` (`allow`, `deny`, or null where the row is no flow) and `reason` (why it is none).
Refused: a batch without these columns, or that has columns of these names already.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from netpolc.backends.matcher import Matcher
from netpolc.backends.matcher.engines import InvalidReason
from netpolc.core.errors import UsageError

Names = tuple[str, str, str, str]
COLUMNS: Names = ("src", "dst", "protocol", "port")
POLICIES, REASON = "policies", "reason"
_WORDS = pa.array(["deny", "allow"])
_REASONS = pa.array([own.name.lower() for own in InvalidReason])
_NO_WORD = len(_WORDS)


@lru_cache(maxsize=8)
def _opened(path: str) -> Matcher:
    """A matcher is mapped once in a process; a task that comes later finds it there."""
    return Matcher.open(path)


def judged_schema(schema: pa.Schema) -> pa.Schema:
    """What `judge_batch` makes of batches of a schema; `UsageError` if it has those columns."""
    for name in (POLICIES, REASON):
        if name in schema.names:
            raise UsageError(f"a column {name} is there already")
    return schema.append(pa.field(POLICIES, pa.string())).append(pa.field(REASON, pa.string()))


def judge_batch(batch: pa.RecordBatch, matcher: str, columns: Names = COLUMNS) -> pa.RecordBatch:
    """The verdict of every row, by a matcher that was saved (`Matcher.save`).

    `columns` names the source, the destination, the protocol and the port; `a.b` is a field of a
    struct. `policies` is `allow`, `deny` or null; then `reason` has the word of `InvalidReason`.
    The matcher stays open in the process: a file that changes needs another name. Raises
    `UsageError` for columns that are missing, of other types, or called like the result's.
    """
    schema = judged_schema(batch.schema)
    try:
        found = _opened(matcher).verdicts_arrow(batch, columns, reasons=True)
    except ValueError as error:
        raise UsageError(str(error)) from None
    codes = found[:, 0].astype(np.int8)
    verdicts = _WORDS.take(pa.array(codes, mask=codes >= _NO_WORD))
    reasons = _REASONS.take(pa.array(found[:, 1].astype(np.int8), mask=codes < _NO_WORD))
    return pa.RecordBatch.from_arrays([*batch.columns, verdicts, reasons], schema=schema)
