"""The benchmark of cluster-scoped policies, a round of a small cluster: all of them are read."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

import netpolc
from benches.ordered import STEPS, main, written
from benches.workloads import SIZES, cached
from netpolc.core.ir import Tier


def test_the_policies_are_read_and_judge(tmp_path: Path) -> None:
    snapshot = netpolc.load([str(cached(SIZES["S"])), str(written(SIZES["S"], tmp_path, 20))])
    ordered = [own for own in snapshot.policies if own.tier is not Tier.NETWORK_POLICY]
    assert len(ordered) == 20
    assert {len(own.rules) for own in ordered} == {25}
    assert not any(own.code in ("NP006", "NP010") for own in snapshot.warnings)
    assert netpolc.compile(snapshot).is_ordered


def test_a_round() -> None:
    arguments = ["--size", "S", "--rounds", "1", "--policies", "10"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert sum(line.startswith("| S: ") for line in done.stdout.splitlines()) == len(STEPS)
