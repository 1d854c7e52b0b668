"""One wording for what each version of nft words in its own.

Comes in: lines of a listing by any nft from 1.0.6 on. Goes out: the same in the words of
`write/text.py`, if they mean the same; words that are not known stay as they are, and make the line
another one.

| nft 1.0.6 | others | seen in |
|---|---|---|
| `limit rate 10/second` | `limit rate 10/second burst 5 packets` | 1.1.3 |
| `ct mark 0x9da00000/12` | `ct mark & 0xfff00000 == 0x9da00000` | 1.1.3 |
| `size 16` | `size 16 # count 3` | 1.1.7 |
| `meta l4proto tcp`, `tcp . 300` | `meta l4proto 6`, `6 . 300` | any, without /etc/protocols |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from netpolc.backends.nft.names import MAX_COMMENT
from netpolc.core.errors import UnsupportedError
from netpolc.core.nets import Protocol

STATES = ("invalid", "established", "related", "new", "untracked")
"""The states of connection tracking in the order in which nft lists them, that of their bits."""
DEFAULT_BURST = 5
"""Packets above the rate that `limit` lets pass when nobody says how many (nft(8))."""
BLANKS = " \t"
"""What nft puts between words; lines end with a line feed, no other separator does either."""
_PLAIN = re.compile(r"[-A-Za-z0-9 ._/,:+=()\[\]]*", re.ASCII)
_WORD = re.compile(r'"[^"]*"|[^ \t"]+')
_VARIES = re.compile(r'counter name "|limit rate |ct (?:mark|state) |meta l4proto ')
_BURST = ("burst", str(DEFAULT_BURST), "packets")
_NUMBER = re.compile(r"0x[0-9a-f]{1,8}", re.ASCII)
_PREFIXED = re.compile(r"(0x[0-9a-f]{1,8})/([0-9]{1,2})", re.ASCII)
_ALL = 0xFFFFFFFF
_NAMES = {str(int(protocol)): protocol.name.lower() for protocol in Protocol}
_KEYS = {
    "typeof meta l4proto . th dport : verdict": re.compile(r"()(\d+)(?= \. )", re.ASCII),
    "typeof th dport . meta l4proto : verdict": re.compile(r"(\S+ \. )(\d+)(?= : )", re.ASCII),
}
"""Where the protocol stands in an element, by what the map says of its keys."""


def plain(text: str) -> str:
    """The text, if it is harmless inside nft's quotes; `UnsupportedError` otherwise."""
    if not _PLAIN.fullmatch(text) or len(text) > MAX_COMMENT:
        raise UnsupportedError(f"cannot be written in a ruleset: {text!r}")
    return text


def compared_mark(mask: int, value: int) -> str:
    """A comparison of bits of the flow's mark."""
    return f"ct mark 0x{value:08x}" if mask == _ALL else f"ct mark & 0x{mask:08x} == 0x{value:08x}"


def set_mark(kept: int, value: int) -> str:
    """Setting bits of the flow's mark: what it is ANDed with, and what is ORed in."""
    return f"ct mark set ct mark & 0x{kept:08x} | 0x{value:08x}"


def rule(line: str) -> str:
    """A rule; what is in quotes is nobody's wording but that of who wrote it."""
    if _VARIES.search(line) is None:
        return line
    words = _WORD.findall(line)
    found: list[str] = []
    while words:
        known, own = _first(words)
        found.append(own)
        del words[:known]
    return " ".join(found)


def _first(words: list[str]) -> tuple[int, str]:
    """How many words belong together, and what is said instead."""
    match words:
        case ["counter", "name", name, *_] if name.startswith('"'):
            return 3, f"counter name {name[1:-1]}"
        case ["limit", "rate", rate, *rest] if tuple(rest[:3]) == _BURST:
            return 6, f"limit rate {rate}"
        case ["ct", "state", states, *_] if {*states.split(",")} <= {*STATES}:
            return 3, f"ct state {','.join(sorted(states.split(','), key=STATES.index))}"
        case ["ct", "mark", "&", mask, "==", value, *_] if _NUMBER.fullmatch(mask):
            if _NUMBER.fullmatch(value):
                return 6, compared_mark(int(mask, 16), int(value, 16))
        case ["ct", "mark", compared, *_] if prefixed := _PREFIXED.fullmatch(compared):
            return 3, compared_mark(_ALL << 32 - int(prefixed[2]) & _ALL, int(prefixed[1], 16))
        case ["ct", "mark", value, *_] if _NUMBER.fullmatch(value):
            return 3, compared_mark(_ALL, int(value, 16))
        case ["meta", "l4proto", number, *_] if number in _NAMES:
            return 3, f"meta l4proto {_NAMES[number]}"
    return 1, words[0]


def elements(head: Sequence[str], listed: list[str]) -> list[str]:
    """The elements of a set or map, protocols by name."""
    key = _KEYS.get(head[0]) if head else None
    return listed if key is None else [_named(key, element) for element in listed]


def _named(key: re.Pattern[str], element: str) -> str:
    found = key.match(element)
    if found is None or found[2] not in _NAMES:
        return element
    return f"{found[1]}{_NAMES[found[2]]}{element[found.end() :]}"


def head(lines: Iterable[str]) -> tuple[str, ...]:
    """What a set, map or chain is, without what changes nothing: comments, and how full it is."""
    return tuple(_COUNT.sub("", line) for line in lines if not line.startswith("comment "))


_COUNT = re.compile(r"(?<=\d)\s+# count \d+$", re.ASCII)
