"""Compares what is enforced with what is made from scratch, and with what the kernel lists.

Comes in: a function that makes the digest anew, one that reads the table back. Goes out: a
`CheckResult`, some time later. Both run in a child process at the lowest priority, which has the
memory of this one as it was when it began, so that nothing waits for them.
"""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from netpolc.core.errors import NetpolcError

GIVEN_UP = 600.0
"""Seconds after which a child that says nothing is ended."""
SAME, DIFFERS, MODIFIED, FAILED = "same", "differs", "modified", "failed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`same`; `differs`: from scratch it would be another; `modified`: the kernel has another;
    `failed`: nobody knows.
    """

    result: str
    why: str = ""


class SelfCheck:
    """At most one comparison at a time."""

    def __init__(self) -> None:
        self._child = 0
        self._readable = -1
        self._began = 0.0
        self._said = b""
        self._expected = ""

    @property
    def busy(self) -> bool:
        """Whether a child is at work."""
        return self._child != 0

    def fileno(self) -> int:
        """What can be read when the child has ended; only while one is at work."""
        return self._readable

    def begin(
        self, expected: str, scratch: Callable[[], str], listed: Callable[[], str | None]
    ) -> None:
        """Compare in a child: `expected` is the digest that is enforced."""
        readable, writable = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if child == 0:
            _answer(writable, scratch, listed)
        os.close(writable)
        os.set_blocking(readable, False)
        self._child, self._readable, self._began = child, readable, time.monotonic()
        self._expected, self._said = expected, b""

    def finished(self) -> CheckResult | None:
        """What was found; None while the child is at work."""
        try:
            while piece := os.read(self._readable, 1 << 16):
                self._said += piece
        except BlockingIOError:
            if time.monotonic() - self._began < GIVEN_UP:
                return None
            os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        os.close(self._readable)
        self._child, self._readable = 0, -1
        return self._judged()

    def abandon(self) -> None:
        """End a child that is at work."""
        if self.busy:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            os.close(self._readable)
            self._child, self._readable = 0, -1

    def _judged(self) -> CheckResult:
        try:
            said = json.loads(self._said)
        except ValueError:
            return CheckResult(FAILED, "the child ended without an answer")
        if "failed" in said:
            return CheckResult(FAILED, said["failed"])
        if said["scratch"] != self._expected:
            return CheckResult(DIFFERS, f"from scratch it is {said['scratch']}")
        if said["listed"] != self._expected:
            return CheckResult(MODIFIED, f"the kernel has {said['listed'] or 'no table'}")
        return CheckResult(SAME)


def _answer(writable: int, scratch: Callable[[], str], listed: Callable[[], str | None]) -> None:
    """In the child: say what is found, and end without touching anything of the parent's."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        os.nice(19)
        # The kernel first: what the parent changes meanwhile is not to be met.
        said = {"listed": listed(), "scratch": scratch()}
        os.write(writable, json.dumps(said).encode())
        code = 0
    except NetpolcError as error:
        os.write(writable, json.dumps({"failed": str(error)}).encode())
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)
