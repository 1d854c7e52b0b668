"""Tables that follow a `Live` by deltas are those that a fresh load of the same objects leaves."""

from __future__ import annotations

import os
from random import Random

import pytest

import netpolc
from netpolc.live import Live
from tests.helpers.events import Happening
from tests.helpers.lab import Injector, Router
from tests.helpers.places import TABLE, FakePlace, Place, RealPlace, no_open_flows

EVENTS = int(os.environ.get("NETPOLC_EVENTS", "300"))
"""How many are made in memory."""
IN_KERNEL = 1000
"""How many are made in the kernel."""


def follow(place: Place, happening: Happening, events: int, checked: int) -> int:
    """Update the table after every few events; how many updates were deltas."""
    live = Live("node-a")
    happening.fill(live)
    place.begin()
    kernel = place.kernel()
    deltas = 0
    for number in range(events):
        happening.event(live)
        if number % 4 == 0:
            ruleset = live.ruleset()
            done = place.update(kernel, ruleset, {})
            if done.moved:
                kernel.settle(ruleset)
            deltas += bool(done.delta)
        if number % checked == 0:
            kernel.update(live.ruleset())
            kernel.settle(live.ruleset())
            snapshot = netpolc.load_objects(happening.documents, odd_objects="isolate")
            place.fresh.load(netpolc.compile(snapshot).ruleset("node-a"))
            assert place.contents(kernel) == place.contents(place.fresh)
            assert kernel.facts.noted(TABLE) == place.fresh.facts.noted(TABLE)
    return deltas


def test_in_memory() -> None:
    with no_open_flows():
        assert follow(FakePlace(), Happening(Random(7), 80, 14), EVENTS, 20) > 20


@pytest.mark.kernel
def test_in_the_kernel(injector: Injector) -> None:
    with Router() as fresh:
        happening = Happening(Random(8), 60, 10)
        assert follow(RealPlace(injector, fresh), happening, IN_KERNEL, 50) > 100
    injector.flush()
