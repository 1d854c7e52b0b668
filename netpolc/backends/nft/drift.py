"""Is the table still what netpolc loaded?

Comes in: what libnftables lists, as JSON. Goes out: a fingerprint of everything that somebody could
have changed, and the kinds of drift. The fingerprint is taken from the kernel's own listing right
after a load and kept in the table (`Kernel.seal`): comparing two listings of one program needs no
opinion about how it writes them. What changes by itself is left out: handles, counted packets,
elements that rules add or that time out.
"""

from __future__ import annotations

import json
from enum import StrEnum
from hashlib import sha256
from typing import Any

from netpolc.backends.nft.ruleset import SEAL, UNCONFIRMED

_VOLATILE = frozenset({"handle", "packets", "bytes", "expires"})
_NOTES = frozenset({SEAL, UNCONFIRMED})
"""Counters that come and go while the table stays what it is."""


class Drift(StrEnum):
    """How what is in force differs from what should be."""

    MISSING = "missing"
    MODIFIED = "modified"
    STALE = "stale"


def fingerprint(listing: str) -> str:
    """Names the content of a table that libnftables listed as JSON, whatever the order of it.

    Only rules have an order that means anything, within their chain.
    """
    found: list[tuple[str, str, Any]] = []
    for entry in json.loads(listing)["nftables"]:
        kind, body = next(iter(entry.items()))
        if kind == "metainfo" or (kind == "counter" and body["name"] in _NOTES):
            continue
        found.append((kind, body["chain"] if kind == "rule" else body["name"], _lasting(body)))
    found.sort(key=lambda entry: entry[:2])
    return f"sha256:{sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:32]}"


def _lasting(body: dict[str, Any]) -> dict[str, Any]:
    """An object without what changes by itself; elements in an order of their own."""
    kept: dict[str, Any] = _still({key: body[key] for key in body if key != "elem"})
    if "dynamic" not in body.get("flags", ()) and "timeout" not in body:
        kept["elem"] = sorted(map(_still, body.get("elem", ())), key=_text)
    return kept


def _still(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _still(inner) for key, inner in value.items() if key not in _VOLATILE}
    return [_still(inner) for inner in value] if isinstance(value, list) else value


def _text(element: Any) -> str:
    return element if isinstance(element, str) else json.dumps(element, sort_keys=True)
