"""The loop of the agent: events in, the table of this node made right, for as long as it runs.

Comes in: events of the API server (`Inbox`), changes of the table by others, signals. Goes out: the
table, kept as the objects of the cluster say. Nothing is loaded before every kind was listed once.
What is refused is told, and tried again; the table in force stays, also when the agent ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import inf
from select import POLLIN, poll

from netpolc.agent.enforcer import Enforcer
from netpolc.agent.host import HostAddresses
from netpolc.agent.inbox import Inbox
from netpolc.agent.intake import Intake
from netpolc.agent.pace import Pace, Retry
from netpolc.agent.running import Duty
from netpolc.agent.telling.report import Report
from netpolc.agent.upkeep import Upkeep
from netpolc.backends.nft import Ruleset
from netpolc.core.errors import NetpolcError
from netpolc.live import Live

TICK = 1.0
"""Seconds between two looks at what nobody tells of."""


class Agent:
    """One node's table; `kinds` are what must have been listed, or be known to be absent, before
    anything is loaded. `check_seconds` is the time between two comparisons with what is made from
    scratch. With `duty` it enforces only while no other agent of this node does. `addresses` are
    read now and then: those of the host, whatever its object lists. `clock` tells the seconds, the
    same to all that wait here.
    """

    def __init__(
        self,
        live: Live,
        enforcer: Enforcer,
        inbox: Inbox,
        report: Report,
        duty: Duty | None = None,
        *,
        kinds: Iterable[str],
        check_seconds: float = inf,
        addresses: Callable[[], Iterable[int]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live, self._enforcer, self._inbox = live, enforcer, inbox
        self._report, self._duty = report, duty
        self._intake = Intake(live, report, kinds)
        self._upkeep, self._clock = Upkeep(live, enforcer, report, check_seconds, clock), clock
        self._batch, self._pace, self._retry = self._intake.batch, Pace(clock), Retry()
        self._host = HostAddresses(live, report, addresses, clock)
        self._ruleset: Ruleset | None = None

    @property
    def enforced(self) -> Ruleset | None:
        """The ruleset that is in force; None before the first one."""
        return self._ruleset

    def check_soon(self) -> None:
        """Compare with what is made from scratch as soon as may be."""
        self._upkeep.check_soon()

    def run(self, goes_on: Callable[[], bool], fileno: int) -> None:
        """Go on until `goes_on`, which is asked when `fileno` can be read, says that it is over."""
        try:
            while True:
                if fileno in self._waited(fileno) and not goes_on():
                    return
                self.step()
        finally:
            self._upkeep.check.abandon()

    def wait(self, until: float) -> None:
        """Wait for an event, until then."""
        polled = poll()
        polled.register(self._inbox.fileno(), POLLIN)
        polled.poll(max(0.0, min(until, self.due()) - self._clock()) * 1000)

    def step(self) -> None:
        """Do all that is due now."""
        self._report.alive()
        self._intake.take(self._inbox.take())
        if not self._intake.synced or not self._on_duty():
            self._report.tick(self._duty)
            return
        self._look_at_host()
        self._look_at_answers()
        now = self._clock()
        if now >= min(self._batch.due(), self._retry.at):
            self._enforce(now)
        if self._ruleset is not None and self._has_to_repair():
            self._repair(self._ruleset)
        if self._batch.first == inf and self._ruleset is not None:
            if self._upkeep.look(self._ruleset):
                self._batch.add(self._clock())
            self._report.tick(self._duty)

    def due(self) -> float:
        """When the next step is to be, if nothing happens before."""
        tick = min(self._clock() + TICK, self._enforcer.answers_due())
        if not self._intake.synced:
            return tick
        foreign = self._ruleset is not None and self._enforcer.foreign()
        repair = self._pace.next() if foreign else inf
        return min(self._batch.due(), self._retry.at, repair, tick)

    def _waited(self, fileno: int) -> set[int]:
        """Wait for whatever comes first; what can be read then."""
        polled, check = poll(), self._upkeep.check
        for own in (fileno, self._inbox.fileno(), self._enforcer.fileno()):
            polled.register(own, POLLIN)
        if check.busy:
            polled.register(check.fileno(), POLLIN)
        left = max(0.0, self.due() - self._clock())
        return {descriptor for descriptor, _ in polled.poll(left * 1000)}

    def _look_at_host(self) -> None:
        """Hear of addresses that came or went; an event of the own node asks for that."""
        if self._intake.own_node:
            self._intake.own_node = False
            self._host.soon()
        if self._host.look():
            self._batch.add(self._clock())

    def _look_at_answers(self) -> None:
        """Forget what answers to flows of pods that are gone began anew, when that is due."""
        if self._enforcer.answers_due() <= self._clock():
            try:
                self._enforcer.forget_answers()
            except NetpolcError as error:
                self._report.failed(error)

    def _on_duty(self) -> bool:
        """Whether this agent is the one that enforces."""
        has = self._duty is None or self._duty.taken()
        self._report.standby(not has)
        if has and self._ruleset is None and self._batch.first == inf:
            self._batch.add(self._clock())
        return has

    def _enforce(self, now: float) -> None:
        """Make the table what the objects say now."""
        first = self._batch.first
        try:
            ruleset = self._live.ruleset()
            sent = self._enforcer.enforce(ruleset)
        except NetpolcError as error:
            self._retry.failed(now)
            self._batch.applied(now)
            self._report.failed(error)
            return
        done = self._clock()
        self._retry.worked()
        self._batch.applied(done)
        is_new = self._ruleset is None or self._ruleset.digest != ruleset.digest
        self._ruleset = ruleset
        self._report.enforced(ruleset, sent, done - now, done - first if first != inf else None)
        self._report.objects(self._live.refused)
        self._upkeep.sent(sent, is_new=is_new)

    def _has_to_repair(self) -> bool:
        return bool(self._enforcer.foreign()) and self._pace.next() <= self._clock()

    def _repair(self, ruleset: Ruleset) -> None:
        """Bring back the table that somebody else changed."""
        changes = list(self._enforcer.foreign())
        try:
            sent = self._enforcer.repair(ruleset)
        except NetpolcError as error:
            self._pace.spend()
            self._report.failed(error)
            return
        self._upkeep.sent(sent, is_new=False)
        again = sent.changed and self._pace.spend()
        by = [own.process for own in changes if own.process]
        self._report.repaired(len(changes), by, sent, again)
