"""VPC flow logs as Parquet say what the same records say as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from netpolc.flows.notes import Gravity, LogError, LogNotes
from tests.flows.reading import read_records
from tests.flows.writers import FLOWS, vpc

NUMBERS = ("srcport", "dstport", "protocol", "tcp-flags", "packets", "bytes", "start", "end")


def columns(text: bytes, rename: Any = lambda name: name.replace("-", "_")) -> pa.Table:
    """The rows of text, as AWS writes them in Parquet: numbers as numbers, `-` as null."""
    names, *rows = (line.split() for line in text.decode().splitlines())
    own = {}
    for at, name in enumerate(names):
        values: list[Any] = [None if row[at] == "-" else row[at] for row in rows]
        if name in NUMBERS:
            values = [None if value is None else int(value) for value in values]
        own[rename(name)] = values
    return pa.table(own)


def both(tmp_path: Path, text: bytes, **how: Any) -> tuple[Any, Any]:
    (tmp_path / "text.log").write_bytes(text)
    pq.write_table(columns(text, **how), tmp_path / "log.parquet", row_group_size=4)
    return read_records(tmp_path / "text.log"), read_records(tmp_path / "log.parquet")


def shape(notes: LogNotes) -> list[tuple[Any, ...]]:
    return [(own.gravity, own.kind, own.count) for own in notes]


@pytest.mark.parametrize("rename", [str, str.upper, lambda name: name.replace("-", "_")])
def test_the_same_records(rename: Any, tmp_path: Path) -> None:
    (text, _), (parquet, _) = both(tmp_path, vpc(FLOWS), rename=rename)
    assert len(text) == len(FLOWS)
    assert parquet == text


def test_packet_addresses_come_first_and_gaps_are_told(tmp_path: Path) -> None:
    head = b"srcaddr dstaddr pkt-srcaddr pkt-dstaddr srcport dstport protocol action log-status "
    head += b"tcp-flags start\n"
    rows = (
        b"10.0.0.1 10.0.0.2 10.9.9.1 - 40000 443 6 ACCEPT OK 18 1767225600\n",
        b"10.0.0.1 10.0.0.2 - 10.9.9.2 40000 443 1 REJECT OK - 1767225601\n",
        b"- - - - - - - - NODATA - 1767225601\n",
        b"- - - - - - - - SKIPDATA - 1767225601\n",
    )
    (text, said), (parquet, told) = both(tmp_path, head + b"".join(rows))
    assert parquet == text
    assert shape(told) == shape(said)
    assert [row["src"] for row in parquet] == ["10.9.9.1", "10.0.0.1"]
    assert [row.get("port") for row in parquet] == [443, None]
    assert [row.get("is_reply") for row in parquet] == [True, None]


def test_names_of_folders_stay_text_and_schemas_may_change(tmp_path: Path) -> None:
    """Later files may have more columns, which is told; an account with zeros is no number."""
    old = b"srcaddr dstaddr srcport dstport protocol\n10.0.0.1 10.0.0.2 1 80 6\n"
    new = b"srcaddr dstaddr srcport dstport protocol action\n10.0.0.1 10.0.0.2 1 80 6 REJECT\n"
    for day, text in (("01", old), ("02", new)):
        folder = tmp_path / "aws-account-id=000123456789" / f"day={day}"
        folder.mkdir(parents=True)
        pq.write_table(columns(text), folder / "a.parquet")
    found, notes = read_records(tmp_path, keep_going=True)
    assert [note.kind for note in notes if note.gravity is Gravity.DAMAGED] == [
        f"other columns than {tmp_path}/aws-account-id=000123456789/day=01/a.parquet"
    ]
    assert [row.get("verdict") for row in found] == [None, "dropped"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"10.0.0.1 10.0.0.2 1 80 6 MAYBE OK", "unknown verdict 'MAYBE'"),
        (b"10.0.0.1 10.0.0.2 1 80 6 ACCEPT ODD", "unknown log-status 'ODD'"),
        (b"10.0.0.1 10.0.0.2 1 80 300 ACCEPT OK", "column protocol: a number is out of range"),
        (b"10.0.0.1 10.0.0.2 1 70000 6 ACCEPT OK", "column dstport: a number is out of range"),
    ],
)
def test_bad_values_are_told_with_their_row_group(row: bytes, problem: str, tmp_path: Path) -> None:
    head = b"srcaddr dstaddr srcport dstport protocol action log-status\n"
    good = b"10.0.0.1 10.0.0.2 1 80 6 ACCEPT OK\n"
    path = tmp_path / "log.parquet"
    pq.write_table(columns(head + good * 4 + row + b"\n"), path, row_group_size=4)
    with pytest.raises(LogError, match=f"{path}: row group 1: {problem}"):
        read_records(path)
