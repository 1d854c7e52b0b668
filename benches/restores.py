"""How soon `apply --watch` undoes a flush, under traffic: `python -m benches.restores`.

In: numbers of applies and flushes. Out: rows of wall-clock time from the end of `flush ruleset`
until the table is back, against one apply of the same snapshot in the same round, as a command and
by a process that runs already; and how many packets passed that both snapshots deny. Refused: a
packet that passed while the table was there. Needs what `tests.helpers.lab.unavailable` asks for.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click

import netpolc
from benches.timing import figure
from netpolc.backends.nft.rollout.kernel import Kernel
from tests.helpers import flushes
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT

HEADER = "| what | anchor | ratio, median | lowest - highest | rounds | median |\n" + (
    "|---|---|---|---|---|---|"
)


class Anchors:
    """Times one apply after each round: the command, and a process that runs already."""

    def __init__(self, router: Router, folder: Path) -> None:
        self._router, self._folder = router, folder
        self._kernel = router.call(Kernel)
        self.command: list[float] = []
        self.process: list[float] = []

    def measure(self) -> None:
        """One apply of each kind, into an empty namespace."""
        names = ["apply", str(self._folder), "--node", "node-a"]
        command = [sys.executable, "-m", "netpolc", *names]
        self._router.flush()
        started = time.perf_counter()
        self._router.call(lambda: subprocess.check_output(command, cwd=ROOT))
        self.command.append(time.perf_counter() - started)
        self._router.flush()
        started = time.perf_counter()
        ruleset = netpolc.compile(netpolc.load([str(self._folder)])).ruleset("node-a")
        self._router.call(lambda: self._kernel.load(ruleset))
        self.process.append(time.perf_counter() - started)


def row(anchor: str, reactions: list[float], anchors: list[float]) -> str:
    """A row of the Markdown table."""
    ratios = sorted(own / other for own, other in zip(reactions, anchors, strict=True))
    spread = f"{figure(ratios[0])} - {figure(ratios[-1])}"
    cells = (
        "the table is back after a flush",
        anchor,
        f"**{figure(median(ratios))}**",
        spread,
        str(len(ratios)),
        f"{figure(1000 * median(reactions))} ms",
    )
    return f"| {' | '.join(cells)} |"


@click.command()
@click.option("--applies", default=200, show_default=True, help="Applies by the watch.")
@click.option("--flushes", "many", default=50, show_default=True, help="Flushes among them.")
@click.option("--seed", default=1, show_default=True, help="Of the moments.")
def main(applies: int, many: int, seed: int) -> None:
    """Print the rows as a Markdown table."""
    with tempfile.TemporaryDirectory() as folder, Router() as router:
        anchors = Anchors(router, Path(folder))
        found = flushes.run(applies, many, seed, Path(folder), anchors.measure)
    if outside := found.outside():
        raise SystemExit(f"{len(outside)} packets passed while the table was there: {outside[:9]}")
    reactions = [own.reaction for own in found.windows]
    print(HEADER)
    print(row("`netpolc apply` of the snapshot", reactions, anchors.command))
    print(row("compile and load in a process that runs", reactions, anchors.process))
    print(
        f"\n{applies} applies, {many} flushes, {found.sent} packets: {len(found.admitted)} passed, "
        "all while a flush was being undone"
    )


if __name__ == "__main__":
    main()
