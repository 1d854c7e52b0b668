"""Calico's flow logs, as files hold them: a JSON object a line, aggregated over an interval.

Null and `-` both stand for nothing. Names of pods may be aggregated (`web-*`), addresses too: what
is left is judged by name where it names a pod. Policies are `index|tier|name|action|...`, and the
order of the list is not that of the index. The action `pass` is not the last word.
"""

from __future__ import annotations

from msgspec import Struct

from netpolc.flows.decode.lines import LogLine, Told, json_reader
from netpolc.flows.records import EGRESS, INGRESS, Record
from netpolc.flows.values import (
    VERDICTS,
    moment,
    named,
    port_of,
    protocol_number,
    verdict_of,
    whole,
    word,
)

NAME = "calico"
KEYS = ({"source_type", "dest_type"}, {"source_name_aggr"}, {"dest_name_aggr"})
_REPORTERS = {"src": EGRESS, "dst": INGRESS, "source": EGRESS, "destination": INGRESS}
_WORKLOAD = "wep"
_PASS = "pass"


class _Policies(Struct):
    all_policies: list[str] | None = None


class _FlowLog(Struct):
    start_time: float | str | None = None
    source_ip: str | None = None
    source_name: str | None = None
    source_namespace: str | None = None
    source_type: str | None = None
    source_port: int | str | None = None
    dest_ip: str | None = None
    dest_name: str | None = None
    dest_namespace: str | None = None
    dest_type: str | None = None
    dest_port: int | str | None = None
    proto: str | int | None = None
    action: str | None = None
    reporter: str | None = None
    host: str | None = None
    policies: _Policies | None = None
    packets_in: int | str | None = None
    packets_out: int | str | None = None
    bytes_in: int | str | None = None
    bytes_out: int | str | None = None


def _read(flow: _FlowLog, line: LogLine, told: Told) -> Record | None:
    if flow.action is None and flow.proto is None:
        told.damage(line, "a record of an unknown kind")
        return None
    protocol = protocol_number(flow.proto)
    passed = (flow.action or "").lower() == _PASS
    return Record(
        ts=moment(flow.start_time),
        src=word(flow.source_ip),
        dst=word(flow.dest_ip),
        src_port=port_of(flow.source_port, protocol),
        protocol=protocol,
        port=port_of(flow.dest_port, protocol),
        direction=_REPORTERS.get(flow.reporter or ""),
        is_reply=False,
        verdict=None if passed else verdict_of(flow.action, VERDICTS),
        reporter=word(flow.host),
        packets=_sum(flow.packets_in, flow.packets_out),
        bytes=_sum(flow.bytes_in, flow.bytes_out),
        policy=_policies(flow.policies),
        src_pod=_pod(flow.source_type, flow.source_namespace, flow.source_name),
        dst_pod=_pod(flow.dest_type, flow.dest_namespace, flow.dest_name),
    )


def _sum(*given: int | str | None) -> int | None:
    numbers = [number for number in map(whole, given) if number is not None]
    return sum(numbers) if numbers else None


def _pod(kind: str | None, namespace: str | None, name: str | None) -> str | None:
    if kind != _WORKLOAD or (name or "").endswith("*"):
        return None
    return named(namespace, name)


def _policies(given: _Policies | None) -> str | None:
    parts = [text.split("|") for text in (given.all_policies if given else None) or ()]
    if any(len(own) < 3 or not own[0].isdigit() for own in parts):
        raise ValueError("policies.all_policies: index|tier|name|action is expected")
    return ", ".join(own[2] for own in sorted(parts, key=lambda own: int(own[0]))) or None


records = json_reader(_FlowLog, _read)
