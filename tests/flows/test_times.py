"""Times that run backwards: told, and damage where a log is written as packets pass."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolc.flows.notes import Gravity
from tests.cli.invocation import invoke
from tests.flows.collisions import colliding_words
from tests.flows.reading import read_records, records_of
from tests.helpers.scenarios import ROOT

POLICIES = ("--policies", str(ROOT / "examples" / "three-tier"))
both = pytest.mark.parametrize("command", ["audit", "recommend"])


@both
def test_times_that_run_backwards(command: str, tmp_path: Path) -> None:
    """They are told with their place; logs of several nodes are seldom in order."""
    row = "{},10.244.1.11,10.244.1.21,tcp,8080\n"
    for name, times in (("a", (5, 6)), ("b", (300, 100, "", 200, 150))):
        rows = "".join(row.format(time) for time in times)
        (tmp_path / name).write_text(f"ts,src,dst,protocol,port\n{rows}")
    outcome = invoke(command, str(tmp_path), *POLICIES)
    assert outcome.code == 0
    told = f"{tmp_path / 'b'}: record 2: a record is older than the one before it (2 in all)\n"
    assert told in outcome.stderr


@both
@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl", "vpc"])
def test_exports_need_not_be_in_order(command: str, form: str, tmp_path: Path) -> None:
    """Of a day, as queries without an order and shards one behind the other have them: judged, and
    told once.
    """
    times = [90_000, 5, 86_400, None, 3_600, 90_001]
    rows = [(time, "10.244.1.11", "10.244.1.21", 6, 8080, "node-a") for time in times]
    names = ("ts", "src", "dst", "protocol", "port", "reporter")
    path = tmp_path / "log"
    if form == "csv":
        lines = [",".join("" if own is None else str(own) for own in row) for row in rows]
        path.write_text("\n".join([",".join(names), *lines, ""]))
    elif form == "jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
        path.write_text("\n".join([*lines, ""]))
    elif form == "vpc":
        lines = [
            f"{'-' if row[0] is None else row[0]} {' '.join(map(str, row[1:]))}" for row in rows
        ]
        path.write_text(
            "\n".join(["start srcaddr dstaddr protocol dstport interface-id", *lines, ""])
        )
    else:
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        columns["ts"] = pa.array([None if own is None else own * 10**6 for own in times]).cast(
            pa.timestamp("us")
        )
        pq.write_table(pa.table(columns), path)
    outcome = invoke(command, str(path), *POLICIES)
    assert outcome.code == 0
    told = f"{path}: record 2: a record is older than the one before it (2 in all)\n"
    assert outcome.stderr.count("older than") == 1
    assert told in outcome.stderr
    assert "6 records" in outcome.stderr


HOURS = "a record is more than an hour older than one before it of the same reporter"


def hubble_at(time: float | None, reporter: str | None) -> bytes:
    """A line of a time in seconds, written by a node."""
    own: dict[str, object] = {
        "verdict": "FORWARDED",
        "IP": {"source": "10.244.1.11", "destination": "10.244.1.21"},
        "l4": {"TCP": {"source_port": 40_000, "destination_port": 8080}},
        "is_reply": False,
    }
    if time is not None:
        own["time"] = f"{datetime.fromtimestamp(time, UTC).replace(tzinfo=None).isoformat()}Z"
    if reporter is not None:
        own["node_name"] = reporter
    return json.dumps({"flow": own}).encode() + b"\n"


@both
def test_times_of_another_hour_are_damage(command: str, tmp_path: Path) -> None:
    """Of one reporter in one log that is appended to: others have clocks and files of their own."""

    def written(name: str, *records: tuple[float, str]) -> Path:
        (path := tmp_path / name).write_bytes(b"".join(hubble_at(*own) for own in records))
        return path

    good = [(10_000, "a"), (1, "b"), (6_400, "a"), (10_000, ""), (6_400, "")]
    path = written("log", *good)
    assert invoke(command, str(path), *POLICIES).code == 0
    assert invoke(command, str(path), str(written("other", (1, "a"))), *POLICIES).code == 0
    path = written("log", *good, (6_399.9, "a"), (3_601, "b"), (0, "b"), (1, "b"), (6_399, ""))
    outcome = invoke(command, str(path), *POLICIES)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"{path}: record 6: {HOURS}\n" in outcome.stderr
    outcome = invoke(command, str(path), *POLICIES, "--keep-going")
    assert outcome.code == 1
    assert f"{path}: record 6: {HOURS} (3 in all)\n" in outcome.stderr
    assert "10 records" in outcome.stderr, "all of them are judged"


def test_reporters_whose_names_collide_have_a_time_each(tmp_path: Path) -> None:
    """The scanner makes of them words that come twice: the newest time is known of either."""
    names = [own.decode() for own in colliding_words(100)]
    again = [(1, name) for name in names] + [(10_000, name) for name in names[::-1]]
    content = b"".join(hubble_at(*own) for own in [*[(10_000, name) for name in names], *again])
    records, notes = records_of(tmp_path, content, keep_going=True)
    assert [own["reporter"] for own in records] == names * 2 + names[::-1]
    late = [(str(note), note.count) for note in notes if HOURS in str(note)]
    assert late == [(f"{tmp_path / 'log'}: record 101: {HOURS} (100 in all)", 100)]


HOUR = 3600
TIMES = st.sampled_from([-3 * HOUR, -1, 0, HOUR, HOUR + 1, 2 * HOUR + 1, 9 * HOUR]) | st.none()
REPORTERS = st.sampled_from(["a", "b", "c", None])


@given(st.lists(st.tuples(TIMES, REPORTERS), min_size=1, max_size=30), st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_records_of_another_hour_are_those_that_each_reporter_left_behind(
    rows: list[tuple[int | None, str | None]], size: int
) -> None:
    """One after the other, whatever blocks they come in, from before 1970 on."""
    newest: dict[str | None, int] = {}
    late = []
    for number, (time, reporter) in enumerate(rows, start=1):
        if time is not None:
            newest[reporter] = max(time, newest.get(reporter, time))
            late += [number] * (newest[reporter] - time > HOUR)
    back = sum(one > other for one, other in pairwise(t for t, _ in rows if t is not None))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("netpolc.flows.decode.scanning.CHUNK", 200 * size)
        patch.setattr("netpolc.flows.sources.BLOCK", 100)
        path = Path(folder, "log")
        path.write_bytes(b"".join(hubble_at(*own) for own in rows))
        records, notes = read_records(path, keep_going=True)
    assert len(records) == len(rows)
    told = [note for note in notes if HOURS in str(note)]
    assert [(own.count, own.place) for own in told] == (
        [(len(late), f"{path}: record {late[0]}")] if late else []
    )
    assert notes.count(Gravity.DAMAGED) == len(late)
    assert sum(own.count for own in notes if own.gravity is Gravity.NOTED) == back
