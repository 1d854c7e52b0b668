"""What a table of netpolc's says of itself, by the names and comments of its counters.

Comes in: counters, as the kernel has them or as libnftables JSON. Goes out: `Loaded`. Refused
(`Foreign`): a table that says nothing, which is somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from netpolc.backends.nft.names import (
    AUDIT,
    DIGEST,
    DROP,
    INVALID,
    LOADED,
    ODD,
    OPTIONS,
    PENDING_NOTE,
    POD_BRIDGES_NOTE,
    UNCONFIRMED,
)
from netpolc.backends.nft.netlink.entities import KernelCounter
from netpolc.backends.nft.options import Options
from netpolc.backends.nft.rollout.state.drift import Drift
from netpolc.backends.nft.signals.drops import Drops
from netpolc.core.errors import SystemRefusal

MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_UNCONFIRMED = re.compile(r"(?P<token>[0-9a-f]{16}) until (?P<until>[-0-9T:]{19}Z)", re.ASCII)


class Foreign(SystemRefusal):
    """A table that says nothing netpolc would say of it."""


class Owned(SystemRefusal):
    """A table by our name that a running program owns: nobody else can change or delete it."""


class Unconfirmed(Struct, frozen=True):
    """A rollout that is undone at a moment (UTC) unless it is confirmed; the token names it."""

    token: str
    until: str

    @classmethod
    def after(cls, token: str, seconds: int) -> Unconfirmed:
        """One that has so many seconds from now."""
        return cls(token, (datetime.now(UTC) + timedelta(seconds=seconds)).strftime(MOMENT))

    def note(self) -> str:
        """As the comment of a counter carries it."""
        return f"{self.token} until {self.until}"


class Loaded(Struct, frozen=True):
    """A table of netpolc's in the kernel; `since` is empty if `netpolc apply` did not load it."""

    table: str
    digest: str
    options: Options
    since: str
    drops: tuple[Drops, ...]
    unconfirmed: Unconfirmed | None
    invalid: int = 0
    """Packets of no connection that no rule admits; they are in no `Drops`."""
    odd: tuple[str, ...] = ()
    """What it says of objects that are not enforced as they were written."""


def drifted(
    loaded: Loaded | None, content: str | None, expected: str | None = None
) -> tuple[Drift, ...]:
    """What is wrong with a table whose content `TableReader.content` gave, and if it should have
    this digest.
    """
    if loaded is None or content is None:
        return (Drift.MISSING,)
    modified = content != loaded.digest
    stale = expected is not None and loaded.digest != expected
    return (*([Drift.MODIFIED] if modified else ()), *([Drift.STALE] if stale else ()))


Counters = Mapping[str, KernelCounter]
"""By their names."""


def counters_of(listing: str) -> Counters:
    """The counters of a listing, which is libnftables JSON."""
    import json  # what is asked of the kernel itself is none

    entries = json.loads(listing)["nftables"]
    found = (own["counter"] for own in entries if "counter" in own)
    return {
        own["name"]: KernelCounter(
            own["name"], own.get("comment", ""), own["packets"], own["bytes"]
        )
        for own in found
    }


def unconfirmed_in(counters: Counters) -> Unconfirmed | None:
    """The rollout that waits to be confirmed, if the counters say that one does."""
    said = counters[UNCONFIRMED].comment if UNCONFIRMED in counters else ""
    note = _UNCONFIRMED.fullmatch(said)
    return Unconfirmed(note["token"], note["until"]) if note is not None else None


def loaded_in(table: str, counters: Counters) -> Loaded:
    """What the counters of a table say of it; `Foreign` for a table of somebody else."""
    comments = {name: own.comment for name, own in counters.items()}
    try:
        digest = comments[DIGEST]
        others = (comments.get(name, "") for name in (POD_BRIDGES_NOTE, PENDING_NOTE))
        noted = " ".join((comments[OPTIONS], *others))
        options = Options.from_description(table, noted)
    except (KeyError, ValueError) as error:
        raise Foreign(f"table inet {table} was not made by netpolc: {error}") from error
    drops = tuple(
        Drops(
            name.removeprefix(kind),
            own.packets,
            own.size,
            own.comment,
            kind == AUDIT,
        )
        for kind in (DROP, AUDIT)
        for name, own in sorted(counters.items())
        if name.startswith(kind)
    )
    return Loaded(
        table,
        digest,
        options,
        comments.get(LOADED, ""),
        drops,
        unconfirmed_in(counters),
        counters[INVALID].packets if INVALID in counters else 0,
        tuple(sorted(told for name, told in comments.items() if name.startswith(ODD))),
    )
