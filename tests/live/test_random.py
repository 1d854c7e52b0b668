"""After any events a `Live` has the bytes that a compilation of the same objects has."""

from __future__ import annotations

import os
from random import Random

import pytest

import netpolc
from netpolc.backends.nft import Options
from netpolc.backends.nft.lower import cost
from netpolc.live import Live
from tests.helpers.events import Happening
from tests.helpers.layouts import prefer_maps

EVENTS = int(os.environ.get("NETPOLC_EVENTS", "300"))
"""How many, in each of the runs; `NETPOLC_EVENTS=10000` takes some minutes."""
CHECKED = 12
"""Every so many events the two are compared."""


def agree(live: Live, happening: Happening, options: Options) -> None:
    snapshot = netpolc.load_objects(happening.documents, odd_objects="isolate")
    afresh = netpolc.compile(snapshot).ruleset("node-a", options)
    own = live.ruleset()
    assert own.text() == afresh.text()
    assert own.digest == afresh.digest
    assert own.owners.notes == afresh.owners.notes
    assert own.owners.local == afresh.owners.local


@pytest.mark.parametrize(
    ("seed", "pods", "policies", "calm", "options"),
    [
        (1, 150, 20, False, Options()),
        (2, 60, 8, False, Options(established="recheck", deny="reject")),
        (3, 200, 25, True, Options()),
        (4, 12, 4, True, Options(audit=True)),
        (5, 60, 8, False, Options(pending="deny", pod_cidrs=("10.0.0.0/22",))),
    ],
)
def test_any_events(seed: int, pods: int, policies: int, calm: bool, options: Options) -> None:
    run(seed, pods, policies, calm, options)


@pytest.mark.parametrize("options", [Options(), Options(established="recheck", audit=True)])
def test_any_events_where_pods_are_in_maps(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefer_maps(monkeypatch)
    run(6, 120, 20, False, options)


def test_any_events_where_some_lists_have_no_room_for_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lists come and go and grow, so each is asked by maps and rule by rule in turns."""
    prefer_maps(monkeypatch)
    monkeypatch.setattr(cost, "MAPPED", 256)
    run(7, 120, 20, False, Options())


def run(seed: int, pods: int, policies: int, calm: bool, options: Options) -> None:
    chance = Random(seed)
    happening = Happening(chance, pods, policies, calm=calm)
    live = Live("node-a", options)
    happening.fill(live)
    told: list[str] = []
    for number in range(EVENTS):
        told.append(happening.event(live))
        if number % 3 == 0:
            live.ruleset()
        if number % CHECKED == 0:
            try:
                agree(live, happening, options)
            except AssertionError:
                raise AssertionError(f"after {told[-CHECKED:]}, event {number}") from None
    assert sum(live.work.compiled.values()) < live.work.events
