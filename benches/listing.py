"""`python -m benches.listing`: who can reach whom, against asking for every pair.

In: nothing but the number of rounds. Out: rows for BENCHMARKS.md. The anchor asks the slow
semantics for pairs of workloads, a flow at each end of a port range that any rule names, drawn at
random; its seconds a pair are scaled up to all pairs. Each sampled pair must come out alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from random import Random
from statistics import median

import click

import netpolc
from benches.timing import HEADER, Ratio, exponent, figure, timed
from benches.workloads import Size, cached
from netpolc.analysis.connectivity import Connection, Grouping, Party, Table
from netpolc.analysis.connectivity.exposure import Exposure, expose
from netpolc.analysis.connectivity.newcomers import with_newcomers
from netpolc.compiler import Program
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import ANY
from netpolc.core.nets import Family, Protocol, format_address, split_ports

GROWING = (Size("K2", 2_500, 250, 25), Size("K5", 5_000, 500, 50), Size("M", 10_000, 1_000, 100))
PAIRS = 200
Service = tuple[str, int]


def connections(program: Program, grouping: Grouping) -> tuple[Table, list[Connection]]:
    """Everything that `netpolc list` computes."""
    table = Table(program, grouping)
    return table, list(table.connections())


def exposed(snapshot: Snapshot) -> Exposure:
    """Everything that `netpolc list --exposure` computes, compilation included."""
    new = with_newcomers(snapshot)
    return expose(netpolc.compile(new.snapshot), new.pods)


def services(program: Program) -> list[Service]:
    """The first and the last port of every range that a rule names, and one that none does."""
    found = {("TCP", 9)}
    for combination in program.combinations:
        for tier in combination.tiers:
            for rule in tier.rules:
                for span in () if rule.match.ports is ANY else rule.match.ports:
                    protocol, first, last = split_ports(span)
                    found |= {(protocol.name, first), (protocol.name, last)}
    return sorted(found)


def pairs(table: Table, count: int, seed: int = 1) -> list[tuple[Party, Party]]:
    """Different workloads that have IPv4, at random."""
    able = [party for party in table.workloads if Family.IPV4 in party.places]
    rng = Random(seed)
    return [
        (able[one], able[other])
        for one, other in (rng.sample(range(len(able)), 2) for _ in range(count))
    ]


def naive(
    program: Program, drawn: list[tuple[Party, Party]], asked: list[Service]
) -> list[set[Service]]:
    """The services that the first pod of one reaches at the first pod of the other."""
    return [
        {
            (protocol, port)
            for protocol, port in asked
            if netpolc.evaluate(program, netpolc.Flow(one, other, protocol, port)).allowed
        }
        for one, other in ((_address(a), _address(b)) for a, b in drawn)
    ]


def _address(party: Party) -> str:
    return format_address(min(a for pod in party.pods for a in pod.addresses))


def against_pairs(size: Size, rounds: int) -> Ratio:
    """Listing all pairs, against asking for each of them."""
    program = netpolc.compile(netpolc.load([str(cached(size))]))
    asked = services(program)
    found = []
    for number in range(rounds + 1):  # the first finds the machine's memory, and does not count
        seconds, (table, listed) = timed(lambda: connections(program, Grouping.WORKLOAD))
        drawn = pairs(table, PAIRS, number)
        anchor, answers = timed(partial(naive, program, drawn, asked))
        check(table, drawn, asked, answers)
        found.append((seconds, anchor / PAIRS * len(table.workloads) ** 2))
    name = (
        f"list {len(table.workloads):,} workloads, {size.policies} policies, {len(listed):,} rows"
    )
    return Ratio(name, f"the semantics of every pair, {len(asked)} ports", tuple(found[1:]))


def check(
    table: Table,
    drawn: list[tuple[Party, Party]],
    asked: list[Service],
    answers: list[set[Service]],
) -> None:
    """Refuse to time two things that say different things."""
    for (source, destination), answer in zip(drawn, answers, strict=True):
        said = {
            (protocol, port)
            for found in table.between(source, destination)
            if Family.IPV4 in found.families
            for protocol, port in asked
            if Protocol[protocol] << 16 | port in found.ports
        }
        assert said == answer, (source.name, destination.name)


def growth(rounds: int) -> str:
    """The exponent of listing over parties, policies and rows of the result."""
    points, texts = [], []
    for size in GROWING:
        program = netpolc.compile(netpolc.load([str(cached(size))]))
        step = partial(connections, program, Grouping.WORKLOAD)
        runs = [timed(step) for _ in range(rounds + 1)]
        table, listed = runs[0][1]
        number = len(table.parties) + size.policies + len(listed)
        points.append((number, median(seconds for seconds, _ in runs[1:])))
        texts.append(f"{number:,}")
    steps = [exponent(pair) for pair in pairwise(points)]
    return (
        f"| growth of list: exponent over n = {', '.join(texts)} | n = parties + policies + rows "
        f"| **{figure(exponent(points))}** | {figure(min(steps))} - {figure(max(steps))} "
        f"| {len(points)} sizes | {figure(1000 * points[-1][1])} ms | about 1 |"
    )


def against_compile(
    name: str, size: Size, rounds: int, step: Callable[[Snapshot], object]
) -> Ratio:
    """A step against compiling the same snapshot."""
    snapshot = netpolc.load([str(cached(size))])
    found = []
    for _ in range(rounds + 1):
        anchor, _program = timed(lambda: netpolc.compile(snapshot))
        seconds, _result = timed(lambda: step(snapshot))
        found.append((seconds, anchor))
    return Ratio(name, "compile of the same", tuple(found[1:]))


def rows(rounds: int) -> Iterator[str]:
    """Every row."""
    middle, large = GROWING[1:]
    yield against_pairs(middle, rounds).row()
    yield against_compile(
        f"compile + list {large.pods:,} pods by identity, {large.policies:,} policies",
        large,
        rounds,
        lambda snapshot: connections(netpolc.compile(snapshot), Grouping.IDENTITY),
    ).row()
    yield against_compile(
        f"compile + list --exposure of {large.pods:,} pods, {large.policies:,} policies",
        large,
        rounds,
        exposed,
    ).row()
    yield growth(rounds)


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Rounds of every benchmark.")
def main(rounds: int) -> None:
    """Print the rows as a Markdown table."""
    print(HEADER)
    for row in rows(rounds):
        print(row, flush=True)


if __name__ == "__main__":
    main()
