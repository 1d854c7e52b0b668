"""GKE's policy_action logs, as nodes write them or with the `jsonPayload` of Cloud Logging.

A record is about a connection, made at the end that `direction` names. That `policies` is missing
says nothing about the verdict: `disposition` does.
"""

from __future__ import annotations

from msgspec import Struct

from netpolc.flows.decode.lines import LogLine, Told, json_reader
from netpolc.flows.records import EGRESS, INGRESS, Record
from netpolc.flows.values import moment, named, port_of, protocol_number, verdict_of, word

NAME = "gke"
KEYS = ({"connection", "disposition"}, {"jsonPayload"})
_DIRECTIONS = {"ingress": INGRESS, "egress": EGRESS}


class _Connection(Struct):
    src_ip: str | None = None
    dest_ip: str | None = None
    src_port: int | str | None = None
    dest_port: int | str | None = None
    protocol: str | int | None = None
    direction: str | None = None


class _End(Struct):
    pod_name: str | None = None
    pod_namespace: str | None = None
    namespace: str | None = None


class _Policy(Struct):
    name: str | None = None
    namespace: str | None = None


class _Action(Struct):
    connection: _Connection | None = None
    disposition: str | None = None
    policies: list[_Policy] | None = None
    src: _End | None = None
    dest: _End | None = None
    node_name: str | None = None
    timestamp: str | None = None


class _Entry(_Action):
    jsonPayload: _Action | None = None


def _read(entry: _Entry, line: LogLine, told: Told) -> Record | None:
    action = entry.jsonPayload or entry
    found = action.connection
    if found is None:
        told.damage(line, "a record of an unknown kind")
        return None
    protocol = protocol_number(found.protocol)
    policies = (named(own.namespace, own.name) or own.name for own in action.policies or ())
    return Record(
        ts=moment(action.timestamp or entry.timestamp),
        src=word(found.src_ip),
        dst=word(found.dest_ip),
        src_port=port_of(found.src_port, protocol),
        protocol=protocol,
        port=port_of(found.dest_port, protocol),
        direction=_DIRECTIONS.get((found.direction or "").lower()),
        is_reply=False,
        verdict=verdict_of(action.disposition),
        reporter=word(action.node_name),
        policy=", ".join(name for name in policies if name) or None,
        src_pod=_pod(action.src),
        dst_pod=_pod(action.dest),
    )


def _pod(end: _End | None) -> str | None:
    return None if end is None else named(end.pod_namespace or end.namespace, end.pod_name)


records = json_reader(_Entry, _read)
