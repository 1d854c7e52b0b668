"""Which format a log has, told by its content.

Comes in: a source. Goes out: what it holds, opened, and the name of its format. Refused
(`LogError`): a log of no known format, an empty one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from netpolc.core.errors import UsageError
from netpolc.flows.decode import calico, csv, gke, hubble, jsonlines, vpc
from netpolc.flows.decode.lines import Records
from netpolc.flows.decode.netfilter import conntrack, kernel, ulogd
from netpolc.flows.notes import LogError
from netpolc.flows.sources import LogSource, Stream, beginning

_OF_JSON = (hubble, gke, calico, ulogd, kernel, jsonlines)
_OF_TEXT = (vpc, conntrack, kernel, csv)
LINES: dict[str, Records] = {own.NAME: own.records for own in (*_OF_JSON, *_OF_TEXT)}
PARQUET, ARROW = "parquet", "arrow"
FORMATS = (*LINES, PARQUET, ARROW)
"""Their names, as `--format` takes them."""
_MAGIC = {b"PAR1": PARQUET, b"ARRO": ARROW, b"\xff\xff\xff\xff": ARROW}
"""First bytes of files (Parquet, Arrow IPC) and of Arrow streams."""
_HEAD = 1 << 16
_TRIED = 20
"""Lines at the beginning that are looked at: the first ones may be of a rare kind."""
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def check_format(form: str | None) -> None:
    """`UsageError` for a name that no format has."""
    if form is not None and form not in FORMATS:
        raise UsageError(f"--format {form}: one of {', '.join(FORMATS)} is expected")


@contextmanager
def opened_log(source: LogSource, form: str | None) -> Iterator[tuple[Stream, str]]:
    """What a log holds, from its beginning, and its format: `form`, or what its content tells."""
    with source.opened() as stream:
        try:
            head = beginning(stream, _HEAD)
        except OSError as error:
            raise LogError(f"{source.name}: it cannot be read to its end: {error}") from None
        if not head.strip():
            raise LogError(f"{source.name}: the log is empty")
        yield stream, form or _told(head, source.name)


def _told(head: bytes, name: str) -> str:
    """The format of a log that begins so."""
    if (found := _MAGIC.get(head[:4])) is not None:
        return found
    if b"\0" not in head:
        lines = [line.strip() for line in head.split(b"\n")[:_TRIED]]
        for line in lines:
            if (named := _told_by_line(line)) is not None:
                return named
        if csv.resembles(next(filter(None, lines), b"").decode("utf-8", "replace")):
            return csv.NAME  # which says what its header lacks
    raise LogError(
        f"{name}: a log of no format that is known: --format names one of {', '.join(FORMATS)}"
    )


def _told_by_line(line: bytes) -> str | None:
    if line.startswith(b"{"):
        try:
            keys = _keys(line).keys()
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        return next((own.NAME for own in _OF_JSON for wanted in own.KEYS if wanted <= keys), None)
    text = line.decode("utf-8", "replace")
    try:
        return next((own.NAME for own in _OF_TEXT if own.detects(text)), None)
    except ValueError:
        return None
