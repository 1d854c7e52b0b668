"""What a table says of itself: by which options it was made and when, what waits, whose an address
is, what it counted.

Comes in: names of tables. Goes out: `Loaded` and its parts, counts by address. Refusals are the
`SystemRefusal`s of `libnftables/channel.py`; `Foreign` is a table that says nothing.
"""

from __future__ import annotations

import json
from itertools import product
from typing import Any

from netpolc.backends.nft.names import (
    DIGEST,
    GENERATION,
    NOTED,
    chain_map,
    denied_set,
)
from netpolc.backends.nft.options import check_table
from netpolc.backends.nft.readback import notes
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.state.loaded import (
    Loaded,
    Unconfirmed,
    counters_of,
    loaded_in,
    unconfirmed_in,
)
from netpolc.backends.nft.signals.counters import AddressCounter
from netpolc.backends.nft.write.digest import generation
from netpolc.core.errors import SystemRefusal
from netpolc.core.ir import Direction
from netpolc.core.nets import Family, parse_address


class Facts:
    """Asks tables what they say of themselves."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def loaded(self, table: str) -> Loaded | None:
        """What is loaded under this name; None when there is no such table."""
        output = self._channel.counters(table)
        return loaded_in(table, output) if output is not None else None

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
        return generation(self._counters(table).get(GENERATION, {}).get("comment", ""))

    def noted(self, table: str) -> dict[int, str] | None:
        """Whose address is whose, as the table says it (`write/owners.py`); None if it does not."""
        found: dict[int, str] = {}
        known = False
        for name in NOTED.values():
            output = self._channel.query(f"set inet {table} {name}", table, json=True)
            known = known or output is not None
            found.update(notes.from_json(_elements(output, "set")))
        return found if known else None

    def _counters(self, table: str) -> dict[str, Any]:
        """Its counters by name, as libnftables JSON; none when there is no such table."""
        output = self._channel.counters(table)
        return counters_of(output) if output is not None else {}


class PodCounts:
    """Reads what tables counted for each address."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def addresses(self, table: str) -> tuple[AddressCounter, ...]:
        """What was counted for each local address that is judged, in each direction."""
        found: list[AddressCounter] = []
        for direction, version in product(Direction, Family):
            judged = self._elements(table, "map", chain_map(direction, version))
            counts = {
                own["elem"]["val"]: own["elem"]["counter"]
                for own in self._elements(table, "set", denied_set(direction, version))
            }
            for address, verdict in judged:
                chain = next(iter(verdict.values()))["target"]
                if address not in counts:
                    raise SystemRefusal(f"table inet {table} does not count {address}: reload it")
                own, line = counts[address], parse_address(address)
                found.append(
                    AddressCounter(str(direction), line, chain, own["packets"], own["bytes"])
                )
        return tuple(found)

    def _elements(self, table: str, kind: str, name: str) -> list[Any]:
        """The elements of a set or map; none when it is not there."""
        return _elements(self._channel.query(f"{kind} inet {table} {name}", table, json=True), kind)


def _elements(listing: str | None, kind: str) -> list[Any]:
    entries = json.loads(listing)["nftables"] if listing is not None else []
    return [own for entry in entries if kind in entry for own in entry[kind].get("elem", [])]
