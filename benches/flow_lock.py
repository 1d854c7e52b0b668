"""`python -m benches.flow_lock`: which part of decoding Hubble lines holds no lock, by instruction.

In: the number of records. Out: rows for BENCHMARKS.md. Callgrind of valgrind counts what decoding a
log once and three times takes; the difference is free of what starting takes, and of whatever else
the machine does. Two functions of the scanner run without the interpreter's lock.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benches.flow_logs import hubble_lines
from netpolc.flows.decode.hubble import hubble_batches
from netpolc.flows.decode.lines import Told
from netpolc.flows.notes import LogNotes
from netpolc.flows.sources import BLOCK

UNLOCKED = ("netpolc_scan_block", "netpolc_join")
_TIMES = (1, 3)


def decode(path: Path, times: int) -> None:
    """From pieces, as a file is read, to record batches."""
    content = path.read_bytes()
    pieces = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    for _ in range(times):
        for _batch in hubble_batches(pieces, Told("log", LogNotes())):
            pass


def instructions(path: Path, times: int) -> tuple[int, int]:
    """All of a process, and those without the lock."""
    out = path.with_suffix(".out")
    child = [sys.executable, "-m", "benches.flow_lock", "--log", str(path), "--times", str(times)]
    count = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    own = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([*count, *child], check=True, capture_output=True, env=own)
    told = subprocess.run(
        ["callgrind_annotate", "--inclusive=yes", "--auto=no", "--threshold=100", str(out)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip

    def found(name: str) -> int:
        line = re.search(rf"^ *([\d,]+) .*{name}\b", told, re.MULTILINE)
        assert line is not None, f"callgrind tells nothing of {name}"
        return int(line[1].replace(",", ""))

    return found("PROGRAM TOTALS"), sum(map(found, UNLOCKED))


@click.command()
@click.option("--records", default=10_000, show_default=True)
@click.option("--log", type=Path, hidden=True)
@click.option("--times", default=1, hidden=True)
def main(records: int, log: Path | None, times: int) -> None:
    """Print the rows."""
    if log is not None:
        decode(log, times)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, "log")
        path.write_bytes(hubble_lines(records))
        (all_once, free_once), (all_thrice, free_thrice) = (
            instructions(path, own) for own in _TIMES
        )
    share = (free_thrice - free_once) / (all_thrice - all_once)
    each = (all_thrice - all_once) / (_TIMES[1] - _TIMES[0]) / records
    print("| Hubble lines, decoded | |\n|---|---|")
    print(f"| instructions of a line | {each:.0f} |")
    print(f"| of them without the interpreter's lock | {share:.3f} |")
    print(f"| so two free processors decode, speed against one (Amdahl) | {2 / (2 - share):.2f} |")


if __name__ == "__main__":
    main()
