"""That no packet passes while a table changes that may pass neither before nor after.

Comes in: what a table is made of, what becomes of it, what it is as the kernel lists it. Goes out:
the steps of a change, and a copy of the table that stays in force meanwhile. Nothing is refused.

A transaction is atomic for whoever comes after it, not for a packet that is being judged during the
commit. Such a packet goes on with the rules that it began with, but meets elements of maps as they
are now (docs/internals/rollout.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from netpolc.backends.nft.names import TIERS, lets_on, twin
from netpolc.backends.nft.netlink import commands
from netpolc.backends.nft.netlink._netlink import await_packets
from netpolc.backends.nft.netlink.wire import Message, Refused, Wire
from netpolc.backends.nft.objects import Objects
from netpolc.backends.nft.rollout.state.reading import LoadedTables
from netpolc.backends.nft.write.delta import Delta, Fate, delta
from netpolc.core.errors import SystemRefusal

_TIER_CHAINS = tuple(f"chain {own}" for own in (*TIERS, *map(twin, TIERS)))


def in_two(
    table: str, old: Objects, new: Objects, found: Delta
) -> tuple[Objects, Delta, Delta] | None:
    """What is made first, and the rest, with the objects that there are between the two; None
    where a delta from `old` to `new` needs no more than one transaction.

    A packet under way that meets an element which leads to a chain of the same transaction would
    meet no rule there.
    """
    leads = any(own.kind == "map" and own.added for own in found.touched)
    made = {own.key for own in found.touched if own.fate is Fate.MADE} if leads else set()
    if not any(key.startswith("chain ") for key in made):
        return None
    between = {**old, **{key: new[key] for key in made}}
    first, rest = delta(table, old, between), delta(table, between, new)
    if first is None or rest is None:
        raise AssertionError("a delta makes or changes a base chain")
    return between, first, rest


def lets_slip(old: Objects, found: Delta) -> bool:
    """Whether a packet under way can miss an element that it would find before and after, and be
    let on for that: the kernel takes the elements of a map that goes, or is made anew, away from
    rules that still ask it. So it is where an address goes from one set to another that a tier asks
    before it: such a packet asks the one too early and the other too late.
    """
    fates = Fate.DELETED, Fate.MADE_ANEW
    gone = [own.name for own in found.touched if own.kind == "map" and own.fate in fates]
    if any(map(lets_on, gone)):
        return True
    moves = _between(found)
    if not gone and not moves:
        return False
    tiers = [key for key in old if key.startswith(_TIER_CHAINS)]
    asked = {own for key in tiers for own in old[key].refers}
    return bool(gone and tiers) or any(left in asked and came in asked for left, came in moves)


def _between(found: Delta) -> set[tuple[str, str]]:
    """Pairs of sets or maps, from the first of which an address goes to the second."""
    left: dict[str, list[str]] = {}
    for own in found.touched:
        for element in own.removed:
            left.setdefault(_address(element), []).append(own.key)
    if not left:
        return set()
    return {
        (before, own.key)
        for own in found.touched
        for element in own.added
        for before in left.get(_address(element), ())
        if before != own.key
    }


def _address(element: str) -> str:
    """Where an element begins: what follows is a second address, a verdict or a comment."""
    return element.partition(" ")[0]


class TableBefore:
    """Keeps a copy of a table in force, in the network namespace this object was made in, while the
    table is replaced. The copy goes with this process, however that ends.
    """

    def __init__(self, reading: LoadedTables) -> None:
        self._reading = reading
        self.transactions = 0
        """How many there were, each of which copied a table or deleted a copy."""
        try:
            self._wire = Wire()
        except OSError as error:
            raise SystemRefusal(f"nf_tables cannot be asked: {error}") from error

    @contextmanager
    def stays(self, table: str) -> Iterator[bool]:
        """Have a copy in force, beside the table, until the block ends.

        False where the kernel takes none: there is no table, or one that cannot be read, the kernel
        is older than 5.12, somebody has a table of that name, or the kernel stopped answering.
        """
        name = f"{table}_before"
        if not self._made(table, name):
            yield False
            return
        try:
            await_packets()  # those that came before the copy was there
            yield True
            await_packets()  # those that began with the old table
        finally:
            try:
                self._commit([commands.deleted_table(name)])
            except OSError as error:
                self._let_go()
                raise SystemRefusal(f"table inet {name} could not be deleted: {error}") from error

    def _made(self, table: str, name: str) -> bool:
        try:
            record = self._reading.record(table)
            if not record.parts:
                return False
            self._commit(list(record.copied(name)))
        except (SystemRefusal, Refused):
            return False  # the change that follows meets what is wrong, and says it
        except OSError:  # it may be there all the same
            self._let_go()
            return False
        return True

    def _commit(self, messages: Sequence[Message]) -> None:
        self._wire.commit(messages)
        self.transactions += 1

    def _let_go(self) -> None:
        """Close the socket, with which a copy goes, and speak by another from now on."""
        self._wire.close()
        with suppress(OSError):  # the next copy is not made, and another is tried after it
            self._wire = Wire()
