"""`conntrack -E` and `conntrack -L`: connections that the kernel tracks, one a line of text.

An entry exists once the first packet has passed the last hook, so its packet was forwarded, on the
host that was listened to. Its source is the original one, its destination where replies come from:
what rules see after the address of a Service was translated. Only the event NEW begins a
connection; others are counted. Times (`-o timestamp`) are those of printing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netpolc.flows.decode.lines import LogLine, Told, ended, read_lines
from netpolc.flows.records import FORWARDED, Record
from netpolc.flows.values import port_of, protocol_number, seconds, whole

NAME = "conntrack"
_EVENT = re.compile(
    r"(?:\[(?P<time>\d+\.\d+)\]\s+)?(?:\[(?P<event>[A-Z]+)\]\s+)?"
    r"(?:ipv[46]\s+\d+\s+)?(?P<name>\S+)\s+(?P<number>\d+)\s+(?P<rest>.*\bsrc=.*)"
)
_PAIR = re.compile(r"(?:^|\s)(src|dst|sport|dport|packets|bytes)=(\S+)")
_NEW = "NEW"
_LATER = {"UPDATE", "DESTROY"}


def detects(text: str) -> bool:
    """Whether a line is one of conntrack."""
    return _EVENT.fullmatch(text) is not None


def records(lines: Iterator[LogLine], told: Told) -> Iterator[Record]:
    """A record for each new or listed connection."""
    return read_lines(ended(lines, told), told, lambda line: _read(line, told))


def _read(line: LogLine, told: Told) -> Record | None:
    found = _EVENT.fullmatch(line.content.decode("ascii").strip())
    if found is None:
        raise ValueError("a line as conntrack -E or conntrack -L prints it is expected")
    event = found["event"]
    if event in _LATER:
        told.note(line, f"{event} of a connection, which NEW began")
        return None
    if event not in (None, _NEW):
        raise ValueError(f"unknown event {event}")
    original, reply = _tuples(found["rest"])
    protocol = protocol_number(found["number"])
    return Record(
        ts=seconds(float(found["time"])) if found["time"] else None,
        src=original["src"],
        dst=reply["src"],
        src_port=port_of(original.get("sport"), protocol),
        protocol=protocol,
        port=port_of(reply.get("sport"), protocol),
        is_reply=False,
        verdict=FORWARDED,
        packets=whole(original.get("packets")),
        bytes=whole(original.get("bytes")),
    )


def _tuples(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """The packets of the source, and their replies."""
    both: list[dict[str, str]] = []
    for key, value in _PAIR.findall(text):
        if key == "src":
            both.append({})
        if not both:
            raise ValueError(f"{key} before src")
        both[-1][key] = value
    if len(both) != 2 or any("dst" not in own for own in both):
        raise ValueError("the two directions of a connection are expected")
    return both[0], both[1]
