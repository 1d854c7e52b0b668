"""What is alive while a log is read does not grow with the log: batches, blocks and bytes ahead."""

from __future__ import annotations

import gzip
import weakref
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from netpolc.flows import sources
from netpolc.flows.decode import columnar, decoded_batches, scanning, vpc
from netpolc.flows.notes import LogNotes
from netpolc.flows.schema import SCHEMA
from netpolc.flows.sources import LogSource

LINE = b"2 123456789012 eni-0a 10.0.0.1 10.0.0.2 40000 80 6 1 40 1764410400 1764410460 ACCEPT OK\n"
HEADER = (
    b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes "
    b"start end action log-status\n"
)
CHUNK = 1 << 14
ROWS = 256


def write_text(path: Path, rows: int) -> None:
    path.write_bytes(HEADER + LINE * rows)


def write_gzip(path: Path, rows: int) -> None:
    path.write_bytes(gzip.compress(HEADER + LINE * rows, 1))


def write_hubble(path: Path, rows: int) -> None:
    path.write_bytes(
        b'{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},'
        b'"l4":{"TCP":{"source_port":40000,"destination_port":80}},"is_reply":false}}\n' * rows
    )


def write_parquet(path: Path, rows: int) -> None:
    table = pa.table(
        {
            "src": ["10.0.0.1"] * rows,
            "dst": ["10.0.0.2"] * rows,
            "protocol": pa.array([6] * rows, pa.int16()),
            "port": pa.array([80] * rows, pa.int32()),
        }
    )
    pq.write_table(table, path, row_group_size=4 * ROWS)


@pytest.mark.parametrize("write", [write_text, write_gzip, write_hubble, write_parquet])
def test_batches_alive_do_not_grow_with_the_log(
    write: Callable[[Path, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many more batches are read than are ever alive, and how many are is no matter of length."""
    for module in (scanning, vpc):
        monkeypatch.setattr(module, "CHUNK", CHUNK)
    monkeypatch.setattr(sources, "BLOCK", CHUNK)
    monkeypatch.setattr(columnar, "ROWS", ROWS)
    made: weakref.WeakValueDictionary[int, pa.RecordBatch] = weakref.WeakValueDictionary()
    numbers = count()
    whole = pa.RecordBatch.from_arrays
    most: list[int] = []

    def counted(*given: object, **named: object) -> pa.RecordBatch:
        batch = whole(*given, **named)
        made[next(numbers)] = batch
        return batch

    for rows in (8_000, 40_000):
        write(path := tmp_path / f"log-{rows}", rows)
        alive = read = batches = 0
        with monkeypatch.context() as patch:
            for module in (scanning, columnar):
                patch.setattr(f"{module.__name__}.pa", _Counting(counted))
            for batch in decoded_batches(LogSource(str(path), {}), LogNotes()):
                assert batch.schema == SCHEMA
                alive = max(alive, len(made))
                read += len(batch)
                batches += 1
        assert read == rows
        assert batches > 20
        most.append(alive)
    assert max(most) <= 8, most


class _Counting:
    """pyarrow, whose record batches are counted."""

    def __init__(self, from_arrays: Callable[..., pa.RecordBatch]) -> None:
        self.RecordBatch = type("RecordBatch", (), {"from_arrays": staticmethod(from_arrays)})

    def __getattr__(self, name: str) -> object:
        return getattr(pa, name)
