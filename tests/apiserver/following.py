"""Reflectors of tests: stepped by hand on one thread, at a clock that nobody waits for."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from netpolc.apiserver import Access, Changed, Event, Gone, Listed
from netpolc.apiserver.access.credentials import Token
from netpolc.apiserver.client import Client
from netpolc.apiserver.follow.backoff import Gate
from netpolc.apiserver.follow.reflector import Reflector
from netpolc.apiserver.resources import RESOURCES, Resource
from tests.helpers.apiserver import ApiServer

POD = next(own for own in RESOURCES if own.kind == "Pod")
CLUSTER_POLICY = next(own for own in RESOURCES if own.kind == "ClusterNetworkPolicy")


def access(server: ApiServer) -> Access:
    """As the agent's service account."""
    return Access(server.url, Token("first-token"), authority_file=str(server.ca_file))


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Stepped:
    """One reflector; watches of it last a second of `timeoutSeconds`."""

    server: ApiServer
    resource: Resource = POD
    clock: Clock = field(default_factory=Clock)
    gate: Gate | None = None
    told: list[Event] = field(default_factory=list)
    chance: float = 0.0

    def __post_init__(self) -> None:
        gate = self.gate or Gate(self.clock, lambda: self.chance)
        self.reflector = Reflector(
            Client(access(self.server)),
            self.resource,
            gate,
            self.told.append,
            clock=self.clock,
            chance=lambda: self.chance,
            watch_seconds=1.0,
        )
        self.steps: Iterator[float] = self.reflector.steps()

    def step(self, count: int = 1) -> list[float]:
        """So many steps; what they waited for is waited."""
        waits = []
        for _ in range(count):
            waits.append(next(self.steps))
            self.clock.now += waits[-1]
        return waits

    def state(self) -> dict[tuple[str, str], Any]:
        """The objects as the events tell them, by namespace and name, with their labels."""
        found: dict[tuple[str, str], Any] = {}
        for event in self.told:
            if isinstance(event, Listed):
                found = dict(_entry(own) for own in event.documents)
            elif isinstance(event, Changed):
                found |= [_entry(event.document)]
            elif isinstance(event, Gone):
                found.pop((event.namespace, event.name), None)
        return found

    def close(self) -> None:
        """Let go of the server."""
        self.reflector.stop()
        self.reflector.run()

    def kinds(self) -> list[str]:
        """What was told, without the objects."""
        return [type(own).__name__ for own in self.told]


def _entry(document: dict[str, Any]) -> tuple[tuple[str, str], Any]:
    own = document["metadata"]
    return (own.get("namespace", ""), own["name"]), own.get("labels")


def simulate(several: Sequence[Stepped], clock: Clock, until: float) -> None:
    """Step reflectors as threads would, each when its wait is over."""
    order = itertools.count()
    due = [(clock.now, next(order), own) for own in several]
    heapq.heapify(due)
    while due and due[0][0] <= until:
        at, _, own = heapq.heappop(due)
        clock.now = max(clock.now, at)
        heapq.heappush(due, (clock.now + next(own.steps), next(order), own))
    clock.now = until
