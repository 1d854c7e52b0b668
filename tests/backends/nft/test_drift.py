"""The digest of a listed table: what changes it, and what changes by itself.

In: a listing as nft prints it without state, written by hand, with one thing changed. Out: the same
digest or another.
"""

from __future__ import annotations

import pytest

from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.write.digest import digest_of
from netpolc.core.errors import RulesetError

LISTING = """\
table inet netpolc {
\tcomment "netpolc"
\tcounter drop_e {
\t\tcomment "a/b"
\t}

\tcounter meta_loaded {
\t\tcomment "2026-11-21T04:21:01Z"
\t}

\tset s4 {
\t\ttype ipv4_addr
\t\tsize 16
\t\telements = { 10.0.0.1, 10.0.0.2,
\t\t\t     10.0.0.3 }
\t}

\tset deny_in4 {
\t\ttype ipv4_addr
\t\tsize 16
\t\tcounter
\t\telements = { 10.0.0.9 counter }
\t}

\tmap in4 {
\t\ttype ipv4_addr : verdict
\t\tsize 16
\t\telements = { 10.0.0.1 : goto i_1, 10.0.0.2 : drop }
\t}

\tchain forward {
\t\ttype filter hook forward priority -5; policy accept;
\t\tct state established,related accept
\t\tip saddr @s4 drop
\t}
}
"""
RULES = "\t\tct state established,related accept\n\t\tip saddr @s4 drop\n"
COUNTER = LISTING[LISTING.index("\tcounter drop_e") : LISTING.index("\tcounter meta")]
ITSELF = {
    "another moment": ("04:21:01", "05:00:00"),
    "elements in another order": ("10.0.0.1, 10.0.0.2,", "10.0.0.2, 10.0.0.1,"),
    "verdicts in another order": (
        "10.0.0.1 : goto i_1, 10.0.0.2 : drop",
        "10.0.0.2 : drop, 10.0.0.1 : goto i_1",
    ),
    "objects in another order": (COUNTER + "\tcounter", "\tcounter"),
    "waiting to be confirmed": (
        COUNTER,
        COUNTER + COUNTER.replace("drop_e", "meta_unconfirmed"),
    ),
}
SOMEBODY = {
    "a comment": ("a/b", "a/c"),
    "a counter gone": (COUNTER, ""),
    "an element more": ("10.0.0.3 }", "10.0.0.3, 10.0.0.4 }"),
    "an element less": (", 10.0.0.2,\n", ",\n"),
    "another verdict": ("10.0.0.2 : drop", "10.0.0.2 : accept"),
    "another size": (
        "size 16\n\t\telements = { 10.0.0.1, ",
        "size 17\n\t\telements = { 10.0.0.1, ",
    ),
    "not counted any more": ("\t\tcounter\n\t\telements", "\t\telements"),
    "rules in another order": (RULES, "".join(reversed(RULES.splitlines(keepends=True)))),
    "a rule gone": ("\t\tip saddr @s4 drop\n", ""),
    "another priority": ("priority -5", "priority -4"),
    "a set more": ("\tset s4 {", "\tset x {\n\t\ttype mark\n\t}\n\n\tset s4 {"),
}


def digest(text: str) -> str:
    return digest_of(parse_listing(text, "netpolc"))


def changed(old: str, new: str) -> str:
    assert LISTING.count(old) == 1
    return LISTING.replace(old, new)


@pytest.mark.parametrize("name", ITSELF)
def test_what_changes_by_itself_is_no_drift(name: str) -> None:
    text = changed(*ITSELF[name])
    if name == "objects in another order":
        text = text.removesuffix("}\n") + f"{COUNTER}}}\n"
    assert digest(text) == digest(LISTING)


@pytest.mark.parametrize("name", SOMEBODY)
def test_what_somebody_changes_is_drift(name: str) -> None:
    assert digest(changed(*SOMEBODY[name])) != digest(LISTING)


@pytest.mark.parametrize("line", ["flags dormant", "ct helper x {", "flowtable f {"])
def test_what_netpolc_never_makes_is_refused(line: str) -> None:
    with pytest.raises(RulesetError):
        digest(LISTING.replace('\tcomment "netpolc"\n', f'\tcomment "netpolc"\n\t{line}\n'))
