"""Hubble's JSON lines (`hubble observe -o json`, exported files), wrapped in `flow` or bare.

Fields as in Cilium's `flow.proto` and `observer.proto` in the JSON form of protobuf: numbers of 64
bits are text, what is unset is missing. `is_reply` is a wrapper that may be null: not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Raw, Struct

from netpolc.flows.decode.lines import LONGEST, LogLine, Told, json_reader, refuse_length
from netpolc.flows.records import DROPPED, EGRESS, FORWARDED, INGRESS, Record
from netpolc.flows.values import named, port_of, time_of, whole

if TYPE_CHECKING:
    import pyarrow as pa

try:
    from netpolc.flows.decode._scan import scan_hubble
except ImportError:  # not built here: the reference reads all lines
    scan_hubble = None  # type: ignore[assignment]

NAME = "hubble"
KEYS = ({"flow"}, {"lost_events"}, {"node_status"}, {"IP", "verdict"}, {"verdict", "Type"})
"""Fields that tell the format: all of one of these."""
_VERDICTS = {
    "FORWARDED": FORWARDED,
    "REDIRECTED": FORWARDED,  # to the proxy: the layers below it let the packet through
    "AUDIT": FORWARDED,  # a policy on trial would have dropped it
    "DROPPED": DROPPED,
}
_UNTOLD = {None, "VERDICT_UNKNOWN", "ERROR", "TRACED", "TRANSLATED"}
_DIRECTIONS = {"EGRESS": EGRESS, "INGRESS": INGRESS}
_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132, "ICMPv4": 1, "ICMPv6": 58, "VRRP": 112, "IGMP": 2}
_OTHER_TYPES = {
    "L7": "a record of layer 7, about a connection that has records of its own",
    "SOCK": "a record of a socket, not of a packet",
}
_OTHER_KINDS = ("node_status", "agent_event", "debug_event")


class _Address(Struct):
    source: str | None = None
    destination: str | None = None


class _Ports(Struct):
    source_port: int | str | None = None
    destination_port: int | str | None = None


class _Transport(Struct):
    TCP: _Ports | None = None
    UDP: _Ports | None = None
    SCTP: _Ports | None = None
    ICMPv4: _Ports | None = None
    ICMPv6: _Ports | None = None
    VRRP: _Ports | None = None
    IGMP: _Ports | None = None


class _Endpoint(Struct):
    namespace: str | None = None
    pod_name: str | None = None


class _Policy(Struct):
    name: str | None = None
    namespace: str | None = None


class _Lost(Struct):
    num_events_lost: int | str | None = None


class _Flow(Struct):
    time: str | None = None
    verdict: str | None = None
    IP: _Address | None = None
    l4: _Transport | None = None
    source: _Endpoint | None = None
    destination: _Endpoint | None = None
    Type: str | None = None
    node_name: str | None = None
    traffic_direction: str | None = None
    is_reply: bool | None = None
    egress_allowed_by: list[_Policy] | None = None
    ingress_allowed_by: list[_Policy] | None = None
    egress_denied_by: list[_Policy] | None = None
    ingress_denied_by: list[_Policy] | None = None


class _Event(_Flow):
    """A line: a flow's fields themselves, or one of these."""

    flow: _Flow | None = None
    lost_events: _Lost | None = None
    node_status: Raw = Raw(b"")
    agent_event: Raw = Raw(b"")
    debug_event: Raw = Raw(b"")


def _read(event: _Event, line: LogLine, told: Told) -> Record | None:
    if event.flow is not None:
        return _record(event.flow, line, told)
    if event.lost_events is not None:
        lost = whole(event.lost_events.num_events_lost) or 1
        told.lose(line, "events were lost before they were logged", lost)
        return None
    for kind in _OTHER_KINDS:
        if bytes(getattr(event, kind)):
            told.note(line, f"{kind}, which is no flow")
            return None
    if event.IP is None and event.l4 is None and event.source is None:
        told.damage(line, "a record of an unknown kind")
        return None
    return _record(event, line, told)


def _record(flow: _Flow, line: LogLine, told: Told) -> Record | None:
    if flow.Type in _OTHER_TYPES:
        told.note(line, _OTHER_TYPES[flow.Type])
        return None
    if flow.IP is None and flow.l4 is None:
        told.note(line, "a frame that is not IP")
        return None
    if flow.verdict not in _VERDICTS and flow.verdict not in _UNTOLD:
        raise ValueError(f"unknown verdict {flow.verdict!r}")
    protocol, ports = _transport(flow.l4)
    address = flow.IP or _Address()
    return Record(
        ts=time_of(flow.time) if flow.time else None,
        src=address.source or None,
        dst=address.destination or None,
        src_port=port_of(ports.source_port, protocol),
        protocol=protocol,
        port=port_of(ports.destination_port, protocol),
        direction=_DIRECTIONS.get(flow.traffic_direction or ""),
        is_reply=flow.is_reply,
        verdict=_VERDICTS.get(flow.verdict or ""),
        reporter=flow.node_name or None,
        policy=_policies(flow),
        src_pod=_pod(flow.source),
        dst_pod=_pod(flow.destination),
        problem="no protocol above IP" if protocol is None else None,
    )


def _transport(given: _Transport | None) -> tuple[int | None, _Ports]:
    for name, number in _NUMBERS.items():
        ports: Any = getattr(given, name, None)
        if ports is not None:
            return number, ports
    return None, _Ports()


def _pod(end: _Endpoint | None) -> str | None:
    return named(end.namespace, end.pod_name) if end is not None else None


def _policies(flow: _Flow) -> str | None:
    every = (
        flow.egress_denied_by,
        flow.ingress_denied_by,
        flow.egress_allowed_by,
        flow.ingress_allowed_by,
    )
    names = (
        f"{own.namespace}/{own.name}" if own.namespace else own.name
        for policies in every
        for own in policies or ()
        if own.name
    )
    return ", ".join(dict.fromkeys(names)) or None


records = json_reader(_Event, _read)
"""The reference decoder: slow, and what the scanner of ext/ must agree with."""


def hubble_batches(blocks: Iterable[bytes], told: Told) -> Iterator[pa.RecordBatch]:
    """The same by the scanner, and by the reference what that is not sure of."""
    from netpolc.flows.decode.scanning import scanned_batches  # needs pyarrow

    def reference(lines: Iterator[LogLine], told: Told) -> Iterator[Record]:
        return records((line for line in lines if not refuse_length(line, told)), told)

    return scanned_batches(blocks, told, lambda block: scan_hubble(block, LONGEST), reference)
