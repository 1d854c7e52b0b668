"""The loop of the agent: events in, the table of this node made right, for as long as it runs.

Comes in: events of the API server (`Inbox`), changes of the table by others, signals. Goes out: the
table, kept as the objects of the cluster say. Nothing is loaded before every kind was listed once.
What is refused is told, and tried again; the table in force stays, also when the agent ends.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from math import inf
from select import POLLIN, poll

from netpolc.agent.enforcer import Enforcer, Sent
from netpolc.agent.inbox import Arrived, Inbox
from netpolc.agent.pace import Batch, Pace, Retry
from netpolc.agent.report import Report
from netpolc.agent.running import Seat
from netpolc.agent.selfcheck import DIFFERS, FAILED, MODIFIED, SelfCheck
from netpolc.apiserver import Absent, Changed, Event, Gone, Listed, Trouble
from netpolc.backends.nft import Ruleset
from netpolc.compiler import compile
from netpolc.core.errors import NetpolcError
from netpolc.live import KINDS, Live

TICK = 1.0
"""Seconds between two looks at what nobody tells of."""
SAVE_QUIET, SAVE_LATEST = 5.0, 60.0
"""A ruleset is kept for the next boot when it has stood for so long, or after so long at most."""
COLLECT = 60.0
"""Seconds between two collections of what leads to itself."""


class Agent:
    """One node's table; `kinds` are what must have been listed, or be known to be absent, before
    anything is loaded. `check_seconds` is the time between two comparisons with what is made from
    scratch.
    """

    def __init__(
        self,
        live: Live,
        enforcer: Enforcer,
        inbox: Inbox,
        report: Report,
        seat: Seat | None = None,
        *,
        kinds: Iterable[str],
        check_seconds: float = inf,
    ) -> None:
        self._live, self._enforcer, self._inbox = live, enforcer, inbox
        self._report, self._seat = report, seat
        self._missing = set(kinds)
        self._batch, self._pace, self._retry = Batch(), Pace(), Retry()
        self._ruleset: Ruleset | None = None
        self._check, self._check_seconds = SelfCheck(), check_seconds
        self._check_at, self._commits_then = time.monotonic() + check_seconds, 0
        self._commits = 0
        self._save_at, self._save_by = inf, inf
        self._collect_at = inf
        report.missing(self._missing)

    @property
    def enforced(self) -> Ruleset | None:
        """The ruleset that is in force; None before the first one."""
        return self._ruleset

    @property
    def synced(self) -> bool:
        """Whether all that has to be known was told."""
        return not self._missing

    def check_soon(self) -> None:
        """Compare with what is made from scratch as soon as may be."""
        self._check_at = time.monotonic()

    def run(self, signals: Callable[[], bool], fileno: int) -> None:
        """Go on until `signals`, which is asked when `fileno` can be read, says that it is over."""
        try:
            while True:
                if fileno in self._waited(fileno) and not signals():
                    return
                self.step()
        finally:
            self._check.abandon()

    def wait(self, until: float) -> None:
        """Wait for an event, until then."""
        polled = poll()
        polled.register(self._inbox.fileno(), POLLIN)
        polled.poll(max(0.0, min(until, self.due()) - time.monotonic()) * 1000)

    def step(self) -> None:
        """Do all that is due now."""
        self._report.alive()
        for arrived in self._inbox.take():
            self._take(arrived)
        if not self.synced or not self._has_seat():
            return
        now = time.monotonic()
        if now >= min(self._batch.due(), self._retry.at):
            self._enforce(now)
        if (
            self._ruleset is not None
            and self._enforcer.foreign()
            and self._pace.next() <= time.monotonic()
        ):
            self._repair()
        self._look_after(time.monotonic())

    def due(self) -> float:
        """When the next step is to be, if nothing happens before."""
        tick = time.monotonic() + TICK
        if not self.synced:
            return tick
        foreign = self._ruleset is not None and self._enforcer.foreign()
        repair = self._pace.next() if foreign else inf
        return min(self._batch.due(), self._retry.at, repair, tick)

    def _waited(self, fileno: int) -> set[int]:
        """Wait for whatever comes first; what can be read then."""
        polled = poll()
        for own in (fileno, self._inbox.fileno(), self._enforcer.fileno()):
            polled.register(own, POLLIN)
        if self._check.busy:
            polled.register(self._check.fileno(), POLLIN)
        left = max(0.0, self.due() - time.monotonic())
        return {descriptor for descriptor, _ in polled.poll(left * 1000)}

    def _take(self, arrived: Arrived) -> None:
        """One event, into the objects that are known."""
        moment, event = arrived
        if not isinstance(event, Trouble) and event.kind not in KINDS:
            return
        try:
            known = self._known(event)
        except NetpolcError as error:  # no object of any kind: the server would not send it
            self._report.refused_event(event.kind, str(error))
            return
        if known:
            self._missing.discard(event.kind)
            self._report.missing(self._missing)
            self._batch.add(moment)

    def _known(self, event: Event) -> bool:
        """Whether an event says something of objects."""
        self._report.event(event)
        match event:
            case Listed():
                self._live.replace(event.kind, event.documents)
            case Absent():
                self._live.replace(event.kind, ())
            case Changed():
                self._live.change(event.document)
            case Gone():
                self._live.remove(event.kind, event.namespace, event.name)
            case Trouble():
                return False
        return True

    def _has_seat(self) -> bool:
        """Whether this agent is the one that enforces."""
        has = self._seat is None or self._seat.taken()
        self._report.standby(not has)
        if has and self._ruleset is None and self._batch.first == inf:
            self._batch.add(time.monotonic())
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
        done = time.monotonic()
        self._retry.worked()
        self._batch.applied(done)
        self._accepted(ruleset, sent)
        self._report.enforced(ruleset, sent, done - now, done - first if first != inf else None)
        self._report.objects(self._live.refused)
        if self._collect_at == inf:
            gc.collect()
            gc.freeze()  # what was read first stays for long: it need not be looked at again
            self._collect_at = done + COLLECT

    def _accepted(self, ruleset: Ruleset, sent: Sent) -> None:
        self._commits += sent.changed
        if self._ruleset is None or self._ruleset.digest != ruleset.digest:
            now = time.monotonic()
            self._save_at = now + SAVE_QUIET
            self._save_by = min(self._save_by, now + SAVE_LATEST)
        self._ruleset = ruleset

    def _repair(self) -> None:
        """Bring back the table that somebody else changed."""
        assert self._ruleset is not None
        by = [own.process for own in self._enforcer.foreign() if own.process]
        count = len(self._enforcer.foreign())
        try:
            sent = self._enforcer.repair(self._ruleset)
        except NetpolcError as error:
            self._pace.spend()
            self._report.failed(error)
            return
        self._commits += sent.changed
        again = sent.changed and self._pace.spend()
        self._report.repaired(count, by, sent, again)

    def _look_after(self, now: float) -> None:
        """What is done now and then, when nothing else is."""
        if self._check.busy:
            self._hear_check()
        elif now >= self._check_at and self._ruleset is not None and self._batch.first == inf:
            self._begin_check(self._ruleset)
        if self._batch.first != inf:
            return
        if now >= min(self._save_at, self._save_by) and self._ruleset is not None:
            self._save_at = self._save_by = inf
            try:
                self._enforcer.save(self._ruleset)
            except NetpolcError as error:
                self._report.failed(error)
        if now >= self._collect_at:
            self._collect_at = now + COLLECT
            gc.collect()
        self._report.tick(self._seat)

    def _begin_check(self, ruleset: Ruleset) -> None:
        live, table = self._live, self._enforcer.table
        self._check_at = time.monotonic() + self._check_seconds
        self._commits_then = self._commits
        self._check.begin(
            ruleset.digest,
            lambda: compile(live.snapshot()).ruleset(live.node, live.options).digest,
            lambda: Enforcer(table).content(),
        )

    def _hear_check(self) -> None:
        found = self._check.finished()
        if found is None:
            return
        if found.result == MODIFIED and self._commits != self._commits_then:
            self._report.checked("overtaken", "")  # it was changed while it was read
            return
        self._report.checked(found.result, found.why)
        if found.result == DIFFERS:
            self._live.forget()
        if found.result in (DIFFERS, MODIFIED):
            self._enforcer.distrust()
            self._batch.add(time.monotonic())
        elif found.result == FAILED:
            self._check_at = min(self._check_at, time.monotonic() + 60)
