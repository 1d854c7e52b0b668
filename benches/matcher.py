"""`python -m benches.matcher`: every figure of the matcher as one Markdown table.

In: the number of rounds. Out: rows for BENCHMARKS.md on standard output. Subject and anchor take
turns in every round, and what counts is their ratio in the same round; rates are the median. The
clock is the process's CPU time, but for threads, where it is the wall's.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pytricia
import radix
import SubnetTree
from numpy.typing import NDArray

from benches.ceiling import ceiling
from benches.measure import machine
from benches.programs import PORTS, program
from benches.timing import gc_off
from netpolc.backends.matcher import Matcher, RadixTree
from netpolc.backends.matcher._core import simd_levels
from netpolc.core.nets import IPV6, format_address

ROWS = 1_000_000
CALLS = 20_000
HEADER = (
    "| what | M/s | anchor | anchor, M/s | ratio, median | lowest - highest | target |\n"
    "|---|---|---|---|---|---|---|"
)
Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Line:
    """A subject and its anchor, each with how many answers a call of it gives."""

    name: str
    subject: Step
    count: int
    anchor_name: str
    anchor: Step
    anchor_count: int
    target: str = ""
    clock: Callable[[], float] = time.process_time

    def row(self, rounds: int) -> str:
        """Measure and format."""
        rates: list[tuple[float, float]] = []
        with gc_off():
            for number in range(rounds + 1):
                pair = (
                    self._rate(self.subject, self.count),
                    self._rate(self.anchor, self.anchor_count),
                )
                if number:  # the first round warms caches
                    rates.append(pair)
        ratios = sorted(own / other for own, other in rates)
        own, other = (median(side) / 1e6 for side in zip(*rates, strict=True))
        return (
            f"| {self.name} | **{own:.4g}** | {self.anchor_name} | {other:.4g} "
            f"| **{median(ratios):.2f}** | {ratios[0]:.2f} - {ratios[-1]:.2f} | {self.target} |"
        )

    def _rate(self, step: Step, count: int) -> float:
        start = self.clock()
        step()
        return count / (self.clock() - start)


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Random flows between pods; one end in ten is somewhere else."""

    src: NDArray[Any]
    dst: NDArray[Any]
    protocol: NDArray[np.uint8]
    port: NDArray[np.uint16]

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        return self.src, self.dst, self.protocol, self.port


def traffic(addresses: list[int], rows: int = ROWS, seed: int = 1) -> Traffic:
    """Over IPv4 pods as uint32, over IPv6 pods as (n, 16) uint8."""
    rng = np.random.default_rng(seed)
    protocol = np.where(rng.random(rows) < 0.1, 17, 6).astype(np.uint8)
    port = rng.choice(np.array(PORTS, dtype=np.uint16), rows)
    if addresses[0] >= IPV6:
        packed = b"".join((a - IPV6).to_bytes(16, "big") for a in addresses)
        pods6 = np.frombuffer(packed, dtype=np.uint8).reshape(-1, 16)
        ends6 = [pods6[rng.integers(len(pods6), size=rows)] for _ in range(2)]
        for end in ends6:
            end[rng.random(rows) < 0.1, 8] ^= 0x80
        return Traffic(ends6[0], ends6[1], protocol, port)
    pods = np.array(addresses, dtype=np.uint32)
    ends = [rng.choice(pods, rows) for _ in range(2)]
    for end in ends:
        outside = rng.random(rows) < 0.1
        end[outside] = rng.integers(1 << 32, size=int(outside.sum()), dtype=np.uint32)
    return Traffic(ends[0], ends[1], protocol, port)


def made(simd: str, pods: int, classes: int, *, ipv6: bool = False) -> tuple[Matcher, list[int]]:
    os.environ["NETPOLC_SIMD"] = simd
    built = program(pods, classes, ipv6=ipv6)
    return Matcher(built), list(built.pods_by_address)


def no_op(src: object, dst: object, protocol: object, port: object) -> bool:
    return True


def calls(rounds: int) -> Iterator[str]:
    """One flow a call, from Python."""
    matcher, pods = made(simd_levels()[-1], 10_000, 700)
    flows = [
        (format_address(pods[n * 7 % 10_000]), format_address(pods[n * 13 % 10_000]), "TCP", 80)
        for n in range(CALLS)
    ]
    known = {flow: matcher.verdict(*flow) for flow in flows}
    verdict = matcher.verdict

    def ask() -> None:
        for src, dst, protocol, port in flows:
            verdict(src, dst, protocol, port)

    def nothing() -> None:
        for src, dst, protocol, port in flows:
            no_op(src, dst, protocol, port)

    def look_up() -> None:
        for src, dst, protocol, port in flows:
            known[src, dst, protocol, port]

    name = "`verdict(str, str, str, int)`, 10,000 pods"
    yield Line(name, ask, CALLS, "Python function that does nothing", nothing, CALLS,
               ">= 8 M/s, >= 0.4").row(rounds)  # fmt: skip
    yield Line(name, ask, CALLS, "dict of tuples", look_up, CALLS).row(rounds)


def prefixes(rounds: int) -> Iterator[str]:
    """`RadixTree` against other longest-prefix tables."""
    rng = np.random.default_rng(2)
    items = [(f"10.{n >> 8}.{n & 255}.0/24", n) for n in range(10_000)]
    texts = [f"10.{a}.{b}.{c}" for a, b, c in rng.integers((0, 0, 0), (39, 256, 256), (CALLS, 3))]
    numbers = [int.from_bytes(bytes(map(int, text.split("."))), "big") for text in texts]
    tree, tricia = RadixTree(items), pytricia.PyTricia()
    other, subnets = radix.Radix(), SubnetTree.SubnetTree()
    for prefix, value in items:
        tricia[prefix] = value
        other.add(prefix).data["value"] = value
        subnets[prefix] = value

    def each(lookup: Callable[[Any], object], keys: list[Any]) -> Step:
        def run() -> None:
            for key in keys:
                lookup(key)

        return run

    own = each(tree.lookup, texts)
    for name, anchor, target in (
        ("pytricia", each(tricia.get, texts), ">= 2.5"),
        ("py-radix", each(other.search_best, texts), ""),
        ("pysubnettree", each(subnets.__getitem__, texts), ""),
    ):
        yield Line("`RadixTree.lookup(str)`, 10,000 prefixes", own, CALLS, name, anchor, CALLS,
                   target).row(rounds)  # fmt: skip
    yield Line("`RadixTree.lookup(int)`", each(tree.lookup, numbers), CALLS, "pytricia, int",
               each(tricia.get, numbers), CALLS, ">= 8").row(rounds)  # fmt: skip
    column = array("I", numbers * 20)
    yield Line("`RadixTree.lookup_batch(uint32)`", lambda: tree.lookup_batch(column),
               len(column), "pytricia, int", each(tricia.get, numbers), CALLS
               ).row(rounds)  # fmt: skip


def columns(rounds: int) -> Iterator[str]:
    """NumPy and Arrow columns, by the code that judges them."""
    targets = {"scalar": ">= 60 M/s, >= 0.5", "sse41": "", "avx2": "",
               "avx512": ">= 100 M/s, >= 0.8"}  # fmt: skip
    for simd in simd_levels():
        matcher, pods = made(simd, 10_000, 700)
        flows = traffic(pods)
        anchor = ceiling(matcher, flows.columns)

        def line(
            name: str, step: Step, target: str, simd: str = simd, anchor: Step = anchor
        ) -> str:
            return Line(f"{simd}: {name}", step, ROWS, "nine independent loads", anchor, ROWS,
                        target).row(rounds)  # fmt: skip

        if simd != "sse41":
            yield line("uint32 columns, 10,000 pods, 700 classes",
                       lambda m=matcher, f=flows: m.verdicts(*f.columns),  # type: ignore[misc]
                       targets[simd])  # fmt: skip
        texts, indices = arrow_tables(pods, flows)
        yield line("Arrow text columns", lambda m=matcher, t=texts: m.verdicts_arrow(t),  # type: ignore[misc]
                   ">= 30 M/s" if simd != "scalar" else "")  # fmt: skip
        if simd != "sse41":
            yield line("Arrow dictionary columns",
                       lambda m=matcher, t=indices: m.verdicts_arrow(t),  # type: ignore[misc]
                       ">= 140 M/s")  # fmt: skip
            six, pods6 = made(simd, 10_000, 700, ipv6=True)
            flows6 = traffic(pods6)
            yield line("(n, 16) uint8 columns, 10,000 IPv6 pods",
                       lambda m=six, f=flows6: m.verdicts(*f.columns),  # type: ignore[misc]
                       ">= 35 M/s")  # fmt: skip


def forms(rounds: int) -> Iterator[str]:
    """The vectorised forms of the loops against the portable one, in turns."""
    for pods in (10_000, 100_000):
        portable, addresses = made("scalar", pods, 700)
        flows = traffic(addresses)
        for simd in simd_levels()[2:]:  # sse41 is a parser
            matcher, _ = made(simd, pods, 700)
            yield Line(f"{simd}: uint32 columns, {pods:,} pods",
                       lambda m=matcher, f=flows: m.verdicts(*f.columns),  # type: ignore[misc]
                       ROWS, "the portable form",
                       lambda m=portable, f=flows: m.verdicts(*f.columns),  # type: ignore[misc]
                       ROWS, ">= 1.2").row(rounds)  # fmt: skip


def arrow_tables(pods: list[int], flows: Traffic) -> tuple[pa.Table, pa.Table]:
    """The same traffic as text, and as indices into the pods' addresses."""
    names = np.array([format_address(a) for a in pods], dtype=object)
    rng = np.random.default_rng(3)
    rows = len(flows.port)
    ends = [rng.integers(len(names), size=rows) for _ in range(2)]
    rest = [pa.array(flows.protocol), pa.array(flows.port)]
    labels = ["src", "dst", "protocol", "port"]
    text = [pa.array(names[end]) for end in ends]
    coded = [pa.DictionaryArray.from_arrays(pa.array(end.astype(np.int32)), names) for end in ends]
    return pa.table([*text, *rest], labels), pa.table([*coded, *rest], labels)


def growth(rounds: int) -> Iterator[str]:
    """Larger clusters, more classes, another thread."""
    best = simd_levels()[-1]
    for pods, classes in (
        (1_000, 100), (10_000, 100), (10_000, 1_000), (10_000, 5_000), (100_000, 1_000),
        (1_000_000, 1_000),
    ):  # fmt: skip
        start = time.process_time()
        matcher, addresses = made(best, pods, classes)
        seconds = time.process_time() - start
        flows = traffic(addresses)
        name = (
            f"{best}: {pods:,} pods, {sum(matcher.classes):,} classes, "
            f"{matcher.nbytes / 2**20:.1f} MiB, made in {seconds:.2f} s"
        )
        target = ">= 55 M/s" if pods == 100_000 else ""
        anchor = ceiling(matcher, flows.columns)
        yield Line(name, lambda m=matcher, f=flows: m.verdicts(*f.columns),  # type: ignore[misc]
                   ROWS, "nine independent loads", anchor, ROWS, target).row(rounds)  # fmt: skip
    for simd in (simd_levels()[0], best):
        matcher, addresses = made(simd, 10_000, 700)
        flows = traffic(addresses, 16 * ROWS)
        yield Line(f"{simd}: two threads",
                   lambda m=matcher, f=flows: m.verdicts(*f.columns, threads=2),  # type: ignore[misc]
                   16 * ROWS, "one thread",
                   lambda m=matcher, f=flows: m.verdicts(*f.columns),  # type: ignore[misc]
                   16 * ROWS, ">= 1.7", time.perf_counter).row(rounds)  # fmt: skip


@click.command()
@click.option("--rounds", default=15, show_default=True, help="Rounds of every row.")
def main(rounds: int) -> None:
    """Print every figure of the matcher as a Markdown table."""
    print(f"{machine()}\n\n{HEADER}")
    for group in (calls, prefixes, columns, forms, growth):
        for row in group(rounds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
