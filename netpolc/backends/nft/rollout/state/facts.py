"""What a table says of itself: by which options it was made and when, what waits, whose an address
is, what it counted.

Comes in: names of tables. Goes out: `Loaded` and its parts, counts by address. Refusals are the
`SystemRefusal`s of `libnftables/channel.py`; `Foreign` is a table that says nothing.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from netpolc.backends.nft.model import AddressMap, AddressSet
from netpolc.backends.nft.names import (
    DIGEST,
    GENERATION,
    NOTED,
    chain_map,
    denied_set,
)
from netpolc.backends.nft.netlink.expressions import CountPacket
from netpolc.backends.nft.netlink.reading.meaning import Listed
from netpolc.backends.nft.options import check_table
from netpolc.backends.nft.readback import notes
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.state.loaded import (
    Counters,
    Loaded,
    Unconfirmed,
    loaded_in,
    unconfirmed_in,
)
from netpolc.backends.nft.write.digest import generation
from netpolc.core.errors import RulesetError, SystemRefusal
from netpolc.core.ir import Direction
from netpolc.core.nets import Family, parse_address

if TYPE_CHECKING:
    from netpolc.backends.nft.signals.counters import AddressCounter


class Facts:
    """Asks tables what they say of themselves."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def loaded(self, table: str) -> Loaded | None:
        """What is loaded under this name; None when there is no such table."""
        found = self._channel.reading.counters(table)
        return loaded_in(table, found) if found is not None else None

    def unconfirmed(self, table: str) -> Unconfirmed | None:
        """The rollout that waits to be confirmed, if one does."""
        return unconfirmed_in(self._counters(table))

    def marker(self, table: str) -> str | None:
        """The digest that a table says is its own, asked for without libnftables; None when no
        table says so.
        """
        check_table(table)
        return self._channel.generation.comment(table, DIGEST)

    def mark(self, table: str) -> int:
        """What flows that a table judged carry in their mark; 0 if it marks none."""
        found = self._counters(table).get(GENERATION)
        return generation(found.comment if found is not None else "")

    def noted(self, table: str) -> dict[int, str] | None:
        """Whose address is whose, as the table says it (`write/owners.py`); None if it does not."""
        found: dict[int, str] = {}
        known = False
        for name in NOTED.values():
            try:
                own = self._channel.reading.members(table, name)
            except RulesetError:  # somebody else's set by that name
                known = True
                continue
            known = known or own is not None
            if own is not None and isinstance(own.entry, AddressSet) and own.comments:
                found.update(notes.notes_among(zip(own.entry.elements, own.comments, strict=True)))
        return found if known else None

    def _counters(self, table: str) -> Counters:
        """Its counters by name; none when there is no such table."""
        return self._channel.reading.counters(table) or {}


class PodCounts:
    """Reads what tables counted for each address."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def addresses(self, table: str) -> tuple[AddressCounter, ...]:
        """What was counted for each local address that is judged, in each direction."""
        from netpolc.backends.nft.signals.counters import AddressCounter  # few commands count

        found: list[AddressCounter] = []
        for direction, version in product(Direction, Family):
            judged = self._channel.reading.members(table, chain_map(direction, version))
            counted = self._channel.reading.members(table, denied_set(direction, version))
            if judged is None or not isinstance(judged.entry, AddressMap):
                continue
            counts = _counts(counted)
            for address, verdict in judged.entry.elements:
                if address not in counts:
                    raise SystemRefusal(f"table inet {table} does not count {address}: reload it")
                own, line = counts[address], parse_address(address)
                found.append(
                    AddressCounter(str(direction), line, verdict.chain, own.packets, own.size)
                )
        return tuple(found)


def _counts(counted: Listed | None) -> dict[str, CountPacket]:
    """What each address counted; nothing where nothing is counted."""
    if counted is None or not isinstance(counted.entry, AddressSet) or not counted.counts:
        return {}
    return dict(zip(counted.entry.elements, counted.counts, strict=True))
