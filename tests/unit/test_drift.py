"""Fingerprints of a table: what changes them, and what changes by itself.

In: a listing as libnftables prints it, written by hand, with one thing changed. Out: the same
fingerprint or another.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from json import dumps
from typing import Any

import pytest

from netpolc.backends.nft.drift import fingerprint

Json = dict[str, Any]
COMMON = {"family": "inet", "table": "netpolc"}


def rule(handle: int, target: str) -> Json:
    expression = [{"counter": {"packets": 3, "bytes": 9}}, {"goto": {"target": target}}]
    return {"rule": {**COMMON, "chain": "forward", "handle": handle, "expr": expression}}


LISTING: list[Json] = [
    {"metainfo": {"version": "1.0.6"}},
    {"table": {"family": "inet", "name": "netpolc", "handle": 4}},
    {"counter": {**COMMON, "name": "drop_e", "handle": 1, "comment": "a/b", "packets": 5}},
    {"counter": {**COMMON, "name": "meta_seal", "handle": 2, "comment": "sha256:0"}},
    {"set": {**COMMON, "name": "s4", "handle": 3, "type": "ipv4_addr", "elem": ["10.0.0.1", "::"]}},
    {
        "set": {
            **COMMON,
            "name": "denied4",
            "handle": 5,
            "type": "ipv4_addr",
            "flags": ["dynamic"],
            "elem": [{"elem": {"val": "10.0.0.1", "counter": {"packets": 1, "bytes": 2}}}],
        }
    },
    {
        "map": {
            **COMMON,
            "name": "in4",
            "handle": 6,
            "map": "verdict",
            "elem": [["10.0.0.1", {"goto": {"target": "i_1"}}], ["10.0.0.2", {"drop": None}]],
        }
    },
    rule(7, "ingress"),
    rule(8, "other"),
]


def changed(change: Callable[[list[Json]], object]) -> str:
    listing = copy.deepcopy(LISTING)
    change(listing)
    return dumps({"nftables": listing})


ITSELF: dict[str, Callable[[list[Json]], object]] = {
    "counted": lambda own: own[2]["counter"].update(packets=900),
    "counted inline": lambda own: own[7]["rule"]["expr"][0]["counter"].update(packets=900),
    "handles": lambda own: own[7]["rule"].update(handle=70),
    "sealed": lambda own: own.pop(3),
    "elements in another order": lambda own: own[4]["set"]["elem"].reverse(),
    "verdicts in another order": lambda own: own[6]["map"]["elem"].reverse(),
    "objects in another order": lambda own: own.insert(1, own.pop(6)),
    "a dynamic element": lambda own: own[5]["set"]["elem"].clear(),
    "waiting to be confirmed": lambda own: own.append(
        {"counter": {**COMMON, "name": "meta_unconfirmed", "comment": "x"}}
    ),
}
SOMEBODY: dict[str, Callable[[list[Json]], object]] = {
    "a comment": lambda own: own[2]["counter"].update(comment="a/c"),
    "a counter gone": lambda own: own.pop(2),
    "an element more": lambda own: own[4]["set"]["elem"].append("10.0.0.2"),
    "an element less": lambda own: own[4]["set"]["elem"].pop(),
    "another verdict": lambda own: own[6]["map"]["elem"][1].append({"accept": None}),
    "rules in another order": lambda own: own.reverse(),
    "a rule gone": lambda own: own.pop(),
    "a statement gone": lambda own: own[7]["rule"]["expr"].pop(0),
    "a set more": lambda own: own.append({"set": {**COMMON, "name": "x", "type": "mark"}}),
    "dormant": lambda own: own[1]["table"].update(flags=["dormant"]),
}


@pytest.mark.parametrize("name", ITSELF)
def test_what_changes_by_itself_is_no_drift(name: str) -> None:
    assert fingerprint(changed(ITSELF[name])) == fingerprint(dumps({"nftables": LISTING}))


@pytest.mark.parametrize("name", SOMEBODY)
def test_what_somebody_changes_is_drift(name: str) -> None:
    assert fingerprint(changed(SOMEBODY[name])) != fingerprint(dumps({"nftables": LISTING}))
