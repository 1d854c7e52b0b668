"""Single values of flow logs: times, protocols, ports, counters, names, as each format writes them.

Comes in: a value. Goes out: the same as a `Record` has it, None where there is none. Refused
(`ValueError`): a value that is none of its kind; whoever reads the line says where.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from netpolc.flows.records import DROPPED, FORWARDED

PROTOCOLS = {
    "tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmp4": 1, "icmpv4": 1, "icmp6": 58,
    "icmpv6": 58, "ipv6-icmp": 58, "udplite": 136, "dccp": 33, "gre": 47, "igmp": 2,
    "esp": 50, "ah": 51, "vrrp": 112, "ipip": 4,
}  # fmt: skip
"""IP protocols by the names that logs use, in lower case (IANA's numbers)."""
WITH_PORTS = frozenset({6, 17, 132})
VERDICTS = {
    "forwarded": FORWARDED, "allow": FORWARDED, "allowed": FORWARDED, "accept": FORWARDED,
    "dropped": DROPPED, "deny": DROPPED, "denied": DROPPED, "drop": DROPPED, "reject": DROPPED,
}  # fmt: skip
NOTHING = ("", "-")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS = 1_000_000
_LAST = 253_402_300_799
"""Seconds from 1970 to the end of the year 9999."""
_LONG = 1 << 63


def time_of(text: str) -> int:
    """Microseconds since 1970 of RFC 3339 text; further digits of a second are cut off."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return (found - _EPOCH) // timedelta(microseconds=1)


def seconds(number: float) -> int:
    """Microseconds of seconds since 1970."""
    if not 0 <= number <= _LAST:
        raise ValueError(f"{number!r} is no time in seconds since 1970")
    return round(number * _MICROSECONDS)


def moment(given: str | float | None) -> int | None:
    """A time as text (RFC 3339) or as seconds since 1970."""
    if given is None or given in NOTHING:
        return None
    if isinstance(given, str):
        try:
            given = float(given)
        except ValueError:
            return time_of(str(given))
    return seconds(given)


def protocol_number(given: str | int | None) -> int | None:
    """The number of a protocol, of a name in any case or a number, also as text."""
    if given is None or given in NOTHING:
        return None
    if isinstance(given, str):
        named = PROTOCOLS.get(given.lower())
        if named is None and not (given.isascii() and given.isdigit()):
            raise ValueError(f"unknown protocol {given!r}")
        given = int(given) if named is None else named
    if not 0 <= given <= 255:
        raise ValueError(f"protocol {given} is outside 0-255")
    return given


def port_of(given: str | int | None, protocol: int | None) -> int | None:
    """A port of a protocol that has some; None for others, whatever the log writes there."""
    number = whole(given)
    if number is None or protocol not in WITH_PORTS:
        return None
    if number > 65_535:
        raise ValueError(f"port {number} is outside 0-65535")
    return number


def whole(given: str | int | None) -> int | None:
    """A number that counts something, also as text (uint64 is text in JSON of protobuf)."""
    if given is None or given in NOTHING:
        return None
    if isinstance(given, str) and not (given.isascii() and given.isdigit() and len(given) < 21):
        raise ValueError(f"{given[:40]!r} is no number")
    number = int(given)
    if not 0 <= number < _LONG:
        raise ValueError(f"{number} is outside 0 to 2^63 - 1")
    return number


def named(namespace: str | None, name: str | None) -> str | None:
    """`namespace/name`, where both are there."""
    if not namespace or not name or "-" in (namespace, name):
        return None
    return f"{namespace}/{name}"


def word(given: str | None) -> str | None:
    """Text, or None for what stands for nothing."""
    return None if given is None or given in NOTHING else given


def verdict_of(given: str | None, words: Mapping[str, str] = VERDICTS) -> str | None:
    """What a word of the log says became of the packet; `ValueError` for one that is not known."""
    if given is None or given in NOTHING:
        return None
    if (found := words.get(given.lower())) is None:
        raise ValueError(f"unknown verdict {given[:40]!r}")
    return found
