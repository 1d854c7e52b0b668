"""`python -m benches.random_events`: random events on a whole cluster, compared with fresh loads.

In: a size, numbers of events and of checkpoints. Out: how often the ruleset of a `Live` differed
from what the same objects give when they are loaded and compiled afresh, and what the events cost.
Ends with 1 if one did. Events are those of `tests/helpers/events.py`, of all kinds: lists that
alone tell what is gone, odd objects, ordered tiers, policies, namespaces, nodes. Every tenth
comparison, and the last, is with `load_objects` of all objects; the others are with objects that
were read one by one, each once, as it is while it does not change: all else is made anew each time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from random import Random
from typing import Any

import click

import netpolc
from benches.pods import node_name
from benches.timing import timed
from benches.workloads import SIZES, cached
from netpolc.compiler import within_bounds
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import NetpolcError, Problems
from netpolc.frontends import Semantics, Treatment
from netpolc.frontends.single import ObjectReader, OneObject, together
from netpolc.live import Live
from netpolc.manifests import read_objects
from tests.helpers.events import Happening

NODE = node_name(0)
WHOLE = 10
"""Every so many comparisons all objects are loaded in one go."""


class Read:
    """Objects as they were read, for as long as they are there and stay as they are."""

    def __init__(self) -> None:
        self._reader = ObjectReader(Semantics.CURRENT)
        self._known: dict[int, tuple[object, OneObject]] = {}

    def snapshot(self, documents: Iterable[dict[str, Any]]) -> Snapshot:
        """The snapshot of these objects."""
        self._known = {id(own): (own, self._read(own)) for own in documents}
        every = (one for _, one in self._known.values())
        return within_bounds(together(every, Semantics.CURRENT), Treatment.ISOLATE)

    def _read(self, document: dict[str, Any]) -> OneObject:
        known = self._known.get(id(document))
        if known is not None:
            return known[1]
        (read,) = read_objects([document], Problems())
        return self._reader.read(read)


def is_same(live: Live, afresh: Snapshot) -> bool:
    """Whether text, digest and notes are those of a snapshot."""
    other, own = netpolc.compile(afresh).ruleset(NODE), live.ruleset()
    notes = own.owners.notes == other.owners.notes
    return own.text() == other.text() and own.digest == other.digest and notes


def differences(happening: Happening, events: int, checkpoints: int) -> int:
    """Make events; at how many of the checkpoints the two differed."""
    live, found, seconds = Live(NODE), 0, 0.0
    happening.fill(live)
    live.ruleset()
    begun, read, every = live.work.compiled.copy(), Read(), events // checkpoints
    for number in range(1, events + 1):
        spent, name = timed(lambda: _turn(happening, live))
        seconds += spent
        if number % every:
            continue
        if number % (every * WHOLE) and number + every <= events:
            afresh = read.snapshot(happening.documents)
        else:
            afresh = netpolc.load_objects(happening.documents, odd_objects="isolate")
            print(f"event {number}: {found} differences until now", file=sys.stderr, flush=True)
        if not is_same(live, afresh):
            found += 1
            print(f"event {number}, {name}: differs", flush=True)
    compiled = live.work.compiled - begun
    print(f"{events} events, {checkpoints} checkpoints: {found} differences")
    each = f"{seconds * 1000 / events:.2f} ms of CPU time an event"
    print(f"compiled {sum(compiled.values())} times; {each}")
    for reason, times in compiled.most_common():
        print(f"{times:6} {reason}")
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
