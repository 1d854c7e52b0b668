"""What is shown on a terminal and what in a pipe, seen from a pseudo-terminal.

A child draws a table and reports progress; the parent reads what a person would see.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

TABLE = """
from netpolc.cli.terminal import say, table
WIDE = "shop/a-very-long-name" * 6
say("DENY", "red")
table(["pod", "denied"], [["shop/web-1", "7"], [WIDE, "120"]], right=["denied"])
"""
WORK = """
import time
from netpolc.cli import terminal
terminal._PATIENCE = {patience}
with terminal.progress("listing") as report:
    for done in range(3):
        report(done, 3)
        time.sleep(0.01)
print("done")
"""
LIVE = """
import os, signal, time
from netpolc.cli.terminal import live_table
def readings():
    yield [["shop/web-1", "1.0"]]
    yield [["shop/web-1", "2.5"]]
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
    yield [["shop/web-1", "never shown"]]
live_table(["pod", "packets/s"], readings(), right=["packets/s"])
print("and ended well")
"""


def on_terminal(code: str, expect: int = 0, **environment: str) -> str:
    """What a terminal of 80 columns gets from a program that ends with this exit code."""
    parent, child = pty.openpty()
    settings = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    settings |= {"TERM": "xterm-256color", "COLUMNS": "80", **environment}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=child, stderr=child, stdin=child, env=settings
    ) as program:
        os.close(child)
        shown = b""
        while True:
            try:
                block = os.read(parent, 4096)
            except OSError:  # EIO: the other side is closed
                break
            if not block:
                break
            shown += block
    os.close(parent)
    assert program.returncode == expect, shown.decode()
    return shown.decode()


def test_a_pipe_gets_aligned_columns_that_are_never_cut() -> None:
    out = subprocess.run(
        [sys.executable, "-c", TABLE], capture_output=True, text=True, check=True
    ).stdout
    wide = "shop/a-very-long-name" * 6
    assert out.splitlines() == [
        "DENY",
        f"{'pod':<{len(wide)}}  denied",
        f"{'shop/web-1':<{len(wide)}}       7",
        f"{wide}     120",
    ]


def test_a_terminal_gets_colour_and_a_table_that_fits() -> None:
    shown = on_terminal(TABLE)
    assert "\x1b[31mDENY" in shown
    assert "shop/a-very-long-name" * 6 not in shown
    assert "───" in shown


def test_a_table_too_long_to_look_at_is_columns_everywhere() -> None:
    shown = on_terminal("from netpolc.cli.terminal import table\ntable(['a'], [['x']] * 2001)")
    assert shown.splitlines() == ["a", *(["x"] * 2001)]


def test_no_color_is_honoured() -> None:
    shown = on_terminal(TABLE, NO_COLOR="1")
    assert "\x1b[3" not in shown
    assert "DENY" in shown


@pytest.mark.parametrize(("patience", "expected"), [(0.0, True), (60.0, False)])
def test_progress_is_shown_once_it_takes_long(patience: float, expected: bool) -> None:
    shown = on_terminal(WORK.format(patience=patience))
    assert ("listing" in shown) is expected
    assert "done" in shown


def test_progress_through_bytes_tells_the_rate() -> None:
    work = WORK.format(patience=0.0).replace('"listing"', '"judging", of_bytes=True')
    shown = on_terminal(work.replace("report(done, 3)", "report(done * 1000, 3000)"))
    assert "B/s" in shown
    assert "B/s" not in on_terminal(WORK.format(patience=0.0))


def test_a_live_table_is_drawn_in_its_place_until_interrupted() -> None:
    shown = on_terminal(LIVE)
    first, second = shown.index("1.0"), shown.index("2.5")
    assert first < second
    assert "\x1b[1A" in shown[first:second]  # one line up, again and again
    assert "never shown" not in shown
    assert shown.endswith("and ended well\r\n")
