"""The one form that flow logs of every format are decoded to: Arrow record batches of `SCHEMA`.

Comes in: `Record`s. Goes out: batches. Every column may be null, which is "the log does not say";
there are no unsigned types and no nanoseconds, which some engines refuse. docs/flow-logs.md says
what each format writes where.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa
from msgspec import Struct

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
FORWARDED, DROPPED = "forwarded", "dropped"
EGRESS, INGRESS = "egress", "ingress"
FATES, SIDES = ("", FORWARDED, DROPPED), ("", EGRESS, INGRESS)
"""Words of `verdict` and `direction` by number; 0 is none of them."""
ROWS = 1 << 15
"""Of a batch."""


class Record(Struct, gc=False):
    """One record of a log; a field is None where the log does not say.

    `ts` is microseconds since 1970 (UTC), `src` and `dst` are addresses as they are written,
    `port` is the destination's, `direction` says at whose end the record was made (egress: at the
    source's), `verdict` is what became of the packet there, `reporter` is who wrote it (a node, an
    interface), `src_pod` and `dst_pod` are `namespace/name`. A record that names a `problem` is a
    flow that cannot be judged, and why.
    """

    ts: int | None = None
    src: str | None = None
    dst: str | None = None
    src_port: int | None = None
    protocol: int | None = None
    port: int | None = None
    direction: str | None = None
    is_reply: bool | None = None
    verdict: str | None = None
    reporter: str | None = None
    packets: int | None = None
    bytes: int | None = None
    policy: str | None = None
    src_pod: str | None = None
    dst_pod: str | None = None
    problem: str | None = None


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
