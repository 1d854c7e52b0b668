"""Whose address is whose, as the sets of a loaded table note it (see `write/owners.py`).

Comes in: those sets as objects, or their elements as libnftables JSON. Goes out: a digest of the
pod's name and one of its UID, by address. What somebody else added to the sets is no note, and left
out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from netpolc.backends.nft.names import NOTED
from netpolc.backends.nft.objects import Objects, Written, key
from netpolc.core.nets import parse_address

_ELEMENT = re.compile(r'(\S+) comment "([0-9a-f]{16} (?:[0-9a-f]{16}|-))"', re.ASCII)


def take(objects: dict[str, Written]) -> tuple[dict[int, str] | None, Objects]:
    """Take the sets of notes out of a table: what they note (None: there are none), and them."""
    names = [key("set", name) for name in NOTED.values()]
    sets = {name: objects.pop(name) for name in names if name in objects}
    elements = (element for entry in sets.values() for element in entry.elements)
    return dict(_read(elements)) if sets else None, sets


def from_json(elements: Iterable[Any]) -> dict[int, str]:
    """The notes among the elements of a set, as libnftables JSON."""
    entries = (own["elem"] for own in elements if isinstance(own, dict) and "elem" in own)
    return dict(_read(f'{own.get("val")} comment "{own.get("comment")}"' for own in entries))


def _read(elements: Iterable[str]) -> Iterator[tuple[int, str]]:
    for found in filter(None, map(_ELEMENT.fullmatch, elements)):
        with suppress(ValueError):
            yield parse_address(found[1]), found[2]
