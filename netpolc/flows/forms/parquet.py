"""An audit as Parquet: a row a group, or an unused rule (docs/flow-logs.md has the columns).

Comes in: findings. Goes out: the bytes of a file; totals and notes are in its metadata, as JSON,
under `netpolc`. Refused (`LogError`): sums that no column holds.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from netpolc.core.foreign import to_json
from netpolc.flows.forms.text import Findings, document, facts, flat
from netpolc.flows.notes import LogError

_TEXT, _TIME = pa.string(), pa.timestamp("us", "UTC")
FLOWS = pa.schema(
    [
        ("source", _TEXT),
        ("destination", _TEXT),
        ("protocol", _TEXT),
        ("port", pa.int32()),
        ("policies", _TEXT),
        ("log", _TEXT),
        ("seen_at", _TEXT),
        ("finding", _TEXT),
        ("change", _TEXT),
        ("records", pa.int64()),
        ("packets", pa.int64()),
        ("bytes", pa.int64()),
        ("first", _TIME),
        ("last", _TIME),
        ("example_source", _TEXT),
        ("example_destination", _TEXT),
        ("because", pa.list_(_TEXT)),
    ]
)
"""Columns of an audit: the fields of the JSON document."""
RULES = pa.schema([("policy", _TEXT), ("rule", _TEXT), ("place", _TEXT)])
"""Columns of `--unused`."""
_METADATA = "netpolc"


def as_parquet(found: Findings) -> bytes:
    """The bytes of a file."""
    if found.rules is not None:
        schema, rows = RULES, [own._asdict() for own in found.rules]
    else:
        schema = FLOWS
        rows = [
            flat(document(found, group)) | {"first": group.first, "last": group.last}
            for group in found.groups
        ]
    try:
        columns = [_column(rows, field) for field in schema]
    except (pa.ArrowException, OverflowError) as error:
        raise LogError(f"-o parquet: a sum that 64 bits do not hold: {error}") from None
    about = {_METADATA: to_json(facts(found))}
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema.with_metadata(about)), out)
    return out.getvalue()


def _column(rows: list[dict[str, Any]], field: pa.Field) -> pa.Array:
    values = (_said(row, field.name) for row in rows)
    return pa.array(values, field.type)


def _said(row: Mapping[str, Any], name: str) -> Any:
    """A value; of a byte of a file's name, which is no character, its escape."""
    match row[name]:
        case str(text):
            return _character(text)
        case list(texts):
            return [_character(text) for text in texts]
        case value:
            return value


def _character(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
