"""`python -m benches.building`: what it costs to build a Matcher, beside compiling.

In: sizes of clusters. Out: rows for BENCHMARKS.md, each `Matcher(program)` as a ratio to
`netpolc.compile` of the same snapshot in the same round, every memo empty before either. Refused: a
matcher that admits nothing, or everything.
"""

from __future__ import annotations

from pathlib import Path

import click

import netpolc
from benches.measure import machine
from benches.steps import forget_memos
from benches.timing import HEADER, Ratio, timed
from benches.workloads import SIZES, cached
from netpolc.backends.matcher import Matcher
from netpolc.core.nets import format_address

ROUNDS = {"S": 25, "M": 9, "L": 3}
COMPILE = "compile, same snapshot"


def one_round(snapshot: netpolc.Snapshot) -> tuple[float, float]:
    """CPU seconds of building the matcher, and of compiling."""
    forget_memos()
    compiling, program = timed(lambda: netpolc.compile(snapshot))
    forget_memos()
    building, matcher = timed(lambda: Matcher(program))
    _judge(program, matcher)
    return building, compiling


def _judge(program: netpolc.Program, matcher: Matcher) -> None:
    """Of a thousand flows between pods some are admitted and some are not."""
    pods = [pod for pod in program.cluster.pods if pod.addresses and not pod.host_network]
    own = [format_address(pod.addresses[0]) for pod in pods]
    count = len(own)
    found = {
        matcher.verdict(own[number * 7919 % count], own[number * 104729 % count], "TCP", 80)
        for number in range(1000)
    }
    if len(found) != 2:
        raise ValueError("the matcher has one verdict for everything")


def row(name: str, path: Path, rounds: int) -> str:
    """One size."""
    snapshot = netpolc.load([path])
    pairs = [one_round(snapshot) for _ in range(rounds + 1)]
    return Ratio(f"{name}: `Matcher(program)`", COMPILE, tuple(pairs[1:]), "<= 1.5").row()


@click.command()
@click.option("--sizes", default="S,M,L", show_default=True, help="Clusters.")
@click.option("--rounds", type=int, help="Rounds of every row; the default follows the size.")
def main(sizes: str, rounds: int | None) -> None:
    """Print what building a Matcher costs as a Markdown table."""
    print(f"{machine()}\n\n{HEADER}")
    for name in sizes.split(","):
        print(row(name, cached(SIZES[name]), rounds or ROUNDS[name]), flush=True)


if __name__ == "__main__":
    main()
