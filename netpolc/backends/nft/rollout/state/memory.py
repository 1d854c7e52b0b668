"""What tables are made of, remembered from one change to the next.

Comes in: what a transaction left. Goes out: `Known`. It is believed for as long as nobody has
changed anything in nf_tables since or, where the changes of the table are listened for, for as long
as none is heard; it is read back otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netpolc.backends.nft.names import GENERATION, INPUTS, LOADED, UNCONFIRMED
from netpolc.backends.nft.objects import Objects, index, key
from netpolc.backends.nft.readback import notes
from netpolc.backends.nft.rollout.netfilter.monitor import Heard
from netpolc.backends.nft.rollout.state.table import TableReader
from netpolc.backends.nft.write.owners import Noted
from netpolc.core.errors import RulesetError


@dataclass(frozen=True, slots=True)
class Known:
    """What a table is made of as of one generation of nf_tables, what it notes of addresses,
    whether it is unconfirmed, and what it notes of its inputs (None: nothing).
    """

    generation: int
    objects: Objects
    noted: Noted
    waits: bool
    inputs: str | None = None

    @property
    def mark(self) -> str:
        """The comment that says what flows carry which the table judged; empty if it marks none."""
        entry = self.objects.get(key("counter", GENERATION))
        return (entry.comment or "") if entry is not None else ""


class Memory:
    """Remembers tables by name."""

    def __init__(self, tables: TableReader) -> None:
        self._tables = tables
        self.heard: Heard | None = None
        """Tells the changes of the one table that it listens for; without it nothing is believed
        after any change of anything."""
        self._known: dict[str, Known] = {}

    def recall(self, table: str, now: int) -> Known | None:
        """What a table is made of in the generation `now`; None if netpolc cannot tell, because
        there is none, or none as netpolc makes them.
        """
        known = self._known.pop(table, None)
        if known is not None and self._is_believed(known, now):
            self._known[table] = replace(known, generation=now)
            return self._known[table]
        if self.heard is not None:
            self.heard.settled()
        try:
            objects = self._tables.objects(table)
        except RulesetError:
            return None  # not as netpolc makes tables: it will be replaced
        if objects is None:
            return None
        found = index(objects)
        if found.pop(key("counter", LOADED), None) is None:
            return None
        waits = found.pop(key("counter", UNCONFIRMED), None) is not None
        inputs = found.pop(key("counter", INPUTS), None)
        noted = Noted(*notes.take(found))
        made_of = None if inputs is None else inputs.comment or ""
        return Known(now, found, noted, waits, made_of)

    def forget(self, table: str) -> None:
        """A table is about to change: believe nothing of it."""
        self._known.pop(table, None)

    def pass_over(self, table: str, now: int) -> None:
        """Go on believing what is remembered of a table, after an own transaction of another one
        that led to the generation `now`, if there was no other.
        """
        known = self._known.get(table)
        if known is not None and now == known.generation + 1:
            self._known[table] = replace(known, generation=now)

    def _is_believed(self, known: Known, now: int) -> bool:
        if self.heard is None:
            return known.generation == now
        return not self.heard.foreign()

    def keep(self, table: str, left: Known, now: int) -> None:
        """Remember what a transaction left, if it was the next one after the generation that it
        was made for, or the only one of its table.
        """
        if self.heard is not None:
            is_next = self.heard.claim(left.generation, now)
        else:
            is_next = now == left.generation + 1
        if is_next:
            self._known[table] = replace(left, generation=now)
