"""Lines of the kernel's log about packets: nftables' `log`, iptables' LOG, ulogd2's LOGEMU.

Comes in: lines as `dmesg`, `journalctl -k`, a syslog file or ulogd2 (LOGEMU, SYSLOG) have them, or
entries of the journal (`journalctl -o json`), an object a line, which say when and where. A prefix
is a label and no verdict, but for netpolc's own, which names direction and chain and says what
became of the packet. Other lines of the log are counted. The first packet of a TCP connection (SYN
without ACK, RFC 9293) is no reply; of others nobody can tell. Of times in text only those with a
year and a zone are read. Source: net/netfilter/nf_log_syslog.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from netpolc.backends.nft.signals.logs import OWN_LINE, PACKET_FIELD
from netpolc.flows.decode.lines import LogLine, Told, ended, read_lines
from netpolc.flows.records import DROPPED, FORWARDED, Record
from netpolc.flows.values import port_of, protocol_number, time_of, whole, word

NAME = "kernel"
KEYS = ({"MESSAGE", "__REALTIME_TIMESTAMP"},)
_PACKET = re.compile(r"\bIN=\S* OUT=\S*(?: |$)")
_WHOLE = re.compile(r"\bIN=\S* OUT=\S* .*\bSRC=\S+ DST=\S+ .*\bPROTO=\w+(?: |$)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*(?:Z|[+-]\d\d:?\d\d)(?=\s)")
_HOST = re.compile(r"(\S+) kernel: ")
_LENGTH = re.compile(r"\sLEN=(\d+)\s")
_FLAGS = re.compile(r"\sWINDOW=\d+(?: RES=0x[0-9A-Fa-f]+)?((?: [A-Z]+)*) URGP=")
_TCP = 6


class _Entry(Struct):
    """Of the journal; a message that is no text is an array of bytes, a large one is null. Several
    are an array of these.
    """

    message: str | list[int | str | list[int] | None] | None = field(default="", name="MESSAGE")
    microseconds: str | None = field(default=None, name="__REALTIME_TIMESTAMP")
    host: str | None = field(default=None, name="_HOSTNAME")


_entry = msgspec.json.Decoder(_Entry).decode


def detects(text: str) -> bool:
    """Whether a line is of a packet."""
    return _WHOLE.search(text) is not None


def records(lines: Iterator[LogLine], told: Told) -> Iterator[Record]:
    """A record for each packet."""

    def read(line: LogLine) -> Record | None:
        if line.content.startswith(b"{"):
            return _of_journal(_entry(line.content), line, told)
        # An object that is cut is none; the last number of text may lack digits.
        for whole_line in ended([line], told):
            return _read(line.content.decode(errors="replace"), whole_line, told)
        return None

    return read_lines(lines, told, read)


def _of_journal(entry: _Entry, line: LogLine, told: Told) -> Record | None:
    message = entry.message
    if message is None:
        told.lose(line, "a message that journalctl left out (--all writes it)")
        return None
    if isinstance(message, str):
        text = message
    else:
        content = [own for own in message if isinstance(own, int)]
        if len(content) < len(message):
            told.note(line, "an entry of several messages, which the kernel does not write")
            return None
        text = bytes(content).decode(errors="replace")
    record = _read(text, line, told)
    if record is not None:
        record.ts = whole(entry.microseconds)
        record.reporter = word(entry.host)
    return record


def _read(text: str, line: LogLine, told: Told) -> Record | None:
    start = _PACKET.search(text)
    if start is None:
        told.note(line, "a line of the log that is no packet")
        return None
    # An ICMP error shows the packet it is about in brackets: that one is another.
    packet = text[start.start() :].partition("[SRC=")[0]
    fields = dict(PACKET_FIELD.findall(packet))
    missing = [name for name in ("SRC", "DST", "PROTO") if not fields.get(name)]
    if missing:
        raise ValueError(f"a packet without {', '.join(missing)}")
    protocol = protocol_number(fields["PROTO"])
    length = _LENGTH.search(packet)
    flags = _FLAGS.search(packet)
    words = flags[1].split() if flags is not None else []
    is_first = protocol == _TCP and "SYN" in words and "ACK" not in words
    record = Record(
        ts=_time(text),
        src=fields["SRC"],
        dst=fields["DST"],
        src_port=port_of(fields.get("SPT"), protocol),
        protocol=protocol,
        port=port_of(fields.get("DPT"), protocol),
        is_reply=False if is_first else None,
        reporter=_host(text[: start.start()]),
        packets=1,
        bytes=whole(length[1]) if length is not None else None,
    )
    return _told_by_netpolc(record, text)


def _told_by_netpolc(record: Record, text: str) -> Record:
    """What netpolc's prefix says of a packet."""
    own = OWN_LINE.search(text)
    if own is not None:
        record.verdict = FORWARDED if own["audit"] else DROPPED
        record.direction = own["direction"]
        record.is_reply = own["reply"] is not None
        record.policy = own["chain"]
    return record


def _time(text: str) -> int | None:
    found = _TIME.match(text)
    return time_of(found[0]) if found is not None else None


def _host(before: str) -> str | None:
    found = _HOST.search(before)
    return found[1] if found is not None else None
