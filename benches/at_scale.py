"""`python -m benches.at_scale`: what judging Parquet on an engine costs (docs/audit-at-scale.md).

In: the number of rounds and of rows. Out: bytes a row, the size of the matcher's file and the time
to open it, and rows a second of one thread: reading the columns alone, and judging them with
`judge_dataset`, addresses as text and as dictionaries; medians of interleaved rounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import netpolc
from benches.timing import timed
from benches.workloads import SIZES, cached
from netpolc.core.nets import Family, family, format_address
from netpolc.core.program import Program
from netpolc.flows.engines import judge_dataset

COLUMNS = ["src", "dst", "protocol", "port"]
PORTS = [80, 443, 5432, 8080]


def write_rows(program: Program, rows: int, path: Path) -> None:
    """Flows between random pods, over IPv4."""
    own = random.Random(1)
    known = sorted(program.pods_by_address)
    addresses = [format_address(one) for one in known if family(one) is Family.IPV4]
    columns = {
        "src": own.choices(addresses, k=rows),
        "dst": own.choices(addresses, k=rows),
        "protocol": pa.array([6] * rows, pa.int16()),
        "port": pa.array(own.choices(PORTS, k=rows), pa.int32()),
    }
    pq.write_table(pa.table(columns), path)


def read(path: Path, dictionaries: list[str]) -> ds.Dataset:
    """A dataset of one file."""
    options = ds.ParquetReadOptions(dictionary_columns=dictionaries)
    return ds.dataset(path, format=ds.ParquetFileFormat(read_options=options))


def rows_of(reader: pa.RecordBatchReader) -> int:
    """How many there are; nothing is kept."""
    return sum(len(batch) for batch in reader)


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--rows", default=2_000_000, show_default=True)
def main(rounds: int, rows: int) -> None:
    """Print the rows of the table."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with TemporaryDirectory() as folder:
        path, matcher = Path(folder) / "rows.parquet", str(Path(folder) / "policies.matcher")
        program = netpolc.compile(netpolc.load([str(cached(SIZES["M"]))]))
        netpolc.Matcher(program).save(matcher)
        write_rows(program, rows, path)
        text, coded = read(path, []), read(path, ["src", "dst"])
        steps: dict[str, Callable[[], int]] = {
            "reading the columns, addresses as text": lambda: rows_of(
                text.scanner(COLUMNS, use_threads=False).to_reader()
            ),
            "reading and judging, addresses as text": lambda: rows_of(judge_dataset(text, matcher)),
            "the same, addresses as dictionaries": lambda: rows_of(judge_dataset(coded, matcher)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        opening = [timed(lambda: netpolc.Matcher.open(matcher))[0] for _ in range(rounds)]
        for _ in range(rounds):
            for name, step in steps.items():
                spent, found = timed(step)
                assert found == rows
                seconds[name].append(spent)
        click.echo(f"bytes of Parquet a row: {path.stat().st_size / rows:.1f}")
        size = Path(matcher).stat().st_size / 1e6
        click.echo(f"matcher: {size:.1f} MB, opened in {median(opening) * 1e3:.1f} ms")
        for name, measured in seconds.items():
            click.echo(f"| {name} | {rows / median(measured) / 1e6:.1f} million |")


if __name__ == "__main__":
    main()
