"""What else reads the logs of `benches.flows`: pyarrow, DuckDB and polars, told the columns.

In: a log. Out: how many rows became columns, or were judged. Each works in one thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from netpolc.backends.matcher import Matcher

_JSON_SCHEMA = pa.schema(
    [
        (
            "flow",
            pa.struct(
                [
                    ("time", pa.string()),
                    ("verdict", pa.string()),
                    ("IP", pa.struct([("source", pa.string()), ("destination", pa.string())])),
                    (
                        "l4",
                        pa.struct([("TCP", pa.struct([("destination_port", pa.int32())]))]),
                    ),
                    ("traffic_direction", pa.string()),
                    ("is_reply", pa.bool_()),
                ]
            ),
        )
    ]
)


def json_by_pyarrow(path: Path) -> int:
    """pyarrow's JSON reader, told the columns."""
    parse = pa.json.ParseOptions(_JSON_SCHEMA, unexpected_field_behavior="ignore")
    return len(pa.json.read_json(path, pa.json.ReadOptions(use_threads=False), parse))


def json_by_duckdb(path: Path) -> int:
    """DuckDB's, told the columns."""
    import duckdb

    kinds = (
        "STRUCT(time VARCHAR, verdict VARCHAR, IP STRUCT(source VARCHAR, destination VARCHAR), "
        "l4 STRUCT(TCP STRUCT(destination_port INTEGER)), traffic_direction VARCHAR, "
        "is_reply BOOLEAN)"
    )
    with duckdb.connect(config={"threads": 1}) as connection:
        found = connection.sql(f"SELECT * FROM read_ndjson('{path}', columns={{flow: '{kinds}'}})")
        return len(_table(found))


def json_by_polars(path: Path) -> int:
    """polars', told the columns."""
    import polars as pl

    text = pl.String
    flow = pl.Struct(
        {
            "time": text,
            "verdict": text,
            "IP": pl.Struct({"source": text, "destination": text}),
            "l4": pl.Struct({"TCP": pl.Struct({"destination_port": pl.Int32})}),
            "traffic_direction": text,
            "is_reply": pl.Boolean,
        }
    )
    return len(pl.scan_ndjson(path, schema={"flow": flow}).collect())


_CSV_TYPES = {
    "interface-id": pa.string(), "srcaddr": pa.string(), "dstaddr": pa.string(),
    "srcport": pa.int32(), "dstport": pa.int32(), "protocol": pa.int16(), "packets": pa.int64(),
    "bytes": pa.int64(), "start": pa.int64(), "action": pa.string(), "log-status": pa.string(),
}  # fmt: skip


def csv_by_pyarrow(path: Path) -> int:
    """pyarrow's CSV reader of the columns that are wanted."""
    return len(
        pa.csv.read_csv(
            path,
            pa.csv.ReadOptions(use_threads=False),
            pa.csv.ParseOptions(delimiter=" "),
            pa.csv.ConvertOptions(
                column_types=_CSV_TYPES, include_columns=[*_CSV_TYPES], null_values=["-"]
            ),
        )
    )


def csv_by_duckdb(path: Path) -> int:
    """DuckDB's."""
    import duckdb

    names = ", ".join(f'"{name}"' for name in _CSV_TYPES)
    with duckdb.connect(config={"threads": 1}) as connection:
        found = connection.sql(
            f"SELECT {names} FROM read_csv('{path}', delim=' ', header=true, nullstr='-')"
        )
        return len(_table(found))


def csv_by_polars(path: Path) -> int:
    """polars'."""
    import polars as pl

    return len(pl.scan_csv(path, separator=" ", null_values="-").select([*_CSV_TYPES]).collect())


def _table(found: Any) -> pa.Table:
    table = found.arrow()
    return table.read_all() if hasattr(table, "read_all") else table


def parquet_columns(path: Path) -> int:
    """Reading alone."""
    rows = 0
    for batch in pq.ParquetFile(path).iter_batches(1 << 15, use_threads=False):
        rows += len(batch)
    return rows


def parquet_by_duckdb(path: Path) -> int:
    """DuckDB's reader."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        return len(_table(connection.sql(f"SELECT * FROM read_parquet('{path}')")))


def parquet_by_polars(path: Path) -> int:
    """polars'."""
    import polars as pl

    return len(pl.scan_parquet(path).collect())


def columns_judged(path: Path, matcher: Matcher) -> int:
    """pyarrow's CSV reader and the verdicts alone, which nobody writes."""
    table = pa.csv.read_csv(path, pa.csv.ReadOptions(use_threads=False))
    return len(matcher.verdicts_arrow(table))


def objects_judged(path: Path, matcher: Matcher) -> int:
    """The same of pyarrow's JSON reader."""
    table = pa.json.read_json(path, pa.json.ReadOptions(use_threads=False))
    return len(matcher.verdicts_arrow(table))


def judged_by_duckdb(path: Path, matcher: Matcher) -> int:
    """CSV with DuckDB's reader."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        return len(matcher.verdicts_arrow(_table(connection.sql(f"FROM read_csv('{path}')"))))


def judged_by_polars(path: Path, matcher: Matcher) -> int:
    """CSV with polars'."""
    import polars as pl

    return len(matcher.verdicts_arrow(pl.scan_csv(path).collect().to_arrow()))
