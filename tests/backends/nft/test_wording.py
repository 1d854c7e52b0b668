"""One wording for what each nft words in its own.

In: lines as nft lists them, by hand. Out: the words of netpolc; a line with anything unknown in it
stays what it is.
"""

from __future__ import annotations

import pytest

from netpolc.backends.nft import wording

SAME = [
    ('counter name "drop_i" drop', "counter name drop_i drop"),
    (
        'limit rate 10/second burst 5 packets log prefix "x: " comment "a/b"',
        'limit rate 10/second log prefix "x: " comment "a/b"',
    ),
    ("ct mark 0x9da00000/12 accept", "ct mark & 0xfff00000 == 0x9da00000 accept"),
    ("ct mark & 0xfff00000 == 0x9da00000 accept", "ct mark & 0xfff00000 == 0x9da00000 accept"),
    ("ct mark & 0xffffffff == 0x00000001", "ct mark 0x00000001"),
    ("ct mark 0x1", "ct mark 0x00000001"),
    ("ct state new,established accept", "ct state established,new accept"),
    ("meta l4proto 6 ct state new accept", "meta l4proto tcp ct state new accept"),
]
OTHER = [
    "limit rate 10/second burst 6 packets log",
    "limit rate over 10/second burst 5 packets drop",
    "limit rate 10 kbytes/second burst 5 packets",
    "ct mark != 0x9da00000/12 accept",
    "ct mark & 0xfff00000 != 0x9da00000 accept",
    "ct mark set ct mark & 0xc0bfffff | 0xc0b00000",
    "ct state != established accept",
    "ct state established,snat accept",
    "meta l4proto 1 accept",
    "meta l4proto != 6 accept",
    'meta mark 0x1 comment "ct mark 0x1 and limit rate 1/second burst 5 packets"',
]


@pytest.mark.parametrize(("listed", "own"), SAME)
def test_other_words_of_the_same_are_ours(listed: str, own: str) -> None:
    assert wording.rule(listed) == own
    assert wording.rule(own) == own


@pytest.mark.parametrize("line", OTHER)
def test_what_means_something_else_stays(line: str) -> None:
    assert wording.rule(line) == line


def test_comments_and_counts_say_nothing_about_a_set() -> None:
    head = ("type ipv4_addr", 'comment "size 1"', "size 16\t# count 3", "flags interval")
    assert wording.head(head) == ("type ipv4_addr", "size 16", "flags interval")


def test_what_is_not_known_of_a_set_stays() -> None:
    assert wording.head(("size 16 # cold", "gc-interval 1s")) == (
        "size 16 # cold",
        "gc-interval 1s",
    )


@pytest.mark.parametrize(
    ("key", "listed", "own"),
    [
        ("meta l4proto . th dport", "6 . 300 : accept", "tcp . 300 : accept"),
        ("meta l4proto . th dport", "17 . 6 : jump p", "udp . 6 : jump p"),
        ("meta l4proto . th dport", "1 . 6 : accept", "1 . 6 : accept"),
        ("th dport . meta l4proto", "6-17 . 132 : accept", "6-17 . sctp : accept"),
        ("th dport . meta l4proto", "6 . tcp : accept", "6 . tcp : accept"),
        ("ip saddr", "6.0.0.0 : accept", "6.0.0.0 : accept"),
    ],
)
def test_protocols_of_elements_are_named(key: str, listed: str, own: str) -> None:
    """Without /etc/protocols nft lists numbers."""
    assert wording.elements((f"typeof {key} : verdict", "size 8"), [listed]) == [own]
