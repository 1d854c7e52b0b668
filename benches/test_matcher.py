"""The matcher against its anchors; `python -m benches.matcher` prints the table of all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benches import matcher as table
from benches.ceiling import ceiling
from benches.conftest import Compare
from netpolc.backends.matcher._core import simd_levels


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROWS", 20_000)
    monkeypatch.setattr(table, "CALLS", 1_000)
    # `made` chooses the code by the environment, which is put back here.
    monkeypatch.setenv("NETPOLC_SIMD", "scalar")


@pytest.mark.parametrize("simd", simd_levels())
@pytest.mark.parametrize(("pods", "classes"), [(1_000, 100), (10_000, 700)])
def test_columns(compare: Compare, simd: str, pods: int, classes: int) -> None:
    matcher, addresses = table.made(simd, pods, classes)
    flows = table.traffic(addresses, 200_000)
    codes = compare(lambda: matcher.verdicts(*flows.columns), ceiling(matcher, flows.columns))
    assert {0, 1} == set(codes.tolist())


@pytest.mark.parametrize("simd", simd_levels())
def test_text_columns(compare: Compare, simd: str) -> None:
    matcher, addresses = table.made(simd, 1_000, 100)
    flows = table.traffic(addresses, 50_000)
    text, coded = table.arrow_tables(addresses, flows)
    found = compare(lambda: matcher.verdicts_arrow(text), lambda: matcher.verdicts_arrow(coded))
    assert found.tolist() == matcher.verdicts_arrow(coded).tolist()


@pytest.mark.parametrize("group", [table.calls, table.prefixes])
def test_rows_of_the_table(group: Callable[[int], object]) -> None:
    rows = list(group(1))  # type: ignore[call-overload]
    assert all(row.startswith("| ") and row.count("|") == 8 for row in rows)
