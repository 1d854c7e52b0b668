"""`python -m benches.proof`: a complete proof of one node's ruleset, against making that ruleset.

In: the number of rounds. Out: rows for BENCHMARKS.md on standard output. The anchor is everything
that `compile` does for the same node in the same round: load, compile, ruleset, text. The subject
reads the text back and proves it, as `verify --ruleset` does. Refused: a ruleset that is not proven
in boxes. `--pairs` adds what the proof by pairs of addresses would take, from some that are drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import click

import netpolc
from benches.pods import node_name
from benches.steps import forget_memos
from benches.timing import HEADER, Ratio, timed
from benches.workloads import LOCAL_NODE, SIZES, cached, cached_node_cluster
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof import Proof
from netpolc.backends.nft.readback.proof.pairs import PairProof
from netpolc.core.nets import Family

PAIRS = 100
MANY_PODS = 10_000
NODES = (
    (120, 10_000, False, ""),
    (820, 10_000, False, "<= 1.0"),
    (820, 10_000, True, "<= 1.3"),
    (820, 100_000, False, "<= 2.5"),
)
"""Policies on a node, pods of the cluster, whether all have both families, the target."""
ANCHOR = "load + compile + ruleset + text"


@dataclass(frozen=True, slots=True)
class Round:
    """CPU seconds of the anchor, of reading the text back, and of the proof."""

    anchor: float
    parse: float
    proof: float


def one_round(path: Path, node: str) -> tuple[Round, netpolc.Program, Listing]:
    """Everything once, with the memos of functions emptied before."""
    forget_memos()
    loaded, snapshot = timed(lambda: netpolc.load([str(path)]))
    compiled, program = timed(lambda: netpolc.compile(snapshot))
    emitted, text = timed(lambda: program.ruleset(node=node).text())
    forget_memos()
    parsed, listing = timed(lambda: parse_text.parse(text))
    proven, found = timed(lambda: _proven(program, listing, node))
    if found:
        raise ValueError(found)
    return Round(loaded + compiled + emitted, parsed, proven), program, listing


def _proven(program: netpolc.Program, listing: Listing, node: str) -> str:
    """Why a ruleset is not proven in boxes; empty if it is."""
    proof = Proof(program, listing, node)
    return "\n".join(map(str, proof.first())) or proof.by_pairs


def by_pairs(program: netpolc.Program, listing: Listing, node: str) -> float:
    """CPU seconds that the proof by pairs would take, from pairs of classes at random."""
    proof = PairProof(program, listing, node)
    total = 0.0
    for version in Family:
        classes = proof.here.classes.addresses(version)
        rng = Random(1)
        drawn = [(rng.choice(classes), rng.choice(classes)) for _ in range(PAIRS)]
        seconds, _ = timed(lambda drawn=drawn: [list(proof.of_classes(*own)) for own in drawn])  # type: ignore[misc]
        total += seconds / PAIRS * len(classes) ** 2
    return total


def rows(name: str, path: Path, node: str, rounds: int, target: str, pairs: bool) -> Iterator[str]:
    """The rows of one cluster."""
    found: list[Round] = []
    for number in range(rounds + 1):  # the first finds the machine's memory, and does not count
        print(f"{name}, round {number}", file=sys.stderr, flush=True)
        own, program, listing = one_round(path, node)
        found.append(own)
    both = tuple((own.parse + own.proof, own.anchor) for own in found[1:])
    yield Ratio(f"{name}: read back and prove", ANCHOR, both, target).row()
    alone = tuple((own.proof, own.anchor) for own in found[1:])
    yield Ratio(f"{name}: prove", ANCHOR, alone).row()
    if pairs:
        slow = ((by_pairs(program, listing, node), found[-1].anchor),)
        yield Ratio(f"{name}: prove by pairs, from {2 * PAIRS} drawn", ANCHOR, slow).row()


@click.command()
@click.option(
    "--sizes", default="S,M,L", show_default=True, help="Clusters beside those of a node."
)
@click.option("--rounds", default=5, show_default=True, help="Rounds of every benchmark.")
@click.option("--pairs", is_flag=True, help="Estimate the proof by pairs of addresses, too.")
def main(sizes: str, rounds: int, pairs: bool) -> None:
    """Print the rows as a Markdown table."""
    print(HEADER)
    for policies, pods, dual, target in NODES:
        path = cached_node_cluster(policies, pods=pods, dual_stack=dual)
        name = f"{pods:,} pods{', dual stack' if dual else ''}, {policies} policies on a node"
        count = min(rounds, 3) if pods > MANY_PODS else rounds
        for row in rows(name, path, LOCAL_NODE, count, target, pairs and pods <= MANY_PODS):
            print(row, flush=True)
    for size in filter(None, sizes.split(",")):
        count = min(rounds, 3) if SIZES[size].pods > MANY_PODS else rounds
        name = f"{size}: {SIZES[size].pods:,} pods"
        for row in rows(name, cached(SIZES[size]), node_name(0), count, "", False):
            print(row, flush=True)


if __name__ == "__main__":
    main()
