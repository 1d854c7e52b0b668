"""Verdicts on engines are those of the local matcher, bit by bit; workers may die.

Every engine is a test that skips where it is not installed. Dask runs with two worker processes,
one of which is killed; Spark with two threads on 127.0.0.1.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import netpolc
from netpolc.core.errors import UsageError
from netpolc.flows import engines
from netpolc.flows.notes import LogError
from tests.helpers.scenarios import ROOT

PROGRAM = netpolc.compile(netpolc.load([str(ROOT / "examples" / "three-tier")]))
ENDS = ["10.244.1.11", "10.244.1.21", "10.244.1.31", "203.0.113.7", "fd00:10:244:1::21", "?", None]
ROWS: list[dict[str, Any]] = [
    {"note": number, "dst": dst, "src": src, "port": port, "protocol": protocol}
    for number, (src, dst, port, protocol) in enumerate(
        (src, dst, port, protocol)
        for src in ENDS
        for dst in ENDS
        for port in (80, 8080, 5432, None)
        for protocol in ("TCP", "udp", "17", "ICMP", None)
    )
]
TABLE = pa.Table.from_pylist(ROWS)


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("matcher") / "policies.matcher"
    netpolc.Matcher(PROGRAM).save(path)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Files of a few row groups."""
    path = tmp_path_factory.mktemp("logs")
    for number in range(6):
        part = TABLE.slice(number * 200, 200)
        pq.write_table(part, path / f"part-{number}.parquet", row_group_size=70)
    return str(path)


def wanted() -> list[tuple[int, str | None]]:
    """By the slow semantics, one row at a time."""
    found: list[tuple[int, str | None]] = []
    for row in ROWS:
        try:
            protocol = int(row["protocol"]) if row["protocol"] == "17" else row["protocol"]
            port = None if protocol == "ICMP" else row["port"]
            flow = netpolc.Flow(row["src"], row["dst"], protocol, port)
            verdict = "allow" if netpolc.evaluate(PROGRAM, flow).allowed else "deny"
        except (ValueError, TypeError, AttributeError):
            found.append((row["note"], None))
        else:
            found.append((row["note"], verdict))
    return found


def verdicts(table: pa.Table) -> list[tuple[int, str | None]]:
    rows = zip(table["note"].to_pylist(), table["policies"].to_pylist(), strict=True)
    return sorted(rows)


def local(matcher: str) -> pa.Table:
    return engines.judge_dataset(TABLE, matcher).read_all()


def as_before(found: pa.Table, matcher: str) -> bool:
    """All columns of the result, and those that were there, as the local run has them."""
    order = [("note", "ascending")]
    own = found.select(local(matcher).column_names).cast(local(matcher).schema)
    return bool(own.sort_by(order).combine_chunks().equals(local(matcher).combine_chunks()))


def test_verdicts_are_those_of_the_semantics(matcher: str) -> None:
    found = local(matcher)
    assert verdicts(found) == wanted()
    by_reason = Counter(
        zip(found["policies"].to_pylist(), found["reason"].to_pylist(), strict=True)
    )
    assert {reason for policies, reason in by_reason if policies} == {None}
    assert {reason for policies, reason in by_reason if not policies} == {
        "null",
        "address",
        "families",
    }


def test_columns_keep_their_names_and_places(matcher: str) -> None:
    batch = TABLE.to_batches()[0]
    found = engines.judge_batch(batch, matcher)
    assert found.schema == engines.judged_schema(batch.schema)
    assert found.schema.names == [*batch.schema.names, "policies", "reason"]
    renamed = batch.rename_columns(["note", "to", "from", "p", "proto"])
    columns = ("from", "to", "proto", "p")
    assert engines.judge_batch(renamed, matcher, columns)["policies"] == found["policies"]
    with pytest.raises(UsageError, match="'src'"):
        engines.judge_batch(renamed, matcher)
    with pytest.raises(UsageError, match="a column policies is there already"):
        engines.judge_batch(found, matcher)


def test_a_dataset_of_pyarrow(matcher: str, folder: str) -> None:
    reader = engines.judge_dataset(ds.dataset(folder), matcher)
    assert as_before(reader.read_all(), matcher)


def test_duckdb(matcher: str, folder: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        relation = connection.sql(f"SELECT * FROM '{folder}/*.parquet'")
        reader = engines.judge_relation(relation, matcher)
        assert as_before(reader.read_all(), matcher)


def test_polars(matcher: str, folder: str) -> None:
    pl = pytest.importorskip("polars")
    frame = engines.judge_frame(pl.scan_parquet(f"{folder}/*.parquet"), matcher)
    assert as_before(frame.collect(engine="streaming").to_arrow(), matcher)
    with pytest.raises(UsageError, match="a column policies"):
        engines.judge_frame(frame, matcher)


def slow_counts(batches: Iterator[pa.RecordBatch]) -> tuple[int, Counter[Any]]:
    """Long enough to be killed."""
    found: Counter[Any] = Counter()
    for batch in batches:
        time.sleep(0.1)
        found.update(batch["policies"].to_pylist())
    return os.getpid(), found


def suicide(batches: Iterator[pa.RecordBatch]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.filterwarnings("default")
def test_dask_with_a_killed_worker(matcher: str, folder: str, tmp_path: Path) -> None:
    """Workers get the matcher as a file, those too that come in the place of one that died; a task
    that kills whoever runs it ends in an error.
    """
    distributed = pytest.importorskip("distributed")
    paths = sorted(map(str, Path(folder).iterdir()))
    options = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.worker.daemon": True,
        "distributed.comm.timeouts.connect": "30s",
    }
    import dask

    with (
        dask.config.set(options),
        distributed.LocalCluster(
            n_workers=2,
            processes=True,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path),
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        first = engines.each_file(client, paths, matcher)
        total: Counter[Any] = sum(client.gather(first), Counter())
        rows = local(matcher)
        assert total == Counter(
            zip(rows["policies"].to_pylist(), rows["reason"].to_pylist(), strict=True)
        )
        slow = engines.each_file(client, paths, matcher, slow_counts)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        found = client.gather(slow)
        assert victim not in [pid for pid, _ in found], "its tasks ran elsewhere"
        assert sum((own for _, own in found), Counter()) == Counter(rows["policies"].to_pylist())
        (lethal,) = engines.each_file(client, paths[:1], matcher, suicide)
        with pytest.raises(LogError, match="2 workers died of it, the last one at tcp://127"):
            engines.collected(paths[:1], [lethal])
        (missing,) = engines.each_file(client, [str(tmp_path / "none.parquet")], matcher)
        (good,) = engines.each_file(client, paths[:1], matcher)
        results, notes = engines.collected(
            [paths[0], "none.parquet", paths[0]], [lethal, missing, good], keep_going=True
        )
        assert results == [None, None, first[0].result()]
        assert [note.place for note in notes] == [paths[0], "none.parquet"]
        assert not notes.is_whole


@pytest.mark.filterwarnings("default")
def test_spark(matcher: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark")
    pytest.importorskip("pandas")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java: apt-get install openjdk-17-jre-headless")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYSPARK_PYTHON", os.environ.get("PYSPARK_PYTHON", _python()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    try:
        frame = session.read.parquet(folder).coalesce(2)
        found = engines.judge_spark(frame, matcher).toArrow()
        assert as_before(found, matcher)
        with pytest.raises(UsageError, match="no column from"):
            engines.judge_spark(frame, matcher, ("from", "dst", "protocol", "port"))
    finally:
        session.stop()


def _python() -> str:
    import sys

    return sys.executable
