"""A change of a table that ends in one of three ways, whatever dies on the way: it is done; or what
was there before is in force again, or still; or the refusal says exactly what is in force.

Comes in: a kernel, under the table's lock, and the transaction that would bring the old table back,
where there is one. Goes out: the exception that ended it, with a note of what is in force; instead
of one that says less than happened, a `SystemRefusal`.

Whether anything was changed is told by the generation of nf_tables, which is asked for without
libnftables; what is in force, by the table's own counters, through a new worker where the last is
dead, and without libnftables where that dies again.
"""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_hex

from netpolc.backends.nft.rollout import runtime
from netpolc.backends.nft.rollout.guard import Pending
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.state.saving import Saved
from netpolc.backends.nft.rollout.stopping import Stops
from netpolc.core.errors import Interrupted, SystemRefusal


class Attempt:
    """From the first byte that is sent to the last that is read back; a context manager.

    `digest` is that of the new table, if there will be one; `previous` what `Kernel.saved`
    gave, if it is to be gone back. `stops` has the signals that came in the meantime.
    """

    def __init__(
        self,
        kernel: Kernel,
        table: str,
        digest: str | None = None,
        previous: Saved | None = None,
        pending: Pending | None = None,
    ) -> None:
        self._kernel, self._table, self._digest = kernel, table, digest
        self._previous, self._pending = previous, pending
        self.stops = Stops()

    def __enter__(self) -> Attempt:
        self._before = self._kernel.changes()
        self.stops.__enter__()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            if error is not None:
                self._settle(error)
        finally:
            self.stops.__exit__()
        if error is None:
            self._late()

    def _late(self) -> None:
        """A signal that came when all was done is obeyed now."""
        try:
            self.stops.check()
        except (Interrupted, KeyboardInterrupt) as late:
            late.add_note(f"it came when all was done: {self._in_force()}")
            raise

    def _settle(self, error: BaseException) -> None:
        """Go back, and note what is in force."""
        if self._unchanged():
            error.add_note("nothing was changed: what was loaded before is in force")
        elif self._previous is not None and self._restored(self._previous):
            error.add_note("what was loaded before is in force again")
        else:
            why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
            words = (why or type(error).__name__, "it was not taken back", self._in_force())
            raise SystemRefusal("\n".join((*words, *self._advice()))) from error

    def _unchanged(self) -> bool:
        try:
            return self._kernel.changes() == self._before
        except SystemRefusal:
            return False  # not known: what can be done about it is done

    def _restored(self, previous: Saved) -> bool:
        try:
            self._kernel.restore(previous)
        except (SystemRefusal, MemoryError):
            return False
        return True

    def _in_force(self) -> str:
        table = f"table inet {self._table}"
        try:
            loaded = self._kernel.facts.loaded(self._table)
        except (SystemRefusal, MemoryError) as error:
            return f"what is in force is not known to libnftables: {error}\n{self._marked()}"
        if loaded is None:
            return f"{table} is not loaded: nothing is enforced"
        new = "the new " if loaded.digest == self._digest else ""
        return f"{new}{table} is in force: {loaded.digest}"

    def _marked(self) -> str:
        """What the table says it is, asked for without libnftables."""
        try:
            digest = self._kernel.facts.marker(self._table)
        except SystemRefusal as error:
            return f"nor without it: {error}; `netpolc status` will tell"
        if digest is None:
            return f"without it: there is no table inet {self._table} of netpolc's"
        new = "the new " if digest == self._digest else ""
        return f"without it: {new}table inet {self._table} is in force: {digest}"

    def _advice(self) -> Iterator[str]:
        """How the old table can be had again."""
        if self._previous is None:
            return
        if not self._previous.text:
            yield f"what was loaded before cannot be said as text: {self._previous.why}"
            return
        token = self._pending.unconfirmed.token if self._pending is not None else token_hex(8)
        try:
            runtime.keep(token, self._previous.text)
        except (SystemRefusal, MemoryError) as error:
            yield f"what was loaded before could not be kept: {error}"
        else:
            yield f"`nft -f {runtime.kept(token)}` brings back what was loaded before"
        if self._pending is not None:
            yield f"unless it is confirmed, that happens at {self._pending.unconfirmed.until}"
