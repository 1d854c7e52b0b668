"""Undoes a rollout that nobody confirms, whatever becomes of the process that loaded it.

Comes in: a table, a token and the transaction that brings back what was there before. Goes out: a
process in a session of its own, which no hang-up reaches and which outlives `netpolc apply`. It is
ready before anything is loaded. When the time is over it restores the old table in one transaction,
if the table in the kernel still carries its token: a confirmed, newer or deleted one is left alone.
Refused (`SystemRefusal`): a guard that cannot start, so that nothing is loaded unguarded.

`python -m netpolc.backends.nft.rollout.guard TABLE TOKEN SECONDS BYTES BYTES VIA` is that process;
the transaction is its standard input, as text and as the kernel listed it. SIGTERM ends the time at
once. If it is killed, the table stays, says that it is unconfirmed (`netpolc status`), and the old
one is in the file `runtime.kept` names.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from netpolc.backends.nft.netlink.record import record_from
from netpolc.backends.nft.rollout import runtime
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.loader import Via
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.rollout.state.facts import Facts
from netpolc.backends.nft.rollout.state.loaded import Unconfirmed
from netpolc.backends.nft.rollout.state.saving import Saved
from netpolc.backends.nft.write import owners
from netpolc.core.errors import SystemRefusal

TICK = 0.2
"""Seconds between looks at whether somebody confirmed."""
_READY = "ready\n"
_UNSAID = "# The table that is replaced has what netpolc never makes, and libnftables is missing.\n"
"""What is kept for people where there is no text."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A rollout that waits to be confirmed, and the transaction that would undo it."""

    table: str
    unconfirmed: Unconfirmed
    previous: Saved

    @property
    def settled(self) -> bool:
        """Whether confirming or undoing has ended; a look at a file, without the kernel."""
        return not runtime.kept(self.unconfirmed.token).exists()

    def waits(self, facts: Facts) -> bool:
        """Whether it is in force and unconfirmed, not confirmed, replaced or deleted."""
        waiting = facts.unconfirmed(self.table)
        return waiting is not None and waiting.token == self.unconfirmed.token

    def undo(self, kernel: Kernel) -> None:
        """Bring back what was before, if it still waits; flows of addresses that have another pod
        in the one than in the other are forgotten.
        """
        with kernel.locked(self.table):
            waits = self.waits(kernel.facts)
            before = kernel.facts.noted(self.table) if waits else None
            if waits:
                kernel.restore(self.previous)
            runtime.kept(self.unconfirmed.token).unlink(missing_ok=True)
            after = kernel.facts.noted(self.table) if before else None
            if before and after:
                conntrack.forget_addresses(owners.differing(before, after))


def start(table: str, previous: Saved, seconds: int) -> Pending:
    """Start the guard of a table that is about to be loaded, and wait until it is ready.

    Whoever calls this holds the table's lock until it is loaded: the guard's time begins then.
    """
    pending = Pending(table, Unconfirmed.after(secrets.token_hex(8), seconds), previous)
    text = previous.text.encode()
    record = previous.record.to_bytes() if previous.record is not None else b""
    via = Via.NFT if previous.record is None else Via.NETLINK
    sizes = [str(len(text)), str(len(record)), via]
    arguments = [table, pending.unconfirmed.token, str(seconds), *sizes]
    process = subprocess.Popen(
        # -P: no module is taken from the folder that root happens to be in.
        [sys.executable, "-P", "-m", __name__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdin, process.stdout, process.stderr:
        with suppress(BrokenPipeError):  # then it says no more either
            process.stdin.write(text + record)
            process.stdin.close()
        if process.stdout.readline() != _READY.encode():
            last = process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
            process.wait()
            raise SystemRefusal(f"nothing would undo the rollout: the guard did not start: {last}")
    process.returncode = 0  # it outlives this process: nobody waits for it
    return pending


class _Clock:
    """How long there is to wait, from its start; SIGTERM makes it nothing, also before that."""

    def __init__(self) -> None:
        self._stopped, self._until = False, 0.0
        signal.signal(signal.SIGTERM, lambda *_: self.stop())

    def start(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def stop(self) -> None:
        self._stopped = True

    @property
    def runs(self) -> bool:
        return not self._stopped and time.monotonic() < self._until


def main(table: str, token: str, seconds: str, size: str, recorded: str, via: str) -> None:
    """The guard process."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    given = sys.stdin.buffer.read()
    text, record = given[: int(size)].decode(), given[int(size) :]
    if len(given) != int(size) + int(recorded):
        return  # whoever would have loaded was killed
    kernel, clock = Kernel(via=Via(via)), _Clock()
    runtime.keep(token, text or _UNSAID)
    saved = Saved(record_from(table, record) if via == Via.NETLINK else None, text)
    pending = Pending(table, Unconfirmed.after(token, int(seconds)), saved)
    sys.stdout.write(_READY)
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    with kernel.locked(table):  # until it was loaded, or whoever would have loaded was killed
        clock.start(int(seconds))
        if not pending.waits(kernel.facts):
            clock.stop()
    while clock.runs and not pending.settled:
        time.sleep(TICK)
    pending.undo(kernel)


if __name__ == "__main__":
    main(*sys.argv[1:])
