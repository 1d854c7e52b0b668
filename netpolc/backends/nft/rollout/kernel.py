"""The kernel: the only module that loads, changes or deletes a table.

Comes in: rulesets. Goes out: what was done. Every refusal, of the kernel, of libnftables or of the
system, is a `SystemRefusal`; a transaction is atomic: the old table is then still in force. What is
loaded is read by others, each for its own: `Kernel.tables` (what a table holds), `Kernel.facts`
(what it says of itself), `Kernel.counts` (what it counted), `Kernel.generation` (whether anybody
has changed anything).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from netpolc.backends.nft.model import Counter
from netpolc.backends.nft.names import INPUTS, LOADED, UNCONFIRMED
from netpolc.backends.nft.options import check_table
from netpolc.backends.nft.rollout import runtime
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.loader import Loader, NetlinkLoader, NftLoader, Via
from netpolc.backends.nft.rollout.netfilter.monitor import Heard
from netpolc.backends.nft.rollout.sending import TransactionSender
from netpolc.backends.nft.rollout.state.facts import Facts, PodCounts
from netpolc.backends.nft.rollout.state.loaded import MOMENT, Unconfirmed
from netpolc.backends.nft.rollout.state.memory import Known, Memory
from netpolc.backends.nft.rollout.state.saving import Saved
from netpolc.backends.nft.rollout.state.table import TableReader
from netpolc.backends.nft.rollout.steps import Steps, UpdateStep
from netpolc.backends.nft.rollout.transaction import (
    TableChange,
    deleting,
    whole_table,
    without_counter,
)
from netpolc.backends.nft.write.delta import NOTHING, Delta
from netpolc.backends.nft.write.ruleset import Ruleset
from netpolc.core.errors import SystemRefusal

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Update:
    """What `Kernel.update` did: replaced the table, or sent a delta, which may be empty.

    Flows of the addresses `moved` are to be forgotten, since they belong to another pod now or to
    none, and then `Kernel.settle` notes that they are. `arrived` are addresses that are new on the
    node.
    """

    delta: Delta | None
    moved: tuple[int, ...] = ()
    arrived: frozenset[int] = frozenset()

    @property
    def replaced(self) -> bool:
        """Whether the whole table was replaced."""
        return self.delta is None


class Kernel:
    """Changes the nf_tables of the network namespace that its channel was made in (default: this
    one), by messages of its own or `via` libnftables.

    Raises `SystemRefusal` from every method when the kernel says no, or when libnftables is asked
    and is not there.
    """

    def __init__(self, channel: Channel | None = None, via: Via = Via.NETLINK) -> None:
        self._channel = channel = Channel() if channel is None else channel
        self.via = via
        loader: Loader = NetlinkLoader() if via is Via.NETLINK else NftLoader(channel)
        self.generation = channel.generation
        self.tables, self.facts = TableReader(channel), Facts(channel)
        self.counts = PodCounts(channel)
        self._memory = Memory(self.tables)
        self._steps = Steps(self._memory, self.facts)
        self._held: dict[str, int] = {}
        self._sender = TransactionSender(channel, loader, self._memory, self._held)

    def hear(self, heard: Heard) -> None:
        """Believe what is remembered of the table that is listened for, whatever becomes of others.

        This kernel then changes no other table.
        """
        self._memory.heard = heard

    def changes(self) -> int:
        """The number of transactions of anybody, but for copies of tables that came and went."""
        return self._sender.changes()

    def forget(self, table: str) -> None:
        """Believe nothing of what is remembered of a table."""
        self._memory.forget(table)

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """One writer at a time; whoever holds it may call every method in the meantime."""
        check_table(table)
        if table in self._held:
            yield
            return
        with runtime.lock(table) as lock:
            self._held[table] = lock
            try:
                yield
            finally:
                del self._held[table]

    def load(self, ruleset: Ruleset, now: datetime | None = None) -> None:
        """Replace the table in one transaction; concurrent loads wait for each other."""
        with self.locked(ruleset.options.table):
            before = self.generation.read()
            own = self._steps.marked(ruleset, None)
            noted = own.owners.noted
            left = Known(before, own.objects, noted, False)
            self._sender.swap(whole_table(own, [_loaded_at(now)], noted), left)

    def update(
        self,
        ruleset: Ruleset,
        now: datetime | None = None,
        unconfirmed: Unconfirmed | None = None,
        inputs: str | None = None,
    ) -> Update:
        """Make the table what the ruleset says, by the smallest change; counters of chains
        that stay go on counting.

        What is loaded is remembered and believed for as long as nobody has changed anything in
        nf_tables, and read back otherwise. A table for which there is no delta (`steps.py`), or
        for which it is refused, is replaced.
        An `unconfirmed` table says so from its first moment on; one that waited to be confirmed
        does not any more. With `inputs` the table notes that it was made of those.
        """
        notes, waits = [_loaded_at(now)], unconfirmed is not None
        if unconfirmed is not None:
            notes.append(Counter(UNCONFIRMED, unconfirmed.note()))
        name = ruleset.options.table
        with self.locked(name):
            before = self.generation.read()
            step = self._steps.next(ruleset, before)
            ruleset, found = step.ruleset, step.delta
            made_of = None if inputs is None else step.note(inputs)
            left = Known(before, step.objects, step.noted, waits, made_of)
            of_inputs = [Counter(INPUTS, made_of)] if made_of is not None else []
            if found is not None:
                gone: list[str] = []
                if told := bool(found) or step.waits or waits:
                    gone = [LOADED, *([UNCONFIRMED] if step.waits else [])]
                if not told and made_of in (None, step.inputs):
                    left, of_inputs = replace(left, inputs=step.inputs), []
                elif step.inputs is not None:
                    gone.append(INPUTS)
                came = [*(notes if told else ()), *of_inputs]
                change = TableChange(ruleset, found, gone, came, step.noted, step.notes)
                try:
                    if gone or came or step.notes:
                        self._sender.change(step, change, left)
                    return _update(found, step)
                except SystemRefusal:
                    pass  # the table is not what it seemed; what is wrong with the system, if
                    # anything, the replacement will meet again and say
                left = replace(left, generation=self.generation.read(), inputs=made_of)
            notes += [Counter(INPUTS, made_of)] if made_of is not None else []
            self._sender.swap(whole_table(ruleset, notes, step.noted), left)
            return _update(None, step)

    def settle(self, ruleset: Ruleset) -> None:
        """Note that the flows of addresses that changed hands are forgotten.

        Until then the table says whose they were, so that whoever comes after a failure knows.
        """
        table = ruleset.options.table
        with self.locked(table):
            now = self.generation.read()
            old = self._memory.recall(table, now)
            if old is not None:
                noted = ruleset.owners.noted
                found = old.noted.delta(table, noted)
                if found:
                    change = TableChange(ruleset, NOTHING, noted=noted, noted_delta=found)
                    left = replace(old, generation=now, noted=noted)
                    self._sender.commit(change.transaction(), left)

    def preview(self, ruleset: Ruleset) -> UpdateStep:
        """What `update` would send now; nothing is changed."""
        with self.locked(ruleset.options.table):
            return self._steps.next(ruleset, self.generation.read())

    def check(self, ruleset: Ruleset) -> None:
        """Let the kernel judge the transaction without committing it."""
        self._channel.send(ruleset.text(), dry=True)

    def saved(self, table: str) -> Saved:
        """What brings a table back as it is now."""
        by_nft = self.via is Via.NFT
        return self.tables.saved_by_nft(table) if by_nft else self.tables.saved(table)

    def restore(self, saved: Saved) -> None:
        """Bring back what was saved, in one transaction, which may be sent again and again."""
        self._sender.restore(saved)

    def confirm(self, table: str, token: str | None = None) -> bool:
        """Keep the table that waits to be confirmed (the one with that token); False if none."""
        with self.locked(table):
            waiting = self.facts.unconfirmed(table)
            if waiting is None or token not in (None, waiting.token):
                return False
            self._sender.run(without_counter(table, UNCONFIRMED))
            runtime.kept(waiting.token).unlink(missing_ok=True)
            return True

    def delete(self, table: str) -> bool:
        """Delete netpolc's table; False when there is none. Another's is refused."""
        with self.locked(table):
            if self.facts.loaded(table) is None:
                return False
            self._sender.run(deleting(table))
            return True


def _update(found: Delta | None, step: UpdateStep) -> Update:
    before = step.before
    if before is None:
        return Update(found)
    own = step.ruleset.owners
    return Update(found, own.moved(before), own.arrived(before))


def _loaded_at(now: datetime | None) -> Counter:
    return Counter(LOADED, (now or datetime.now(UTC)).strftime(MOMENT))
