"""`python -m benches.flows`: flow logs decoded and audited, beside what else reads them.

In: the number of rounds. Out: rows for BENCHMARKS.md. The anchors are msgspec's `decode_lines` into
structures and from there to columns (Hubble), pyarrow's CSV reader with explicit types (VPC text),
and reading the columns of a file (Parquet); pyarrow, DuckDB and polars do the same where they are
installed, with one thread each. All give the same number of rows, and what is judged the same
verdicts.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

import netpolc
from benches.flow_logs import csv_lines, hubble_lines, json_lines, vpc_lines, write_parquet
from benches.timing import timed
from netpolc.backends.matcher import Matcher
from netpolc.flows import judge_log
from netpolc.flows.audit import Audit
from netpolc.flows.decode import decoded_batches
from netpolc.flows.decode._scan import scan_hubble
from netpolc.flows.decode.lines import LONGEST, Told, line_blocks
from netpolc.flows.notes import LogNotes
from netpolc.flows.sources import LogSource

EXAMPLE = Path(__file__).parents[1] / "examples" / "three-tier"


class _Address(msgspec.Struct, gc=False):
    source: str | None = None
    destination: str | None = None


class _Ports(msgspec.Struct, gc=False):
    source_port: int | None = None
    destination_port: int | None = None


class _Transport(msgspec.Struct, gc=False):
    TCP: _Ports | None = None
    UDP: _Ports | None = None


class _Flow(msgspec.Struct, gc=False):
    time: str | None = None
    verdict: str | None = None
    IP: _Address | None = None
    l4: _Transport | None = None
    traffic_direction: str | None = None
    is_reply: bool | None = None


class _Line(msgspec.Struct, gc=False):
    flow: _Flow | None = None


def scanned(path: Path) -> int:
    """What `netpolc audit` decodes, whole batches of its schema."""
    notes = LogNotes()
    return sum(len(own) for own in decoded_batches(LogSource(str(path), {}), notes))


def by_msgspec(path: Path) -> int:
    """`decode_lines` over blocks into structures, then columns."""
    content = path.read_bytes()
    decoder = msgspec.json.Decoder(_Line)
    rows = 0
    told = Told("log", LogNotes())
    for block in line_blocks([content], told, 1 << 18):
        flows = [line.flow for line in decoder.decode_lines(block.content) if line.flow]
        table = pa.table(
            {
                "time": [own.time for own in flows],
                "verdict": [own.verdict for own in flows],
                "src": [own.IP.source if own.IP else None for own in flows],
                "dst": [own.IP.destination if own.IP else None for own in flows],
                "sport": [own.l4.TCP.source_port if own.l4 and own.l4.TCP else None
                          for own in flows],
                "port": [own.l4.TCP.destination_port if own.l4 and own.l4.TCP else None
                         for own in flows],
                "direction": [own.traffic_direction for own in flows],
                "is_reply": [own.is_reply for own in flows],
            }
        )  # fmt: skip
        rows += len(table)
    return rows


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


def parquet_audited(path: Path, program: netpolc.Program) -> int:
    """Decoded, judged and summed up."""
    audit = Audit(program)
    for batch in decoded_batches(LogSource(str(path), {}), LogNotes()):
        audit.add(batch)
    return audit.totals.records


def rows_judged(path: Path, program: netpolc.Program) -> int:
    """What `netpolc eval --flows` does: each row with its verdict, as text."""

    def refuse(place: str, problem: str) -> None:
        raise AssertionError(f"{place}: {problem}")

    return judge_log(program, [str(path)], io.StringIO(), LogNotes(), refuse).total


def columns_judged(path: Path, matcher: Matcher) -> int:
    """pyarrow's CSV reader and the verdicts alone, which nobody writes."""
    table = pa.csv.read_csv(path, pa.csv.ReadOptions(use_threads=False))
    return len(matcher.verdicts_arrow(table))


def objects_judged(path: Path, matcher: Matcher) -> int:
    """The same of pyarrow's JSON reader."""
    table = pa.json.read_json(path, pa.json.ReadOptions(use_threads=False))
    return len(matcher.verdicts_arrow(table))


Steps = Mapping[str, Callable[[], int]]


def compared(steps: Steps, anchor: str, rounds: int, rows: int) -> Iterator[tuple[str, float]]:
    """Median CPU time of each step against the anchor of the same round."""
    ratios: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        seconds = {}
        for name, step in steps.items():
            seconds[name], found = timed(step)
            assert found == rows, (name, found, rows)
        if turn:  # the first warms caches
            for name, own in seconds.items():
                ratios[name].append(own / seconds[anchor])
    for name, own_ratios in ratios.items():
        yield name, median(own_ratios)


def _installed(steps: Steps, **needed: str) -> Steps:
    return {name: step for name, step in steps.items() if find_spec(needed.get(name, "pyarrow"))}


def two_threads(step: Callable[[bytes], object], blocks: list[bytes], rounds: int) -> float:
    """Wall time of one thread against that of two, for the same blocks."""

    def wall(workers: int) -> float:
        with ThreadPoolExecutor(workers) as pool:
            begin = time.perf_counter()
            for _ in pool.map(step, blocks):
                pass
            return time.perf_counter() - begin

    wall(2)
    return median([wall(1) / wall(2) for _ in range(rounds)])


def _print_threads(content: bytes, rounds: int) -> None:
    """The scanner, and what this machine has for work that holds no lock and needs no memory."""
    told = Told("log", LogNotes())
    blocks = [own.content for own in line_blocks([content], told, 1 << 20)]
    scan = two_threads(lambda block: scan_hubble(block, LONGEST)[0], blocks, rounds)
    hashing = two_threads(lambda block: sha256(block).digest(), blocks, rounds)
    print(f"| the scanner in two threads, speed against one | {scan:.2f} |")
    print(f"| SHA-256 of the same in two threads, against one | {hashing:.2f} |")


@click.command()
@click.option("--rounds", default=7, show_default=True)
@click.option("--records", default=60_000, show_default=True)
def main(rounds: int, records: int) -> None:
    """Print the rows."""
    program = netpolc.compile(netpolc.load([str(EXAMPLE)]))
    with TemporaryDirectory() as folder:
        place = Path(folder)
        hubble, vpc, parquet = (place / name for name in ("h.json", "v.log", "p.parquet"))
        hubble.write_bytes(content := hubble_lines(records))
        vpc.write_bytes(vpc_lines(10 * records))
        write_parquet(parquet, 20 * records)
        _print(
            f"Hubble lines ({len(content) // records} bytes each), decoded",
            compared(
                _installed(
                    {
                        "netpolc": lambda: scanned(hubble),
                        "msgspec": lambda: by_msgspec(hubble),
                        "pyarrow": lambda: json_by_pyarrow(hubble),
                        "duckdb": lambda: json_by_duckdb(hubble),
                        "polars": lambda: json_by_polars(hubble),
                    },
                    duckdb="duckdb",
                    polars="polars",
                ),
                "msgspec",
                rounds,
                records,
            ),
        )
        _print_threads(content, rounds)
        _print(
            "VPC text, decoded",
            compared(
                _installed(
                    {
                        "netpolc": lambda: scanned(vpc),
                        "pyarrow": lambda: csv_by_pyarrow(vpc),
                        "duckdb": lambda: csv_by_duckdb(vpc),
                        "polars": lambda: csv_by_polars(vpc),
                    },
                    duckdb="duckdb",
                    polars="polars",
                ),
                "pyarrow",
                rounds,
                10 * records,
            ),
        )
        rows = place / "rows.csv"
        rows.write_bytes(csv_lines(10 * records))
        matcher = Matcher(program)
        _print(
            "CSV of flows, judged",
            compared(
                {
                    "netpolc eval --flows": lambda: rows_judged(rows, program),
                    "pyarrow CSV, verdicts_arrow": lambda: columns_judged(rows, matcher),
                },
                "pyarrow CSV, verdicts_arrow",
                rounds,
                10 * records,
            ),
        )
        objects = place / "rows.jsonl"
        objects.write_bytes(json_lines(10 * records))
        _print(
            "JSON lines of flows, judged",
            compared(
                {
                    "netpolc eval --flows": lambda: rows_judged(objects, program),
                    "pyarrow JSON, verdicts_arrow": lambda: objects_judged(objects, matcher),
                },
                "pyarrow JSON, verdicts_arrow",
                rounds,
                10 * records,
            ),
        )
        _print(
            "Parquet of our own columns",
            compared(
                {
                    "netpolc audit": lambda: parquet_audited(parquet, program),
                    "pyarrow, columns alone": lambda: parquet_columns(parquet),
                },
                "pyarrow, columns alone",
                rounds,
                20 * records,
            ),
        )


def _print(title: str, found: Iterator[tuple[str, float]]) -> None:
    print(f"| {title} | ratio |\n|---|---|")
    for name, ratio in found:
        print(f"| {name} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
