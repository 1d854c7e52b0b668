"""Lines of the kernel's log that say what a ruleset denied, as flows.

Comes in: lines as `dmesg`, `journalctl -k` or a syslog file have them, whatever time is in front.
Goes out: for each of netpolc's the flow, its direction, the chain that judged, whether the packet
was let through (audit); lines of others are passed over. A line of netpolc's that names no flow is
given back with the reason: it was cut, or the kernel does not print the port (SCTP; fragments).

The format is that of net/netfilter/nf_log_syslog.c (`dump_ipv4_packet`, `dump_ipv6_packet`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netpolc.core.ir import Direction
from netpolc.core.nets import Protocol
from netpolc.core.semantics import Flow

OWN_LINE = re.compile(
    r"(?:^|\s)netpolc (?P<reply>reply )?(?P<audit>audit )?(?P<direction>ingress|egress) "
    r"(?P<chain>[ie]_(?:(?:rule_)?[0-9a-f]{16}|unknown))(?: [^:]*)?: (?P<packet>.*)",
    re.ASCII,
)
"""A line by a rule of netpolc's; of a rule's chain its name follows, in which there is no colon."""
PACKET_FIELD = re.compile(r"(?:^|\s)(SRC|DST|PROTO|[SD]PT(?=\S* ))=(\S*)", re.ASCII)
"""What a line says of the packet. Something always follows a port: where nothing does, the line may
have been cut inside it.
"""
_PROTOCOLS = {
    "ICMP": 1,
    "TCP": int(Protocol.TCP),
    "UDP": int(Protocol.UDP),
    "SCTP": int(Protocol.SCTP),
    "ESP": 50,
    "AH": 51,
    "ICMPv6": 58,
    "UDPLITE": 136,
}
"""The names the kernel prints; every other protocol is a number, up to Linux 6.18 SCTP too."""


@dataclass(frozen=True, slots=True)
class LoggedFlow:
    """A packet that a chain denied or, if `audited`, would have denied; `line` counts from 1."""

    line: int
    flow: Flow
    direction: Direction
    chain: str
    audited: bool


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line of netpolc's that names no flow, and why."""

    line: int
    problem: str


def flows_from_log(lines: Iterable[str]) -> Iterator[LoggedFlow | UnreadableLine]:
    """The flows of netpolc's lines, in order."""
    for number, text in enumerate(lines, start=1):
        found = OWN_LINE.search(text)
        if found is None:
            continue
        try:
            flow = _flow(found["packet"], found["reply"] is not None)
        except ValueError as error:
            yield UnreadableLine(number, str(error))
            continue
        direction = Direction[found["direction"].upper()]
        yield LoggedFlow(number, flow, direction, found["chain"], found["audit"] is not None)


def _flow(packet: str, reply: bool) -> Flow:
    """The flow of a packet, or that it answers; `ValueError` when something is missing."""
    # An ICMP error shows the packet it is about in brackets: that one was not judged.
    fields = dict(PACKET_FIELD.findall(packet.partition("[SRC=")[0]))
    missing = [name for name in ("SRC", "DST", "PROTO") if name not in fields]
    if missing:
        raise ValueError(f"no {', '.join(missing)}: the line was cut, or is not the kernel's")
    source, destination, wanted = ("DST", "SRC", "SPT") if reply else ("SRC", "DST", "DPT")
    protocol = _protocol(fields["PROTO"])
    port = None
    if protocol in set(Protocol):
        if wanted not in fields:
            name = Protocol(protocol).name
            raise ValueError(
                f"no {wanted}: the kernel did not print the {name} port of this packet"
            )
        port = _number(wanted, fields[wanted])
    return Flow(fields[source], fields[destination], protocol, port)


def _protocol(text: str) -> int:
    return _PROTOCOLS[text] if text in _PROTOCOLS else _number("PROTO", text)


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII):
        raise ValueError(f"{name}={text} is no number")
    return int(text)
