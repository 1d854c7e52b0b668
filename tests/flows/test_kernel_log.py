"""Lines of the kernel's log about packets, read by hand. As Linux 6.18 wrote them, but for time and
host, which are as rsyslog, journalctl and dmesg print them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netpolc.flows.notes import Gravity
from tests.flows.reading import records_of

REST = "LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=31683 DF PROTO=TCP SPT=41307 DPT=8080"
TAIL = "WINDOW=65495 RES=0x00 {} URGP=0 "
ENDS = "IN=veth1 OUT=veth2 MAC=02:00 SRC=10.0.0.1 DST=10.0.0.2"
SYN = f"{ENDS} {REST} {TAIL.format('SYN')}"
PLAIN = {
    "src": "10.0.0.1", "dst": "10.0.0.2", "src_port": 41307, "protocol": 6, "port": 8080,
    "is_reply": False, "packets": 1, "bytes": 60,
}  # fmt: skip


def record_of(line: str, folder: Path) -> dict[str, Any]:
    (found,), notes = records_of(folder, f"{line}\n".encode())
    assert list(notes) == []
    return found


@pytest.mark.parametrize("before", ["", "[   71.512345] ", "Nov 29 10:00:00 node-a kernel: "])
def test_a_time_without_year_or_zone_is_none(before: str, tmp_path: Path) -> None:
    found = record_of(f"{before}somebody's: {SYN}", tmp_path)
    assert found.pop("reporter", "node-a") == "node-a"
    assert found == PLAIN


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-29T11:00:00.25+01:00 node-a kernel: [7.1] ",
        "2026-11-29T10:00:00.250000+0000 node-a kernel: ",
        "2026-11-29T10:00:00,250000+00:00 ",
    ],
)
def test_times_with_a_zone(time: str, tmp_path: Path) -> None:
    found = record_of(f"{time}{SYN}", tmp_path)
    assert found["ts"].isoformat() == "2026-11-29T10:00:00.250000+00:00"


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        (
            "netpolc ingress i_2f0e5d6f1a9c0b77: ",
            {"verdict": "dropped", "direction": "ingress", "policy": "i_2f0e5d6f1a9c0b77"},
        ),
        (
            "netpolc audit egress e_2f0e5d6f1a9c0b77: ",
            {"verdict": "forwarded", "direction": "egress", "policy": "e_2f0e5d6f1a9c0b77"},
        ),
        (
            "netpolc reply ingress i_unknown: ",
            {
                "verdict": "dropped", "direction": "ingress", "policy": "i_unknown",
                "is_reply": True,
            },
        ),
        ("[UFW BLOCK] ", {}),
    ],
)  # fmt: skip
def test_only_netpolcs_prefix_is_a_verdict(
    prefix: str, said: dict[str, Any], tmp_path: Path
) -> None:
    assert record_of(f"[71.5] {prefix}{SYN}", tmp_path) == PLAIN | said


def test_what_is_not_the_first_packet_may_be_a_reply(tmp_path: Path) -> None:
    for flags in ("ACK SYN", "ACK", "ACK PSH"):
        found = record_of(f"{ENDS} {REST} {TAIL.format(flags)}", tmp_path)
        assert "is_reply" not in found, flags


def test_an_error_is_a_packet_of_its_own(tmp_path: Path) -> None:
    about = "[SRC=10.9.9.9 DST=10.8.8.8 LEN=28 PROTO=UDP SPT=1 DPT=2 LEN=8 ]"
    line = f"{ENDS} LEN=56 TOS=0x00 PREC=0x00 TTL=63 ID=5 PROTO=ICMP TYPE=3 CODE=3 {about} "
    assert record_of(line, tmp_path) == {
        "src": "10.0.0.1", "dst": "10.0.0.2", "protocol": 1, "packets": 1, "bytes": 56,
    }  # fmt: skip


def test_a_port_that_nothing_follows_may_lack_digits(tmp_path: Path) -> None:
    assert "port" not in record_of(f"{ENDS} {REST}", tmp_path)


def test_lines_that_are_no_packets_are_counted_and_cut_ones_are_damage(tmp_path: Path) -> None:
    log = f"{SYN}\neth0: link up\nveth9: gone\n{ENDS.partition(' DST')[0]}\n"
    records, notes = records_of(tmp_path, log.encode(), keep_going=True)
    assert len(records) == 1
    assert {(own.gravity, own.kind, own.place[-2:], own.count) for own in notes} == {
        (Gravity.NOTED, "a line of the log that is no packet", ":2", 2),
        (Gravity.DAMAGED, "no record of this format", ":4", 1),
    }


def entry(message: object, **fields: object) -> bytes:
    """As `journalctl -o json` of systemd 257 writes it."""
    given = {
        "_TRANSPORT": "kernel", "PRIORITY": "4", "_HOSTNAME": "node-a", "MESSAGE": message,
        "__REALTIME_TIMESTAMP": "1764410400250000", "SYSLOG_IDENTIFIER": "kernel", **fields,
    }  # fmt: skip
    return json.dumps(given).encode() + b"\n"


def test_entries_of_the_journal(tmp_path: Path) -> None:
    """They say when and where; a message with bytes that are no text is an array of them."""
    message = f"netpolc ingress i_2f0e5d6f1a9c0b77: {SYN}"
    log = (
        entry("eth0: link up")
        + entry(message)
        + entry([*message.encode(), 0xFF])
        + entry(None)
        + entry(["two", [*message.encode()]])
        + entry([0x100])
        + entry(SYN)[:-1]
    )
    records, notes = records_of(tmp_path, log, keep_going=True)
    said = {"verdict": "dropped", "direction": "ingress", "policy": "i_2f0e5d6f1a9c0b77"}
    assert [own.pop("ts").isoformat() for own in records] == [
        "2025-11-29T10:00:00.250000+00:00"
    ] * 3
    plain = PLAIN | {"reporter": "node-a"}
    assert records == [plain | said, plain | said, plain]
    assert [(own.gravity, own.kind, own.place[-2:]) for own in notes] == [
        (Gravity.DAMAGED, "no record of this format", ":6"),
        (Gravity.LOST, "a message that journalctl left out (--all writes it)", ":4"),
        (Gravity.NOTED, "a line of the log that is no packet", ":1"),
        (Gravity.NOTED, "an entry of several messages, which the kernel does not write", ":5"),
    ]
    records, notes = records_of(tmp_path, entry(SYN) + entry(SYN)[:-9], keep_going=True)
    assert len(records) == notes.count(Gravity.DAMAGED) == 1
