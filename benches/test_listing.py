"""Listing all pairs, relative to the semantics of some; both must say the same."""

from __future__ import annotations

from pathlib import Path

import netpolc
from benches.conftest import Compare
from benches.listing import check, connections, naive, pairs, services
from netpolc.analysis.connectivity import Grouping

PAIRS = 20


def test_list(compare: Compare, cluster: Path) -> None:
    program = netpolc.compile(netpolc.load([str(cluster)]))
    asked = services(program)
    table, listed = connections(program, Grouping.WORKLOAD)
    drawn = pairs(table, PAIRS)
    check(table, drawn, asked, naive(program, drawn, asked))
    compare(lambda: connections(program, Grouping.WORKLOAD), lambda: naive(program, drawn, asked))
    assert len(listed) > len(table.parties)
