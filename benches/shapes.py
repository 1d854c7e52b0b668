"""What each stage costs for hostile shapes of policies, at a size and at twice the size.

    python -m benches.shapes                      # every shape and stage
    python -m benches.shapes --shape ranges --stage ruleset

In: names of shapes and stages. Out: a row for each: CPU time at both sizes, how many times it grew
(2 is linear), and how many times the output of the stage did, or `Run.size` if that grew more.
Both sizes are timed in turns, the figure is the ratio of the lowest of each. Exit code 1 if one
grew more than `LIMIT` times, and that for each time that the output doubled. Nothing is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from math import log2

import click

import netpolc
from benches.hostile import NODE, SHAPES, Shape
from benches.steps import forget_memos
from benches.timing import timed
from netpolc.analysis.connectivity.table import Table
from netpolc.analysis.explain import explain, formats
from netpolc.analysis.explain.policy import describe, text
from netpolc.analysis.findings import check
from netpolc.backends.matcher import tables
from netpolc.backends.nft.write.delta import delta
from netpolc.core.ir import ANY
from netpolc.passes.identify import pod_peers, selected

LIMIT = 2.3
LEAST = 0.002
"""Below so many CPU seconds at twice the size a ratio says nothing."""
ENOUGH = 0.3
"""CPU seconds after which more rounds would say little."""
MOST_ROUNDS = 7


class Run:
    """A shape of one size with what its stages need, made once."""

    def __init__(self, shape: Shape, size: int, options: netpolc.Options) -> None:
        nodes = [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
            for name in (NODE, "node-b")
        ]
        self.objects = [*nodes, *shape(size)]
        self.options = options
        self.snapshot = netpolc.load_objects(self.objects)
        self.program = netpolc.compile(self.snapshot)
        self.before = netpolc.compile(self._smaller()).ruleset(NODE, options).objects

    @cached_property
    def size(self) -> int:
        """Tuples of the program, the identities in them, and the pods of all selectors, which are
        what a policy is measured by (`passes/bound.py`).
        """
        peers = dict.fromkeys(peer for own in self.snapshot.policies for peer in pod_peers(own))
        chosen = sum(selected(self.snapshot.cluster, peers))
        tiers = (tier for own in self.program.combinations for tier in own.tiers)
        matches = [rule.match for tier in tiers for rule in tier.rules]
        return (
            chosen
            + len(matches)
            + sum(len(m.identities) for m in matches if m.identities is not ANY)
        )

    def _smaller(self) -> netpolc.Snapshot:
        """Without the last policy or, if there is but one, the last rule."""
        *rest, last = self.objects
        spec = {
            key: value[:-1] if key in ("ingress", "egress") else value
            for key, value in last["spec"].items()
        }
        return netpolc.load_objects([*rest, {**last, "spec": spec}])

    def load(self) -> int:
        netpolc.load_objects(self.objects)
        return len(self.objects)

    def compile(self) -> int:
        netpolc.compile(self.snapshot)
        return self.size

    def check(self) -> int:
        return sum(len(found.message) for found in check(self.snapshot, self.program))

    def ruleset(self) -> int:
        program = netpolc.Program(
            self.program.cluster, self.program.identities, self.program.combinations
        )
        return len(program.ruleset(NODE, self.options).text())

    def delta(self) -> int:
        program = netpolc.Program(
            self.program.cluster, self.program.identities, self.program.combinations
        )
        found = delta("netpolc", self.before, program.ruleset(NODE).objects)
        return found.lines if found is not None else 0

    def matcher(self) -> int:
        found = tables.build_tables(self.program)
        blocks = found.egress_blocks.nbytes + found.ingress_blocks.nbytes
        return found.pairs.nbytes + blocks + found.bits.nbytes

    def list(self) -> int:
        return sum(1 + len(found.ports.spans) for found in Table(self.program).connections())

    def explain(self) -> int:
        policy = self.snapshot.policies[-1]
        said = describe(self.snapshot, policy)
        flow = netpolc.Flow("30.0.0.1", "10.0.0.1", "TCP", 9)
        found = explain(self.program, self.snapshot, flow)
        lines = [line.text for line in formats.text((found,))]
        return sum(len(line) for line in (*lines, *text(said)))


STAGES = ("load", "compile", "check", "ruleset", "delta", "matcher", "list", "explain")
OPTIONS = {
    "plain": netpolc.Options(),
    "recheck": netpolc.Options(established="recheck", deny="reject", audit=True),
}


def measured(runs: Sequence[Run], stage: str, rounds: int) -> tuple[list[float], list[int]]:
    """CPU seconds of a stage of some runs, and how much they gave.

    They run in turns, quick ones more often: in at least `rounds` and until all took `ENOUGH`. The
    lowest counts: what others do on the machine can only add to it.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    given = [0] * len(runs)
    while len(seconds[0]) < rounds or sum(map(sum, seconds)) < ENOUGH:
        for at, run in enumerate(runs):
            forget_memos()
            spent, given[at] = timed(getattr(run, stage))
            seconds[at].append(spent)
        if len(seconds[0]) >= MOST_ROUNDS:
            break
    return [min(own) for own in seconds], given


@click.command()
@click.option("--shape", "shapes", multiple=True, help="Only these shapes.")
@click.option("--stage", "stages", multiple=True, type=click.Choice(STAGES), help="Only these.")
@click.option("--options", "chosen", default="plain", type=click.Choice(list(OPTIONS)))
@click.option("--rounds", default=3, help="At least so many.")
@click.option("--scale", default=1.0, help="Multiplies the sizes.")
def main(
    shapes: Sequence[str], stages: Sequence[str], chosen: str, rounds: int, scale: float
) -> None:
    """Print how each stage grows for each shape when it doubles."""
    worst: list[str] = []
    print("| shape | n, 2n | stage | CPU at n | at 2n | grew | output grew |")
    print("|---|---|---|---|---|---|---|")
    for shape, least in SHAPES.items():
        if shapes and shape.__name__ not in shapes:
            continue
        size = int(least * scale)
        runs = [Run(shape, own, OPTIONS[chosen]) for own in (size, 2 * size)]
        for stage in stages or STAGES:
            (once, twice), (few, many) = measured(runs, stage, rounds)
            grew, more = twice / once, many / few if few else 1.0
            more = max(more, runs[1].size / runs[0].size)
            is_odd = twice > LEAST and grew > LIMIT ** max(1, log2(more))
            mark = " **" if is_odd else ""
            cells = (shape.__name__, f"{size}, {2 * size}", stage, f"{1000 * once:.1f} ms")
            rest = f"{1000 * twice:.1f} ms", f"{grew:.2f}{mark}", f"{more:.2f}"
            print(f"| {' | '.join((*cells, *rest))} |", flush=True)
            if is_odd:
                worst.append(f"{shape.__name__}: {stage}")
    if worst:
        print(f"grew more than {LIMIT} times: {', '.join(worst)}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
