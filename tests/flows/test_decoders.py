"""What is special in each format: records that are no flows, what is not known, what is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netpolc.flows.notes import Gravity, LogError, LogNotes
from tests.flows.reading import records_of
from tests.flows.writers import FLOWS, WRITERS, table

FLOW: dict[str, Any] = json.loads(WRITERS["hubble-bare"](FLOWS[:1]))


def lines(*objects: object) -> bytes:
    return "".join(json.dumps(own) + "\n" for own in objects).encode()


def told(notes: LogNotes) -> list[tuple[Gravity, str, int]]:
    return [(own.gravity, own.kind, own.count) for own in notes]


def test_hubble_events_that_are_no_flows(tmp_path: Path) -> None:
    log = lines(
        {"node_status": {"state_change": "NODE_CONNECTED"}, "time": "2026-01-01T00:00:00Z"},
        {"flow": FLOW},
        {"lost_events": {"source": "PERF_EVENT_RING_BUFFER", "num_events_lost": "41", "cpu": 3}},
        {"lost_events": {"source": "OBSERVER_EVENTS_QUEUE", "num_events_lost": 1}},
        {"flow": {**FLOW, "Type": "L7", "l7": {"dns": {}}}},
        {"flow": {"Type": "L3_L4", "ethernet": {}, "verdict": "FORWARDED"}},
        {"agent_event": {}},
    )
    records, notes = records_of(tmp_path, log)
    assert len(records) == 1
    assert told(notes) == [
        (Gravity.LOST, "events were lost before they were logged", 42),
        (Gravity.NOTED, "node_status, which is no flow", 1),
        (
            Gravity.NOTED,
            "a record of layer 7, about a connection that has records of its own",
            1,
        ),
        (Gravity.NOTED, "a frame that is not IP", 1),
        (Gravity.NOTED, "agent_event, which is no flow", 1),
    ]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"is_reply": None}, {"is_reply": None}),
        ({"is_reply": True}, {"is_reply": True}),
        ({"verdict": "AUDIT"}, {"verdict": "forwarded"}),
        ({"verdict": "REDIRECTED"}, {"verdict": "forwarded"}),
        ({"verdict": "TRACED"}, {"verdict": None}),
        ({"traffic_direction": "TRAFFIC_DIRECTION_UNKNOWN"}, {"direction": None}),
        ({"time": "2026-01-01T00:00:00.123456789Z"}, {"microsecond": 123456}),
        (
            {"l4": {"SCTP": {"source_port": "1", "destination_port": "65535"}}},
            {"protocol": 132, "port": 65535, "src_port": 1},
        ),
        ({"l4": {"ICMPv6": {"type": 128}}}, {"protocol": 58, "port": None}),
        ({"l4": None}, {"protocol": None, "problem": "no protocol above IP"}),
        (
            {"source": {"namespace": "shop", "pod_name": "web-1"}, "IP": None},
            {"src": None, "src_pod": "shop/web-1"},
        ),
        (
            {"ingress_denied_by": [{"name": "a", "namespace": "shop"}, {"name": "cluster-wide"}]},
            {"policy": "shop/a, cluster-wide"},
        ),
    ],
)
def test_hubble_fields(change: dict[str, Any], wanted: dict[str, Any], tmp_path: Path) -> None:
    ((record,), _) = records_of(tmp_path, lines({"flow": {**FLOW, **change}}))
    if "ts" in record:
        record["microsecond"] = record["ts"].microsecond
    assert {name: record.get(name) for name in wanted} == wanted


def test_keys_in_any_order_twice_and_escaped(tmp_path: Path) -> None:
    text = (
        '{"node_name":"n","flow":{"l4":{"T\\u0043P":{"destination_port":80,"source_port":7}},'
        '"verdict":"DROPPED","verdict":"FORWARDED","time":"2026-01-01T00:00:00Z",'
        '"IP":{"destination":"10.0.0.2","source":"10.0.0.\\u0031"},"Summary":"}{\\"]["}}\n'
    )
    ((record,), _) = records_of(tmp_path, text.encode())
    assert (record["src"], record["dst"], record["port"]) == ("10.0.0.1", "10.0.0.2", 80)
    assert record["verdict"] == "forwarded", "the last one, as in every reader of JSON"


def test_vpc_gaps_headers_and_packet_addresses(tmp_path: Path) -> None:
    log = (
        "srcaddr dstaddr srcport dstport protocol pkt-srcaddr pkt-dstaddr tcp-flags log-status\n"
        "10.0.0.1 10.0.0.2 40000 80 6 10.1.0.1 - 2 OK\n"
        "- - - - - - - - NODATA\n"
        "- - - - - - - - SKIPDATA\n"
        "10.0.0.2 10.0.0.1 80 40000 6 - - 18 OK\n"
        "10.0.0.2 10.0.0.1 80 40000 6 - - 1 OK\n"
        "dstport srcport protocol srcaddr dstaddr\n"
        "53 40001 17 10.0.0.3 10.0.0.4\n"
    )
    with pytest.raises(LogError, match=r"log:7: other columns than .*log:1: no log-status, p"):
        records_of(tmp_path, log.encode())
    records, notes = records_of(tmp_path, log.encode(), keep_going=True)
    found = [
        (own["src"], own["dst"], own["src_port"], own["port"], own.get("is_reply"))
        for own in records
    ]
    assert found == [
        ("10.1.0.1", "10.0.0.2", 40000, 80, False),
        ("10.0.0.2", "10.0.0.1", 80, 40000, True),
        ("10.0.0.2", "10.0.0.1", 80, 40000, None),
        ("10.0.0.3", "10.0.0.4", 40001, 53, None),
    ]
    assert told(notes) == [
        (Gravity.DAMAGED, f"other columns than {tmp_path / 'log'}:1", 1),
        (Gravity.LOST, "SKIPDATA, an interval whose records were lost", 1),
        (Gravity.NOTED, "NODATA, an interval without traffic", 1),
    ]


def test_gke_in_cloud_logging_without_policies(tmp_path: Path) -> None:
    connection = {"src_ip": "10.0.0.1", "dest_ip": "10.0.0.2", "dest_port": 80, "protocol": "tcp"}
    entry = {
        "jsonPayload": {
            "connection": {**connection, "direction": "egress"},
            "disposition": "allow",
            "src": {"pod_name": "web-1", "pod_namespace": "shop"},
            "dest": {"instance": "vm-1"},
        },
        "timestamp": "2026-01-01T00:00:00Z",
    }
    ((record,), _) = records_of(tmp_path, lines(entry))
    assert (record["verdict"], record["direction"]) == ("forwarded", "egress")
    assert record["src_pod"] == "shop/web-1"
    assert "policy" not in record
    assert "dst_pod" not in record


def test_calico_names_policies_and_pass(tmp_path: Path) -> None:
    flow: dict[str, Any] = {
        "source_ip": None,
        "source_name": "web-1",
        "source_namespace": "shop",
        "source_type": "wep",
        "dest_ip": "-",
        "dest_name": "db-*",
        "dest_name_aggr": "db-*",
        "dest_namespace": "shop",
        "dest_type": "wep",
        "dest_port": 5432,
        "proto": "6",
        "action": "pass",
        "reporter": "src",
        "bytes_in": 1,
        "bytes_out": 2,
        "policies": {"all_policies": ["10|b|shop/last|allow|0", "2|a|shop/first|pass|0"]},
    }
    ((record,), _) = records_of(tmp_path, lines(flow))
    assert "verdict" not in record, "pass is not the last word"
    assert record["policy"] == "shop/first, shop/last"
    assert record["src_pod"] == "shop/web-1"
    assert not {"src", "dst", "dst_pod"} & record.keys(), "db-* names no pod"
    assert record["bytes"] == 3


def test_conntrack_after_a_service_was_translated(tmp_path: Path) -> None:
    log = (
        "    [NEW] tcp      6 120 SYN_SENT src=10.0.0.1 dst=10.96.0.1 sport=40000 dport=80 "
        "[UNREPLIED] src=10.0.0.2 dst=10.9.9.9 sport=8080 dport=1024\n"
        " [UPDATE] tcp      6 60 SYN_RECV src=10.0.0.1 dst=10.96.0.1 sport=40000 dport=80 "
        "src=10.0.0.2 dst=10.9.9.9 sport=8080 dport=1024\n"
        "[DESTROY] udp      17 src=10.0.0.1 dst=10.0.0.3 sport=1 dport=53 [UNREPLIED] "
        "src=10.0.0.3 dst=10.0.0.1 sport=53 dport=1\n"
        "ipv4     2 udp      17 29 src=10.0.0.1 dst=10.0.0.3 sport=1 dport=53 packets=2 bytes=9 "
        "src=10.0.0.3 dst=10.0.0.1 sport=53 dport=1 packets=0 bytes=0 mark=0 use=1\n"
    )
    records, notes = records_of(tmp_path, log.encode())
    assert [(own["src"], own["dst"], own["port"], own.get("bytes")) for own in records] == [
        ("10.0.0.1", "10.0.0.2", 8080, None),
        ("10.0.0.1", "10.0.0.3", 53, 9),
    ]
    assert told(notes) == [
        (Gravity.NOTED, "UPDATE of a connection, which NEW began", 1),
        (Gravity.NOTED, "DESTROY of a connection, which NEW began", 1),
    ]


def test_ulogd_without_addresses_and_its_label(tmp_path: Path) -> None:
    packet = json.loads(WRITERS["ulogd"](FLOWS[:1]))
    for name in ("src_ip", "dest_ip"):
        del packet[name]
    arp = {"dvc": "Netfilter", "raw.pktlen": 28, "oob.family": 3, "timestamp": "x"}
    log = lines({**packet, "action": "blocked"}, arp, {**packet, "tcp.ack": 1})
    records, notes = records_of(tmp_path, log)
    assert [own.get("is_reply") for own in records] == [False, None]
    assert {own["problem"] for own in records} == {
        "no address: ulogd2 wrote it without its IP2STR filter"
    }
    assert not any("verdict" in own for own in records), "a label of the configuration"
    assert told(notes) == [(Gravity.NOTED, "a packet that is not IP", 1)]


def test_columns_of_no_meaning_are_told(tmp_path: Path) -> None:
    log = b'src,dst,Port,protocol,port\n10.0.0.1,"10.0.0.2",x,udp,53\n'
    records, notes = records_of(tmp_path, log)
    assert records == [{"src": "10.0.0.1", "dst": "10.0.0.2", "protocol": 17, "port": 53}]
    assert told(notes) == [(Gravity.NOTED, "column Port has no meaning here", 1)]
    _, notes = records_of(tmp_path, WRITERS["jsonl"](FLOWS[:1])[:-2] + b',"Port":1}\n')
    assert told(notes) == [(Gravity.NOTED, "field Port has no meaning here", 1)]


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        ("port", [1.5] * len(FLOWS), "row group 0: column port: Float value 1.5"),
        ("protocol", ["tpc"] * len(FLOWS), "row group 0: column protocol: unknown protocol 'tpc'"),
        ("src", list(range(len(FLOWS))), "row group 0: column src: text is expected and no int64"),
        ("verdict", ["?"] * len(FLOWS), "row group 0: column verdict: unknown word '?'"),
    ],
)
def test_values_of_other_types(
    name: str, values: list[object], problem: str, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    columns = table(FLOWS)
    path = tmp_path / "log"
    at = columns.column_names.index(name)
    pq.write_table(columns.set_column(at, name, [values]), path)
    with pytest.raises(LogError) as refused:
        records_of(tmp_path, path.read_bytes())
    assert problem in str(refused.value)


def test_a_schema_that_changes_between_files(tmp_path: Path) -> None:
    """Each file has the columns that it has, which is told; one without a needed column is refused
    by name.
    """
    import pyarrow.parquet as pq

    from tests.flows.reading import read_records

    logs = tmp_path / "logs"
    logs.mkdir()
    columns = table(FLOWS)
    pq.write_table(columns, logs / "a.parquet")
    pq.write_table(columns.drop(["verdict"]).select(["port", "dst", "src", "protocol"]), logs / "b")
    with pytest.raises(LogError, match=r"b: other columns than .*a.parquet: no direction, is_re"):
        read_records(logs)
    records, notes = read_records(logs, keep_going=True)
    assert notes.count(Gravity.DAMAGED) == 1
    assert len(records) == 2 * len(FLOWS)
    assert "verdict" not in records[-1]
    pq.write_table(
        columns.rename_columns([own.upper() for own in columns.column_names]), logs / "c"
    )
    with pytest.raises(LogError, match=r"c: no column src, dst, protocol, port"):
        read_records(logs / "c")
