"""TCP segments as Ethernet frames of one length, for bursts.

In: packed addresses of one family, ports, the kind of a segment. Out: a frame with correct
checksums: 54 bytes over IPv4, 74 over IPv6. Nothing is refused; the flows were judged before.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from struct import pack

from tests.helpers.lab.packets import IPV4, IPV6, checksum

TCP = 6
SYN, ACK = 0x02, 0x10
_FIRST, _WINDOW = 1000, 64240


@dataclass(frozen=True, slots=True)
class Connection:
    """Both ends of a TCP connection, addresses packed."""

    source: bytes
    destination: bytes
    source_port: int
    port: int

    @classmethod
    def of(cls, source: str, destination: str, source_port: int, port: int) -> Connection:
        """A connection between addresses as text."""
        ends = ip_address(source).packed, ip_address(destination).packed
        return cls(*ends, source_port, port)

    def syn(self, link: bytes) -> bytes:
        """What opens the connection."""
        ports = pack("!HH", self.source_port, self.port)
        return _frame(link, self.source, self.destination, ports, _FIRST, 0, SYN)

    def syn_ack(self, link: bytes) -> bytes:
        """The answer."""
        ports = pack("!HH", self.port, self.source_port)
        return _frame(link, self.destination, self.source, ports, _FIRST, _FIRST + 1, SYN | ACK)

    def ack(self, link: bytes) -> bytes:
        """The third segment; sent again and again it stays in the window."""
        ports = pack("!HH", self.source_port, self.port)
        return _frame(link, self.source, self.destination, ports, _FIRST + 1, _FIRST + 1, ACK)


def _frame(
    link: bytes,
    source: bytes,
    destination: bytes,
    ports: bytes,
    sequence: int,
    acknowledged: int,
    flags: int,
) -> bytes:
    body = ports + pack("!IIBBHHH", sequence, acknowledged, 5 << 4, flags, _WINDOW, 0, 0)
    pseudo_header = source + destination + pack("!HH", TCP, len(body))
    body = body[:16] + checksum(pseudo_header + body) + body[18:]
    if len(source) == 4:
        header = pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, TCP, 0)
        header = header[:10] + checksum(header + source + destination)
        return link + IPV4 + header + source + destination + body
    header = pack("!IHBB", 6 << 28, len(body), TCP, 64)
    return link + IPV6 + header + source + destination + body
