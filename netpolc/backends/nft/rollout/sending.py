"""Sends transactions, and remembers what they leave.

Comes in: transactions and changes, what is known of the table before. Goes out: nothing, when the
kernel has them. Refused (`SystemRefusal`): what the kernel, libnftables or the system refuses;
`Owned` where a running program owns a table that is locked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace

from netpolc.backends.nft.rollout import passage
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.libnftables.session import Died
from netpolc.backends.nft.rollout.loader import Loader
from netpolc.backends.nft.rollout.state.loaded import Owned
from netpolc.backends.nft.rollout.state.memory import Known, Memory
from netpolc.backends.nft.rollout.state.saving import Saved
from netpolc.backends.nft.rollout.state.table import TableReader
from netpolc.backends.nft.rollout.steps import UpdateStep
from netpolc.backends.nft.rollout.transaction import KernelBatch, TableChange, restoring
from netpolc.core.errors import SystemRefusal, printable

_TRIES = 3


class TransactionSender:
    """Sends to the nf_tables of one network namespace; `held` are the locks of tables, by name."""

    def __init__(
        self, channel: Channel, loader: Loader, memory: Memory, held: Mapping[str, int]
    ) -> None:
        self._channel, self._loader, self._memory = channel, loader, memory
        self._generation, self._tables = channel.generation, TableReader(channel)
        self._held = held
        self._before = passage.TableBefore(channel.reading)

    def changes(self) -> int:
        """The number of transactions of anybody, but for copies of tables that came and went."""
        return self._generation.read() - self._before.transactions

    def change(self, step: UpdateStep, change: TableChange, left: Known) -> None:
        """Send a delta so that no packet passes which may pass neither before nor after it."""
        if passage.lets_slip(step.loaded, change.delta):
            self.swap(change.transaction(), left)
            return
        table, ruleset = change.ruleset.options.table, change.ruleset
        steps = passage.in_two(table, step.loaded, step.objects, change.delta)
        if steps is not None:
            between, first, rest = steps
            before = left.generation
            self.commit(TableChange(ruleset, first).transaction(), replace(left, objects=between))
            change = replace(change, delta=rest)
            left = replace(left, generation=self._next(before))
        self.commit(change.transaction(), left)

    def swap(self, own: KernelBatch, left: Known) -> None:
        """Send a transaction by which maps go, while a copy of the table is in force."""
        with self._before.stays(own.table) as copied:
            if copied:
                left = replace(left, generation=self._next(left.generation))
            self.commit(own, left)
        if copied:
            with suppress(SystemRefusal):  # it is committed; the next change reads it back
                self._memory.pass_over(own.table, self._generation.read())

    def _next(self, generation: int) -> int:
        """The generation now, if that is the next one; otherwise this one, so that what is left
        of it is believed by nobody.
        """
        now = self._generation.read()
        return now if now == generation + 1 else generation

    def commit(self, own: KernelBatch, left: Known) -> None:
        """Send a transaction and remember what it leaves, if it was the next one after that."""
        self._memory.forget(own.table)
        self.run(own)
        try:
            now = self._generation.read()
        except SystemRefusal:
            return  # it is committed; the next change reads it back
        if now == left.generation + 1:  # nobody else can have changed it since
            self._loader.count(own)
        self._memory.keep(own.table, left, now)

    def restore(self, saved: Saved) -> None:
        """Bring back what was saved, in one transaction, which may be sent again and again."""
        with ExitStack() as stack:
            for table in self._held:
                stack.enter_context(self._before.stays(table))
            self._restore(saved)

    def _restore(self, saved: Saved) -> None:
        if saved.record is not None:
            try:
                own, before = restoring(saved.record), self._generation.read()
                self.run(own)
                if self._generation.read() == before + 1:  # nobody else can have changed it since
                    self._loader.count(own)
                return None
            except SystemRefusal:
                if not saved.text:
                    raise  # else libnftables may get on with it
        for _ in range(_TRIES - 1):
            try:
                return self._channel.send(saved.text, locks=self._held.values())
            except Died:
                pass  # with another libnftables
        return self._channel.send(saved.text, locks=self._held.values())

    def run(self, own: KernelBatch) -> None:
        """Send a transaction."""
        try:
            self._loader.send(own, self._held.values())
        except Died:
            raise
        except SystemRefusal as error:
            for table in self._held:
                if (owner := self._tables.owner(table)) is not None:
                    raise Owned(
                        f"table inet {table} is owned by a running program (flags owner; progname "
                        f"{printable(owner)}, says `nft list table inet {table}`): as long as it "
                        "runs, nobody else can change or delete the table; end it, or choose "
                        "another --table"
                    ) from error
            raise
