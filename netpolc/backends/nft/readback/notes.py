"""Whose address is whose, as the sets of a loaded table note it (see `write/owners.py`).

Comes in: those sets as objects, or their elements. Goes out: a digest of the pod's name and one of
its UID, by address. What somebody else added to the sets is no note, and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from netpolc.backends.nft.names import NOTED
from netpolc.backends.nft.objects import Objects, Written, key
from netpolc.core.nets import parse_address

_NOTE = re.compile(r"[0-9a-f]{16} (?:[0-9a-f]{16}|-)", re.ASCII)
_ELEMENT = re.compile(r'(\S+) comment "([^"]*)"', re.ASCII)


def take(objects: dict[str, Written]) -> tuple[dict[int, str] | None, Objects]:
    """Take the sets of notes out of a table: what they note (None: there are none), and them."""
    names = [key("set", name) for name in NOTED.values()]
    sets = {name: objects.pop(name) for name in names if name in objects}
    elements = (element for entry in sets.values() for element in entry.elements)
    return dict(notes_among(map(_split, elements))) if sets else None, sets


def notes_among(elements: Iterable[tuple[str, str]]) -> Iterator[tuple[int, str]]:
    """The notes among addresses with their comments."""
    for address, comment in elements:
        if _NOTE.fullmatch(comment):
            with suppress(ValueError):
                yield parse_address(address), comment


def _split(element: str) -> tuple[str, str]:
    """An address and its comment; both empty for what is no note."""
    found = _ELEMENT.fullmatch(element)
    return (found[1], found[2]) if found is not None else ("", "")
