"""Damaged logs of every format end in records or in a refusal, and never in anything else."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.core.errors import NetpolcError
from netpolc.flows.audit import Audit
from netpolc.flows.decode import decoded_batches
from netpolc.flows.notes import LogError, LogNotes
from netpolc.flows.sources import sources_of
from tests.cli.invocation import invoke
from tests.flows.reading import records_of
from tests.flows.writers import FLOWS, WRITERS
from tests.helpers.scenarios import ROOT

EXAMPLE = str(ROOT / "examples" / "three-tier")
PROGRAM = netpolc.compile(netpolc.load([EXAMPLE]))
LOGS = {name: write(FLOWS[:3]) for name, write in WRITERS.items()}
WORD = re.compile(rb'[^\s,:={}\[\]"]+|"[^"]*"')
WORDS = [
    b"null", b"true", b"-1", b"1e999", b"99999999999999999999999", b'""', b"[]", b"{}", b"-",
    b"\xff", b"::1", b"1.5", b"0", b"NaN", b'"\\ud800"', b"256", b"a/b", b"2026-13-45T00:00:00Z",
    b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A log with some bytes changed, words replaced, parts left out or twice; and its format."""
    name = draw(st.sampled_from(sorted(LOGS)))
    content = bytearray(LOGS[name])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(["byte", "word", "cut", "twice"])):
            case "byte":
                content[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "word":
                if found := WORD.search(content, at):
                    content[found.start() : found.end()] = draw(st.sampled_from(WORDS))
            case "cut":
                del content[at : at + draw(st.integers(1, 20))]
            case _:
                content[at:at] = content[at : at + draw(st.integers(1, 40))]
    return name, bytes(content)


@given(damaged(), st.booleans(), st.booleans())
def test_whatever_a_log_holds(log: tuple[str, bytes], keep_going: bool, is_named: bool) -> None:
    name, content = log
    form = name.partition("-")[0]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(content)
        audit, notes = Audit(PROGRAM, since=0), LogNotes(keep_going=keep_going)
        # With keep_going nothing is refused: all of it is counted.
        with suppress(*([] if keep_going else [NetpolcError])):
            for source in sources_of([str(path)]):
                for batch in decoded_batches(source, notes, form if is_named else None):
                    audit.add(batch)
    assert sum(group.records for group in audit.groups()) <= audit.totals.records


def test_text_of_arrow_that_is_none(tmp_path: Path) -> None:
    """Arrow reads such a file, and whoever takes its text for text reads elsewhere."""
    with pytest.raises(LogError, match="no Arrow IPC, or one that is cut"):
        records_of(tmp_path, LOGS["arrow-file"].replace(b"203.0.113.7", b"203.0.113.\xff"))


def test_a_long_stream_of_arrow_from_a_pipe(tmp_path: Path) -> None:
    """Longer than what is looked at to tell the format."""
    rows = 50_000
    columns = {
        "src": [f"203.0.{row // 250}.{row % 250}" for row in range(rows)],
        "dst": ["10.244.1.11"] * rows,
        "protocol": [6] * rows,
        "port": [80] * rows,
    }
    source = pa.table(columns)
    path = tmp_path / "log"
    with pa.ipc.new_stream(path, source.schema) as writer:
        writer.write_table(source)
    outcome = invoke("audit", "-", "--policies", EXAMPLE, "-o", "csv", stdin=path.read_bytes())
    assert outcome.code == 0, outcome.stderr
    assert ",80,allow,,,,,50000," in outcome.stdout
