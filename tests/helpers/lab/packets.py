"""Ethernet frames, built byte by byte: one packet a flow, with a tag that tells it apart.

In: packed addresses (4 or 16 bytes), an IP protocol number, ports, a 32-bit tag. Out: the frame
with correct checksums; and from a received frame, its tag. Refused: addresses of different
families, a missing port for TCP, UDP or SCTP, a port for any other protocol, and numbers that IPv6
reads as extension headers.

Where the tag is: in the sequence number of a TCP SYN (RFC 9293), in the initiate tag of an SCTP
INIT (RFC 9260 section 3.3.2), and everywhere else after eight bytes of header and a magic number.
"""

from __future__ import annotations

from struct import pack

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
WITH_PORTS = frozenset({TCP, UDP, SCTP})
# RFC 8200: hop-by-hop, routing, fragment, authentication, no next header, destination options.
EXTENSION_HEADERS = frozenset({0, 43, 44, 51, 59, 60})

IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
MAGIC = b"nplc"
SYN = 0x02
SCTP_INIT = 1
ICMP_ECHO, ICMPV6_ECHO, ICMPV6_SOLICITATION = 8, 128, 135
ETHERNET_BYTES, IPV4_BYTES, IPV6_BYTES = 14, 20, 40


def checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071) of an even number of bytes.

    A ones' complement sum of 16-bit words is the number they spell, modulo 65535.
    """
    return (0xFFFF - int.from_bytes(data, "big") % 0xFFFF).to_bytes(2, "big")


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC32C = _crc32c_table()


def crc32c(data: bytes) -> bytes:
    """The checksum of SCTP (RFC 9260 appendix A), in the byte order of the wire."""
    table = _CRC32C
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "little")


def _with_checksum(segment: bytes, offset: int, pseudo_header: bytes) -> bytes:
    return segment[:offset] + checksum(pseudo_header + segment) + segment[offset + 2 :]


def _pseudo_header(addresses: bytes, protocol: int, length: int) -> bytes:
    # RFC 9293 and RFC 8200 order and pad these fields differently; their sum is the same.
    return addresses + pack("!HH", protocol, length)


def _tcp_syn(addresses: bytes, tag: int, source_port: int, port: int) -> bytes:
    segment = pack("!HHIIBBHHH", source_port, port, tag, 0, 5 << 4, SYN, 64240, 0, 0)
    return _with_checksum(segment, 16, _pseudo_header(addresses, TCP, len(segment)))


def _udp(addresses: bytes, tag: int, source_port: int, port: int) -> bytes:
    datagram = pack("!HHHH4sI", source_port, port, 16, 0, MAGIC, tag)
    return _with_checksum(datagram, 6, _pseudo_header(addresses, UDP, len(datagram)))


def _sctp_init(tag: int, source_port: int, port: int) -> bytes:
    # The verification tag of an INIT is 0; window, one stream each way, initial TSN.
    chunk = pack("!BBHIIHHI", SCTP_INIT, 0, 20, tag, 65536, 1, 1, tag)
    ports = pack("!HHI", source_port, port, 0)
    return ports + crc32c(ports + bytes(4) + chunk) + chunk


def _echo(kind: int, pseudo_header: bytes, tag: int, identifier: int) -> bytes:
    return _with_checksum(
        pack("!BBHHH4sI", kind, 0, 0, identifier, 1, MAGIC, tag), 2, pseudo_header
    )


def _transport(
    source: bytes, destination: bytes, protocol: int, tag: int, source_port: int, port: int | None
) -> bytes:
    addresses = source + destination
    if protocol in WITH_PORTS:
        if port is None:
            raise ValueError(f"protocol {protocol} needs a port")
        if protocol == TCP:
            return _tcp_syn(addresses, tag, source_port, port)
        if protocol == UDP:
            return _udp(addresses, tag, source_port, port)
        return _sctp_init(tag, source_port, port)
    if port is not None:
        raise ValueError(f"protocol {protocol} has no ports")
    if protocol == ICMP and len(source) == 4:
        return _echo(ICMP_ECHO, b"", tag, source_port)
    if protocol == ICMPV6 and len(source) == 16:
        return _echo(ICMPV6_ECHO, _pseudo_header(addresses, ICMPV6, 16), tag, source_port)
    if protocol in EXTENSION_HEADERS and len(source) == 16:
        raise ValueError(f"protocol {protocol} is an IPv6 extension header")
    # Zeros where other protocols have ports, lengths or flags.
    return pack("!8x4sI", MAGIC, tag)


def build(
    link: bytes,
    source: bytes,
    destination: bytes,
    protocol: int,
    port: int | None,
    *,
    source_port: int,
    tag: int,
) -> bytes:
    """One frame that opens a flow.

    `link` holds the 12 bytes of the Ethernet addresses, destination first; `source_port` is the
    identifier of an echo request and unused by protocols without either. `tag` is not 0: SCTP
    refuses an initiate tag of 0.
    """
    if len(source) != len(destination):
        raise ValueError("the addresses are of different families")
    payload = _transport(source, destination, protocol, tag, source_port, port)
    if len(source) == 4:
        total = IPV4_BYTES + len(payload)
        header = pack("!BBHHHBBH", 0x45, 0, total, tag & 0xFFFF, 0x4000, 64, protocol, 0)
        header = _with_checksum(header + source + destination, 10, b"")
        return link + IPV4 + header + payload
    header = pack("!IHBB", 6 << 28, len(payload), protocol, 64)
    return link + IPV6 + header + source + destination + payload


def neighbour_solicitation(hardware: bytes, source: bytes, target: bytes) -> bytes:
    """A multicast neighbour solicitation for `target` (RFC 4861 section 4.3)."""
    destination = b"\xff\x02" + bytes(9) + b"\x01\xff" + target[13:]
    message = pack("!BBHI16sBB6s", ICMPV6_SOLICITATION, 0, 0, 0, target, 1, 1, hardware)
    pseudo_header = _pseudo_header(source + destination, ICMPV6, len(message))
    message = _with_checksum(message, 2, pseudo_header)
    # RFC 4861 section 7.1.1: a hop limit other than 255 is ignored.
    header = pack("!IHBB", 6 << 28, len(message), ICMPV6, 255) + source + destination
    return b"\x33\x33" + destination[12:] + hardware + IPV6 + header + message


def read_tag(frame: bytes) -> int | None:
    """The tag of a frame that `build` made; None for anything else, such as a reset or an error."""
    if frame[12:14] == IPV4 and frame[14:15] == b"\x45":
        protocol, start = frame[23], ETHERNET_BYTES + IPV4_BYTES
    elif frame[12:14] == IPV6:
        protocol, start = frame[20], ETHERNET_BYTES + IPV6_BYTES
    else:
        return None
    segment = frame[start:]
    if protocol == TCP and len(segment) >= 20:
        return int.from_bytes(segment[4:8], "big") if segment[13] == SYN else None
    if protocol == SCTP and len(segment) >= 32:
        return int.from_bytes(segment[16:20], "big") if segment[12] == SCTP_INIT else None
    if segment[8:12] == MAGIC and len(segment) >= 16:
        return int.from_bytes(segment[12:16], "big")
    return None
