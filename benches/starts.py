"""What a whole command costs from start to end: `python -m benches.starts`.

In: nothing, or the number of rounds. Out: rows of CPU time, user and system, of the command and of
the processes it starts, against an anchor started in the same round: `python -c pass` of the same
environment, and `nft list table` of the node with 820 policies. Refused: a command that ends with
another exit code than it should. The rows of the node need what `tests.helpers.lab.unavailable`
asks for, and are left out with its reason otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benches.process import rounds_of
from benches.timing import HEADER, Ratio
from benches.workloads import LOCAL_NODE, cached_node_cluster
from tests.helpers.lab import Router, unavailable
from tests.helpers.scenarios import ROOT

PROGRAM = (sys.executable, "-m", "netpolc")
CHECKED_BYTES = 25_000
POLICIES = 800
"""Of the workloads; `node_cluster` adds those of its namespaces."""


def run(command: Sequence[str], codes: tuple[int, ...] = (0,)) -> None:
    """Run it to its end, as installed programs run: with modules compiled before; no output."""
    kept = {name: own for name, own in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "PYTHONPYCACHEPREFIX": str(ROOT / "build" / "pycache")}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode not in codes:
        raise ValueError(f"{' '.join(command)}: exit code {done.returncode}")


def manifests(folder: Path) -> Path:
    """Policies that `check` has 25 kB of to read."""
    policies = (ROOT / "examples" / "three-tier" / "policies.yaml").read_text()
    count = CHECKED_BYTES // len(policies)
    for number in range(count):
        own = policies.replace("name: ", f"name: x{number}-")
        (folder / f"{number}.yaml").write_text(own)
    return folder


def interpreter_rows(folder: Path, rounds: int) -> Iterator[Ratio]:
    """Against an interpreter that does nothing."""
    anchor = partial(run, (sys.executable, "-c", "pass"))
    for name, arguments, codes, target in (
        ("`netpolc --version`", ("--version",), (0,), "<= 3.5"),
        ("`netpolc check` of 25 kB", ("check", str(folder)), (0, 1), "<= 7"),
    ):
        subject = partial(run, (*PROGRAM, *arguments), codes)
        subject()  # compiles the modules
        yield Ratio(name, "`python -c pass`", rounds_of(subject, anchor, rounds), target)


def node_rows(rounds: int) -> Iterator[Ratio]:
    """Against a listing of the table by nft."""
    snapshot = str(cached_node_cluster(POLICIES))
    applying = (*PROGRAM, "apply", snapshot, "--node", LOCAL_NODE)

    def inside(*command: str) -> Callable[[], None]:
        return lambda: router.call(lambda: run(command))

    with Router() as router:
        inside(*applying)()
        anchor = inside("nft", "list", "table", "inet", "netpolc")
        for name, command in (
            ("`status`", (*PROGRAM, "status")),
            ("`status PATH`", (*PROGRAM, "status", snapshot, "--node", LOCAL_NODE)),
            ("`apply` that changes nothing", applying),
        ):
            measured = rounds_of(inside(*command), anchor, rounds)
            yield Ratio(f"820 policies: {name}", "`nft list table`", measured, "<= 1.0")


@click.command()
@click.option("--rounds", default=15, show_default=True, help="Rounds of every row.")
def main(rounds: int) -> None:
    """Print the rows as a Markdown table."""
    print(HEADER)
    with TemporaryDirectory() as name:
        for row in interpreter_rows(manifests(Path(name)), rounds):
            print(row.row(), flush=True)
    if (reason := unavailable()) is not None:
        print(f"not measured: {reason}")
        return
    for row in node_rows(rounds):
        print(row.row(), flush=True)


if __name__ == "__main__":
    main()
