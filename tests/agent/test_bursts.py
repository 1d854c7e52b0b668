"""Bursts of events, by a clock that the test moves: nothing waits for real.

In: a thousand events of pods, in several rhythms, and what a change costs. Out: how many changes
reach the table, how old an event is when it is in force, the last ruleset.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import accumulate
from math import inf

import pytest

import netpolc
from netpolc.agent.enforcer import Enforcer, Sent
from netpolc.agent.inbox import Inbox
from netpolc.agent.loop import Agent
from netpolc.agent.pace import Batch
from netpolc.agent.telling.log import LogLines
from netpolc.agent.telling.report import Report
from netpolc.apiserver import Changed, Event, Gone, Listed
from netpolc.backends.nft import Ruleset
from netpolc.live import KINDS, Live
from tests.agent.stage import NODE, cluster
from tests.helpers.manifests import Manifest, pod

EVENTS = 1000
COST = 0.014
"""Seconds that a change of the table takes."""
MOST, OLDEST = 25, 0.25
RHYTHMS = {
    "at once": [0.0] * EVENTS,
    "every millisecond": [0.001] * EVENTS,
    "every four": [0.004] * EVENTS,
    "chunks after 50 ms of quiet": [0.05 if turn % 25 == 0 else 0.0 for turn in range(EVENTS)],
    "chunks after 150 ms of quiet": [0.15 if turn % 40 == 0 else 0.0 for turn in range(EVENTS)],
}


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Table(Enforcer):
    """Keeps rulesets in place of the kernel; each takes a while."""

    def __init__(self, clock: Clock) -> None:
        self.table, self._clock = "netpolc", clock
        self.rulesets: list[Ruleset] = []

    def foreign(self) -> list[object]:  # type: ignore[override]
        return []

    def answers_due(self) -> float:
        return inf

    def enforce(self, ruleset: Ruleset) -> Sent:
        self.rulesets.append(ruleset)
        self._clock.now += COST
        return Sent("changed")


class Play:
    """An agent that has loaded a cluster; it is woken by events, and when it wants to be."""

    def __init__(self, inbox: Inbox, clock: Clock, arrival: Clock) -> None:
        self._clock, self._arrival, self._inbox = clock, arrival, inbox
        self.table, self.oldest = Table(clock), 0.0
        report = Report(NODE, LogLines(lambda line: None))
        self._agent = Agent(Live(NODE), self.table, inbox, report, kinds=KINDS, clock=clock)
        for kind in KINDS:
            own = [document for document in cluster(0) if document["kind"] == kind]
            inbox.put(Listed(kind, own, "1"))
        self._agent.step()

    def hear(self, events: list[Event], gaps: list[float]) -> int:
        """Tell events, each so long after the one before; how many changes that made."""
        before, unapplied = len(self.table.rulesets), list[float]()
        began = self._clock.now
        arrivals = [began + gap for gap in accumulate(gaps)]
        coming = deque(zip(arrivals, events, strict=True))
        while coming or unapplied:
            while coming and coming[0][0] <= self._clock.now:
                self._arrival.now, event = coming.popleft()
                self._inbox.put(event)
                unapplied.append(self._arrival.now)
            count = len(self.table.rulesets)
            self._agent.step()
            if len(self.table.rulesets) > count and unapplied:
                self.oldest = max(self.oldest, self._clock.now - unapplied[0])
                unapplied.clear()
            next_event = coming[0][0] if coming else inf
            self._clock.now = max(self._clock.now, min(self._agent.due(), next_event))
        return len(self.table.rulesets) - before


@contextmanager
def played() -> Iterator[Play]:
    clock, arrival = Clock(), Clock()
    with closing(Inbox(arrival)) as inbox:
        yield Play(inbox, clock, arrival)


def clients(count: int) -> list[Manifest]:
    numbers = range(count)
    return [pod(f"x/c-{n}", f"10.1.{n // 250}.{n % 250 + 1}", app="client") for n in numbers]


def scratch(objects: list[Manifest]) -> str:
    return netpolc.compile(netpolc.load_objects(objects)).ruleset(NODE).text()


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_a_thousand_events_are_at_most_25_changes_none_older_than_250_ms(rhythm: str) -> None:
    pods = clients(EVENTS)
    with played() as play:
        changes = play.hear([Changed("Pod", own) for own in pods], RHYTHMS[rhythm])
        assert 0 < changes <= MOST
        assert 0 < play.oldest <= OLDEST
        assert play.table.rulesets[-1].text() == scratch([*cluster(0), *pods])


def test_pods_that_come_and_go_in_any_rhythm_end_as_from_scratch() -> None:
    chosen = random.Random(7)
    known = {own["metadata"]["name"]: own for own in clients(200)}
    there: dict[str, Manifest] = {}
    events: list[Event] = []
    for _ in range(EVENTS):
        name = chosen.choice(list(known))
        if there.pop(name, None) is None:
            there[name] = known[name]
            events.append(Changed("Pod", known[name]))
        else:
            events.append(Gone("Pod", "x", name))
    gaps = [chosen.choice((0.0, 0.0, 0.0, 0.001, 0.01, 0.035)) for _ in events]
    scale = 4.0 / sum(gaps)
    with played() as play:
        changes = play.hear(events, [own * min(1.0, scale) for own in gaps])
        assert 0 < changes <= MOST
        assert play.oldest <= OLDEST
        assert play.table.rulesets[-1].text() == scratch([*cluster(0), *there.values()])


def test_a_lone_event_is_applied_at_once() -> None:
    with played() as play:
        pods = clients(30)
        assert play.hear([Changed("Pod", own) for own in pods], [1.0] * 30) == 30
        assert play.oldest == pytest.approx(COST)


def test_many_small_bursts_are_slowed_to_one_change_in_200_ms() -> None:
    batch, began = Batch(), []
    for turn in range(400):
        now = turn * 0.05
        while batch.due() < now:
            began.append(batch.due())
            batch.applied(batch.due())
        batch.add(now)
    assert 95 <= len(began) <= 105
    assert began[:2] == [0.0, 0.05]
