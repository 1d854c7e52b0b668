"""Whole tables as they are listed: what a table holds, whatever it says of itself.

Comes in: names of tables. Goes out: listings, the digest of one, the transaction that brings one
back. Refusals are the `SystemRefusal`s of `libnftables/channel.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netpolc.backends.nft.names import UNCONFIRMED
from netpolc.backends.nft.objects import Written
from netpolc.backends.nft.rollout.libnftables.channel import Channel, program_of
from netpolc.backends.nft.write.digest import digest_of
from netpolc.core.errors import RulesetError, SystemRefusal

if TYPE_CHECKING:
    from netpolc.backends.nft.readback.listing import Listing
    from netpolc.backends.nft.rollout.state.made import Made
    from netpolc.backends.nft.rollout.state.saving import Saved


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

    def walked(self, table: str, *, by_nft: bool = False) -> Listing | None:
        """The table as tests of fields, for the tracer and the proof; None when there is none.

        It is what the kernel says. Where somebody put in what netpolc never makes, or `by_nft`, it
        is what libnftables lists, which has words for more; `RulesetError` where nobody does.
        """
        from netpolc.backends.nft.readback import parse_json, parse_text
        from netpolc.backends.nft.rollout.state.saving import whole_text

        if not by_nft:
            try:
                objects = self._channel.reading.objects(table, owners=False)
                return None if objects is None else parse_text.parse(whole_text(table, objects))
            except RulesetError as error:
                try:
                    text = self.listing(table)
                except SystemRefusal:
                    raise error from None  # libnftables is missing, or says no
        else:
            text = self.listing(table)
        return None if text is None else parse_json.parse(text)

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

    def made(self, table: str) -> Made | None:
        """What a table holds now, owners of addresses included, to be compared with what inputs
        gave; None where there is no such table, or one with what netpolc never makes.
        """
        from netpolc.backends.nft.rollout.state.made import as_made  # `status` alone needs less

        try:
            found = self._channel.reading.objects(table)
        except RulesetError:
            return None
        return None if found is None else as_made(found)

    def exists(self, table: str) -> bool:
        """Whether there is a table of this name, whoever made it."""
        return self._channel.reading.counters(table) is not None

    def content_by_nft(self, table: str) -> str | None:
        """The same by the listing of libnftables; empty also where its words are not known."""
        from netpolc.backends.nft.readback.parse_listing import parse_listing

        text = self.text_listing(table)
        if text is None:
            return None
        try:
            return digest_of(parse_listing(text, table))
        except RulesetError:
            return ""

    def owner(self, table: str) -> str | None:
        """The program that owns a table (`flags owner`); None if nobody does."""
        number = self._channel.reading.owner(table)
        return None if number is None else program_of(number)

    def saved(self, table: str) -> Saved:
        """What brings a table back as it is now."""
        from netpolc.backends.nft.rollout.state.saving import Saved

        reading = self._channel.reading
        record, why = reading.record(table), ""
        try:
            return Saved(record, reading.saved_text(table))
        except RulesetError as error:
            why = str(error)
        try:  # libnftables has words for what netpolc never makes
            return Saved(record, self.saved_by_nft(table).text)
        except SystemRefusal as error:
            return Saved(record, "", f"{why}; {error}")

    def saved_by_nft(self, table: str) -> Saved:
        """The same from the listing of libnftables."""
        from netpolc.backends.nft.rollout.state.saving import Saved, no_table

        listing = self._channel.query(f"table inet {table}", table)
        if listing is None:
            return Saved(None, no_table(table))
        waiting = f"\tcounter {UNCONFIRMED} {{\n" in listing
        confirm = f"delete counter inet {table} {UNCONFIRMED}\n" if waiting else ""
        return Saved(None, no_table(table) + listing + confirm)
