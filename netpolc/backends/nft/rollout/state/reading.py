"""What is loaded, asked of the kernel itself and not of what some nft prints.

Comes in: names of tables. Goes out: objects in the words of `write/text.py`, whichever nft loaded
them, so that they can be compared with those of a ruleset; counters; single sets. No object of any
other table is read, and libnftables is not needed. Refused (`RulesetError`): what netpolc never
makes; `SystemRefusal`: what the kernel refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL, ENOENT, EOPNOTSUPP
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from msgspec import structs

from netpolc.backends.nft.names import NOTED
from netpolc.backends.nft.netlink.entities import KernelCounter
from netpolc.backends.nft.netlink.reading.listing import Inspector
from netpolc.backends.nft.netlink.reading.meaning import Listed, listed, named_set
from netpolc.backends.nft.netlink.wire import Wire
from netpolc.backends.nft.objects import Written
from netpolc.backends.nft.options import check_table
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from netpolc.backends.nft.wording import plain
from netpolc.backends.nft.write.text import written
from netpolc.core.errors import RulesetError, SystemRefusal, UnsupportedError

if TYPE_CHECKING:
    from netpolc.backends.nft.netlink.record import TableRecord

T = TypeVar("T")


class LoadedTables:
    """Reads tables in the network namespace this object was made in."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        try:
            self._wire = Wire()
        except OSError as error:
            raise SystemRefusal(f"nf_tables cannot be asked: {error}") from error
        self._inspector = Inspector(self._wire)

    def objects(self, table: str, *, owners: bool = True) -> list[Written] | None:
        """The objects of a table; None when there is none. Without `owners` the sets that note who
        has which address are empty.
        """
        over = () if owners else tuple(NOTED.values())
        content = self._settled(table, partial(self._inspector.content, table, passed_over=over))
        return None if content is None else list(map(_written, listed(content)))

    def counters(self, table: str) -> dict[str, KernelCounter] | None:
        """The counters of a table by name; None when there is no such table."""
        found = self._settled(table, partial(self._inspector.counters, table))
        return None if found is None else {own.name: own for own in found}

    def members(self, table: str, name: str) -> Listed | None:
        """A set or map with its elements; None when it is not there."""
        found = self._settled(table, partial(self._inspector.named, table, name))
        return None if found is None else named_set(found)

    def record(self, table: str) -> TableRecord:
        """A table exactly as the kernel lists it, whoever wrote it."""
        from netpolc.backends.nft.netlink.record import recorded  # who only looks saves nothing

        return self._settled(table, partial(recorded, self._wire, table))

    def saved_text(self, table: str) -> str:
        """The text that brings a table back; `RulesetError` for what netpolc never makes."""
        from netpolc.backends.nft.rollout.state import saving  # who only looks saves nothing

        content = self._settled(table, partial(self._inspector.content, table))
        if content is None:
            return saving.no_table(table)
        objects = [(own, _written(own)) for own in listed(content)]
        try:
            return saving.as_text(table, content.table.comment, objects, content.counters)
        except UnsupportedError as error:  # a comment of somebody else's
            raise RulesetError(f"not of netpolc's making: {error}") from error

    def owner(self, table: str) -> int | None:
        """The process that owns a table (`flags owner`), most likely; None if nobody does."""
        return self._settled(table, partial(self._inspector.owner, table))

    def _settled(self, table: str, read: Callable[[], T]) -> T:
        """What is read of one moment; refusals of what went in the meantime are no refusals."""
        check_table(table)
        try:
            return self._generation.consistent(
                read, table, passing=(OSError, RulesetError), wire=self._wire
            )
        except OSError as error:
            raise _refusal(table, error) from error


def _refusal(table: str, error: OSError) -> SystemRefusal:
    if error.errno in (EINVAL, EOPNOTSUPP):
        return SystemRefusal("this kernel has no nf_tables, or none of family inet")
    if error.errno == ENOENT:
        return SystemRefusal(f"table inet {table} has objects that the kernel does not list")
    return SystemRefusal(f"nf_tables does not list table inet {table}: {error}")


def _written(own: Listed) -> Written:
    try:
        found, comments = written(own.entry), tuple(map(plain, own.comments))
    except UnsupportedError as error:
        raise RulesetError(f"not of netpolc's making: {error}") from error
    if own.size != found.size:
        found = structs.replace(found, size=own.size)
    if comments:
        pairs = zip(found.elements, comments, strict=True)
        said = (f'{one} comment "{comment}"' if comment else one for one, comment in pairs)
        found = structs.replace(found, elements=tuple(said))
    return found
