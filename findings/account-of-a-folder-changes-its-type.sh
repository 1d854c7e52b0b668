#!/usr/bin/env bash
# Whether the account of a VPC flow log is a number or a text depends on which other accounts lie beside it.
#
# pyarrow 26.0.1, DuckDB 2.0.1, polars 2.1.0, Python 3.11. Amazon puts Parquet logs into `aws-account-id=000000000042/`.
# One expects each engine to have one type for such a column. Read with hive partitions, the same folder is
#
#     accounts in the data set      pyarrow            DuckDB             polars
#     000000000042                  42                 '000000000042'     42
#     000000000042, 123456789012    '000000000042'     '000000000042'     42
#     123456789012                  '123456789012'     123456789012       123456789012
#
# pyarrow makes numbers of 32 bits if all fit, DuckDB texts if one begins with a zero, and polars always numbers. So a
# filter or a join that works finds nothing, or is refused, on the day that a second account is logged. A schema of
# one's own (`pa.string()`, `hive_types`, `hive_schema`) is no matter of taste here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0
cd "$folder"
venv/bin/python - <<'END'
import os

import duckdb
import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

KEY = "aws-account-id"


def read(*accounts):
    root = "_".join(accounts)
    for account in accounts:
        os.makedirs(f"{root}/{KEY}={account}")
        pyarrow.parquet.write_table(pyarrow.table({"bytes": [1]}), f"{root}/{KEY}={account}/a.parquet")
    files = f"{root}/*/*.parquet"
    found = (
        pyarrow.dataset.dataset(root, partitioning="hive").to_table()[KEY].to_pylist()[0],
        duckdb.sql(f"select min(\"{KEY}\") from read_parquet('{files}', hive_partitioning=true)").fetchall()[0][0],
        polars.read_parquet(files, hive_partitioning=True)[KEY].min(),
    )
    print(*accounts, *map(repr, found))
    return found


assert read("000000000042") == (42, "000000000042", 42)
assert read("000000000042", "123456789012") == ("000000000042", "000000000042", 42)
assert read("123456789012") == ("123456789012", 123456789012, 123456789012)
END
