"""`python -m benches.nodes`: what `netpolc compile --all-nodes` does, step by step.

In: a size and a number of its nodes. Out: rows for BENCHMARKS.md on standard output. Three lanes
take turns: the rulesets of one Program, whose nodes share what they have in common; the same with
nothing of text and digest shared; and writing the bytes. With `--before FOLDER` it is this build
and that of another worktree that take turns. The clock is the process's CPU time. Refused: nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

import netpolc
from benches.against import HERE, turn
from benches.measure import machine, say
from benches.pods import node_name
from benches.steps import forget_memos
from benches.timing import HEADER, Ratio, gc_off
from benches.workloads import SIZES, Size, cached
from netpolc.backends.nft import Options, Ruleset, Rulesets
from netpolc.backends.nft.write.pieces import Pieces

TURN = Path(__file__).with_name("nodes_turn.py")


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


def rows(size: Size, count: int, rounds: int) -> Iterator[str]:
    """The table's rows."""
    nodes = [node_name(number * size.nodes // count) for number in range(count)]
    program = netpolc.compile(netpolc.load([str(cached(size))]))
    pairs: list[tuple[Steps, Steps]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(rounds):
            say(f"round {number}")
            shared = steps(program, nodes, folder, lambda own: own)
            alone = steps(program, nodes, folder, lambda own: replace(own, pieces=Pieces()))
            if not shared.size == alone.size > 0:
                raise ValueError(f"{shared.size} bytes, and {alone.size} with nothing shared")
            pairs.append((shared, alone))
    what = f"{_named(size, count)}, {pairs[0][0].size / 1e6:,.0f} MB"
    for name, anchor, measured, target in (
        ("all of it", "nothing shared", [(a.total, b.total) for a, b in pairs], "<= 0.5"),
        ("text and digest", "nothing shared", [(a.text, b.text) for a, b in pairs], ""),
        ("text and digest", "the write", [(a.text, a.write) for a, _ in pairs], "<= 4"),
        ("text and digest, nothing shared", "the write", [(b.text, b.write) for _, b in pairs], ""),
        ("lowering", "the write", [(a.lower, a.write) for a, _ in pairs], ""),
    ):
        yield Ratio(f"{what}: {name}", anchor, tuple(measured), target).row()


def rows_against(before: Path, size: Size, count: int, rounds: int) -> Iterator[str]:
    """What all of it costs, over what it costs in another build; processes of both take turns."""
    what = [str(cached(size)), str(count)]
    pairs: list[tuple[dict[str, float], dict[str, float]]] = []
    for number in range(rounds):
        say(f"turn {number}")
        pairs.append((turn(HERE, TURN, what), turn(before, TURN, what)))
    totals = tuple((sum(own.values()), sum(other.values())) for own, other in pairs)
    written = tuple((other["text"], other["write"]) for _, other in pairs)
    name = _named(size, count)
    yield Ratio(f"{name}: all of it", "the build before", totals, "<= 0.5").row()
    yield Ratio(f"{name}: text and digest of the build before", "its write", written).row()


def _named(size: Size, count: int) -> str:
    return f"{size.name}: {count:,} of {size.nodes:,} nodes"


@click.command()
@click.option("--size", type=click.Choice(sorted(SIZES)), default="L", show_default=True)
@click.option("--nodes", default=1000, show_default=True, help="How many of its nodes.")
@click.option("--rounds", default=3, show_default=True, help="Rounds of every row.")
@click.option(
    "--before",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Against the build in this worktree, which has its extension built.",
)
def main(size: str, nodes: int, rounds: int, before: Path | None) -> None:
    """Print what it costs to write the rulesets of many nodes as a Markdown table."""
    chosen = SIZES[size]
    count = min(nodes, chosen.nodes)
    print(f"{machine()}\n\n{HEADER}")
    for row in (
        rows(chosen, count, rounds)
        if before is None
        else rows_against(before.resolve(), chosen, count, rounds)
    ):
        print(row, flush=True)


if __name__ == "__main__":
    main()
