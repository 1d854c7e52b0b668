"""ulogd2's JSON output of packets that nftables or iptables logged (NFLOG).

A line is a packet and no verdict: `action` is a label of ulogd's configuration. Without its IP2STR
filter there are no addresses as text, and such a record cannot be judged. The first packet of a TCP
connection, SYN without ACK (RFC 9293), is no reply; of others nobody can tell.
"""

from __future__ import annotations

from msgspec import Struct, field

from netpolc.flows.decode.lines import LogLine, Told, json_reader
from netpolc.flows.records import Record
from netpolc.flows.values import port_of, protocol_number, seconds, whole, word

NAME = "ulogd"
KEYS = ({"oob.family"}, {"raw.pktlen"}, {"dvc", "timestamp"}, {"oob.prefix"})
_TCP = 6
_NO_ADDRESS = "no address: ulogd2 wrote it without its IP2STR filter"


class _Packet(Struct):
    second: int | None = field(default=None, name="oob.time.sec")
    microsecond: int | None = field(default=None, name="oob.time.usec")
    src_ip: str | int | None = None
    dest_ip: str | int | None = None
    src_port: int | None = None
    dest_port: int | None = None
    protocol: int | None = field(default=None, name="ip.protocol")
    syn: int | None = field(default=None, name="tcp.syn")
    ack: int | None = field(default=None, name="tcp.ack")
    length: int | None = field(default=None, name="raw.pktlen")
    family: int | None = field(default=None, name="oob.family")
    dvc: str | None = None


def _read(packet: _Packet, line: LogLine, told: Told) -> Record | None:
    if packet.protocol is None:
        if packet.family is None and packet.length is None:
            told.damage(line, "a record of an unknown kind")
        else:
            told.note(line, "a packet that is not IP")
        return None
    protocol = protocol_number(packet.protocol)
    ends = [own if isinstance(own, str) else None for own in (packet.src_ip, packet.dest_ip)]
    is_first = protocol == _TCP and bool(packet.syn) and not packet.ack
    return Record(
        ts=_time(packet),
        src=word(ends[0]),
        dst=word(ends[1]),
        src_port=port_of(packet.src_port, protocol),
        protocol=protocol,
        port=port_of(packet.dest_port, protocol),
        is_reply=False if is_first else None,
        reporter=word(packet.dvc),
        packets=1,
        bytes=whole(packet.length),
        problem=None if all(ends) else _NO_ADDRESS,
    )


def _time(packet: _Packet) -> int | None:
    """`timestamp` is local time without a zone; these two are not."""
    if packet.second is None:
        return None
    microsecond = packet.microsecond or 0
    if not 0 <= microsecond < 1_000_000:
        raise ValueError(f"oob.time.usec {microsecond} is outside 0-999999")
    return seconds(packet.second) + microsecond


records = json_reader(_Packet, _read)
