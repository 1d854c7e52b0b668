"""What reads text and tables that others wrote, and what may come of it.

In: bytes, and a path that they may be written to. Out: nothing; what is refused is refused with a
`NetpolcError`. Any other exception is a fault, and so is an `AssertionError`: what was understood
must be understood alike by whatever else in netpolc reads or judges it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import netpolc
from netpolc import Flow, Matcher
from netpolc.analysis.findings import check
from netpolc.backends.matcher import store
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.readback.proof import Proof
from netpolc.backends.nft.rollout.state import loaded
from netpolc.backends.nft.signals.logs import flows_from_log
from netpolc.core.errors import NetpolcError
from netpolc.core.nets import format_address
from netpolc.flows import ALLOWED, BAD, DENIED, judge_log
from netpolc.flows.notes import LogNotes
from tests.cli.snapshots import objects
from tests.helpers.yaml_readers import assert_alike

WAYS: tuple[dict[str, Any], ...] = (
    {"strict": True},
    {"strict": False, "odd_objects": "isolate"},
    {"strict": False, "semantics": "v1.6"},
)
"""How manifests are read: as people's, as a cluster's, as those of old."""
OUTSIDE = ["192.0.2.7", "2001:db8::1", "0.0.0.0", "255.255.255.255", "::", "fe80::1"]
ASKED = [("TCP", 80), ("TCP", 65535), ("UDP", 53), ("SCTP", 0)]
PODS = 4
"""So many pods of a snapshot are asked about."""


@cache
def program() -> netpolc.Program:
    """The example, compiled: what listings are compared with and logs are about."""
    return netpolc.compile(netpolc.load_objects(objects()))


def read_manifests(data: bytes, path: Path) -> None:
    """Read, check, compile, write a ruleset and read that back, in one of the ways to do so; YAML
    is read alike by both readers of it.
    """
    path.write_bytes(data)
    if path.suffix == ".yaml":
        assert_alike(data)
    try:
        snapshot = netpolc.load([path], **WAYS[len(data) % len(WAYS)])
        compiled = netpolc.compile(snapshot)
        found = check(snapshot, compiled)
        ruleset = compiled.ruleset()
    except NetpolcError:
        return
    assert all(map(str, found))
    own = parse_text.parse(ruleset.text()).content()
    assert own == parse_json.parse(ruleset.json()).content()
    _agree(compiled)


def _agree(compiled: netpolc.Program) -> None:
    """Semantics and matcher judge alike."""
    matcher = Matcher(compiled)
    pods = list(compiled.pods_by_address)
    ends = [*map(format_address, pods[:PODS]), *OUTSIDE]
    for source, destination in product(ends, ends):
        if (":" in source) == (":" in destination):
            for protocol, port in ASKED:
                flow = Flow(source, destination, protocol, port)
                expected = netpolc.evaluate(compiled, flow).allowed
                assert matcher.verdict(source, destination, protocol, port) == expected, flow


def read_listing(data: bytes, path: Path) -> None:
    """Read a ruleset in each form, print it again, and prove it equal to the policies or not."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    with suppress(NetpolcError):
        found = parse_listing(text, "netpolc")
        blocks = "".join(own.block() for own in found)
        again = parse_listing(f"table inet netpolc {{\n{blocks}}}\n", "netpolc")
        assert again == found
    for parse in (parse_text.parse, parse_json.parse):
        with suppress(NetpolcError):
            listing = parse(text)
            for difference in Proof(program(), listing).first():
                assert str(difference)
    with suppress(NetpolcError):
        if parse_json.parse(text):  # libnftables' own words, in which a table tells of itself
            loaded.loaded_in("netpolc", loaded.counters_of(text))


def read_log(data: bytes, path: Path) -> None:
    """Judge a flow log: a verdict for every row, the one that the semantics give."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    list(flows_from_log(text.splitlines()))
    form = "jsonl" if text.lstrip().startswith("{") else "csv"
    path.write_bytes(data)
    out = io.StringIO(newline="")
    notes = LogNotes(keep_going=True)  # a line that is too long is counted, and no row
    try:
        counts = judge_log(program(), [str(path)], out, notes, lambda place, problem: None, form)
    except NetpolcError:
        return
    written = {ALLOWED: 0, DENIED: 0, BAD: 0}
    for row in _rows(out.getvalue()):
        verdict = row["verdict"]
        written[verdict] += 1
        flow = None if verdict == BAD else _flow(row)
        if flow is not None:
            assert netpolc.evaluate(program(), flow).allowed == (verdict == ALLOWED), flow
    assert tuple(written.values()) == (counts.allowed, counts.denied, counts.bad)


def _rows(text: str) -> Iterator[dict[str, Any]]:
    if text.startswith("{"):
        yield from map(json.loads, text.split("\n")[:-1])
        return
    if not text:  # of a log without a header
        return
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    for row in rows:
        # Of columns of one name the first is the log's; the verdict is the last.
        named = dict(zip(reversed(header), reversed(row), strict=True))
        yield {**{name.strip(): own for name, own in named.items()}, "verdict": row[-1]}


def _flow(row: dict[str, Any]) -> Flow | None:
    """The flow of a row between two addresses; None for those of pods and of odd spelling."""
    source, destination, protocol, port = (
        row.get(name) for name in ("src", "dst", "protocol", "port")
    )
    if protocol not in ("TCP", "UDP", "SCTP") or not str(port).isdecimal():
        return None
    try:
        return Flow(str(source).strip(), str(destination).strip(), protocol, int(str(port)))
    except ValueError:
        return None


def read_matcher(data: bytes, path: Path) -> None:
    """Open a matcher's file as it is and with right checksums; verdicts are verdicts."""
    for form in (data, resealed(data)):
        path.write_bytes(form)
        try:
            matcher = Matcher.open(path)
        except NetpolcError:
            continue
        pods = list(program().pods_by_address)
        ends = [*map(format_address, pods), *OUTSIDE]
        pairs = [(s, d) for s, d in product(ends, ends) if (":" in s) == (":" in d)]
        for protocol, port in ASKED:
            sources, destinations = [s for s, _ in pairs], [d for _, d in pairs]
            codes = matcher.verdicts(sources, destinations, protocol, [port] * len(pairs))
            assert set(codes.tolist()) <= {0, 1, 2}
        with suppress(NetpolcError):
            for end in ends:
                matcher.lookup(end)


def resealed(data: bytes) -> bytes:
    """The same file with the checksums of what it holds, as who forges one would write them."""
    head = store._HEAD
    if len(data) < head.size:
        return data
    magic, version, order, start, end, _ = head.unpack_from(data)
    text, body = data[head.size : start], data[start:]
    with suppress(ValueError, RecursionError, TypeError):
        document = json.loads(text)
        document["sha256"] = hashlib.sha256(body).hexdigest()
        text = json.dumps(document).encode().ljust(len(text))
        start, end = head.size + len(text), head.size + len(text) + len(body)
    digest = hashlib.sha256(text).digest()
    return head.pack(magic, version, order, start, end, digest) + text + body


READERS: dict[str, Callable[[bytes, Path], None]] = {
    "yaml": read_manifests,
    "json": read_manifests,
    "listing": read_listing,
    "log": read_log,
    "matcher": read_matcher,
}
"""By the ending of the files they read."""
