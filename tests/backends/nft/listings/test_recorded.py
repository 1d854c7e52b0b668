"""What every nft lists of one ruleset is read as one and the same.

In: rulesets and their recorded listings (see the package). Out: the digest that was loaded, nothing
to change, and the same meaning packet by packet; what somebody else put there is another.
"""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

import pytest

from netpolc.backends.nft.objects import Written, index
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.write.delta import delta
from netpolc.backends.nft.write.digest import digest_of
from netpolc.core.errors import RulesetError
from tests.backends.nft.listings import OPTIONS, RECORDED

VERSIONS = ("1.0.6", "1.1.3", "1.1.7")
each = pytest.mark.parametrize(("options", "version"), list(product(OPTIONS, VERSIONS)))


def recorded(options: str, name: str) -> str:
    return (RECORDED / options / name).read_text()


def emitted(options: str) -> str:
    return recorded(options, "ruleset.nft")


def written(text: str) -> list[Written]:
    """The objects of a listing, or of a transaction, which has the shape of one at its end."""
    return parse_listing(text[text.index("table inet netpolc {") :], "netpolc")


def listed(options: str, version: str) -> list[Written]:
    return written(recorded(options, f"nft-{version}.txt"))


def meaning(options: str, version: str) -> Listing:
    return parse_json.parse(recorded(options, f"nft-{version}.json"))


@each
def test_a_listing_has_the_digest_of_what_was_loaded(options: str, version: str) -> None:
    (noted,) = re.findall(r"(?m)^# (sha256:\w+)$", emitted(options))
    assert digest_of(listed(options, version)) == noted


@each
def test_nothing_is_to_be_changed(options: str, version: str) -> None:
    own = index(written(emitted(options)))
    found = delta("netpolc", index(listed(options, version)), own)
    assert found is not None
    assert found.text == ""


@each
def test_a_listing_means_what_was_loaded(options: str, version: str) -> None:
    assert meaning(options, version).content() == parse_text.parse(emitted(options)).content()


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        ("logged-and-rejected", "burst 5 packets", "burst 6 packets"),
        ("logged-and-rejected", "limit rate 10/second", "limit rate over 10/second"),
        ("logged-and-rejected", "size 16\t# count 1", "size 32\t# count 1"),
        ("rechecked", "ct mark & 0xfff00000 ==", "ct mark & 0xff000000 =="),
        ("rechecked", "ct state established,new", "ct state established,related"),
        ("rechecked", "limit rate 3/hour burst 5 packets log", "log"),
    ],
)
def test_other_words_that_mean_something_else_are_told(
    options: str, before: str, after: str
) -> None:
    text = recorded(options, "nft-1.1.7.txt")
    assert before in text
    assert digest_of(written(text.replace(before, after, 1))) != digest_of(written(text))


TYPES = {
    "ip saddr": "ipv4_addr",
    "ip6 saddr": "ipv6_addr",
    "ip daddr": "ipv4_addr",
    "ip6 daddr": "ipv6_addr",
    "meta l4proto": "inet_proto",
    "th dport": "inet_service",
}
_TYPES = re.compile("|".join(TYPES))


def by_data_types(text: str) -> str:
    """A ruleset as netpolc once declared it, and as `-o json` does."""
    text = re.sub(
        r"(?<=\t)typeof .*", lambda own: _TYPES.sub(lambda own: TYPES[own[0]], own[0]), text
    ).replace("\ttypeof ", "\ttype ")
    assert "\ttype inet_proto . inet_service : verdict" in text
    assert "typeof" not in text
    return text


def test_type_declares_what_typeof_does() -> None:
    """By data types in text (nft(8), SETS), by names in JSON; nft 1.0.6 lists JSON only so."""
    own = emitted("rechecked")
    assert parse_text.parse(by_data_types(own)).content() == parse_text.parse(own).content()
    assert '"type": "ipv4_addr", ' in recorded("rechecked", "nft-1.0.6.json")
    assert '"type": {"typeof": ' in recorded("rechecked", "nft-1.1.3.json")


def test_a_table_declared_by_data_types_is_made_anew_at_once() -> None:
    """In one transaction, and it is no table of somebody else's."""
    own = emitted("audited")
    old, new = (index(written(text)) for text in (by_data_types(own), own))
    found = delta("netpolc", old, new)
    assert found is not None
    assert found.objects == sum(key.startswith(("set ", "map ")) for key in new)


def changed(kind: str, key: str, value: object) -> Listing:
    """A listing in which the first object of a kind has one key more, or another value."""
    document: dict[str, Any] = json.loads(recorded("audited", "nft-1.1.3.json"))
    body = next(own[kind] for own in document["nftables"] if kind in own)
    if key.startswith("elem."):
        element = body["elem"][0]
        inner = element["elem"] if isinstance(element, dict) else {"val": element}
        body["elem"][0] = {"elem": {**inner, key.removeprefix("elem."): value}}
    else:
        body[key] = value
    return parse_json.parse(json.dumps(document))


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("table", "comment", "somebody's"),
        ("chain", "comment", "somebody's"),
        ("set", "comment", "somebody's"),
        ("set", "count", 3),
        ("set", "elem.comment", "somebody's"),
        ("counter", "since", "a new key"),
    ],
)
def test_what_changes_no_verdict_may_be_there(kind: str, key: str, value: object) -> None:
    assert changed(kind, key, value).content() == meaning("audited", "1.0.6").content()


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("table", "flags", "dormant"),
        ("chain", "flags", "offload"),
        ("set", "timeout", 60),
        ("set", "flags", ["timeout"]),
        ("set", "elem.timeout", 60),
        ("set", "type", {"typeof": {"meta": {"key": "mark"}}}),
        ("rule", "unless", "a new key"),
    ],
)
def test_what_could_change_one_is_refused(kind: str, key: str, value: object) -> None:
    with pytest.raises(RulesetError):
        changed(kind, key, value)
