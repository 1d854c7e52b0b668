"""Interleaved timing: what a step costs as a ratio to an anchor timed in the same round.

In: callables. Out: CPU seconds and `Ratio`s. The clock is the process's CPU time, user and system,
so that another job on the machine costs cache misses and not minutes. The cyclic garbage collector
is off while the clock runs, for the subject and the anchor alike, and results are freed after it
has stopped.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import median
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def gc_off() -> Iterator[None]:
    """Collect now, then not until the end of the block."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def timed(step: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of one call, and its result."""
    with gc_off():
        start = time.process_time()
        result = step()
        return time.process_time() - start, result


def timed_whole(step: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of one call and of the processes that work for this one, and its result."""
    with gc_off():
        start = _cpu_seconds()
        result = step()
        return _cpu_seconds() - start, result


def _cpu_seconds() -> float:
    """Of this process, of its children that have ended, and of those that live."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    children: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # of a thread that ended just now
            children += map(int, path.read_text().split())
    # CPUCLOCK_SCHED of another process (clock_getcpuclockid(3)), in nanoseconds and not in ticks.
    lived = sum(time.clock_gettime(~child << 3 | 2) for child in children)
    return time.process_time() + ended.ru_utime + ended.ru_stime + lived


@dataclass(frozen=True, slots=True)
class Ratio:
    """A benchmark's result: the median over rounds of subject / anchor, and its extremes."""

    name: str
    anchor: str
    rounds: tuple[tuple[float, float], ...]
    """(subject, anchor) in CPU seconds, one pair a round."""
    target: str = ""

    @property
    def ratios(self) -> list[float]:
        return sorted(subject / anchor for subject, anchor in self.rounds)

    @property
    def median(self) -> float:
        return median(self.ratios)

    @property
    def seconds(self) -> float:
        return median(subject for subject, _ in self.rounds)

    def row(self) -> str:
        """A row of the Markdown table."""
        ratios = self.ratios
        spread = f"{figure(ratios[0])} - {figure(ratios[-1])}"
        cells = (
            self.name,
            self.anchor,
            f"**{figure(self.median)}**",
            spread,
            f"{len(ratios)}",
            f"{figure(1000 * self.seconds)} ms",
            self.target,
        )
        return f"| {' | '.join(cells)} |"


HEADER = (
    "| what | anchor | ratio, median | lowest - highest | rounds | median CPU | target |\n"
    "|---|---|---|---|---|---|---|"
)


def figure(value: float) -> str:
    """A number in three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope of log(cost) over log(size) by least squares: 1 is linear growth."""
    xs, ys = [log(size) for size, _ in points], [log(cost) for _, cost in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean_x) ** 2 for x in xs)
