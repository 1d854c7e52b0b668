"""What rules compare: the fields of a packet, and words and numbers as values of their types.

Comes in: expressions and words of a listing. Goes out: fields and numbers. Refused
(`RulesetError`): words that are no value of their type. Addresses are on the address line of
`nets`, so that no field of one family meets a number of the other.
"""

from __future__ import annotations

import re
from enum import IntEnum

from netpolc.core.errors import RulesetError
from netpolc.core.nets import Family, Protocol, Span, family, parse_address


class Field(IntEnum):
    """What a test may look at; the value is the place in `tracer.Packet.values`."""

    SOURCE = 0
    DESTINATION = 1
    PROTOCOL = 2
    PORT = 3
    STATE = 4
    HOP_LIMIT = 5
    ICMPV6_TYPE = 6
    LOCAL_SOURCE = 7
    SOURCE_PORT = 8
    DIRECTION = 9
    JUDGED = 10
    OUT_KIND = 11
    IN_NAME = 12
    OUT_NAME = 13
    IN_INDEX = 14
    ACKNOWLEDGES = 15


LINK_FIELDS = frozenset((Field.OUT_KIND, Field.IN_NAME, Field.OUT_NAME, Field.IN_INDEX))
"""What tells over which interfaces a packet goes."""
EXPRESSIONS: dict[str, tuple[Field, str]] = {
    "ip saddr": (Field.SOURCE, "ipv4_addr"),
    "ip daddr": (Field.DESTINATION, "ipv4_addr"),
    "ip6 saddr": (Field.SOURCE, "ipv6_addr"),
    "ip6 daddr": (Field.DESTINATION, "ipv6_addr"),
    "meta l4proto": (Field.PROTOCOL, "inet_proto"),
    "th dport": (Field.PORT, "inet_service"),
    "th sport": (Field.SOURCE_PORT, "inet_service"),
    "ct state": (Field.STATE, "ct_state"),
    "ct direction": (Field.DIRECTION, "ct_direction"),
    "ct mark": (Field.JUDGED, "judged"),
    "ip6 hoplimit": (Field.HOP_LIMIT, "hop_limit"),
    "icmpv6 type": (Field.ICMPV6_TYPE, "icmpv6_type"),
    "fib saddr type": (Field.LOCAL_SOURCE, "fib_addrtype"),
    "meta oifkind": (Field.OUT_KIND, "ifkind"),
    "meta iifname": (Field.IN_NAME, "ifname"),
    "meta oifname": (Field.OUT_NAME, "ifname"),
    "meta iif": (Field.IN_INDEX, "iface_index"),
    "tcp flags": (Field.ACKNOWLEDGES, "tcp_flag"),
}
"""The expressions of the subset, each with its field and the type of its values."""
STATES = ("new", "invalid", "untracked", "established", "related")
_NAMES: dict[str, dict[str, int]] = {
    "inet_proto": {"ip": 0, "icmp": 1, "ipv6-icmp": 58}
    | {protocol.name.lower(): protocol for protocol in Protocol},
    "ct_state": {name: number for number, name in enumerate(STATES)},
    "ct_direction": {"original": 0, "reply": 1},
    "icmpv6_type": {
        "nd-router-solicit": 133,
        "nd-router-advert": 134,
        "nd-neighbor-solicit": 135,
        "nd-neighbor-advert": 136,
        "nd-redirect": 137,
    },
    "fib_addrtype": {"local": 1},
    "ifkind": {"bridge": 1},
    "iface_index": {"0": 0},
    "tcp_flag": {"ack": 1},
}
_LIMITS = {"inet_proto": 255, "inet_service": 65535, "hop_limit": 255, "icmpv6_type": 255}
ADDRESSES = {"ipv4_addr": Family.IPV4, "ipv6_addr": Family.IPV6}
LINKS: Span = (0, (1 << 120) - 1)
"""Where names of interfaces are, as numbers; 0 is no interface."""
_LINK = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,14}", re.ASCII)
NEVER = 1 << 200
"""Beyond every number on every line."""


def number(kind: str, word: object) -> int:
    """The value of a word (or number) of some type; `RulesetError` when it is none."""
    if kind in ADDRESSES and isinstance(word, str):
        try:
            address = parse_address(word)
        except ValueError as error:
            raise RulesetError(f"{word!r} is no {kind}: {error}") from error
        if family(address) is ADDRESSES[kind]:
            return address
    if kind == "ifname" and isinstance(word, str) and _LINK.fullmatch(word):
        return int.from_bytes(word.encode(), "big")
    if isinstance(word, str) and word in _NAMES.get(kind, {}):
        return _NAMES[kind][word]
    if isinstance(word, int) and not isinstance(word, bool) and 0 <= word <= _LIMITS.get(kind, -1):
        return word
    raise RulesetError(f"{word!r} is no {kind}")
