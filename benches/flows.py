"""`python -m benches.flows`: flow logs decoded and audited, beside what else reads them.

In: the number of rounds. Out: rows for BENCHMARKS.md. The anchors are msgspec's `decode_lines` into
structures and from there to columns (Hubble), pyarrow's CSV reader with explicit types (VPC text),
and reading the columns of a file (Parquet); pyarrow, DuckDB and polars do the same where they are
installed, with one thread each. All give the same number of rows, and what is judged the same
verdicts.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import msgspec
import pyarrow as pa

import netpolc
from benches.flow_logs import (
    csv_lines,
    hubble_lines,
    json_lines,
    pods,
    vpc_lines,
    write_between_pods,
    write_parquet,
)
from benches.flow_peers import (
    columns_judged,
    csv_by_duckdb,
    csv_by_polars,
    csv_by_pyarrow,
    json_by_duckdb,
    json_by_polars,
    json_by_pyarrow,
    judged_by_duckdb,
    judged_by_polars,
    objects_judged,
    parquet_by_duckdb,
    parquet_by_polars,
    parquet_columns,
)
from benches.timing import timed
from netpolc.backends.matcher import Matcher
from netpolc.flows import judge_log
from netpolc.flows.audit import Audit
from netpolc.flows.decode import decoded_batches
from netpolc.flows.decode._scan import scan_hubble, unlocked_seconds
from netpolc.flows.decode.hubble import hubble_batches
from netpolc.flows.decode.lines import LONGEST, Told, line_blocks
from netpolc.flows.notes import LogNotes
from netpolc.flows.sources import BLOCK, LogSource

ENGINES = ("duckdb", "polars")
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


def _installed(steps: Steps) -> Steps:
    """Steps of an engine begin with its name."""
    return {
        name: step
        for name, step in steps.items()
        if (engine := re.split(r"\W", name)[0]) not in ENGINES or find_spec(engine)
    }


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


def unlocked_share(content: bytes, rounds: int) -> float:
    """Which part of the CPU time of decoding scanners spend without the interpreter's lock; reading
    a file, which needs no lock either, is no part of it.
    """
    pieces = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]

    def once() -> float:
        before = unlocked_seconds()
        told = Told("log", LogNotes())
        seconds, _ = timed(lambda: sum(map(len, hubble_batches(pieces, told))))
        return (unlocked_seconds() - before) / seconds

    return median([once() for _ in range(rounds)])


def _print_threads(content: bytes, rounds: int) -> None:
    """The scanner, and what this machine has for work that holds no lock and needs no memory."""
    share = unlocked_share(content, rounds)
    print(f"| of decoding, without the interpreter's lock | {share:.2f} |")
    print(f"| so two free processors decode, speed against one (Amdahl) | {2 / (2 - share):.2f} |")
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
        for compare in (_hubble, _vpc, _csv, _json, _parquet, _names):
            found = compare(Path(folder), records, program)
            print(f"| {found.title} | ratio |\n|---|---|")
            for name, ratio in compared(found.steps, found.anchor, rounds, found.rows):
                print(f"| {name} | {ratio:.2f} |")
        _print_threads(hubble_lines(records), rounds)


class _Comparison(NamedTuple):
    """Who reads a file of so many rows, and against whom."""

    title: str
    rows: int
    anchor: str
    steps: Steps


def _hubble(folder: Path, records: int, program: netpolc.Program) -> _Comparison:
    path = folder / "h.json"
    path.write_bytes(content := hubble_lines(records))
    title = f"Hubble lines ({len(content) // records} bytes each), decoded"
    steps = {
        "netpolc": lambda: scanned(path),
        "msgspec": lambda: by_msgspec(path),
        "pyarrow": lambda: json_by_pyarrow(path),
        "duckdb": lambda: json_by_duckdb(path),
        "polars": lambda: json_by_polars(path),
    }
    return _Comparison(title, records, "msgspec", _installed(steps))


def _vpc(folder: Path, records: int, program: netpolc.Program) -> _Comparison:
    path = folder / "v.log"
    path.write_bytes(vpc_lines(10 * records))
    steps = {
        "netpolc": lambda: scanned(path),
        "pyarrow": lambda: csv_by_pyarrow(path),
        "duckdb": lambda: csv_by_duckdb(path),
        "polars": lambda: csv_by_polars(path),
    }
    return _Comparison("VPC text, decoded", 10 * records, "pyarrow", _installed(steps))


def _csv(folder: Path, records: int, program: netpolc.Program) -> _Comparison:
    path, matcher, anchor = folder / "rows.csv", Matcher(program), "pyarrow CSV, verdicts_arrow"
    path.write_bytes(csv_lines(10 * records))
    steps = {
        "netpolc eval --flows": lambda: rows_judged(path, program),
        anchor: lambda: columns_judged(path, matcher),
        "duckdb CSV, verdicts_arrow": lambda: judged_by_duckdb(path, matcher),
        "polars CSV, verdicts_arrow": lambda: judged_by_polars(path, matcher),
    }
    return _Comparison("CSV of flows, judged", 10 * records, anchor, _installed(steps))


def _json(folder: Path, records: int, program: netpolc.Program) -> _Comparison:
    path, matcher, anchor = folder / "rows.jsonl", Matcher(program), "pyarrow JSON, verdicts_arrow"
    path.write_bytes(json_lines(10 * records))
    steps = {
        "netpolc eval --flows": lambda: rows_judged(path, program),
        anchor: lambda: objects_judged(path, matcher),
    }
    return _Comparison("JSON lines of flows, judged", 10 * records, anchor, steps)


def _parquet(folder: Path, records: int, program: netpolc.Program) -> _Comparison:
    path, anchor = folder / "p.parquet", "pyarrow, columns alone"
    write_parquet(path, 20 * records)
    steps = {
        "netpolc audit": lambda: parquet_audited(path, program),
        anchor: lambda: parquet_columns(path),
        "duckdb, columns alone": lambda: parquet_by_duckdb(path),
        "polars, columns alone": lambda: parquet_by_polars(path),
    }
    return _Comparison("Parquet of our own columns", 20 * records, anchor, _installed(steps))


def _names(folder: Path, records: int, _program: netpolc.Program) -> _Comparison:
    """The same traffic by address, and by the names of pods that have none in the snapshot."""

    def step(by_name: bool) -> Callable[[], int]:
        path = folder / f"pods-{by_name}"
        write_between_pods(path, 10 * records, by_name)
        path.with_suffix(".json").write_bytes(pods(are_placed=not by_name))
        program = netpolc.compile(netpolc.load([str(path.with_suffix(".json"))]))
        return lambda: parquet_audited(path, program)

    steps = {"by address": step(by_name=False), "by name, without addresses": step(by_name=True)}
    return _Comparison("Parquet between pods, audited", 10 * records, "by address", steps)


if __name__ == "__main__":
    main()
