"""A log that is cut anywhere never loses a record in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from netpolc.flows.notes import Gravity
from tests.flows.reading import records_of
from tests.flows.test_formats import OF_COLUMNS, written
from tests.flows.writers import FLOWS, PACKED, WRITERS

OF_LINES = [name for name in WRITERS if not name.startswith((*OF_COLUMNS, "hubble-bare"))]
LAST = 1024


def cuts(content: bytes) -> range:
    """Every offset of the last kilobyte."""
    return range(max(1, len(content) - LAST), len(content))


@pytest.mark.parametrize("name", OF_LINES)
def test_a_log_of_lines(name: str, tmp_path: Path) -> None:
    """Each line that was begun is a record, as it was written, or is told as cut."""
    content = WRITERS[name](written(name))
    whole, _ = records_of(tmp_path, content)
    has_header = name.startswith(("vpc", "csv"))
    for cut in cuts(content):
        begun = content[:cut].count(b"\n") + (content[cut - 1 : cut] != b"\n") - has_header
        records, notes = records_of(tmp_path, content[:cut], keep_going=True)
        assert records == whole[: len(records)], cut
        assert len(records) + notes.count(Gravity.DAMAGED) >= begun, cut


@pytest.mark.parametrize("name", [name for name in WRITERS if name.startswith(OF_COLUMNS)])
def test_a_log_of_columns(name: str, tmp_path: Path) -> None:
    content = WRITERS[name](FLOWS)
    for cut in cuts(content):
        records, notes = records_of(tmp_path, content[:cut], keep_going=True)
        assert len(records) == len(FLOWS) or notes.count(Gravity.DAMAGED), cut


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("name", OF_LINES)
def test_a_packed_log(name: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Where it is cut between two members it is a shorter log: nobody could tell."""
    part = pack(WRITERS[name](written(name)))
    content = part * 2
    for cut in cuts(content):
        if cut == len(part):
            continue
        records, notes = records_of(tmp_path, content[:cut], keep_going=True)
        assert notes.count(Gravity.DAMAGED), cut
        assert len(records) <= 2 * len(FLOWS)


def test_lines_are_found_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = WRITERS["hubble"](FLOWS).replace(b"\n", b"\r\n\n")
    whole, _ = records_of(tmp_path, content)
    assert len(whole) == len(FLOWS)
    for size in (1, 2, 3, 7, 1000):
        monkeypatch.setattr("netpolc.flows.sources.BLOCK", size)
        assert records_of(tmp_path, content)[0] == whole


def test_a_line_of_many_bytes_is_told_and_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netpolc.flows.decode.lines.LONGEST", 1000)
    monkeypatch.setattr("netpolc.flows.sources.BLOCK", 100)
    line = WRITERS["jsonl"](FLOWS[:1])
    long = json.dumps({"src": "x" * 5000}).encode() + b"\n"
    records, notes = records_of(tmp_path, line + long + line + long[:-1], keep_going=True)
    assert len(records) == 2
    assert [(own.place[-2:], own.count, own.kind) for own in notes] == [
        (":2", 2, "a line of more than 1000 bytes")
    ]
