"""Flow logs of AWS VPC as text: fields by the header, of whatever version.

`pkt-srcaddr` and `pkt-dstaddr` come before `srcaddr` and `dstaddr`, which are the interface's. The
action is that of security groups and network ACLs, not of policies. NODATA is an interval without
traffic, SKIPDATA one whose records were lost. `tcp-flags` with SYN alone are those of whoever began
the connection, with SYN and ACK those of the other; of records without nobody can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from netpolc.flows.decode.lines import (
    CHUNK,
    LONGEST,
    LineBlock,
    LogLine,
    Told,
    ended,
    line_blocks,
    refuse_length,
)
from netpolc.flows.notes import LogError
from netpolc.flows.records import EGRESS, INGRESS, Record
from netpolc.flows.values import moment, port_of, protocol_number, verdict_of, whole, word

if TYPE_CHECKING:
    import pyarrow as pa

    from netpolc.flows.decode.scanning import Scanned

try:
    from netpolc.flows.decode._scan import scan_vpc
except ImportError:  # not built here: the reference reads all lines
    scan_vpc = None  # type: ignore[assignment]

NAME = "vpc"
_SYN, _SYN_ACK = 2, 18
_DIRECTIONS = {"ingress": INGRESS, "egress": EGRESS}
ROLES = (
    "pkt-srcaddr", "srcaddr", "pkt-dstaddr", "dstaddr", "srcport", "dstport", "protocol", "packets",
    "bytes", "start", "action", "log-status", "flow-direction", "tcp-flags", "interface-id",
)  # fmt: skip
"""Columns that have a meaning here, in the order of ext/flow_vpc.h."""
_MOST_COLUMNS = 64
_NEEDED = (("pkt-srcaddr", "srcaddr"), ("pkt-dstaddr", "dstaddr"), ("protocol",), ("dstport",))


def detects(text: str) -> bool:
    """Whether a line is a header of it."""
    names = text.split()
    return any(name in names for name in _NEEDED[0]) and any(name in names for name in _NEEDED[1])


class _Reader:
    """Lines to records, by the columns of the last header."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self.names: list[str] = []

    def read(self, line: LogLine) -> Iterator[Record]:
        """The record of a line, if it is one; a header is remembered."""
        told = self._told
        try:
            text = line.content.decode("ascii")
            if detects(text):
                self.names = _header(text, told.at(line))
                meant = set(self.names) & set(ROLES)
                told.notes.check_columns(NAME, meant, told.at(line))
                return
            if not self.names:
                raise LogError(f"{told.at(line)}: a header is expected: columns have no order")
            record = _read(dict(zip(self.names, text.split(), strict=True)), line, told)
        except ValueError as error:
            told.damage(line, "no record of this format", str(error))
            return
        if record is not None:
            yield record


def records(lines: Iterator[LogLine], told: Told) -> Iterator[Record]:
    """A record for each row; headers in between, as completed files have them, are headers again.

    The reference: what the scanner of ext/ must agree with.
    """
    reader = _Reader(told)
    for line in ended(lines, told):
        yield from reader.read(line)


def vpc_batches(blocks: Iterable[bytes], told: Told) -> Iterator[pa.RecordBatch]:
    """The same by the scanner, and by the reference what that is not sure of. Threads scan ahead by
    the last header there was; where another one came meanwhile, a block is scanned again.
    """
    from netpolc.flows.decode.scanning import worked_ahead  # needs pyarrow
    from netpolc.flows.schema import batches

    reader = _Reader(told)

    def read(line: LogLine) -> Iterator[Record]:
        for own in ended([line], told):
            if not refuse_length(own, told):
                yield from reader.read(own)

    def work(block: LineBlock) -> tuple[list[str], Scanned]:
        names = reader.names
        return names, _scan(block, names)

    lines = line_blocks(blocks, told, CHUNK)
    while not reader.names and (block := next(lines, None)) is not None:
        if block.is_ended:
            yield from _scanned(block, None, reader, read)
        else:
            yield from batches(read(block.last_line()))
    for block, found in worked_ahead(lines, work):
        if found is None:
            yield from batches(read(block.last_line()))
        else:
            names, own = found
            yield from _scanned(block, own if names == reader.names else None, reader, read)


def _scanned(
    block: LineBlock,
    found: Scanned | None,
    reader: _Reader,
    read: Callable[[LogLine], Iterator[Record]],
) -> Iterator[pa.RecordBatch]:
    """A block, that may be scanned already, in parts: each header in it begins another one."""
    from netpolc.flows.decode.scanning import Scanned, completed
    from netpolc.flows.schema import batches

    left: LineBlock | None = block
    while left is not None and not reader.names:
        first, _, rest = left.content.partition(b"\n")
        line = LogLine(left.number, first.removesuffix(b"\r"))
        if first.strip():
            yield from batches(read(line))
        left = LineBlock(left.number + 1, rest) if rest else None
    while left is not None:
        found = _scan(left, reader.names) if found is None else found
        header = next((own for own in found.unsure if _is_header(own.line)), None)
        if header is None:
            yield from completed(found, read)
            return
        until = found.unsure.index(header) + 1
        yield from completed(Scanned(found.batch.slice(0, header.rows), found.unsure[:until]), read)
        rest = left.content[header.end + 1 :]
        left = LineBlock(header.line.number + 1, rest) if rest else None
        found = None


def _scan(block: LineBlock, names: list[str]) -> Scanned:
    from netpolc.flows.decode.scanning import scanned

    return scanned(block, scan_vpc(block.content, LONGEST, _roles(names)))


def _is_header(line: LogLine) -> bool:
    return b"srcaddr" in line.content and detects(line.content.decode("ascii", "replace"))


def _roles(names: list[str]) -> bytes:
    """What each column means to the scanner; none, if it cannot be asked."""
    if len(names) > _MOST_COLUMNS:
        return b""
    return bytes(ROLES.index(name) + 1 if name in ROLES else 0 for name in names)


def _header(text: str, place: str) -> list[str]:
    names = text.split()
    missing = [own[-1] for own in _NEEDED if not set(own) & set(names)]
    if missing:
        raise LogError(f"{place}: the header has no column {', '.join(missing)}")
    if len(set(names)) != len(names):
        raise LogError(f"{place}: the header has a column twice")
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
