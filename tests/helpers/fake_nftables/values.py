"""Elements of sets and maps: text, numbers, and libnftables JSON.

In: an element in nft's words, and the types of its fields. Out: an `Element`. Ranges and prefixes
are a first and a last number; `6` and `tcp` are one protocol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from tests.helpers.fake_nftables.refusal import Unmodelled

Range = tuple[int, int]
EXPRESSIONS = {
    "ip saddr": "ipv4_addr",
    "ip daddr": "ipv4_addr",
    "ip6 saddr": "ipv6_addr",
    "ip6 daddr": "ipv6_addr",
    "iifname": "ifname",
    "oifname": "ifname",
    "meta iifname": "ifname",
    "meta oifname": "ifname",
    "meta l4proto": "inet_proto",
    "th dport": "inet_service",
    "th sport": "inet_service",
}
"""What sets are declared by and asked with, and the types of it."""
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}
_LIMITS = {"inet_proto": 255, "inet_service": 65535}
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
_ELEMENT = re.compile(
    r'(?P<key>(?:"[^"]*"|[^\s":]|:(?=\S)| \. )+)(?: counter(?: packets \d+ bytes \d+)?)?'
    r'(?: comment "(?P<comment>[^"]*)")?(?: : (?P<verdict>[a-z]+(?: \w+)?))?'
)
_VERDICTS = ("accept", "drop", "return", "jump", "goto")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a map leads to; `chain` is empty where it leads to none."""

    action: str
    chain: str = ""

    def __str__(self) -> str:
        return f"{self.action} {self.chain}".rstrip()

    @property
    def json(self) -> dict[str, Any]:
        """As libnftables writes it."""
        return {self.action: {"target": self.chain} if self.chain else None}


@dataclass(frozen=True, slots=True)
class Element:
    """A range for each field, and what is said with it; the key as text and as JSON.

    `start` and `end` are the lowest and the highest corner. By the lowest the kernel finds an
    element again. The first field is from `first` to `last`.
    """

    ranges: tuple[Range, ...]
    start: tuple[int, ...]
    end: tuple[int, ...]
    first: int
    last: int
    verdict: Verdict | None
    comment: str | None
    words: str
    json: Any

    def holds(self, point: tuple[int, ...]) -> bool:
        """Whether a lookup of these values finds it."""
        return all(
            first <= own <= last for own, (first, last) in zip(point, self.ranges, strict=True)
        )


def verdict(words: str) -> Verdict:
    """A verdict of a map."""
    action, _, chain = words.partition(" ")
    if action not in _VERDICTS or bool(chain) is not (action in ("jump", "goto")):
        raise Unmodelled(f"verdict {words!r}")
    return Verdict(action, chain)


@lru_cache(1 << 16)
def element(words: str, types: tuple[str, ...]) -> Element:
    """One element; `Unmodelled` where nft would say that it does not fit its set, or might."""
    found = _ELEMENT.fullmatch(words)
    fields = found["key"].split(" . ") if found is not None else ()
    if found is None or len(fields) != len(types):
        raise Unmodelled(f"element {words!r} of {' . '.join(types)}")
    ranges = tuple(map(_range, types, fields))
    parts = list(zip(types, ranges, strict=True))
    values = [_json(*part) for part in parts]
    return Element(
        ranges,
        tuple(first for first, _ in ranges),
        tuple(last for _, last in ranges),
        *ranges[0],
        verdict(found["verdict"]) if found["verdict"] else None,
        found["comment"],
        " . ".join(_text(*part) for part in parts),
        values[0] if len(values) == 1 else {"concat": values},
    )


def _range(kind: str, word: str) -> Range:
    address, slash, length = word.partition("/")
    first, dash, last = word.partition("-")
    if kind in ("ipv4_addr", "ipv6_addr") and slash:
        low = _number(kind, address)
        size = 1 << (32 if kind == "ipv4_addr" else 128) - int(length)
        if low % size:
            raise Unmodelled(f"bits of the host in {word!r}")
        return low, low + size - 1
    if dash and kind != "ifname":
        low, high = _number(kind, first), _number(kind, last)
        if low > high:
            raise Unmodelled(f"range {word!r}")
        return low, high
    value = _number(kind, word)
    return value, value


def _number(kind: str, word: str) -> int:
    if kind == "ifname" and len(word) < 18 and word[:1] == word[-1:] == '"':
        return int.from_bytes(word.strip('"').encode().ljust(16, b"\0"), "big")
    if kind in ("ipv4_addr", "ipv6_addr"):
        try:
            return int((IPv4Address if kind == "ipv4_addr" else IPv6Address)(word))
        except ValueError as error:
            raise Unmodelled(str(error)) from error
    if kind == "inet_proto" and word in PROTOCOLS:
        return PROTOCOLS[word]
    if kind in _LIMITS and word.isdecimal() and int(word) <= _LIMITS[kind]:
        return int(word)
    raise Unmodelled(f"{word!r} as {kind}")


def _single(kind: str, value: int) -> str | int:
    if kind == "ifname":
        return value.to_bytes(16, "big").rstrip(b"\0").decode()
    if kind == "ipv4_addr":
        return str(IPv4Address(value))
    if kind == "ipv6_addr":
        return str(IPv6Address(value))
    return _PROTOCOL_NAMES.get(value, value) if kind == "inet_proto" else value


def _json(kind: str, span: Range) -> Any:
    first, last = (_single(kind, value) for value in span)
    if first == last:
        return first
    if (length := _prefix(kind, span)) is not None:
        return {"prefix": {"addr": first, "len": length}}
    return {"range": [first, last] if kind != "inet_proto" else list(span)}


def _text(kind: str, span: Range) -> str:
    first, last = (_single(kind, value) for value in span)
    if first == last:
        return f'"{first}"' if kind == "ifname" else str(first)
    if (length := _prefix(kind, span)) is not None:
        return f"{first}/{length}"
    return f"{first}-{last}" if kind != "inet_proto" else f"{span[0]}-{span[1]}"


def _prefix(kind: str, span: Range) -> int | None:
    """The length of the prefix that a range is; None where it is none."""
    first, last = span
    size = last - first + 1
    if kind not in ("ipv4_addr", "ipv6_addr") or size & size - 1 or first % size:
        return None
    return (32 if kind == "ipv4_addr" else 128) + 1 - size.bit_length()
