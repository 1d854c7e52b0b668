"""One list of flows, written in every format, is one list of records and has one audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netpolc.flows.notes import Gravity
from tests.cli.invocation import invoke
from tests.flows.reading import read_records, records_of
from tests.flows.writers import FLOWS, FORWARDED, PACKED, UNTOLD, WRITERS, Seen
from tests.helpers.scenarios import ROOT

POLICIES = str(ROOT / "examples" / "three-tier")
OF_COLUMNS = ("parquet", "arrow")
every_format = pytest.mark.parametrize("name", WRITERS)


def written(name: str) -> list[Seen]:
    """The flows that a format can write."""
    return FORWARDED if name == "conntrack" else FLOWS


def expected(flow: Seen, name: str) -> dict[str, Any]:
    """A record of a flow, but for what the format has no place for."""
    found = {
        "second": flow.second,
        "src": flow.src,
        "dst": flow.dst,
        "protocol": flow.protocol,
        "verdict": flow.verdict,
        "direction": flow.direction,
    }
    if flow.port is not None:
        found |= {"port": flow.port, "src_port": flow.src_port}
    return {key: value for key, value in found.items() if key not in UNTOLD.get(name, ())}


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """What `expected` has of a record."""
    second = {"second": int(record["ts"].timestamp())}
    names = ("src", "dst", "protocol", "verdict", "direction", "port", "src_port")
    return second | {name: record[name] for name in names if name in record}


@every_format
def test_records_are_what_was_written(name: str, tmp_path: Path) -> None:
    records, notes = records_of(tmp_path, WRITERS[name](written(name)))
    assert list(map(comparable, records)) == [expected(flow, name) for flow in written(name)]
    assert [note for note in notes if note.gravity is not Gravity.NOTED] == []


@every_format
def test_tcp_that_begins_a_connection_is_no_reply(name: str, tmp_path: Path) -> None:
    records, _ = records_of(tmp_path, WRITERS[name](written(name)))
    said = {None} if "is_reply" in UNTOLD.get(name, ()) else {False}
    assert {record.get("is_reply") for record in records if record["protocol"] == 6} == said


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", [name for name in WRITERS if not name.startswith(OF_COLUMNS)])
def test_all_members_and_frames_are_read(name: str, packing: str, tmp_path: Path) -> None:
    """Two packed logs, one after the other, are one log."""
    pack, flows = PACKED[packing], written(name)
    parts = [WRITERS[name](flows), WRITERS[name](flows)]
    if name == "csv":
        parts[1] = parts[1].partition(b"\n")[2]
    records, _ = records_of(tmp_path, pack(parts[0]) + pack(parts[1]))
    assert list(map(comparable, records)) == [expected(flow, name) for flow in flows] * 2


def test_folders_patterns_and_hive_partitions(tmp_path: Path) -> None:
    rows = b"src,dst,protocol,port\n10.244.1.11,10.244.1.21,tcp,%d\n"
    for number, verdict in enumerate(("dropped", "forwarded")):
        folder = tmp_path / "logs" / f"verdict={verdict}"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_bytes(rows % number)
        (folder / "_SUCCESS").write_bytes(b"")
    found, _ = read_records(tmp_path / "logs")
    assert [(row["port"], row["verdict"]) for row in found] == [(0, "dropped"), (1, "forwarded")]
    some, _ = read_records(tmp_path / "logs" / "*=for*" / "*.csv")
    assert [(row["port"], row["verdict"]) for row in some] == [(1, "forwarded")]


def audit(*arguments: str, **how: Any) -> dict[str, Any]:
    """The JSON document of an audit."""
    outcome = invoke("audit", *arguments, "--policies", POLICIES, "-o", "json", **how)
    document: dict[str, Any] = json.loads(outcome.stdout)
    return document


@every_format
def test_every_format_has_one_answer(name: str, tmp_path: Path) -> None:
    """By hand, from the policies of the example; formats that do not say what became of a flow, at
    whose end, or whether it is a reply, lack that and nothing else.
    """
    path = tmp_path / "log"
    path.write_bytes(WRITERS[name](written(name)))
    wanted = [
        "outside > production/frontend-1 TCP 80 allow forwarded",
        "outside > production/frontend-1 TCP 443 deny dropped",
        "production/frontend-1 > production/backend-1 TCP 8080 allow forwarded",
        "other/client > production/backend-1 TCP 8080 deny dropped",
        "production/frontend-1 > kube-system/coredns UDP 53 allow forwarded",
        "other/client > production/database-1 TCP 5432 deny forwarded",
        "other/client > kube-system/coredns protocol 1 None allow forwarded",
        "production/backend-1 > production/database-1 TCP 5432 allow forwarded",
    ]
    if name == "conntrack":
        wanted = [row for row in wanted if row.endswith("forwarded")]
    if name == "ulogd":
        wanted = [f"{row.rpartition(' ')[0]} None" for row in wanted]
    if name == "vpc-2":  # a client's answer to the database would be allowed
        wanted = [row.replace("5432 deny", "5432 deny, unless a reply") for row in wanted]
    found = audit(str(path))["flows"]
    text = "{source} > {destination} {protocol} {port} {policies} {log}"
    assert sorted(text.format(**row).replace("[Pod]", "") for row in found) == sorted(wanted)
    leaks = [row["source"] for row in found if row["finding"] == "denied, yet forwarded"]
    assert leaks == ([] if name in ("ulogd", "vpc-2") else ["other/client[Pod]"])
    database = next(row for row in found if row["source"] == "production/backend-1[Pod]")
    assert database["records"] == 2, "IPv4 and IPv6 of the same pods"


@pytest.mark.parametrize("name", [name for name in WRITERS if not name.startswith("parquet")])
def test_standard_input_is_read_as_a_stream(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(WRITERS[name](written(name)))
    piped = audit("-", stdin=path.read_bytes())
    assert piped["flows"] == audit(str(path))["flows"]
