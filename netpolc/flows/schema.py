"""The one form that flow logs of every format are decoded to: Arrow record batches of `SCHEMA`.

Comes in: `Record`s. Goes out: batches. Every column may be null, which is "the log does not say";
there are no unsigned types and no nanoseconds, which some engines refuse. docs/flow-logs.md says
what each format writes where.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa

from netpolc.flows.records import DROPPED as DROPPED
from netpolc.flows.records import EGRESS as EGRESS
from netpolc.flows.records import FORWARDED as FORWARDED
from netpolc.flows.records import INGRESS as INGRESS
from netpolc.flows.records import Record as Record

_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("ts", pa.timestamp("us", "UTC")),
        ("src", _TEXT),
        ("dst", _TEXT),
        ("src_port", pa.int32()),
        ("protocol", pa.int16()),
        ("port", pa.int32()),
        ("direction", _TEXT),
        ("is_reply", pa.bool_()),
        ("verdict", _TEXT),
        ("reporter", _TEXT),
        ("packets", pa.int64()),
        ("bytes", pa.int64()),
        ("policy", _TEXT),
        ("src_pod", _TEXT),
        ("dst_pod", _TEXT),
        ("problem", _TEXT),
    ]
)
FATES, SIDES = ("", FORWARDED, DROPPED), ("", EGRESS, INGRESS)
"""Words of `verdict` and `direction` by number; 0 is none of them."""
ROWS = 1 << 15
"""Of a batch."""


def batches(records: Iterable[Record], rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """Records as batches of at most `rows`."""
    left = iter(records)
    while block := list(islice(left, rows)):
        columns = [_column(block, field) for field in SCHEMA]
        yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _column(block: list[Record], field: pa.Field) -> pa.Array:
    values = [getattr(record, field.name) for record in block]
    if pa.types.is_dictionary(field.type):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, field.type)
