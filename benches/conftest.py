"""What the benchmarks share: files of clusters, and timing against an anchor in the same run.

`pytest benches` prints pytest-benchmark's table; each benchmark's `extra_info` holds the ratio to
its anchor. With `--benchmark-disable` every step runs once, as a test.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import pytest

from benches.timing import gc_off, timed
from benches.workloads import SIZES, Size, cached

SMALL_M = Size("small-M", 4_000, 400, 40)


class Benchmark(Protocol):
    """The part of pytest-benchmark's fixture in use; the package itself is not typed."""

    extra_info: dict[str, Any]

    def pedantic(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        *,
        setup: Callable[[], None] | None = None,
        rounds: int = 1,
    ) -> Any: ...


Compare = Callable[[Callable[[], Any], Callable[[], object]], Any]


@pytest.fixture(params=[SIZES["S"], SMALL_M], ids=lambda size: str(size.name))
def size(request: pytest.FixtureRequest) -> Size:
    """The clusters that are small enough for every run; `benches.measure` does the others."""
    found = request.param
    assert isinstance(found, Size)
    return found


@pytest.fixture
def cluster(size: Size) -> Path:
    return cached(size)


@pytest.fixture
def compare(benchmark: Benchmark) -> Compare:
    """Time a subject after its anchor, round by round; the last result of the subject."""

    def run(subject: Callable[[], Any], anchor: Callable[[], object], rounds: int = 5) -> Any:
        anchors: list[float] = []
        seconds: list[float] = []

        def before() -> None:
            anchors.append(timed(anchor)[0])

        def step() -> Any:
            start = time.process_time()
            result = subject()
            seconds.append(time.process_time() - start)
            return result

        with gc_off():
            result = benchmark.pedantic(step, setup=before, rounds=rounds)
        ratios = [own / other for own, other in zip(seconds, anchors, strict=True)]
        benchmark.extra_info["ratio_to_anchor"] = round(median(ratios), 4)
        return result

    return run
