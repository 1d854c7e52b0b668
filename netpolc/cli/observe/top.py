"""`netpolc top`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from netpolc.agent.running import ENFORCES, running, waiting
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.signals.counters import rates
from netpolc.cli import options, table_options, terminal
from netpolc.cli.observe.counting import WORDS, read_counters
from netpolc.compiler import Program
from netpolc.core.errors import SystemRefusal

_HEADERS = ("pod", "direction", "packets/s", "packets", "result", "isolated by")
_NUMBERS = ("packets/s", "packets")


@click.command()
@options.optional_paths
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two readings.",
)
@click.option("--once", is_flag=True, help="Print one table, after one interval.")
@table_options.table
@options.reading
def top(
    paths: tuple[str, ...], interval: float, once: bool, table: str, reading: options.Reading
) -> None:
    """Show how many packets of each pod are denied, live, the busiest first.

    PATHs name the pods; without them addresses are shown. On a terminal the table is drawn anew
    every interval until Ctrl-C; in a pipe, or with --once, it is printed once.

    \b
    Examples:
      netpolc top cluster/
      netpolc top cluster/ --interval 0.5
      netpolc top cluster/ --once
    """
    program = reading.around_odd().program(paths) if paths else None
    enforcing = running(table)
    for agent in [enforcing] if enforcing is not None else waiting(table):
        if agent.ready:
            continue
        how = f"{agent.phase}: {agent.waits}" if agent.phase != ENFORCES else agent.waits
        terminal.warn(f"note: the agent (process {agent.process}) is not ready: {how}")
    readings = _readings(table, program, interval)
    if once or not terminal.is_terminal():
        terminal.table(_HEADERS, next(readings), _NUMBERS)
    else:
        terminal.live_table(_HEADERS, readings, _NUMBERS)


def _readings(table: str, program: Program | None, interval: float) -> Iterator[list[list[str]]]:
    """The rows of the table after each interval; `SystemRefusal` once it is not loaded."""
    channel = Channel()
    before = read_counters(channel, table, program)
    read_at = time.monotonic()
    while before is not None:
        time.sleep(interval)
        after = read_counters(channel, table, program)
        if after is None:
            break
        now = time.monotonic()
        lost = max(0, after.invalid - before.invalid) / (now - read_at)
        of_none = ["-", "-", f"{lost:.1f}", str(after.invalid), "invalid", "no connection"]
        yield [
            [
                rate.count.pod,
                rate.count.direction,
                f"{rate.per_second:.1f}",
                str(rate.count.packets),
                WORDS[rate.count.audited],
                ", ".join(rate.count.policies),
            ]
            for rate in rates(before, after, now - read_at)
        ] + ([of_none] if after.invalid else [])
        before, read_at = after, now
    raise SystemRefusal(f"table inet {table} is not loaded")
