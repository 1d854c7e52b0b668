"""Flow logs of AWS VPC as text: fields by the header, of whatever version.

`pkt-srcaddr` and `pkt-dstaddr` come before `srcaddr` and `dstaddr`, which are the interface's. The
action is that of security groups and network ACLs, not of policies. NODATA is an interval without
traffic, SKIPDATA one whose records were lost. `tcp-flags` with SYN alone are those of whoever began
the connection, with SYN and ACK those of the other; of records without nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.flows.decode.lines import LogLine, Told, ended
from netpolc.flows.notes import LogError
from netpolc.flows.schema import EGRESS, INGRESS, Record
from netpolc.flows.values import moment, port_of, protocol_number, verdict_of, whole, word

NAME = "vpc"
_SYN, _SYN_ACK = 2, 18
_DIRECTIONS = {"ingress": INGRESS, "egress": EGRESS}
_NEEDED = (("pkt-srcaddr", "srcaddr"), ("pkt-dstaddr", "dstaddr"), ("protocol",), ("dstport",))


def detects(text: str) -> bool:
    """Whether a line is a header of it."""
    names = text.split()
    return any(name in names for name in _NEEDED[0]) and any(name in names for name in _NEEDED[1])


def records(lines: Iterator[LogLine], told: Told) -> Iterator[Record]:
    """A record for each row; headers in between, as joined files have them, are headers again."""
    names: list[str] = []
    for line in ended(lines, told):
        try:
            text = line.content.decode("ascii")
            if detects(text):
                names = _header(text)
                continue
            if not names:
                raise LogError(f"{told.at(line)}: a header is expected: columns have no order")
            record = _read(dict(zip(names, text.split(), strict=True)), line, told)
        except ValueError as error:
            told.damage(line, "no record of this format", str(error))
            continue
        if record is not None:
            yield record


def _header(text: str) -> list[str]:
    names = text.split()
    missing = [own[-1] for own in _NEEDED if not set(own) & set(names)]
    if missing or len(set(names)) != len(names):
        raise LogError(f"the header has no column {', '.join(missing)}, or one of them twice")
    return names


def _read(row: dict[str, str], line: LogLine, told: Told) -> Record | None:
    status = row.get("log-status", "OK")
    if status == "NODATA":
        told.note(line, "NODATA, an interval without traffic")
        return None
    if status == "SKIPDATA":
        told.lose(line, "SKIPDATA, an interval whose records were lost")
        return None
    if status != "OK":
        raise ValueError(f"unknown log-status {status!r}")
    protocol = protocol_number(row["protocol"])
    return Record(
        ts=moment(row.get("start")),
        src=word(row.get("pkt-srcaddr")) or word(row.get("srcaddr")),
        dst=word(row.get("pkt-dstaddr")) or word(row.get("dstaddr")),
        src_port=port_of(row.get("srcport"), protocol),
        protocol=protocol,
        port=port_of(row["dstport"], protocol),
        direction=_DIRECTIONS.get(row.get("flow-direction", "")),
        is_reply=_is_reply(whole(row.get("tcp-flags"))),
        verdict=verdict_of(row.get("action")),
        reporter=word(row.get("interface-id")),
        packets=whole(row.get("packets")),
        bytes=whole(row.get("bytes")),
    )


def _is_reply(flags: int | None) -> bool | None:
    if flags is None or not flags & _SYN:
        return None
    return flags & _SYN_ACK == _SYN_ACK
