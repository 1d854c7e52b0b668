"""`python -m benches.random_events`: random events on a whole cluster, compared with fresh loads.

In: a size, numbers of events and of checkpoints. Out: how often the ruleset of a `Live` differed
from what the same objects give when they are loaded and compiled afresh, and what the events cost.
Ends with 1 if one did. Events are those of `tests/helpers/events.py`, of all kinds: lists that
alone tell what is gone, odd objects, ordered tiers, policies, namespaces, nodes.
"""

from __future__ import annotations

import json
import sys
from random import Random

import click

import netpolc
from benches.pods import node_name
from benches.timing import timed
from benches.workloads import SIZES, cached
from netpolc.core.errors import NetpolcError
from netpolc.live import Live
from tests.helpers.events import Happening

NODE = node_name(0)


def is_same(live: Live, happening: Happening) -> bool:
    """Whether text, digest and notes are those of a fresh load."""
    afresh = netpolc.load_objects(happening.documents, odd_objects="isolate")
    other, own = netpolc.compile(afresh).ruleset(NODE), live.ruleset()
    notes = own.owners.notes == other.owners.notes
    return own.text() == other.text() and own.digest == other.digest and notes


def differences(happening: Happening, events: int, checkpoints: int) -> int:
    """Make events; at how many of the checkpoints the two differed."""
    live, found, seconds = Live(NODE), 0, 0.0
    happening.fill(live)
    live.ruleset()
    begun = sum(live.work.compiled.values())
    for number in range(1, events + 1):
        spent, name = timed(lambda: _turn(happening, live))
        seconds += spent
        if number % (events // checkpoints) == 0 and not is_same(live, happening):
            found += 1
            print(f"event {number}, {name}: differs", flush=True)
    compiled = sum(live.work.compiled.values()) - begun
    print(f"{events} events, {checkpoints} checkpoints: {found} differences")
    print(f"compiled {compiled} times; {seconds * 1000 / events:.2f} ms of CPU time an event")
    return found


def _turn(happening: Happening, live: Live) -> str:
    name = happening.event(live)
    live.ruleset()
    return name


@click.command()
@click.option("--size", default="M", show_default=True, help="S, M or L.")
@click.option("--events", default=10_000, show_default=True, help="How many.")
@click.option("--checkpoints", default=500, show_default=True, help="Comparisons among them.")
@click.option("--seed", default=1, show_default=True, help="Others are other events.")
def main(size: str, events: int, checkpoints: int, seed: int) -> None:
    """Make random events and count differences."""
    if not 0 < checkpoints <= events:
        raise click.UsageError("there is a checkpoint at least, and an event to each")
    objects = json.loads(cached(SIZES[size]).read_bytes())["items"]
    happening = Happening(Random(seed), 0, 0, begun=objects)
    try:
        sys.exit(1 if differences(happening, events, checkpoints) else 0)
    except NetpolcError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
