"""`python -m benches.against FOLDER`: this build and an earlier one, side by side.

In: the root of a worktree of the earlier build with its extension built, and its `.venv` if it has
one. Out: a row for each step and size, this build's CPU seconds over the other's. Each turn runs
both in processes of their own, one after the other, and takes the least of some rounds: the machine
may be busy with something else. `--queries` adds rows of what a matcher answers. Refused: a folder
without netpolc.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benches.measure import machine, say
from benches.steps import nodes_of
from benches.timing import HEADER, Ratio
from benches.workloads import SIZES, Size, cached

HERE = Path(__file__).parent.parent
SCRIPT = Path(__file__).with_name("turn.py")


def seconds(build: Path, size: Size | None, rounds: int) -> dict[str, float]:
    """The least CPU seconds of each step of a build; without a size, of queries."""
    of = ["-"] if size is None else [str(cached(size))]
    return turn(build, SCRIPT, [*of, str(rounds), *(nodes_of(size) if size is not None else [])])


def turn(build: Path, script: Path, arguments: Sequence[str]) -> dict[str, float]:
    """What a script says of a build, in whose interpreter it runs: CPU seconds of each step."""
    own = build / ".venv/bin/python"
    done = subprocess.run(
        [own if own.exists() else sys.executable, "-P", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(build)},
        cwd=build,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@click.command()
@click.argument("before", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sizes", default="S,M", show_default=True, help="Clusters to compile.")
@click.option("--turns", default=7, show_default=True, help="How often each build has its turn.")
@click.option("--rounds", default=3, show_default=True, help="Rounds of a turn; the least counts.")
@click.option("--queries", is_flag=True, help="Time queries of a matcher, too.")
def main(before: Path, sizes: str, turns: int, rounds: int, queries: bool) -> None:
    """Print what each step costs, over what it costs in the build of the worktree BEFORE."""
    if not (before / "netpolc").is_dir():
        raise click.BadParameter(f"{before} has no netpolc")
    print(f"{machine()}\n\n{HEADER}")
    for name in [*filter(None, sizes.split(",")), *(["matcher"] if queries else [])]:
        size = SIZES.get(name)
        pairs: dict[str, list[tuple[float, float]]] = {}
        for turn in range(turns):
            say(f"{name}, turn {turn}")
            other = seconds(before.resolve(), size, rounds)
            for step, own in seconds(HERE, size, rounds).items():
                if step in other:  # it may lack a form of the loops
                    pairs.setdefault(step, []).append((own, other[step]))
        for step, several in pairs.items():
            row = Ratio(f"{name}: {step}", "the build before", tuple(several), "<= 1.05")
            print(row.row(), flush=True)


if __name__ == "__main__":
    main()
