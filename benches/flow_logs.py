"""Logs that `benches.flows` reads: Hubble lines, VPC text, Parquet, the same on every machine.

In: how many records. Out: bytes, or a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

ENDS = ["10.244.1.11", "10.244.2.12", "10.244.1.21", "10.244.1.31", "10.244.1.53", "203.0.113.7"]


def hubble_lines(count: int) -> bytes:
    """Lines of some 1.6 kB, as a relay writes them."""
    random = Random(7)
    labels = [f"k8s:app.kubernetes.io/label-{number}=value-{number}" for number in range(9)]
    found = []
    for number in range(count):
        src, dst = random.sample(ENDS, 2)
        end = {"ID": number % 4000, "identity": 4711, "namespace": "production", "labels": labels}
        flow = {
            "time": f"2026-11-29T10:{number // 60 % 60:02}:{number % 60:02}.123456789Z",
            "uuid": f"6a2b1c7e-7a4a-4a8f-9b9c-{number:012x}",
            "verdict": "FORWARDED",
            "ethernet": {"source": "0a:58:0a:f4:01:0b", "destination": "0a:58:0a:f4:01:15"},
            "IP": {"source": src, "destination": dst, "ipVersion": "IPv4"},
            "l4": {"TCP": {"source_port": 32768 + number % 20000, "destination_port": 8080,
                           "flags": {"SYN": True}}},
            "source": end,
            "destination": end,
            "Type": "L3_L4",
            "node_name": "node-a",
            "event_type": {"type": 4, "sub_type": 3},
            "traffic_direction": "INGRESS",
            "trace_observation_point": "TO_ENDPOINT",
            "is_reply": False,
            "interface": {"index": 17, "name": "lxc1b2c3d4e5f6a"},
            "Summary": "TCP Flags: SYN",
        }  # fmt: skip
        line = {"flow": flow, "node_name": "node-a", "time": flow["time"]}
        found.append(json.dumps(line, separators=(",", ":")))
    return "\n".join([*found, ""]).encode()


VPC_HEADER = ("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets "
              "bytes start end action log-status")  # fmt: skip


def vpc_lines(count: int) -> bytes:
    """Version 2."""
    random = Random(7)
    found = [VPC_HEADER]
    for number in range(count):
        src, dst = random.sample(ENDS, 2)
        found.append(f"2 123456789012 eni-0a1b2c3d {src} {dst} {32768 + number % 20000} 8080 6 "
                     f"{number % 90 + 1} {number % 9000} {1764410400 + number // 50} "
                     f"{1764410460 + number // 50} ACCEPT OK")  # fmt: skip
    return "\n".join([*found, ""]).encode()


def csv_lines(count: int) -> bytes:
    """Rows of our own columns."""
    random = Random(7)
    found = ["ts,src,dst,protocol,port,bytes"]
    for number in range(count):
        src, dst = random.sample(ENDS, 2)
        found.append(f"{1764410400 + number},{src},{dst},TCP,"
                     f"{random.choice((80, 8080, 5432))},{number % 900}")  # fmt: skip
    return "\n".join([*found, ""]).encode()


def json_lines(count: int) -> bytes:
    """The same rows, an object a line."""
    header, *rows = csv_lines(count).decode().splitlines()
    names = header.split(",")
    numbers = ("ts", "port", "bytes")
    found = []
    for row in rows:
        pairs = zip(names, row.split(","), strict=True)
        found.append({name: int(own) if name in numbers else own for name, own in pairs})
    return "".join(json.dumps(own, separators=(",", ":")) + "\n" for own in found).encode()


def write_parquet(path: Path, count: int) -> None:
    """Rows of our own schema."""
    random = Random(7)
    strangers = [f"198.51.{number >> 8}.{number & 255}" for number in range(2000)]
    pairs = [(random.choice(strangers), random.choice(ENDS)) for _ in range(count)]
    table = pa.table(
        {
            "ts": pa.array([1764410400000000 + 1000 * at for at in range(count)]).cast(
                pa.timestamp("us", "UTC")
            ),
            "src": [src for src, _ in pairs],
            "dst": [dst for _, dst in pairs],
            "src_port": pa.array([32768 + at % 20000 for at in range(count)], pa.int32()),
            "protocol": pa.array([6] * count, pa.int16()),
            "port": pa.array([random.choice((80, 8080, 5432)) for _ in range(count)], pa.int32()),
            "is_reply": [False] * count,
            "verdict": ["forwarded"] * count,
            "direction": ["ingress"] * count,
        }
    )
    pq.write_table(table, path, row_group_size=1 << 17)


PODS = 200


def pods(are_placed: bool) -> bytes:
    """A snapshot of pods, with or without addresses, and policies by label."""
    items = []
    for number in range(PODS):
        labels = {"app": f"app-{number % 20}"}
        ports = [{"name": "http", "containerPort": 8080}]
        pod = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": f"pod-{number}", "namespace": "shop", "labels": labels},
            "spec": {"containers": [{"name": "app", "image": "app", "ports": ports}]},
        }  # fmt: skip
        if are_placed:
            pod["status"] = {"podIPs": [{"ip": f"10.244.0.{number}"}]}
        items.append(pod)
    for number in range(20):
        peer = {"podSelector": {"matchLabels": {"app": f"app-{number * 3 % 20}"}}}
        items.append({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": f"policy-{number}", "namespace": "shop"},
            "spec": {
                "podSelector": {"matchLabels": {"app": f"app-{number}"}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [peer], "ports": [{"port": "http"}, {"port": 443}]}],
            },
        })  # fmt: skip
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()


def write_between_pods(path: Path, count: int, by_name: bool) -> None:
    """Rows between these pods, by name or by address; nobody knows which are replies."""
    random = Random(7)
    words = [f"shop/pod-{own}" if by_name else f"10.244.0.{own}" for own in range(PODS)]
    pairs = [(random.choice(words), random.choice(words)) for _ in range(2_000)]
    chosen = [random.choice(pairs) for _ in range(count)]
    table = pa.table(
        {
            "src": [src for src, _ in chosen],
            "dst": [dst for _, dst in chosen],
            "src_port": pa.array([random.randint(32768, 60999) for _ in chosen], pa.int32()),
            "protocol": pa.array([6] * count, pa.int16()),
            "port": pa.array([random.choice((80, 8080, 443)) for _ in chosen], pa.int32()),
        }
    )
    pq.write_table(table, path, row_group_size=1 << 17)
