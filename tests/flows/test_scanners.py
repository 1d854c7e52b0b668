"""Scanners of lines agree with the reference decoders on every line, however odd.

The reference is the decoder by msgspec (Hubble) and by Python (VPC), which knows nothing of the
scanner. Lines are those of real logs, and the same with bytes, keys, values and order changed.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.flows.decode import hubble, scanning, vpc
from netpolc.flows.decode._scan import scan_hubble, scan_vpc
from netpolc.flows.decode.lines import LONGEST, LineBlock, Told, numbered_lines
from netpolc.flows.notes import LogError, LogNotes
from netpolc.flows.schema import SCHEMA, batches
from tests.flows import writers
from tests.flows.collisions import colliding_words
from tests.flows.writers import FLOWS
from tests.helpers.scenarios import ROOT

Found = tuple[list[dict[str, Any]], list[str]]


def rows(found: Iterable[pa.RecordBatch], notes: LogNotes) -> Found:
    every = []
    for batch in found:
        assert batch.schema == SCHEMA
        batch.validate(full=True)
        every += batch.to_pylist()
    return every, [str(note) for note in notes]


def by_reference(form: Any, content: bytes) -> Found:
    notes = LogNotes(keep_going=True)
    told = Told("log", notes)
    return rows(batches(form.records(numbered_lines([content], told), told)), notes)


def by_scanner(form: Any, content: bytes, size: int = 1 << 18) -> Found:
    notes = LogNotes(keep_going=True)
    blocks = [content[at : at + size] for at in range(0, len(content), size)]
    batches_of: Callable[..., Iterator[pa.RecordBatch]] = getattr(
        form, "hubble_batches" if form is hubble else "vpc_batches"
    )
    return rows(batches_of(blocks, Told("log", notes)), notes)


def full_flow(number: int) -> dict[str, Any]:
    """A line as Cilium 1.18 writes it, with everything that is wanted."""
    policies = [{"name": f"p{own}", "namespace": "shop", "labels": ["k8s:a=b"], "revision": "3"}
                for own in range(number % 4)]  # fmt: skip
    return {
        "flow": {
            "time": f"2026-01-0{1 + number % 9}T01:02:03.{'123456789'[: 1 + number % 9]}Z",
            "uuid": "6a2b1c7e-7a4a-4a8f-9b9c-0d6a3f1c2b4d",
            "verdict": ["FORWARDED", "DROPPED", "REDIRECTED", "TRACED"][number % 4],
            "ethernet": {"source": "0a:58:0a:f4:01:0b", "destination": "0a:58:0a:f4:01:15"},
            "IP": {"source": "10.244.1.11", "destination": "10.244.1.21", "ipVersion": "IPv4"},
            "l4": {"TCP": {"source_port": 40000 + number, "destination_port": 8080,
                           "flags": {"SYN": True}}},
            "source": {"ID": 1, "identity": 4711, "namespace": "shop", "labels": ["k8s:app=web"],
                       "pod_name": "web-1", "workloads": [{"name": "web", "kind": "Deployment"}]},
            "destination": {"identity": 2, "namespace": "shop", "pod_name": "db-0"},
            "Type": "L3_L4",
            "node_name": "node-a",
            "event_type": {"type": 4, "sub_type": 3},
            "traffic_direction": ["EGRESS", "INGRESS", "TRAFFIC_DIRECTION_UNKNOWN"][number % 3],
            "trace_observation_point": "TO_ENDPOINT",
            "is_reply": [True, False, None][number % 3],
            "egress_allowed_by": policies,
            "ingress_allowed_by": policies[:1],
            "Summary": "TCP Flags: SYN",
        },
        "node_name": "node-a",
        "time": "2026-01-01T01:02:03.123456789Z",
    }  # fmt: skip


PLAIN = [json.dumps(full_flow(number), separators=(",", ":")).encode() for number in range(12)]
LINES = [*PLAIN, *writers.hubble(FLOWS).splitlines(), *writers.hubble_bare(FLOWS).splitlines()]
VPC_LINES = writers.vpc(FLOWS).splitlines()
STRANGE = [
    b"\\", b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"0", b"-1", b"1e3", b"1.0",
    b"00", b"65536", b"99999999999999999999", b"\\u0041", b"\\ud800", b'\\"', b"\xff", b"\xc3\xa9",
    b"\x00", b"\x01", b" ", b"\t", b"\r", b'""', b'"flow":', b'"IP":{},', b'"time":"",', b"-",
    b'"lost_events":{"num_events_lost":"3"},', b'"verdict":"DROPPED",', b'"\\u0049P":null,',
]  # fmt: skip


def mutated(random: Random, lines: list[bytes]) -> bytes:
    line = random.choice(lines)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(line) + 1)
        kind = random.randrange(5)
        if kind == 0:
            line = line[:at] + random.choice(STRANGE) + line[at:]
        elif kind == 1:
            line = line[:at] + line[at + random.randint(1, 9) :]
        elif kind == 2:
            line = line[:at] + bytes([random.randrange(256)]) + line[at + 1 :]
        elif kind == 3:
            end = at + random.randint(1, 60)
            line = line[:end] + line[at:end] + line[end:]
        else:
            other = random.choice(lines)
            line = line[:at] + other[min(at, len(other)) :]
        line = line.replace(b"\n", b" ") or b"{}"
    return line


@pytest.mark.parametrize("seed", range(4))
def test_hubble_on_damaged_lines(seed: int) -> None:
    random = Random(seed)
    content = b"".join(mutated(random, LINES) + b"\n" for _ in range(4_000))
    assert by_scanner(hubble, content, 100_000) == by_reference(hubble, content)


@pytest.mark.parametrize("seed", range(2))
def test_vpc_on_damaged_lines(seed: int) -> None:
    random = Random(seed)
    head = VPC_LINES[0] + b"\n"
    content = head + b"".join(mutated(random, VPC_LINES[1:]) + b"\n" for _ in range(4_000))
    assert by_scanner(vpc, content, 50_000) == by_reference(vpc, content)


def test_plain_lines_are_left_to_nobody() -> None:
    """Else agreement would say nothing of the scanner."""
    count, _, _, unsure = scan_hubble(b"\n".join(PLAIN), LONGEST)
    assert (count, unsure) == (len(PLAIN), [])
    roles = bytes(vpc.ROLES.index(own) + 1 if own in vpc.ROLES else 0
                  for own in VPC_LINES[0].decode().split())  # fmt: skip
    count, _, _, unsure = scan_vpc(b"\n".join(VPC_LINES), LONGEST, roles)
    assert (count, [line for line, *_ in unsure]) == (len(VPC_LINES) - 1, [0]), "the header"


def test_a_row_by_hand() -> None:
    found, notes = by_scanner(hubble, PLAIN[1] + b"\n")
    assert notes == []
    assert [{name: own for name, own in row.items() if own is not None} for row in found] == [
        {
            "ts": found[0]["ts"],
            "src": "10.244.1.11",
            "dst": "10.244.1.21",
            "src_port": 40001,
            "protocol": 6,
            "port": 8080,
            "direction": "ingress",
            "is_reply": False,
            "verdict": "dropped",
            "reporter": "node-a",
            "policy": "shop/p0",
            "src_pod": "shop/web-1",
            "dst_pod": "shop/db-0",
        }
    ]
    assert found[0]["ts"].isoformat() == "2026-01-02T01:02:03.120000+00:00"


KEYS = st.sampled_from(
    [*full_flow(0)["flow"], "flow", "x", "lost_events", "TCP", "UDP", "ICMPv4", "name",
     "namespace", "pod_name", "source_port", "destination_port"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 70_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "-", "DROPPED", "EGRESS", "L7", "2026-02-29T00:00:00Z", "10.0.0.1", "é"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.integers(0, 11), KEYS, VALUES, st.booleans()), min_size=1, max_size=6))
def test_hubble_on_values_of_any_kind(changes: list[tuple[int, str, Any, bool]]) -> None:
    """A key of a flow, or of an object in it, with another value; and in another order."""
    lines = []
    for number, key, value, is_inner in changes:
        line = full_flow(number)
        flow = line["flow"]
        place = flow.get("source") if is_inner else flow
        if key == "TCP":
            place = flow["l4"]
        place[key] = value
        line["flow"] = dict(reversed(flow.items())) if number % 2 else flow
        lines.append(json.dumps(line, ensure_ascii=number % 3 == 0))
    content = "".join(f"{line}\n" for line in lines).encode()
    assert by_scanner(hubble, content) == by_reference(hubble, content)


@given(st.dates(), st.times(), st.integers(0, 9))
def test_times_are_those_of_the_calendar(day: Any, time: Any, digits: int) -> None:
    if day.year < 1970:
        return
    text = f"{day.isoformat()}T{time.replace(microsecond=0).isoformat()}"
    text += f".{f'{time.microsecond:06}123'[:digits]}" if digits else ""
    content = json.dumps({**full_flow(0)["flow"], "time": f"{text}Z"}).encode() + b"\n"
    assert scan_hubble(content, LONGEST)[3] == []
    assert by_scanner(hubble, content) == by_reference(hubble, content)


def test_headers_in_between_change_the_columns() -> None:
    other = b"srcaddr dstaddr protocol dstport srcport action"
    row = b"10.244.1.11 10.244.1.21 6 8080 40000 REJECT"
    content = b"\n".join([*VPC_LINES, other, row, row, *VPC_LINES, b""])
    found = by_scanner(vpc, content)
    assert found == by_reference(vpc, content)
    assert len(found[0]) == 2 * len(FLOWS) + 2
    assert found[0][len(FLOWS)]["verdict"] == "dropped"


@pytest.mark.parametrize("form", [hubble, vpc])
def test_blocks_may_be_cut_anywhere(form: Any) -> None:
    lines = PLAIN[:3] if form is hubble else VPC_LINES
    content = b"\r\n".join([b"", *lines, b" " * 30, b"x" * (LONGEST + 2), *lines])
    wanted = by_reference(form, content)
    assert any("more than" in note for note in wanted[1])
    for size in (7_919, 65_536, LONGEST, 1 << 22):
        assert by_scanner(form, content, size) == wanted


def test_blocks_of_vpc_are_scanned_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the log, with its line numbers, whatever header comes in between; all but the
    first block, of which nobody knows the header before.
    """
    row = b"10.244.1.11 10.244.1.21 6 %d 40000 REJECT"
    other = [b"srcaddr dstaddr protocol dstport srcport action", *(row % at for at in range(90))]
    odd = [VPC_LINES[1].rsplit(b" ", 1)[0], b"", VPC_LINES[1].replace(b" OK", b" NODATA")]
    many = VPC_LINES[1:] * 20
    lines = [VPC_LINES[0], *many, *other, *odd, *other, *VPC_LINES, *many, *odd, *many, b"cut"]
    content = b"\n".join(lines)
    scanned_by = set()

    def scan(block: bytes, longest: int, roles: bytes) -> Any:
        scanned_by.add(threading.current_thread().name)
        return scan_vpc(block, longest, roles)

    monkeypatch.setattr(vpc, "CHUNK", 1_000)
    monkeypatch.setattr(vpc, "scan_vpc", scan)
    assert by_scanner(vpc, content, 500) == by_reference(vpc, content)
    assert any(name.startswith("ThreadPoolExecutor") for name in scanned_by)


@pytest.mark.parametrize("form", [hubble, vpc])
def test_of_several_faults_the_first_is_told(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that breaks off is read ahead of a line that is no record."""
    for module in (scanning, vpc):
        monkeypatch.setattr(module, "CHUNK", 100)
    lines = PLAIN if form is hubble else VPC_LINES

    def blocks() -> Iterator[bytes]:
        yield b"\n".join([*lines, b""])
        yield b"no record\n"
        yield lines[1] + b"\n"
        raise OSError("cut")

    batches_of = form.hubble_batches if form is hubble else form.vpc_batches
    with pytest.raises(LogError, match=rf"^log:{len(lines) + 1}: no record of this format"):
        list(batches_of(blocks(), Told("log", LogNotes())))


def test_threads_scan_at_the_same_time() -> None:
    """What one thread makes of a block does not depend on others."""
    blocks = [b"".join(own + b"\n" for own in PLAIN[number:]) * 50 for number in range(8)]

    def work(block: bytes) -> scanning.Scanned:
        return scanning.scanned(LineBlock(1, block), scan_hubble(block, LONGEST))

    alone = [work(block) for block in blocks]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, blocks)) == alone


def test_words_are_numbered_however_many_and_whatever_they_are() -> None:
    """Nothing at first, then many, then words that collide in the table (ext/flow_words.h)."""
    header = b"interface-id srcaddr dstaddr dstport protocol\n"
    colliding = colliding_words(100)
    many = [b"eni-%d" % (number * 7919) for number in range(3_000)]
    names = [b"-"] * 9 + many + colliding + [b"-"] + many[::-1] + colliding[::-1]
    lines = [b"%s 10.0.0.1 10.0.0.%d 80 6\n" % (name, len(name)) for name in names]
    content = header + b"".join(lines)
    found = by_scanner(vpc, content)
    assert [own["reporter"] for own in found[0]] == [
        None if name == b"-" else name.decode() for name in names
    ]
    assert found == by_reference(vpc, content)


_UNBUILT = """
import sys
sys.modules["netpolc.flows.decode._scan"] = None
from netpolc.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("form", ["hubble", "vpc"])
def test_where_no_scanner_is_built_the_reference_reads(form: str, tmp_path: Path) -> None:
    ends = "10.244.1.11 10.244.1.21 40000 8080 6 1 40 1764410400 1764410460 ACCEPT OK"
    path = tmp_path / "log"
    path.write_text(
        '{"flow":{"verdict":"FORWARDED","IP":{"source":"10.244.1.11","destination":"10.244.1.21"},'
        '"l4":{"TCP":{"source_port":40000,"destination_port":8080}},"is_reply":false}}\n'
        if form == "hubble"
        else "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets "
        f"bytes start end action log-status\n2 123456789012 eni-0a {ends}\n"
    )
    command = ["audit", str(path), "--policies", str(ROOT / "examples" / "three-tier")]
    found = subprocess.run(
        [sys.executable, "-c", _UNBUILT, *command, "-o", "csv", "--format", form],
        capture_output=True,
        text=True,
        check=False,
    )
    header, row = csv.reader(found.stdout.splitlines())
    told = dict(zip(header, row, strict=True))
    assert told["source"] == "production/frontend-1[Pod]"
    assert told["destination"] == "production/backend-1[Pod]"
    assert (told["policies"], told["records"]) == ("allow", "1")
    assert found.returncode == 0, found.stderr
