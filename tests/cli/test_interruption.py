"""How interrupted commands end: cleaned up, one line, the exit code of the signal, no traceback.

In: commands that wait for their input, for `dot`, or for workers, and a signal. Out: exit code and
output; no process and no file is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.invocation import program
from tests.helpers.scenarios import ROOT

SECONDS = 120
ENDINGS = {
    signal.SIGINT: (130, "netpolc: interrupted\n"),
    signal.SIGTERM: (143, "netpolc: terminated\n"),
}
MORE_THAN_A_PIPE_HOLDS = b"# \n" * 100_000
EXAMPLE = str(ROOT / "examples" / "three-tier")


def eventually(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "-"],
        ["list", "-"],
        ["compile", "-"],
        ["eval", "-", "--src", "10.0.0.1", "--dst", "10.0.0.2", "--port", "80"],
        ["explain", "-", "--src", "10.0.0.1", "--dst", "10.0.0.2", "--port", "80"],
        ["apply", "-", "--all-pods"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_reads_ends_in_one_line(
    arguments: list[str], number: signal.Signals
) -> None:
    reading = subprocess.Popen(
        [program(), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert reading.stdin is not None
    os.write(reading.stdin.fileno(), MORE_THAN_A_PIPE_HOLDS)  # returns once it reads
    reading.send_signal(number)
    out, err = reading.communicate(timeout=SECONDS)
    assert (reading.returncode, err) == ENDINGS[number]
    assert out == ""


@pytest.mark.parametrize("number", [*ENDINGS, signal.SIGKILL])
@pytest.mark.parametrize(
    "arguments",
    [["list", EXAMPLE, "-o", "svg"], ["diff", EXAMPLE, "empty.yaml", "-o", "svg"]],
    ids=lambda arguments: arguments[0],
)
def test_no_dot_is_left_behind(
    arguments: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    """A stand-in that draws for a minute, whatever it is given."""
    dot = tmp_path / "dot"
    dot.write_text('#!/bin/sh\necho $$ > "$0.tmp"\nmv "$0.tmp" "$0.pid"\nexec sleep 60\n')
    dot.chmod(0o755)
    (tmp_path / "empty.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n")
    drawing = subprocess.Popen(
        [program(), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    written = tmp_path / "dot.pid"
    assert eventually(written.exists)
    drawn = Path("/proc") / written.read_text().strip()
    assert drawn.exists()
    drawing.send_signal(number)
    _, err = drawing.communicate(timeout=SECONDS)
    code, said = ENDINGS.get(number, (-number, ""))
    assert drawing.returncode == code
    assert err.endswith(said)
    assert "Traceback" not in err
    assert eventually(lambda: not drawn.exists())


PARALLEL = """
import sys, time
from pathlib import Path
from netpolc.cli import main, interruption, output

output.os.sched_getaffinity = lambda _: range(3)  # more than one, wherever this runs

def make(name):
    Path(sys.argv[1], name).touch()
    time.sleep(60)

@main.command()
def slow():
    output.write_all(["a", "b", "c"], sys.argv[2], make, ".nft")

interruption.listen()
main(["slow"])
"""


@pytest.mark.parametrize("number", ENDINGS)
def test_workers_end_with_the_command(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C reaches every process of the terminal; only one of them says so."""
    begun, out = tmp_path / "begun", tmp_path / "out"
    begun.mkdir()
    compiling = subprocess.Popen(
        [sys.executable, "-c", PARALLEL, str(begun), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert eventually(lambda: len(list(begun.iterdir())) == 3)
    if number is signal.SIGINT:
        os.killpg(compiling.pid, number)
    else:
        compiling.send_signal(number)
    _, err = compiling.communicate(timeout=SECONDS)
    assert (compiling.returncode, err) == ENDINGS[number]
    assert list(out.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(compiling.pid, 0)
