"""Flow logs in bulk: CSV or JSON lines in, the same with a verdict out.

In: text whose rows have `src`, `dst`, `protocol` and `port`, in any order and among others: a CSV
with a header, or an object a line. Ends are addresses, `namespace/pod` or whatever else
`flows_between` takes; a pod stands for all its addresses, a workload for all its pods, and a flow
is allowed if it is between all pairs of one family. Out: every row, in order,
with `verdict`: ALLOW, DENY or INVALID. Refused (`UsageError`): a log without these columns. A row
that is no flow is reported with its line, counted, and no reason to stop.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from typing import Any, TextIO

import msgspec

from netpolc.backends.matcher import Matcher
from netpolc.core.ends import flows_between
from netpolc.core.errors import UsageError
from netpolc.core.foreign import csv_copies, inert_json, is_copied
from netpolc.core.nets import format_address
from netpolc.core.program import Program
from netpolc.core.semantics import evaluate

COLUMNS = ("src", "dst", "protocol", "port")
ALLOWED, DENIED, BAD = "ALLOW", "DENY", "INVALID"
BLOCK = 20_000
"""Rows judged at once: enough to hide what a call costs, few enough to stay in the cache."""
_MANY_NAMES = 100_000
"""Flows between names of which the verdict is kept."""
_ICMP = {"ICMP": 1, "ICMPV6": 58, "ICMP6": 58}

Report = Callable[[int, str], None]
Fields = tuple[object, object, object, object]


@dataclass(slots=True)
class Counts:
    """How many rows came out how."""

    allowed: int = 0
    denied: int = 0
    bad: int = 0

    def add(self, verdict: str) -> None:
        """One more."""
        if verdict == ALLOWED:
            self.allowed += 1
        elif verdict == DENIED:
            self.denied += 1
        else:
            self.bad += 1

    @property
    def total(self) -> int:
        """All of them."""
        return self.allowed + self.denied + self.bad

    def __str__(self) -> str:
        return (
            f"{self.total} flows: {self.allowed} allowed, {self.denied} denied, {self.bad} invalid"
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the log; `fields` is None, and `problem` says why, when it has none to judge."""

    line: int
    fields: Fields | None
    content: Any
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Format:
    rows: Iterator[_Row]
    write: Callable[[_Row, str], None]
    plain: _PlainLines | None = None
    """Comes before `rows`."""


def judge_log(
    program: Program,
    log: TextIO,
    out: TextIO,
    report: Report,
    progress: Callable[[], None] = lambda: None,
) -> Counts:
    """Copy a log with its verdicts; `progress` is called after each block of rows."""
    judge = _Judge(program)
    counts = Counts()
    form = _format_of(log, out)
    for number, lines in form.plain or ():
        assert form.plain is not None
        _judge_plain(judge, form.plain, number, lines, counts, out, report)
        progress()
    while rows := list(islice(form.rows, BLOCK)):
        for row, (verdict, problem) in zip(rows, judge.verdicts(rows), strict=True):
            counts.add(verdict)
            if verdict == BAD:
                report(row.line, problem)
            form.write(row, verdict)
        progress()
    return counts


class _PlainLines:
    """Blocks of lines of CSV that are cut at commas, and copied as they are, with the lines before
    them, up to the first block with a quote or with what `csv_copies` alters.
    """

    def __init__(self, lines: Iterator[str], read: int, width: int, places: list[int]) -> None:
        self.rest, self.read, self.width = lines, read, width
        self.flow: Callable[[list[str]], tuple[str, str, str, str]] = itemgetter(*places)
        self.known: dict[tuple[str, ...], tuple[str, str]] = {}
        """Verdicts of flows, with the reason of an INVALID one."""

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        while block := list(islice(self.rest, BLOCK)):
            text = "".join(block).replace("\r\n", "\n")
            is_short = max(map(len, block)) < csv.field_size_limit()
            if '"' in text or not is_short or not is_copied(text.replace("\n", ",").split(",")):
                self.rest = chain(block, self.rest)
                return
            yield self.read, block
            self.read += len(block)


def _judge_plain(
    judge: _Judge,
    plain: _PlainLines,
    before: int,
    lines: list[str],
    counts: Counts,
    out: TextIO,
    report: Report,
) -> None:
    """Each distinct flow of a block is judged once."""
    texts = [line.rstrip("\r\n") for line in lines]
    rows = [text.split(",") for text in texts]
    width, known = plain.width, plain.known
    flows = [plain.flow(cells) if len(cells) == width else None for cells in rows]
    if len(known) >= _MANY_NAMES:
        known.clear()
    fresh = [own for own in dict.fromkeys(flows) if own is not None and own not in known]
    asked = [_Row(0, _fields(own), None) for own in fresh]
    known.update(zip(fresh, judge.verdicts(asked), strict=True))
    written = []
    for number, (text, cells, flow) in enumerate(zip(texts, rows, flows, strict=True), before + 1):
        if flow is not None:
            verdict, problem = known[flow]
        elif not text:
            continue
        else:
            verdict, problem = BAD, _of_other_width(cells, width)
            text = ",".join([*cells, *[""] * (width - len(cells))][:width])
        counts.add(verdict)
        if problem:
            report(number, problem)
        written.append(f"{text},{verdict}\n")
    out.write("".join(written))


class _Judge:
    """Rows to verdicts, a block at a time."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._matcher = Matcher(program)
        self._pods: Mapping[str, tuple[str, ...]] = {
            pod.key: tuple(map(format_address, pod.addresses))
            for identity in program.identities
            for pod in identity.pods
            if pod.addresses
        }
        self._named: dict[tuple[object, ...], tuple[str, str]] = {}

    def verdicts(self, rows: list[_Row]) -> Iterator[tuple[str, str]]:
        """The verdict of each row, with the reason of an INVALID one."""
        flows: list[Fields] = []
        ends = []
        for row in rows:
            if row.fields is not None and not self._is_named(row.fields):
                flows.extend(self._flows(row.fields))
            ends.append(len(flows))
        columns = [list(column) for column in zip(*flows, strict=True)] or [[], [], [], []]
        codes = self._matcher.verdicts(*columns).tolist()
        first = 0
        for row, end in zip(rows, ends, strict=True):
            own = codes[first:end]
            if row.fields is None:
                yield BAD, row.problem
            elif self._is_named(row.fields):
                yield self._between_names(row.fields)
            elif not own:
                yield BAD, "the two pods have no address family in common"
            elif 2 in own:
                yield BAD, self._problem(flows[first + own.index(2)])
            else:
                yield (ALLOWED if all(own) else DENIED), ""
            first = end

    def _is_named(self, fields: Fields) -> bool:
        """Whether an end is neither an address nor a pod that has one."""
        return any(
            isinstance(end, str) and end not in self._pods and ("/" in end or end[:5] == "node:")
            for end in fields[:2]
        )

    def _between_names(self, fields: Fields) -> tuple[str, str]:
        """The verdict between workloads, pods without address, Services and nodes."""
        source, destination, protocol, port = fields
        if not isinstance(protocol, str | int) or not isinstance(port, int | float | str | None):
            return BAD, f"protocol {protocol!r} or port {port!r} is none"
        asked = str(source), str(destination), protocol, port
        known = self._named.get(asked)
        if known is None:
            if len(self._named) >= _MANY_NAMES:
                self._named.clear()
            known = self._named[asked] = self._judged(*asked)
        return known

    def _judged(
        self, source: str, destination: str, protocol: str | int, port: float | str | None
    ) -> tuple[str, str]:
        number = int(port) if isinstance(port, float) and port.is_integer() else port
        if isinstance(number, float):
            return BAD, f"port {port!r} is no whole number"
        try:
            ends = self._program, source, destination
            flows = flows_between(*ends, protocol, number, hints=False)
        except (UsageError, ValueError) as error:
            return BAD, str(error)
        allowed = all(evaluate(self._program, flow).allowed for flow in flows)
        return (ALLOWED if allowed else DENIED), ""

    def _flows(self, fields: Fields) -> Iterable[Fields]:
        """A row between addresses is one flow, with a pod one for each pair of a family."""
        source, destination, protocol, port = fields
        sources = self._pods.get(source) if isinstance(source, str) else None
        destinations = self._pods.get(destination) if isinstance(destination, str) else None
        if sources is None and destinations is None:
            return (fields,)
        return [
            (start, end, protocol, port)
            for start in (sources if sources is not None else (source,))
            for end in (destinations if destinations is not None else (destination,))
            if (":" in str(start)) == (":" in str(end))
        ]

    def _problem(self, fields: Fields) -> str:
        """What the matcher says of it when it is asked alone."""
        source, destination, protocol, port = fields
        try:
            self._matcher.verdict(source, destination, protocol, port)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError) as error:
            return str(error)
        raise AssertionError(f"{fields} is invalid in a column and not alone")


def _format_of(log: TextIO, out: TextIO) -> _Format:
    """By the first character: a brace begins an object, anything else a header."""
    begun = [log.readline()]
    while begun[-1] and not begun[-1].strip():
        begun.append(log.readline())
    if not begun[-1]:
        raise UsageError("the flow log is empty: a header or an object is expected")
    # Blank lines before the first stay in, so that lines are counted as an editor does.
    lines = chain(begun, log)
    if begun[-1].lstrip().startswith("{"):
        return _Format(_json_rows(lines), lambda row, verdict: _write_json(out, row, verdict))
    return _csv(lines, out)


def _csv(lines: Iterator[str], out: TextIO) -> _Format:
    reader, writer = csv.reader(lines), csv.writer(out, lineterminator="\n")
    header = _next(reader)
    while header == []:
        header = _next(reader)
    if header is None or isinstance(header, str):
        raise UsageError(f"the header of the flow log cannot be read: {header or 'it is empty'}")
    header = [name.strip() for name in header]
    missing = [name for name in COLUMNS if header.count(name) != 1]
    if missing:
        raise UsageError(
            f"the flow log has no column {', '.join(missing)}: {', '.join(COLUMNS)} are expected"
        )
    places = [header.index(name) for name in COLUMNS]
    writer.writerow([*csv_copies(header), "verdict"])

    plain = _PlainLines(lines, reader.line_num, len(header), places)

    def rows() -> Iterator[_Row]:
        reader = csv.reader(plain.rest)
        while (cells := _next(reader)) is not None:
            line = plain.read + reader.line_num
            if isinstance(cells, str):
                yield _Row(line, None, [], cells)
            elif not cells:
                continue
            elif len(cells) != len(header):
                yield _Row(line, None, cells, _of_other_width(cells, len(header)))
            else:
                yield _Row(line, _fields([cells[place] for place in places]), cells)

    def write(row: _Row, verdict: str) -> None:
        # A short row is filled up, so that the verdict stays in its column.
        padding = [""] * (len(header) - len(row.content))
        writer.writerow([*csv_copies(row.content[: len(header)]), *padding, verdict])

    return _Format(rows(), write, plain)


def _of_other_width(cells: list[str], width: int) -> str:
    return f"{len(cells)} fields, the header has {width}"


def _fields(cells: Iterable[str]) -> Fields:
    source, destination, protocol, port = (cell.strip() for cell in cells)
    return source, destination, _protocol(protocol), _port(port)


def _next(reader: Iterator[list[str]]) -> list[str] | str | None:
    """The next row, or why it is none; None at the end."""
    try:
        return next(reader, None)
    except csv.Error as error:
        return str(error)


def _json_rows(lines: Iterator[str]) -> Iterator[_Row]:
    decoder = msgspec.json.Decoder()
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            content = decoder.decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            yield _Row(line, None, {}, str(error))
            continue
        if not isinstance(content, dict) or any(name not in content for name in COLUMNS[:3]):
            yield _Row(line, None, content, f"an object with {', '.join(COLUMNS)} is expected")
            continue
        source, destination = content["src"], content["dst"]
        fields = source, destination, _protocol(content["protocol"]), _port(content.get("port"))
        yield _Row(line, fields, content)


def _write_json(out: TextIO, row: _Row, verdict: str) -> None:
    content = row.content if isinstance(row.content, dict) else {"row": row.content}
    out.write(inert_json(msgspec.json.encode({**content, "verdict": verdict}).decode()) + "\n")


def _protocol(given: object) -> object:
    if isinstance(given, str):
        if given.isascii() and given.isdigit() and len(given) < 4:
            return int(given)
        return _ICMP.get(given.upper(), given)
    return given


def _port(given: object) -> object:
    if isinstance(given, str):
        if not given:
            return None
        return int(given) if given.isascii() and given.isdigit() and len(given) < 8 else given
    return given
