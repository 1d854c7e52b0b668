"""One list of flows, as logs of every format write it.

In: `Seen` flows. Out: the bytes of a log of each format, written from the formats' own documents
and with nothing of the decoders; what a format has no place for is left out (`UNTOLD`).
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

NAMES = {6: "tcp", 17: "udp", 1: "icmp"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A flow of the list: seconds since 1970, ends, source port, protocol, port, what became of it
    and at whose end that was seen.
    """

    second: int
    src: str
    dst: str
    src_port: int | None
    protocol: int
    port: int | None
    verdict: str = "forwarded"
    direction: str = "ingress"

    @property
    def time(self) -> str:
        """RFC 3339."""
        return datetime.fromtimestamp(self.second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


FLOWS = [
    Seen(1_767_225_600, "203.0.113.7", "10.244.1.11", 40001, 6, 80),
    Seen(1_767_225_601, "203.0.113.8", "10.244.1.11", 40002, 6, 443, "dropped"),
    Seen(1_767_225_602, "10.244.1.11", "10.244.1.21", 40003, 6, 8080),
    Seen(1_767_225_603, "10.244.1.61", "10.244.1.21", 40004, 6, 8080, "dropped"),
    Seen(1_767_225_604, "10.244.1.11", "10.244.1.53", 40005, 17, 53),
    Seen(1_767_225_605, "10.244.1.61", "10.244.1.31", 40006, 6, 5432),
    Seen(1_767_225_606, "10.244.1.61", "10.244.1.53", None, 1, None),
    Seen(1_767_225_607, "fd00:10:244:1::21", "fd00:10:244:1::31", 40007, 6, 5432),
    Seen(1_767_225_608, "10.244.1.21", "10.244.1.31", 40008, 6, 5432),
]
"""Between the pods of examples/three-tier; the sixth is denied, yet forwarded."""
FORWARDED = [flow for flow in FLOWS if flow.verdict == "forwarded"]


def _lines(objects: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(own) + "\n" for own in objects).encode()


def _hubble_flow(flow: Seen) -> dict[str, Any]:
    names = {6: "TCP", 17: "UDP", 1: "ICMPv4"}
    ports = {"source_port": flow.src_port, "destination_port": flow.port}
    return {
        "time": flow.time,
        "verdict": flow.verdict.upper(),
        "IP": {"source": flow.src, "destination": flow.dst, "ipVersion": "IPv4"},
        "l4": {names[flow.protocol]: {"type": 8} if flow.port is None else ports},
        "source": {"identity": 4711, "labels": ["k8s:app=x"]},
        "destination": {"identity": 2},
        "Type": "L3_L4",
        "node_name": "node-a",
        "is_reply": False,
        "traffic_direction": flow.direction.upper(),
    }


def hubble(flows: Sequence[Seen]) -> bytes:
    """`hubble observe -o json`."""
    wrapped = [{"flow": _hubble_flow(flow), "node_name": "node-a"} for flow in flows]
    return _lines(wrapped)


def hubble_bare(flows: Sequence[Seen]) -> bytes:
    """The same of exporters that write the flow alone."""
    return _lines([_hubble_flow(flow) for flow in flows])


def vpc(flows: Sequence[Seen]) -> bytes:
    """Version 5 with fields of its own choice, in an order of its own."""
    rows = ["version start end srcaddr dstaddr srcport dstport protocol tcp-flags action "
            "flow-direction packets bytes log-status interface-id"]  # fmt: skip
    for flow in flows:
        action = "ACCEPT" if flow.verdict == "forwarded" else "REJECT"
        flags = 2 if flow.protocol == 6 else 0
        ports = f"{flow.src_port or 0} {flow.port or 0} {flow.protocol} {flags}"
        rows.append(
            f"5 {flow.second} {flow.second + 59} {flow.src} {flow.dst} {ports} {action} "
            f"{flow.direction} 3 180 OK eni-1"
        )
    return "".join(f"{row}\n" for row in rows).encode()


def vpc_2(flows: Sequence[Seen]) -> bytes:
    """Version 2 with its own fields in their own order, which tell neither direction nor flags."""
    rows = ["version account-id interface-id srcaddr dstaddr srcport dstport protocol packets "
            "bytes start end action log-status"]  # fmt: skip
    for flow in flows:
        action = "ACCEPT" if flow.verdict == "forwarded" else "REJECT"
        rows.append(
            f"2 123456789010 eni-1 {flow.src} {flow.dst} {flow.src_port or 0} {flow.port or 0} "
            f"{flow.protocol} 3 180 {flow.second} {flow.second + 59} {action} OK"
        )
    return "".join(f"{row}\n" for row in rows).encode()


def vpc_3(flows: Sequence[Seen]) -> bytes:
    """Version 3 at an interface that translates addresses: those of the packets come after."""
    rows = ["version vpc-id type srcaddr pkt-srcaddr dstaddr pkt-dstaddr srcport dstport protocol "
            "tcp-flags start action log-status"]  # fmt: skip
    for flow in flows:
        action = "ACCEPT" if flow.verdict == "forwarded" else "REJECT"
        kind, gate = ("IPv6", "fd00::1") if ":" in flow.src else ("IPv4", "192.0.2.1")
        flags = 3 if flow.protocol == 6 else 0
        rows.append(
            f"3 vpc-1 {kind} {gate} {flow.src} {gate} {flow.dst} {flow.src_port or 0} "
            f"{flow.port or 0} {flow.protocol} {flags} {flow.second} {action} OK"
        )
    return "".join(f"{row}\n" for row in rows).encode()


def vpc_parquet(flows: Sequence[Seen]) -> bytes:
    """The Parquet that AWS delivers: the same names with underscores."""
    rows = [
        {
            "version": 5,
            "srcaddr": flow.src,
            "dstaddr": flow.dst,
            "srcport": flow.src_port or 0,
            "dstport": flow.port or 0,
            "protocol": flow.protocol,
            "start": flow.second,
            "tcp_flags": 2 if flow.protocol == 6 else 0,
            "action": "ACCEPT" if flow.verdict == "forwarded" else "REJECT",
            "flow_direction": flow.direction,
            "log_status": "OK",
        }
        for flow in flows
    ]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=4)
    return out.getvalue()


def gke(flows: Sequence[Seen]) -> bytes:
    """policy_action.log of a node."""
    return _lines(
        [
            {
                "connection": {
                    "src_ip": flow.src,
                    "dest_ip": flow.dst,
                    "src_port": flow.src_port or 0,
                    "dest_port": flow.port or 0,
                    "protocol": NAMES[flow.protocol],
                    "direction": flow.direction,
                },
                "disposition": "allow" if flow.verdict == "forwarded" else "deny",
                "node_name": "node-a",
                "timestamp": flow.time,
            }
            for flow in flows
        ]
    )


def calico(flows: Sequence[Seen]) -> bytes:
    """A file of flow logs."""
    return _lines(
        [
            {
                "start_time": flow.second,
                "source_ip": flow.src,
                "source_name": "-",
                "source_namespace": "-",
                "source_type": "net",
                "source_port": flow.src_port,
                "dest_ip": flow.dst,
                "dest_name": "-",
                "dest_namespace": None,
                "dest_type": "wep",
                "dest_port": flow.port,
                "proto": NAMES[flow.protocol],
                "action": "allow" if flow.verdict == "forwarded" else "deny",
                "reporter": "dst" if flow.direction == "ingress" else "src",
                "host": "node-a",
            }
            for flow in flows
        ]
    )


def conntrack(flows: Sequence[Seen]) -> bytes:
    """`conntrack -E -o timestamp`: only what was forwarded has an entry."""
    rows = []
    for flow in flows:
        ports, replies = f"sport={flow.src_port} dport={flow.port}", ""
        replies = f"sport={flow.port} dport={flow.src_port}"
        if flow.port is None:
            ports = replies = "type=8 code=0 id=7"
        rows.append(
            f"[{flow.second}.000000]\t    [NEW] {NAMES[flow.protocol]:<8} {flow.protocol} 30 "
            f"src={flow.src} dst={flow.dst} {ports} [UNREPLIED] src={flow.dst} dst={flow.src} "
            f"{replies}"
        )
    return "".join(f"{row}\n" for row in rows).encode()


def ulogd(flows: Sequence[Seen]) -> bytes:
    """ulogd2's JSON with IP2STR."""
    return _lines(
        [
            {
                "timestamp": "2026-01-01T01:00:00.000000",
                "dvc": "Netfilter",
                "raw.pktlen": 60,
                "oob.time.sec": flow.second,
                "oob.time.usec": 0,
                "oob.family": 2,
                "ip.protocol": flow.protocol,
                **({"src_port": flow.src_port, "dest_port": flow.port} if flow.port else {}),
                **({"tcp.syn": 1, "tcp.ack": 0} if flow.protocol == 6 else {}),
                "src_ip": flow.src,
                "dest_ip": flow.dst,
            }
            for flow in flows
        ]
    )


def kernel(flows: Sequence[Seen]) -> bytes:
    """What netpolc's chains log, as rsyslog writes it; `audit` was let through."""
    rows = []
    for flow in flows:
        names = {6: "TCP", 17: "UDP", 1: "ICMP"}
        rest = "TYPE=8 CODE=0 ID=7 SEQ=1 "
        if flow.port is not None:
            rest = f"SPT={flow.src_port} DPT={flow.port} "
            rest += "WINDOW=64240 RES=0x00 SYN URGP=0 " if flow.protocol == 6 else "LEN=40 "
        word = "" if flow.verdict == "dropped" else "audit "
        rows.append(
            f"{flow.time[:-1]}.000000+00:00 node-a kernel: [  71.5] "
            f"netpolc {word}{flow.direction} i_0123456789abcdef: IN=veth1 OUT=veth2 "
            f"MAC=02:00:00:00:00:01:02:00:00:00:00:02:08:00 SRC={flow.src} DST={flow.dst} LEN=60 "
            f"TOS=0x00 PREC=0x00 TTL=63 ID=1 DF PROTO={names[flow.protocol]} {rest}"
        )
    return "".join(f"{row}\n" for row in rows).encode()


COLUMNS = ("ts", "src", "dst", "src_port", "protocol", "port", "verdict", "direction", "is_reply")


def _row(flow: Seen) -> tuple[Any, ...]:
    ends = flow.time, flow.src, flow.dst, flow.src_port, flow.protocol, flow.port
    return (*ends, flow.verdict, flow.direction, False)


def csv(flows: Sequence[Seen]) -> bytes:
    """CSV of our own names."""
    rows = [COLUMNS, *(_row(flow) for flow in flows)]
    lines = (",".join("" if cell is None else str(cell) for cell in row) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def jsonl(flows: Sequence[Seen]) -> bytes:
    """JSON lines of our own names."""
    return _lines([dict(zip(COLUMNS, _row(flow), strict=True)) for flow in flows])


def table(flows: Sequence[Seen]) -> pa.Table:
    """Columns of our own names, in types of others."""
    rows = [dict(zip(COLUMNS, _row(flow), strict=True)) for flow in flows]
    for row, flow in zip(rows, flows, strict=True):
        row["ts"] = datetime.fromtimestamp(flow.second, UTC)
        row["protocol"] = NAMES[flow.protocol].upper()
    return pa.Table.from_pylist(rows)


def parquet(flows: Sequence[Seen]) -> bytes:
    """A Parquet file of row groups of three."""
    out = io.BytesIO()
    pq.write_table(table(flows), out, row_group_size=3)
    return out.getvalue()


def arrow_file(flows: Sequence[Seen]) -> bytes:
    """An Arrow IPC file."""
    out = io.BytesIO()
    with pa.ipc.new_file(out, table(flows).schema) as writer:
        writer.write_table(table(flows), max_chunksize=3)
    return out.getvalue()


def arrow_stream(flows: Sequence[Seen]) -> bytes:
    """An Arrow IPC stream."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table(flows).schema) as writer:
        writer.write_table(table(flows), max_chunksize=3)
    return out.getvalue()


WRITERS: dict[str, Callable[[Sequence[Seen]], bytes]] = {
    "hubble": hubble,
    "hubble-bare": hubble_bare,
    "vpc": vpc,
    "vpc-2": vpc_2,
    "vpc-3": vpc_3,
    "gke": gke,
    "calico": calico,
    "conntrack": conntrack,
    "kernel": kernel,
    "ulogd": ulogd,
    "csv": csv,
    "jsonl": jsonl,
    "parquet": parquet,
    "parquet-vpc": vpc_parquet,
    "arrow-file": arrow_file,
    "arrow-stream": arrow_stream,
}
UNTOLD = {
    "conntrack": {"direction"},
    "ulogd": {"direction", "verdict"},
    "vpc-2": {"direction", "is_reply"},
    "vpc-3": {"direction"},
}
"""What a format has no place for."""


def zstd(content: bytes) -> bytes:
    """A frame."""
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as packed:
        packed.write(content)
    return bytes(out.getvalue())


PACKED: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd}
