"""Traffic that both snapshots deny passes only while somebody else's flush is being undone.

In: applies by a watch, flushes at random moments, packets all the time. Out: which packets passed,
and when. `python -m benches.restores` does it with 200 applies and 50 flushes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import flushes

pytestmark = pytest.mark.kernel


def test_nothing_passes_but_while_a_flush_is_being_undone(tmp_path: Path) -> None:
    found = flushes.run(applies=20, flushes=8, seed=1, folder=tmp_path)
    assert len(found.windows) == 8
    assert found.sent > 1000
    assert found.admitted, "no packet met the open node: the test would see no hole"
    assert found.outside() == []


def test_a_packet_outside_every_window_is_found() -> None:
    found = flushes.Found(3, [flushes.Window(1.0, 1.1, 1.5)], [(0.9, 1.05), (1.4, 1.6), (1.7, 1.8)])
    assert found.outside() == [(1.7, 1.8)]
