"""The dataplane benchmark, a few packets of it: its lanes judge as the semantics say."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from benches.dataplane import rulesets
from benches.dataplane.__main__ import main
from tests.helpers.lab import unavailable

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


def test_rulesets() -> None:
    arguments = ["--rounds", "2", "--connections", "20", "--largest", "120"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    # A head, then six lanes for 10, 100 and 120 policies in both families; one that cannot be
    # measured has its row.
    assert len(rows) == 1 + 6 * 6
    assert sum(rulesets.NETPOLC in row for row in rows) == 6


def test_parts() -> None:
    done = CliRunner().invoke(main, ["--parts", "--rounds", "2"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "| inline port, missed | **" in done.stdout


def test_bridges() -> None:
    arguments = ["--bridges", "--rounds", "2", "--connections", "20", "--largest", "10"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.count("| 10 policies on a pod, ") == 4


def test_tiers() -> None:
    arguments = ["--tiers", "--rounds", "2", "--connections", "20"]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    rows = [line.split(" | ") for line in done.stdout.splitlines() if " | **" in line]
    # Two lanes without tiers, four by the number of rules, one of ingress alone, one that means
    # everybody, in both families; only those with rules have elements.
    assert len(rows) == 2 * 8
    assert sum(row[-1].startswith("0 ") for row in rows) == 2 * 2


def test_alternatives() -> None:
    arguments = ["--rounds", "2", "--connections", "20", "--largest", "120"]
    done = CliRunner().invoke(
        main, ["--alternatives", "postrouting", *arguments], catch_exceptions=False
    )
    assert done.exit_code == 0
    rows = [line for line in done.stdout.splitlines() if line.startswith("| mixed, 120")]
    # An open lane, one that accepts, netpolc, and six other shapes, in both families.
    assert len(rows) == 2 * 9
    assert sum("| table ip6 with source maps | **" in row for row in rows) == 1
