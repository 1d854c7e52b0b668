"""The fuzzer finds what is planted, tells it, and ends in time.

In: readers with a fault of each kind in place of netpolc's. Out: exit code 1, the smallest input in
a file, the command that tries it again; with netpolc's own readers, each sample is no fault.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.attempt import CPU, attempt
from tests.fuzz.inputs import samples
from tests.fuzz.readers import READERS, resealed
from tests.helpers.scenarios import ROOT

PLANTED = """
import os, sys, time
from pathlib import Path
from tests.fuzz import __main__ as fuzz, attempt, readers

def planted(data, path):
    if b"," in data:
        {fault}

readers.READERS["log"] = planted
fuzz.FOUND = Path({found!r})
attempt.CPU = {cpu}
sys.argv[1:] = ["--seconds", "8", "--reader", "log", "--seed", "7"]
fuzz.main()
"""


def fuzzed(fault: str, found: Path) -> subprocess.CompletedProcess[str]:
    # Only where a fault has no end: a busy machine may need a second for any other.
    cpu = 1 if fault.startswith("while") else CPU
    script = PLANTED.format(fault=fault, found=str(found), cpu=cpu)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("raise KeyError(data)", "KeyError.log"),
        ("while True: pass", "TooLong.log"),
        ("path.write_bytes(bytes(300 << 20)); bytearray(300 << 20)[::4096]", "TooLarge.log"),
        ("bytes(64 << 30)", "MemoryError.log"),
        ("os.kill(os.getpid(), 9)", "SIGKILL.log"),
    ],
    ids=["exception", "endless", "large", "too large", "dies"],
)
def test_a_fault_is_found_and_told(fault: str, name: str, tmp_path: Path) -> None:
    ended = fuzzed(fault, tmp_path)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith("seed 7: log\n")
    assert "-m tests.fuzz --again" in ended.stdout
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert b"," in (tmp_path / name).read_bytes()
    if name == "KeyError.log":
        assert (tmp_path / name).read_bytes() == b","
    assert "faults: 1" in ended.stdout


def test_without_one_it_ends_and_says_so(tmp_path: Path) -> None:
    ended = fuzzed("pass", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("nothing found\n")
    assert list(tmp_path.iterdir()) == []


def test_one_input_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "KeyError.log"
    path.write_bytes(samples("log")[0])
    command = [sys.executable, "-m", "tests.fuzz", "--again", str(path)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("reader", READERS)
def test_samples_are_no_faults(reader: str, tmp_path: Path) -> None:
    for data in samples(reader)[:4]:
        attempt(reader, data, tmp_path)


def test_checksums_are_made_anew() -> None:
    data = samples("matcher")[0]
    assert resealed(data) == data
    other = bytes([data[-65] ^ 1])
    changed = data[:-65] + other + data[-64:]
    assert resealed(changed) != changed
    assert resealed(changed)[-65:-64] == other
