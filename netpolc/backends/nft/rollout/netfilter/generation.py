"""The generation of nf_tables, a number that grows with every transaction of anybody; and which
tables there are.

Goes out: the number for one network namespace. If it is what it was, nothing was changed, by
whomever. `SystemRefusal` when the kernel does not answer. It is one netlink message
(`NFT_MSG_GETGEN`, linux/netfilter/nf_tables.h), which libnftables has no command for. The tables
(`NFT_MSG_GETTABLE`) and the comment of a counter (`NFT_MSG_GETOBJ`) are asked for here for when
libnftables dies of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from netpolc.backends.nft.netlink import entities
from netpolc.backends.nft.netlink.attributes import as_number, by_type, packed, text, zero_ended
from netpolc.backends.nft.netlink.wire import FAMILIES, Subscription, Wire
from netpolc.core.errors import RulesetError, SystemRefusal

if TYPE_CHECKING:
    from netpolc.backends.nft.rollout.netfilter.monitor import Monitor

T = TypeVar("T")
_READINGS = 50
_GENERATION_ID = 1  # NFTA_GEN_ID
_COUNTER = (1).to_bytes(4, "big")  # NFT_OBJECT_COUNTER


class Generation:
    """Asks for the generation in the network namespace this object was made in.

    The socket stays open: to close one waits for the kernel to free what the last transaction
    removed, milliseconds after a large one.
    """

    def __init__(self) -> None:
        try:
            self._wire, self._subscription = Wire(), Subscription()
        except OSError as error:
            raise _refusal(error) from error
        self._listens = False

    def read(self) -> int:
        """The number of the last transaction."""
        try:
            found = self._wire.one(entities.GET_GENERATION, b"")
            return as_number(by_type(found or b"").get(_GENERATION_ID, b""))
        except (OSError, RulesetError) as error:
            raise _refusal(error) from error

    def _settled(self) -> int:
        """The same, once all of it can be listed: that of a commit which is not over may be told
        already.
        """
        now = self.read()
        while True:
            try:
                self._wire.await_commits()
            except OSError as error:
                raise _refusal(error) from error
            before, now = now, self.read()
            if now == before:
                return now

    def consistent(
        self,
        read: Callable[[], T],
        table: str,
        *,
        passing: tuple[type[Exception], ...] = (),
        wire: Wire | None = None,
    ) -> T:
        """What `read` gives of a table; made again if anybody changed that in the meantime, also
        where it then raises one of the `passing` exceptions.

        As long as nobody changes anything, the generation tells it. Where somebody does, the
        changes of the table are listened for, so that those of others keep nobody from reading;
        `wire` is what is read over.
        """
        if self._listens:  # whoever began to listen judges what was read meanwhile
            with _watched(wire):
                return read()
        before = self._settled()
        try:
            found = read()
        except passing:
            if self.read() == before:
                raise
        else:
            if self.read() == before:
                return found
        with self._listening(table) as monitor, _watched(wire):
            return self._undisturbed(monitor, read, table, (*passing, SystemRefusal))

    @contextmanager
    def _listening(self, table: str) -> Iterator[Monitor]:
        from netpolc.backends.nft.rollout.netfilter.monitor import Monitor  # somebody is at work

        monitor, self._listens = Monitor(table, self._subscription), True
        try:
            yield monitor
        finally:
            self._listens = False
            try:
                self._subscription.leave()
            except OSError as error:
                raise _refusal(error) from error

    def _undisturbed(
        self,
        monitor: Monitor,
        read: Callable[[], T],
        table: str,
        passing: tuple[type[Exception], ...],
    ) -> T:
        for _ in range(_READINGS):
            monitor.changes()
            before = self._settled()
            try:
                found = read()
            except passing:
                if not self._touched(monitor, before):
                    raise
            else:
                if not self._touched(monitor, before):
                    return found
        raise SystemRefusal(f"table inet {table} was changed during each of {_READINGS} readings")

    def _touched(self, monitor: Monitor, before: int) -> bool:
        now = self.read()
        return now != before and monitor.touched_until(now)

    def tables(self) -> list[str]:
        """Every table there is, by family and name: `ip nat`."""
        try:
            return [
                f"{FAMILIES[family]} {text(by_type(body).get(1, b''))}"
                for family, body in self._wire.every(entities.GET_TABLE)
            ]
        except (OSError, RulesetError) as error:
            raise _refusal(error) from error

    def comment(self, table: str, counter: str) -> str | None:
        """The comment of a counter in an inet table; None when there is none."""
        asked = packed(1, zero_ended(table)) + packed(2, zero_ended(counter)) + packed(3, _COUNTER)
        try:
            found = self._wire.one(entities.GET_OBJECT, asked)
            return (entities.read_counter(found).comment or None) if found is not None else None
        except (OSError, RulesetError) as error:
            raise _refusal(error) from error


@contextmanager
def _watched(wire: Wire | None) -> Iterator[None]:
    """Dumps are taken as whole, since whoever asks hears what changes."""
    if wire is None or wire.is_watched:
        yield
        return
    wire.is_watched = True
    try:
        yield
    finally:
        wire.is_watched = False


def _refusal(error: Exception) -> SystemRefusal:
    return SystemRefusal(f"nf_tables does not tell its generation, tables or counters: {error}")
