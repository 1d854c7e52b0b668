"""What the agent tells of itself: numbers, lines of a log, whether it is alive and ready.

Comes in: what the loop does. Goes out: `Metrics`, the log, a file for `netpolc status`. What is the
same as a minute ago is not said again.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from netpolc._version import __version__
from netpolc.agent.enforcer import Sent
from netpolc.agent.pace import PACE
from netpolc.agent.running import ENFORCES, FIRST_SYNC, STANDS_BY, Duty, Running
from netpolc.agent.telling.log import LogLines
from netpolc.agent.telling.metrics import Metrics
from netpolc.apiserver import Absent, Event, Listed, Trouble
from netpolc.backends.nft import Ruleset
from netpolc.core.errors import NetpolcError
from netpolc.core.ir import Key

STUCK = 300.0
"""Seconds without a step after which the loop is thought to hang."""
AGAIN = 60.0
"""Seconds until the same trouble is told again."""
LONGEST = 1000
"""Characters that are told of what a server or the author of an object wrote."""
MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_STATE_SECONDS = 1.0


class Report:
    """One agent's; `notify` is told what systemd should know."""

    def __init__(
        self,
        node: str,
        log: LogLines,
        metrics: Metrics | None = None,
        notify: Callable[..., None] = lambda *_: None,
    ) -> None:
        self.log, self.metrics, self._notify = log, metrics or Metrics(), notify
        self.node, self._since, self._synced, self._digest = node, _now(), "", ""
        self.on_refused: Callable[[Key, str], None] = lambda key, why: None
        """Told of each object that is no longer enforced as written."""
        self._missing: list[str] = []
        self._standby = self._told_ready = False
        self._error = ""
        self._alive = time.monotonic()
        self._trouble: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._objects: Counter[str] = Counter()
        self._told: dict[str, tuple[str, float]] = {}
        self._written: tuple[Running | None, float] = None, 0.0
        self.metrics.set("netpolc_build_info", 1, version=__version__)
        self.metrics.set("netpolc_ready", 0)

    # What is asked, from any thread

    def ailing(self) -> str:
        """Why the agent should be started again: its loop hangs. An API server that is away is no
        reason, as starting again would not help.
        """
        silent = time.monotonic() - self._alive
        return f"the loop has done nothing for {silent:.0f} s" if silent > STUCK else ""

    def waiting(self) -> str:
        """What it waits for before what the API server says is in force; empty if that is so.

        One that stands by is ready: it takes over at once.
        """
        if self._missing:
            trouble = (f"{kind}: {said}" for kind, said in sorted(self._trouble.items()))
            return "; ".join([f"waits for {', '.join(self._missing)}", *trouble])
        if self._standby:
            return ""
        return self._error or ("" if self._digest else "nothing is loaded yet")

    # What the loop says

    def alive(self) -> None:
        """A step has begun."""
        self._alive = time.monotonic()

    def missing(self, kinds: Iterable[str]) -> None:
        """What has not been listed yet."""
        self._missing = sorted(kinds)

    def event(self, event: Event) -> None:
        """An event came."""
        kind = event.kind
        match event:
            case Trouble():
                self.metrics.add("netpolc_trouble_total", kind=kind)
                message = self._trouble[kind] = _cut(event.message)
                self._say_once(f"trouble {kind}", message, kind=kind)
                return
            case Absent():
                self.metrics.set("netpolc_absent", 1, kind=kind)
                self._say_once(f"absent {kind}", f"goes on without: {event.reason}", kind=kind)
            case Listed():
                self.metrics.add("netpolc_lists_total", kind=kind)
                self.metrics.set("netpolc_absent", 0, kind=kind)
                self._objects[kind] = len(event.documents)
            case _:
                self.metrics.add("netpolc_events_total", kind=kind)
        self._trouble.pop(kind, None)

    def refused_event(self, kind: str, why: str) -> None:
        """An event that says nothing of any object."""
        self._say_once(f"event {kind}", _cut(f"passed over: {why}"), kind=kind)

    def standby(self, is_so: bool) -> None:
        """Whether another agent enforces."""
        if is_so is not self._standby:
            self.log.info("another agent enforces; standing by" if is_so else "enforces now")
            self._standby = is_so
        self.metrics.set("netpolc_standby", int(is_so))

    def failed(self, error: NetpolcError) -> None:
        """The table could not be made right; that of before is in force."""
        self.metrics.add("netpolc_sync_errors_total")
        self._error = str(error)
        self._say_once("failed", f"the table in force stays: {error}")

    def enforced(
        self, ruleset: Ruleset, sent: Sent, seconds: float, since_event: float | None
    ) -> None:
        """The table is right, after so many seconds of work."""
        metrics = self.metrics
        metrics.observe("netpolc_sync_seconds", seconds)
        metrics.set("netpolc_last_sync_success_timestamp_seconds", time.time())
        if since_event is not None and self._digest:
            metrics.observe("netpolc_event_to_kernel_seconds", since_event)
        if sent.changed:
            metrics.add("netpolc_transactions_total", what=sent.what)
        if sent.what == "replaced":
            reason = "change" if self._digest else "start"
            metrics.add("netpolc_table_replacements_total", reason=reason)
        self._error, self._synced = "", _now()
        if not self._told_ready:
            self._told_ready = True
            metrics.set("netpolc_ready", 1)
            self._notify("READY=1")
            self.log.info(f"{sent.what}: the table is what the API server says", **_what(ruleset))
        elif sent.changed:
            self.log.info(f"{sent.what} {sent.said}".rstrip(), digest=ruleset.digest)
        self._digest = ruleset.digest

    def objects(self, refused: Mapping[Key, str]) -> None:
        """What is done about odd objects now."""
        found = {_name(key): _cut(why) for key, why in refused.items()}
        for key, why in refused.items():
            if self._refused.get(_name(key)) != _cut(why):
                self.log.warning(f"{_name(key)}: {_cut(why)}")
                self.on_refused(key, why)
        for name in self._refused.keys() - found.keys():
            self.log.info(f"{name}: is enforced as it is written again")
        if found != self._refused:
            kinds = Counter(key[0] for key in refused)
            self.metrics.replace("netpolc_objects_refused", dict(kinds), "kind")
        self._refused = found

    def repaired(self, changes: int, by: list[str], sent: Sent, again: bool) -> None:
        """Others changed the table so many times, and it is as it was."""
        self.metrics.add("netpolc_foreign_changes_total", changes)
        if not sent.changed:
            return
        self.metrics.add("netpolc_repairs_total")
        said = f"restored the table, which {', '.join(dict.fromkeys(by)) or 'somebody'} changed"
        more = f"; it is changed again and again, and restored every {PACE:g} s" if again else ""
        self.log.warning(f"{said}{more}", what=sent.said or sent.what)

    def checked(self, result: str, why: str) -> None:
        """It was compared with what is made from scratch."""
        self.metrics.add("netpolc_selfcheck_total", result=result)
        if why:
            self.log.error(f"self-check: {result}: {why}")
        else:
            self.log.info(f"self-check: {result}")

    def tick(self, duty: Duty | None) -> None:
        """Let `netpolc status` know, if anything is other than it was."""
        before, moment = self._written
        now = time.monotonic()
        if duty is None or now - moment < _STATE_SECONDS:
            return
        self.metrics.set("netpolc_resident_memory_bytes", _resident())
        state = Running(
            process=os.getpid(),
            node=self.node,
            since=self._since,
            ready=not self.waiting(),
            phase=FIRST_SYNC if self._missing else STANDS_BY if self._standby else ENFORCES,
            waits=self.waiting(),
            synced=self._synced,
            digest=self._digest,
            objects=dict(self._objects),
            refused=self._refused,
            trouble=dict(self._trouble),
        )
        is_known = state == before or duty.tell(state)
        self._written = state if is_known else None, now

    def _say_once(self, about: str, message: str, **more: object) -> None:
        """A warning, unless the same was said a moment ago."""
        said, moment = self._told.get(about, ("", 0.0))
        now = time.monotonic()
        if said != message or now - moment > AGAIN:
            self._told[about] = message, now
            self.log.warning(message, **more)


def _what(ruleset: Ruleset) -> dict[str, object]:
    return {"node": ruleset.node, "table": ruleset.options.table, "digest": ruleset.digest}


def _name(key: Key) -> str:
    kind, namespace, name = key
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def _now() -> str:
    return datetime.now(UTC).strftime(MOMENT)


def _resident() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
