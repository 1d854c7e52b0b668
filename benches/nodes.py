"""`python -m benches.nodes`: what `netpolc compile --all-nodes` does, step by step.

In: a size and a number of its nodes. Out: rows for BENCHMARKS.md on standard output. Three lanes
take turns: the rulesets of one Program, whose nodes share what they have in common; the same with
nothing of text and digest shared; and writing the bytes. The clock is the process's CPU time.
Refused: nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

import netpolc
from benches.measure import machine
from benches.pods import node_name
from benches.steps import forget_memos
from benches.timing import HEADER, Ratio, gc_off
from benches.workloads import SIZES, cached
from netpolc.backends.nft import Options, Ruleset, Rulesets
from netpolc.backends.nft.write.pieces import Pieces


@dataclass(slots=True)
class Steps:
    """CPU seconds over all nodes, and bytes."""

    lower: float = 0.0
    text: float = 0.0
    write: float = 0.0
    size: int = 0

    @property
    def total(self) -> float:
        return self.lower + self.text + self.write


def steps(
    program: netpolc.Program, nodes: Sequence[str], folder: Path, take: Callable[[Ruleset], Ruleset]
) -> Steps:
    """A ruleset for each node; `take` may take from it what is shared."""
    forget_memos()
    found, options = Steps(), Options()
    rulesets = Rulesets(program)
    clock = time.process_time
    with gc_off():
        for node in nodes:
            start = clock()
            ruleset = take(rulesets.of(node, options))
            lowered = clock()
            data = ruleset.text().encode()
            worded = clock()
            found.size += (folder / "ruleset").write_bytes(data)
            found.lower += lowered - start
            found.text += worded - lowered
            found.write += clock() - worded
    return found


def rows(size: str, count: int, rounds: int) -> Iterator[str]:
    """The table's rows."""
    chosen = SIZES[size]
    nodes = [node_name(number * chosen.nodes // count) for number in range(count)]
    program = netpolc.compile(netpolc.load([str(cached(chosen))]))
    pairs: list[tuple[Steps, Steps]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(rounds):
            shared = steps(program, nodes, folder, lambda own: own)
            alone = steps(program, nodes, folder, lambda own: replace(own, pieces=Pieces()))
            if not shared.size == alone.size > 0:
                raise ValueError(f"{shared.size} bytes, and {alone.size} with nothing shared")
            pairs.append((shared, alone))
    what = f"{size}: {count:,} of {chosen.nodes:,} nodes, {pairs[0][0].size / 1e6:,.0f} MB"
    for name, anchor, measured, target in (
        ("all of it", "nothing shared", [(a.total, b.total) for a, b in pairs], "<= 0.5"),
        ("text and digest", "nothing shared", [(a.text, b.text) for a, b in pairs], ""),
        ("text and digest", "the write", [(a.text, a.write) for a, _ in pairs], "<= 4"),
        ("text and digest, nothing shared", "the write", [(b.text, b.write) for _, b in pairs], ""),
        ("lowering", "the write", [(a.lower, a.write) for a, _ in pairs], ""),
    ):
        yield Ratio(f"{what}: {name}", anchor, tuple(measured), target).row()


@click.command()
@click.option("--size", type=click.Choice(sorted(SIZES)), default="L", show_default=True)
@click.option("--nodes", default=250, show_default=True, help="How many of its nodes.")
@click.option("--rounds", default=3, show_default=True, help="Rounds of every row.")
def main(size: str, nodes: int, rounds: int) -> None:
    """Print what it costs to write the rulesets of many nodes as a Markdown table."""
    print(f"{machine()}\n\n{HEADER}")
    for row in rows(size, min(nodes, SIZES[size].nodes), rounds):
        print(row, flush=True)


if __name__ == "__main__":
    main()
