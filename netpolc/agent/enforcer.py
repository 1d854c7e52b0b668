"""Brings the rulesets of the agent into the kernel, and hears who else changes the table.

Comes in: rulesets. Goes out: what was sent. `SystemRefusal` when the kernel or the system says no;
the table of before is then in force. What others do to other tables costs nothing here: what was
loaded is believed until somebody is heard to touch the own table.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from netpolc import files
from netpolc.agent.forgetting import Forgetting
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.rollout.netfilter.monitor import Heard, Monitor, Transaction
from netpolc.backends.nft.rollout.rollout import forget_moved
from netpolc.backends.nft.rollout.state.loaded import MOMENT
from netpolc.backends.nft.write.ruleset import Ruleset
from netpolc.core.errors import SystemRefusal, printable


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a ruleset: it `replaced` the table, `changed` some of it, or `nothing`."""

    what: str
    said: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything was sent."""
        return self.what != "nothing"


class Enforcer:
    """The table of one name in the network namespace that it is made in; a file below `folder`
    keeps the last ruleset for the next boot, if there is a folder.
    """

    def __init__(
        self,
        table: str,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table, self._folder = table, folder
        self.kernel = Kernel()
        self._monitor = Monitor(table)
        self._heard = Heard(self._monitor)
        self.kernel.hear(self._heard)
        self._saved = ""
        self._forgetting = Forgetting(clock)

    def close(self) -> None:
        """Listen no more; the table stays."""
        try:
            self._forgetting.finish()
        finally:
            self._monitor.close()

    def fileno(self) -> int:
        """What can be read when anybody changed anything."""
        return self._monitor.fileno()

    def foreign(self) -> list[Transaction]:
        """What others did to the table since it was last made right."""
        return self._heard.foreign()

    def enforce(self, ruleset: Ruleset) -> Sent:
        """Make the table what the ruleset says."""
        with self.kernel.locked(self.table):
            update = self.kernel.update(ruleset)
            owners = ruleset.owners
            forget_moved(
                self.kernel, ruleset, update, lambda moved: self._forgetting.forget(owners, moved)
            )
        if update.delta is None:
            return Sent("replaced")
        return Sent("changed", str(update.delta)) if update.delta else Sent("nothing")

    def repair(self, ruleset: Ruleset) -> Sent:
        """The same after somebody changed the table: flows that began meanwhile and are denied are
        forgotten.
        """
        sent = self.enforce(ruleset)
        options = ruleset.options
        if sent.changed and not options.audit and not options.recheck:
            conntrack.forget_denied(ruleset.owners.program, ruleset.node)
        return sent

    def answers_due(self) -> float:
        """When `forget_answers` is to be called next."""
        return self._forgetting.due()

    def forget_answers(self) -> None:
        """Forget what an answer on its way began anew, of flows that were forgotten just now."""
        self._forgetting.look()

    def content(self) -> str | None:
        """The digest of what the kernel has now, as it lists it; None if there is no table."""
        return self.kernel.tables.content(self.table)

    def distrust(self) -> None:
        """Believe nothing of the table: it is read back at the next change."""
        self.kernel.forget(self.table)

    def save(self, ruleset: Ruleset) -> bool:
        """Keep a ruleset for the next boot; whether it was not kept already."""
        if self._folder is None or ruleset.digest == self._saved:
            return False
        moment = datetime.now(UTC).strftime(MOMENT)
        path = boot_file(self._folder, self.table)
        try:
            files.private(self._folder)
            with files.replacing(path) as out:
                out.write((ruleset.text() + ruleset.loaded_at(moment)).encode())
        except OSError as error:
            raise SystemRefusal(f"cannot write {printable(str(path))}: {error.strerror}") from error
        self._saved = ruleset.digest
        return True


def boot_file(folder: Path, table: str) -> Path:
    """Where the ruleset for the next boot is, for `nft -f`."""
    return folder / f"{table}.nft"


def cleaned_up(table: str, folder: Path | None) -> list[str]:
    """Delete the table and what is kept for the next boot; what was done, in words."""
    kernel, done = Kernel(), []
    with kernel.locked(table):
        if kernel.delete(table):
            done.append(f"deleted table inet {table}")
    path = boot_file(folder, table) if folder is not None else None
    if path is not None and path.exists():
        os.unlink(path)
        done.append(f"removed {path}")
    return done
