"""The written forms of a ruleset: nothing unsafe, nothing too long, names made from content.

In: rulesets of snapshots with many and with long names. Out: what nft 1.0.6 can hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.backends.nft import model as nft
from netpolc.backends.nft.wording import plain
from netpolc.backends.nft.write.text import rule_line
from netpolc.core.ir import Origin
from netpolc.core.nets import Family, Protocol, parse_cidr

LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])
MAX_COMMENT = 127
MAX_NAME = 255
_NAMES = re.compile(r"\b(?:table inet|chain|set|map|counter|jump|goto)\s+([A-Za-z]\w*)|@(\w+)")


def snapshot(*names: str, pods: int = 3, namespace: str = "default") -> netpolc.Program:
    """Pods that all the named policies isolate in both directions."""
    objects: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod-{n}", "namespace": namespace, "labels": {"n": str(n)}},
            "status": {"podIPs": [{"ip": f"10.64.0.{n + 1}"}, {"ip": f"2001:db8::{n + 1}"}]},
        }
        for n in range(pods)
    ]
    for number, name in enumerate(names):
        ports = [
            {"port": 1000 + number},
            {"port": 2000, "endPort": 2000 + number, "protocol": "UDP"},
        ]
        peers = [
            {"podSelector": {"matchLabels": {"n": str(number % pods)}}},
            {"ipBlock": {"cidr": "192.0.2.0/24", "except": [f"192.0.2.{number % 200}/32"]}},
        ]
        spec = {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": ports}],
            "egress": [{"to": peers, "ports": ports}, {"ports": [{"port": 53}]}],
        }
        objects.append(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        )
    return netpolc.compile(netpolc.load_objects(objects))


def comments(value: object) -> list[str]:
    """Every comment and log prefix of the JSON form."""
    found: list[str] = []
    if isinstance(value, dict):
        free = [text for key, text in value.items() if key in ("comment", "prefix")]
        found += [text for text in free if isinstance(text, str)]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            found += comments(inner)
    return found


PROGRAMS: dict[str, Callable[[], netpolc.Program]] = {
    "none": snapshot,
    "one": lambda: snapshot("p"),
    "many": lambda: snapshot(*(f"policy-{n}" for n in range(60))),
    "long": lambda: snapshot(LONGEST, namespace="c" * 63),
    "many long": lambda: snapshot(
        *(f"{LONGEST[:-2]}{n}" for n in range(10, 30)), namespace="c" * 63
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    "options",
    [
        netpolc.Options(),
        netpolc.Options("netpolc_" + "t" * 48, "postrouting", None, "drop", "999999/second"),
        netpolc.Options(deny="reject", log="1/day"),
        netpolc.Options("netpolc_" + "t" * 48, "postrouting", -9, "drop", "1/day", True, "recheck"),
    ],
    ids=["default", "postrouting", "reject", "recheck"],
)
def test_everything_fits(name: str, options: netpolc.Options) -> None:
    ruleset = PROGRAMS[name]().ruleset(options=options)
    text = ruleset.text()
    written = re.findall(r'(?:comment|prefix|oifkind|\n\t\t\t) ?"([^"\n]*)"', text)
    assert text.count('"') == 2 * len(written)
    assert all(len(entry.encode()) <= MAX_COMMENT for entry in written)
    assert all(len(entry.encode()) <= MAX_COMMENT for entry in comments(json.loads(ruleset.json())))
    outside = re.sub(r'"[^"\n]*"', "", text)
    found = {match[0] or match[1] for match in _NAMES.findall(outside)}
    assert found
    assert all(len(entry) <= MAX_NAME for entry in found)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", entry) for entry in found)


def test_a_comment_names_as_many_policies_as_fit() -> None:
    text = PROGRAMS["many"]().ruleset().text()
    (drop, *_) = re.findall(r'drop comment "(default[^"]*)"', text)
    named, _, more = drop.removesuffix(" more").rpartition(" +")
    assert named.startswith("default/policy-0, default/policy-1, ")
    assert len(named.split(", ")) + int(more) == 60
    assert len(drop) > 100


def test_a_long_name_is_cut_where_it_can_still_be_told() -> None:
    text = PROGRAMS["long"]().ruleset().text()
    cut = [entry for entry in re.findall(r'comment "([^"]*)"', text) if "ccc/" in entry]
    assert cut
    assert all(entry.startswith("c" * 63 + "/" + "a" * 40) for entry in cut)
    assert all("..." in entry for entry in cut)


def test_every_rule_has_a_comment() -> None:
    for make in PROGRAMS.values():
        for chain in make().ruleset().table.chains:
            assert all(entry.comment for entry in chain.rules), chain.name


def test_the_digest_names_the_content() -> None:
    one, same, other = snapshot("p", "q"), snapshot("q", "p"), snapshot("p", "r")
    assert one.ruleset().digest != other.ruleset().digest
    # Which policy comes first decides the ports in this snapshot: other content, other digest.
    assert one.ruleset().digest != same.ruleset().digest
    assert one.ruleset().digest == snapshot("p", "q").ruleset().digest
    assert one.ruleset(options=netpolc.Options(log="1/day")).digest != one.ruleset().digest
    text = one.ruleset().text()
    assert text.count(one.ruleset().digest) == 2  # head and counter
    assert one.ruleset().digest in one.ruleset().json()


def test_a_transaction_replaces_the_table_and_no_other() -> None:
    text = snapshot("p").ruleset(options=netpolc.Options("netpolc_lab")).text()
    lines = text.splitlines()
    assert lines[2:5] == [
        "table inet netpolc_lab",
        "delete table inet netpolc_lab",
        "table inet netpolc_lab {",
    ]
    assert lines[-1] == "}"
    assert [line for line in lines[5:-1] if not line.startswith("\t")] == []
    assert not re.search(r"^\s*(flush|destroy|include|define)\b", text, re.MULTILINE)


def test_a_node_without_isolated_pods_only_has_its_facts() -> None:
    text = snapshot().ruleset().text()
    assert re.findall(r"^\t(\w+ \w+) \{", text, re.MULTILINE) == [
        "counter meta_digest",
        "counter meta_options",
        "counter meta_bridges",
        "chain forward",
    ]
    assert "drop" not in re.sub(r'"[^"]*"', "", text)


@pytest.mark.parametrize(
    "text",
    ['"', "\n", "\t", "\\", "a\0b", "é", "a;b", "{", "}", "#", "$x", "`", "'", "<", ">", "|", "&",
     "*", "?", "!", "@", "%", "^", "~", "\x7f", "\u2028", "a" * 128],
)  # fmt: skip
def test_unsafe_text_is_refused(text: str) -> None:
    with pytest.raises(netpolc.UnsupportedError, match="cannot be written in a ruleset"):
        plain(text)
    entry = nft.Rule((), (nft.ACCEPT,), text)
    with pytest.raises(netpolc.UnsupportedError):
        rule_line(entry)


@given(st.text(max_size=140))
def test_what_is_plain_is_plain(text: str) -> None:
    try:
        written = plain(text)
    except netpolc.UnsupportedError:
        return
    assert written == text
    assert text.isascii()
    assert len(text) <= MAX_COMMENT
    assert not set(text) & set("\"\n\r\t\\#;{}$`'@")


@pytest.mark.parametrize(
    "text", ["", "default/web ingress[0], a/b egress[12].to +3 more", "a" * 127]
)
def test_what_netpolc_writes_is_plain(text: str) -> None:
    assert plain(text) == text


def test_what_an_origin_can_be_is_plain() -> None:
    class Nowhere:
        def place(self, elements: object = (), at_key: bool = False) -> str:
            return ""

        def excerpt(self, elements: object = ()) -> tuple[tuple[int, str], ...]:
            return ()

    annotation = "net.beta.kubernetes.io/network-policy"
    for field in (("spec", "ingress", 12), ("metadata", "annotations", annotation), ()):
        origin = Origin("NetworkPolicy", "team-a", "web.v2", field, Nowhere())
        assert plain(str(origin)) == str(origin)


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (nft.PortMatch(Protocol.TCP, 80, 80), "tcp dport 80"),
        (nft.PortMatch(Protocol.UDP, 1, 65535), "udp dport 1-65535"),
        (nft.PortMatch(Protocol.SCTP, 0, 65535), "meta l4proto sctp"),
        (nft.SpanMatch("saddr", parse_cidr("10.0.0.0/8")), "ip saddr 10.0.0.0/8"),
        (nft.SpanMatch("daddr", parse_cidr("2001:db8::1/128")), "ip6 daddr 2001:db8::1"),
        (nft.SpanMatch("saddr", (1 << 24, (1 << 24) + 2)), "ip saddr 1.0.0.0-1.0.0.2"),
        (nft.SetMatch("saddr", Family.IPV4, "s", False), "ip saddr @s"),
        (nft.SetMatch("daddr", Family.IPV6, "c", True), "ip6 daddr . meta l4proto @c"),
        (nft.PairMatch(Family.IPV4, "self4"), "ip saddr . ip daddr @self4"),
        (nft.ConnectionState(("established", "related")), "ct state established,related"),
        (nft.LocalSource(), "fib saddr type local"),
        (nft.NeighbourDiscovery(), "icmpv6 type 133-137"),
    ],
)
def test_matches_in_words(match: nft.Match, text: str) -> None:
    assert rule_line(nft.Rule((match,), (nft.DROP,), "why")) == f'{text} drop comment "why"'


def test_generations_are_all_values_of_the_mark_but_none() -> None:
    ruleset = snapshot("p").ruleset(
        options=netpolc.Options(established="recheck", mark_mask=0xFF00)
    )
    values = list(ruleset.generations())
    assert sorted(values) == [number << 8 for number in range(1, 256)]
    assert values[0] == ruleset.generation
    other = ruleset.marked(values[1])
    assert other.digest == ruleset.digest
    assert f"ct mark & 0x0000ff00 == 0x{values[1]:08x} accept" in other.text()
    assert f"0x{values[0]:08x}" not in other.text()
