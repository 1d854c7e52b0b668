"""`python -m benches.dataplane [--rounds N]`: what rulesets cost a forwarded packet.

In: the numbers of rounds and of connections. Out: Markdown tables for BENCHMARKS.md on standard
output, progress on standard error. Refused: a machine without what `tests.helpers.lab` needs;
without iptables-legacy or ipset their lane is missing, and the table says so.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles

import click

from benches.dataplane import alternatives as other_shapes
from benches.dataplane import parts, rulesets, tiers
from benches.dataplane.clusters import Scenario, mixed, overlapping, stacked
from benches.dataplane.frames import Connection
from benches.dataplane.lanes import Lanes, Times
from benches.measure import machine, say
from netpolc.core.nets import Family
from tests.helpers.lab import unavailable

STACKED, OVERLAPPING, MIXED = (10, 100, 1_000), (1_000,), (120, 820)
ROUNDS, CONNECTIONS = 40, 500
HOOKS = ("forward", "postrouting")
OPENING, DENIED, KNOWN = "first packet", "denied", "established"


class SoftirqThread:
    """How much of the work went to the kernel's own thread, whose time no sender is charged."""

    def __init__(self) -> None:
        self._before = self._nanoseconds(), self._own()

    def share(self) -> float:
        """Its CPU time since the beginning, relative to that of this process."""
        own = self._own() - self._before[1]
        return (self._nanoseconds() - self._before[0]) / own if own else 0.0

    @staticmethod
    def _own() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return 1e9 * (used.ru_utime + used.ru_stime)

    @staticmethod
    def _nanoseconds() -> int:
        total = 0
        for name in Path("/proc").glob("[0-9]*/comm"):
            if name.read_text(encoding="ascii", errors="replace").startswith("ksoftirqd/"):
                total += int(name.with_name("schedstat").read_text(encoding="ascii").split()[0])
        return total


def cell(times: Times, name: str, base: str = rulesets.EMPTY) -> str:
    """Median and quartiles of the ratio to another lane, the one without rules unless told."""
    if name not in times:
        return "not measured"
    ratios = [own / other for own, other in zip(times[name], times[base], strict=True)]
    low, _, high = quantiles(ratios, n=4)
    return f"**{median(ratios):.2f}** ({low:.2f}-{high:.2f})"


def rows(scenario: Scenario, rounds: int) -> Iterator[str]:
    """A row a lane: first packets that are allowed, that are denied, established ones."""
    label = _label(scenario)
    say(label)
    loads = rulesets.loads(scenario)
    with Lanes(loads, rulesets.OPEN) as lanes:
        opening = lanes.opening(scenario.allowed, rounds, allowed=True)
        denied = lanes.opening(scenario.denied, rounds, allowed=False)
        known = lanes.established(scenario.allowed, rounds)
    base = [f"{median(times[rulesets.EMPTY]):.0f} ns" for times in (opening, denied, known)]
    yield f"| {label} | {rulesets.EMPTY} | {' | '.join(base)} |"
    for name in (*loads, *({rulesets.IPTABLES} - set(loads))):
        if name != rulesets.EMPTY:
            cells = " | ".join(cell(times, name) for times in (opening, denied, known))
            yield f"| | {name} | {cells} |"


def scenarios(connections: int, largest: int) -> Iterator[Scenario]:
    """Every cluster of at most `largest` policies, in both families."""
    for make, sizes in ((stacked, STACKED), (overlapping, OVERLAPPING), (mixed, MIXED)):
        for policies in sizes:
            if policies <= largest:
                for version in Family:
                    yield make(policies, version, connections)


def versions() -> str:
    """The programs whose rulesets are compared."""
    words = [machine()]
    for command in (["nft", "--version"], ["iptables-legacy", "--version"], ["ipset", "--version"]):
        if command[0] == "nft" or rulesets.missing() is None:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            words.append(done.stdout.splitlines()[0].partition(" (")[0])
    return ", ".join(words)


def print_parts(rounds: int) -> None:
    """The table of single rules."""
    print("| rule | ns, median | quartiles | constant of `cost.py` |\n|---|---|---|---|")
    for part, middle, low, high in parts.measure(rounds):
        name = f"`{part.constant}`" if part.constant else ""
        print(f"| {part.name} | **{middle:.0f}** | {low:.0f}-{high:.0f} | {name} |")


def print_bridges(rounds: int, connections: int, largest: int) -> None:
    """The table of what the rules for bridges cost packets that leave by none, and by one."""
    print(f"| cluster | leaves by | without them | {OPENING}: with | {DENIED}: with |")
    print("|---|---|---|---|---|")
    without, own = rulesets.UNBRIDGED, rulesets.NETPOLC
    for scenario in scenarios(connections, largest):
        for bridge, leaves in (("", "a veth"), ("cni0", "a bridge of pods")):
            with Lanes(rulesets.bridges(scenario), (), bridge) as lanes:
                opening = lanes.opening(_single(scenario.allowed), rounds, allowed=True)
                denied = lanes.opening(_single(scenario.denied), rounds, allowed=False)
            cells = f"{median(opening[without]):.0f} ns | {cell(opening, own, without)}"
            cells += f" | {cell(denied, own, without)}"
            print(f"| {_label(scenario)} | {leaves} | {cells} |", flush=True)


def print_pending(rounds: int, connections: int) -> None:
    """The table of what `--pending deny` costs packets of pods that are known."""
    print(f"| cluster | {OPENING}, by default | with it | {DENIED}: with it | {KNOWN}: with it |")
    print("|---|---|---|---|---|")
    own, base = rulesets.PENDING, rulesets.NETPOLC
    for policies in MIXED:
        for version in Family:
            scenario = mixed(policies, version, connections)
            with Lanes(rulesets.pending(scenario), (rulesets.EMPTY,)) as lanes:
                opening = lanes.opening(scenario.allowed, rounds, allowed=True)
                denied = lanes.opening(scenario.denied, rounds, allowed=False)
                known = lanes.established(scenario.allowed, rounds)
            cells = " | ".join(cell(times, own, base) for times in (opening, denied, known))
            print(f"| {_label(scenario)} | {median(opening[base]):.0f} ns | {cells} |", flush=True)


def print_tiers(rounds: int, connections: int) -> None:
    """The table of what an ordered tier costs beside NetworkPolicies alone."""
    for version in Family:
        scenario = mixed(MIXED[0], version, connections)
        say(_label(scenario))
        texts = tiers.texts(scenario)
        loaded = {name: rulesets.text_load(text) for name, text in texts.items()}
        with Lanes(loaded, (rulesets.EMPTY,)) as lanes:
            opening = lanes.opening(scenario.allowed, rounds, allowed=True)
            denied = lanes.opening(scenario.denied, rounds, allowed=False)
            known = lanes.established(scenario.allowed, rounds)
        loads = tiers.loads(texts, max(4, rounds // 4))
        base = rulesets.NETPOLC
        print(f"{_label(scenario)}: load {loads[base] * 1000:.0f} ms\n")
        print(f"| Admin list | {OPENING} | {DENIED} | {KNOWN} / no rules | load | elements |")
        print("|---|---|---|---|---|---|")
        for name, text in texts.items():
            if name != rulesets.EMPTY:
                cells = f"{cell(opening, name, base)} | {cell(denied, name, base)}"
                cells += f" | {cell(known, name)} | {loads[name] / loads[base]:.2f}"
                print(f"| {name} | {cells} | {tiers.elements(text):,} |", flush=True)
        print()


def print_alternatives(hook: str, rounds: int, connections: int, largest: int, pods: int) -> None:
    """The table of shapes that the ruleset could have; `pods` are in the largest cluster."""
    print(
        f"| cluster, `{hook}` | shape | {OPENING} | {DENIED} | {KNOWN} | beyond an accept |", end=""
    )
    print(" load: text | messages | elements | kernel |\n" + "|---" * 10 + "|")
    for version in Family:
        scenario = mixed(min(MIXED[-1], largest), version, connections, pods)
        label = _label(scenario)
        say(label)
        shapes = other_shapes.shapes(scenario, hook)
        loads = {n: rulesets.text_load(text) for n, text in other_shapes.texts(shapes).items()}
        with Lanes(loads, rulesets.OPEN) as lanes:
            opening = lanes.opening(scenario.allowed, rounds, allowed=True)
            denied = lanes.opening(scenario.denied, rounds, allowed=False)
            known = lanes.established(scenario.allowed, rounds)
        for name in (rulesets.AGAIN, rulesets.ACCEPT):
            cells = " | ".join(cell(times, name) for times in (opening, denied, known))
            print(f"| {label} | {name} | {cells} | | | | | |", flush=True)
        for name, own in other_shapes.costs(shapes, max(2, rounds // 8)).items():
            cells = " | ".join(cell(times, name) for times in (opening, denied, known))
            sent = f"{own.messages:.2f}" if own.messages is not None else ""
            row = f"| {label} | {name} | {cells} | {_beyond(opening, name):.2f} | {own.text:.2f} |"
            print(f"{row} {sent} | {shapes[name].elements:,} | {own.memory:.1f} MiB |", flush=True)


def _beyond(times: Times, name: str) -> float:
    """What a ruleset adds to that which accepts everything, relative to what netpolc's adds."""
    base = median(_added(times, rulesets.NETPOLC))
    return median(_added(times, name)) / base


def _added(times: Times, name: str) -> list[float]:
    several = zip(times[name], times[rulesets.ACCEPT], times[rulesets.EMPTY], strict=True)
    return [(own - accept) / empty for own, accept, empty in several]


def _single(connections: Sequence[Connection]) -> list[Connection]:
    """Those to no group and no link-local address, which are judged otherwise on a bridge."""
    return [
        own
        for own in connections
        if own.destination[0] < (224 if len(own.destination) == 4 else 254)
    ]


def _label(scenario: Scenario) -> str:
    return f"{scenario.name}, {scenario.family.name.replace('IPV', 'IPv')}"


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(2))
@click.option("--connections", default=CONNECTIONS, show_default=True, type=click.IntRange(1))
@click.option("--largest", default=1_000, show_default=True, help="Policies, at most.")
@click.option("--parts", "only_parts", is_flag=True, help="Time single rules, not rulesets.")
@click.option("--bridges", "only_bridges", is_flag=True, help="Time netpolc's rules for bridges.")
@click.option("--tiers", "only_tiers", is_flag=True, help="Time an ordered tier before policies.")
@click.option("--alternatives", type=click.Choice(list(HOOKS)), help="Time other shapes there.")
@click.option("--pods", default=10_000, show_default=True, help="Pods of the alternatives.")
@click.option("--pending", "only_pending", is_flag=True, help="Time `--pending deny`.")
def main(
    rounds: int,
    connections: int,
    largest: int,
    only_parts: bool,
    only_bridges: bool,
    only_tiers: bool,
    alternatives: str | None,
    pods: int,
    only_pending: bool,
) -> None:
    """Print what rulesets cost a forwarded packet, as Markdown tables."""
    reason = unavailable()
    if reason is not None:
        raise click.ClickException(reason)
    print(f"{versions()}\n")
    softirq = SoftirqThread()
    chosen = only_parts, only_bridges, only_tiers, only_pending, alternatives
    if only_parts:
        print_parts(rounds)
    elif only_bridges:
        print_bridges(rounds, connections, largest)
    elif only_tiers:
        print_tiers(rounds, connections)
    elif alternatives is not None:
        print_alternatives(alternatives, rounds, connections, largest, pods)
    elif only_pending:
        print_pending(rounds, connections)
    else:
        print(f"| cluster | ruleset | {OPENING} | {DENIED} | {KNOWN} |\n|---|---|---|---|---|")
        for scenario in scenarios(connections, largest):
            for row in rows(scenario, rounds):
                print(row, flush=True)
    if rulesets.missing() is not None and not any(chosen):
        print(f"\n{rulesets.IPTABLES}: not measured, {rulesets.missing()} is not installed")
    print(f"\nksoftirqd used {softirq.share():.1%} of the CPU time of the measuring process.")


if __name__ == "__main__":
    sys.exit(main())
