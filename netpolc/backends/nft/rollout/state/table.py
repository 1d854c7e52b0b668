"""Whole tables as they are listed: what a table holds, whatever it says of itself.

Comes in: names of tables. Goes out: listings, the digest of one, the transaction that brings one
back. Refusals are the `SystemRefusal`s of `libnftables/channel.py`.
"""

from __future__ import annotations

import re

from netpolc.backends.nft.names import UNCONFIRMED
from netpolc.backends.nft.objects import Written
from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.write.digest import digest_of
from netpolc.core.errors import RulesetError

_OWNER = re.compile(r"table inet \w+ \{(?: # progname ([^\n]*))?\n\tflags (?:\w+,)*owner\b")


class TableReader:
    """Lists tables."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def listing(self, table: str) -> str | None:
        """The whole table as libnftables JSON; None when there is no such table."""
        return self._channel.whole(table)

    def objects(self, table: str) -> list[Written] | None:
        """The objects of a table, whichever nft loaded it; None when there is none, `RulesetError`
        when it holds what netpolc never makes.
        """
        return self._channel.reading.objects(table)

    def text_listing(self, table: str) -> str | None:
        """The whole table as nft prints it, without what counters count."""
        return self._channel.query(f"table inet {table}", table, stateless=True, numeric=True)

    def content(self, table: str) -> str | None:
        """The digest of what a table holds now, whatever it says of itself.

        None when there is no such table, empty when it holds what netpolc never makes.
        """
        try:
            found = self._channel.reading.objects(table, owners=False)
        except RulesetError:
            return ""
        return None if found is None else digest_of(found)

    def content_by_nft(self, table: str) -> str | None:
        """The same by the listing of libnftables; empty also where its words are not known."""
        text = self.text_listing(table)
        if text is None:
            return None
        try:
            return digest_of(parse_listing(text, table))
        except RulesetError:
            return ""

    def owner(self, table: str) -> str | None:
        """The program that owns a table (`flags owner`), as nft calls it; None if nobody does."""
        text = self._channel.query(f"table inet {table}", table, stateless=True)
        found = _OWNER.match(text) if text is not None else None
        return (found[1] or "unknown") if found is not None else None

    def saved(self, table: str) -> str:
        """A transaction as text that brings back exactly what is there now, counters included.

        When nothing is there it deletes the table. Whoever saves an unconfirmed table means it:
        what comes back is confirmed.
        """
        head = f"table inet {table}\ndelete table inet {table}\n"
        listing = self._channel.query(f"table inet {table}", table)
        if listing is None:
            return head
        waiting = f"\tcounter {UNCONFIRMED} {{\n" in listing
        confirm = f"delete counter inet {table} {UNCONFIRMED}\n" if waiting else ""
        return head + listing + confirm
