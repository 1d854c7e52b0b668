"""What the agent does now and then, when nothing else is to be done.

Comes in: the ruleset in force. Goes out: it is kept for the next boot, compared with what is made
from scratch and with what the kernel lists, and memory that leads to itself is freed.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from math import inf

from netpolc.agent.enforcer import Enforcer, Sent
from netpolc.agent.selfcheck import DIFFERS, FAILED, MODIFIED, SelfCheck
from netpolc.agent.telling.report import Report
from netpolc.backends.nft import Ruleset
from netpolc.compiler import compile
from netpolc.core.errors import NetpolcError
from netpolc.live import Live

SAVE_QUIET, SAVE_LATEST = 5.0, 60.0
"""A ruleset is kept for the next boot when it has stood for so long, or after so long at most."""
SAVE_AGAIN = 60.0
"""Seconds until one that could not be kept is tried again."""
COLLECT = 60.0
"""Seconds between two collections of what leads to itself."""
CHECK_AGAIN = 60.0
"""Seconds until a comparison that failed is made again."""


class Upkeep:
    """Of one agent; `check_seconds` is the time between two comparisons."""

    def __init__(
        self,
        live: Live,
        enforcer: Enforcer,
        report: Report,
        check_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._live, self._enforcer, self._report = live, enforcer, report
        self.check, self._check_seconds = SelfCheck(), check_seconds
        self._check_at = self._clock() + check_seconds
        self._commits = self._commits_then = 0
        self._save_at = self._save_by = inf
        self._collect_at = inf

    def check_soon(self) -> None:
        """Compare as soon as may be."""
        self._check_at = self._clock()

    def sent(self, sent: Sent, *, is_new: bool) -> None:
        """The table was made right; `is_new` if by another ruleset."""
        self._commits += sent.changed
        now = self._clock()
        if is_new:
            self._save_at = now + SAVE_QUIET
            self._save_by = min(self._save_by, now + SAVE_LATEST)
        if self._collect_at == inf:
            gc.collect()
            gc.freeze()  # what was read first stays for long: it need not be looked at again
            self._collect_at = now + COLLECT

    def look(self, ruleset: Ruleset) -> bool:
        """Do what is due; whether the table has to be made right once more."""
        now, wrong = self._clock(), False
        if self.check.busy:
            wrong = self._hear_check()
        elif now >= self._check_at:
            self._begin_check(ruleset)
        if now >= min(self._save_at, self._save_by):
            self._save_at = self._save_by = inf
            try:
                self._enforcer.save(ruleset)
            except NetpolcError as error:
                self._report.log.warning(f"not kept for the next boot, and tried again: {error}")
                self._save_at = now + SAVE_AGAIN
        if now >= self._collect_at:
            self._collect_at = now + COLLECT
            gc.collect()
        return wrong

    def _begin_check(self, ruleset: Ruleset) -> None:
        live, table = self._live, self._enforcer.table
        self._check_at = self._clock() + self._check_seconds
        self._commits_then = self._commits
        self.check.begin(
            ruleset.digest,
            lambda: compile(live.snapshot()).ruleset(live.node, live.options).digest,
            lambda: Enforcer(table).content(),
        )

    def _hear_check(self) -> bool:
        found = self.check.finished()
        if found is None:
            return False
        if found.result == MODIFIED and self._commits != self._commits_then:
            self._report.checked("overtaken", "")  # it was changed while it was read
            return False
        self._report.checked(found.result, found.why)
        if found.result == DIFFERS:
            self._live.forget()
        if found.result in (DIFFERS, MODIFIED):
            self._enforcer.distrust()
            return True
        if found.result == FAILED:
            self._check_at = min(self._check_at, self._clock() + CHECK_AGAIN)
        return False
