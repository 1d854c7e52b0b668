"""`python -m benches.measure [--sizes S,M,L]`: every benchmark as one Markdown table.

In: the sizes and the number of rounds. Out: rows for BENCHMARKS.md on standard output, progress on
standard error. Refused: unknown sizes; kernel rows need what `tests.helpers.lab` needs, and
their absence is said in the table.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import click

from benches import kernel, memory
from benches.steps import Round, nodes_of, one_round
from benches.timing import HEADER, Ratio, exponent, figure
from benches.workloads import LOCAL_NODE, SIZES, Size, cached
from tests.helpers.lab import unavailable

ROUNDS = {"S": 15, "M": 7, "L": 3}
JSON = "`json.loads`, same bytes"
STEPS: tuple[tuple[str, Callable[[Round], float], str], ...] = (
    ("load", lambda r: r.load, "<= 0.75 (S), 0.65 (M, L)"),
    ("compile", lambda r: r.compile, ""),
    ("first ruleset of a fresh Program", lambda r: r.first_ruleset, "<= 0.1"),
    ("next node's ruleset", lambda r: r.next_ruleset, "<= 0.1"),
    (
        "load + compile + one ruleset",
        lambda r: r.load + r.compile + r.first_ruleset,
        "",
    ),
)


def cluster_rows(size: Size, rounds: list[Round]) -> Iterator[str]:
    """One row a step of the compilation of a named size."""
    for name, seconds, target in STEPS:
        pairs = tuple((seconds(own), own.anchor) for own in rounds)
        yield Ratio(f"{size.name}: {name}", JSON, pairs, target).row()


def growth_row(measured: dict[str, list[Round]]) -> str:
    """The exponent of load + compile against pods + policies + size of the result.

    Seconds are divided by what `json.loads` needs for a byte of the smallest cluster in the same
    round: a machine that got slower between the sizes does not look like growth, and the memory
    that the anchor itself needs for a large cluster does not hide it.
    """
    points = []
    for name, rounds in measured.items():
        size = SIZES[name]
        cost = median((own.load + own.compile) / own.unit for own in rounds)
        points.append((size.pods + size.policies + rounds[0].tuples, cost))
    sizes = ", ".join(f"{points_size:,}" for points_size, _ in points)
    steps = [exponent(pair) for pair in pairwise(points)]
    spread = f"{figure(min(steps))} - {figure(max(steps))}"
    return (
        f"| growth of load + compile: exponent over n = {sizes} | n = pods + policies + result "
        f"| **{figure(exponent(points))}** | {spread} | {len(points)} sizes | | about 1 |"
    )


def kernel_rows(rounds: int) -> Iterator[str]:
    """Loading into the kernel, after both rulesets have judged the same packets alike."""
    for policies, target in ((120, ""), (820, "<= 0.3")):
        say(f"kernel, {policies} policies")
        pair = kernel.pair(policies)
        answers = kernel.verdicts(pair)
        say(f"  {len(answers)} packets, {sum(answers)} let through by both")
        name = f"kernel load, {policies} policies on a node"
        pairs = tuple(kernel.load_rounds(pair, rounds + 1)[1:])
        yield Ratio(name, "linear chain per pod", pairs, target).row()


def memory_row(size: Size) -> str:
    """Peak memory of a child that loads, compiles and emits one ruleset."""
    peak = memory.peak(cached(size), LOCAL_NODE)
    bytes_read = cached(size).stat().st_size / 2**20
    return (
        f"| {size.name}: peak memory of load + compile + one ruleset | size of the input, "
        f"{bytes_read:.0f} MiB | **{figure(peak / bytes_read)}** | | 1 | (peak {peak:.0f} MiB) "
        f"| {'< 2048 MiB' if size.name == 'L' else ''} |"
    )


def machine() -> str:
    """What the figures were measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{cpu}, Linux {platform.release()}, Python {platform.python_version()}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@click.command()
@click.option("--sizes", default="S,M,L", show_default=True, help="Clusters to compile.")
@click.option("--rounds", type=int, help="Rounds of every benchmark; the default follows the size.")
@click.option("--kernel/--no-kernel", "with_kernel", default=True, help="Load into the kernel.")
def main(sizes: str, rounds: int | None, with_kernel: bool) -> None:
    """Print every benchmark as a Markdown table."""
    unknown = set(sizes.split(",")) - set(SIZES)
    if unknown:
        raise click.BadParameter(f"unknown sizes: {', '.join(sorted(unknown))}")
    print(f"{machine()}\n\n{HEADER}")
    measured: dict[str, list[Round]] = {}
    for name in sizes.split(","):
        size = SIZES[name]
        path = cached(size)
        # The first round warms the file cache and finds the machine's memory; it does not count.
        for number in range((rounds or ROUNDS[name]) + 1):
            say(f"{name}, round {number}")
            measured.setdefault(name, []).append(one_round(path, nodes_of(size)))
        del measured[name][0]
        for row in cluster_rows(size, measured[name]):
            print(row, flush=True)
        print(memory_row(size), flush=True)
    if len(measured) > 1:
        print(growth_row(measured))
    reason = unavailable()
    if with_kernel and reason is None:
        for row in kernel_rows(rounds or 9):
            print(row, flush=True)
    elif with_kernel:
        print(f"| kernel load | not measured: {reason} | | | | | |")


if __name__ == "__main__":
    main()
