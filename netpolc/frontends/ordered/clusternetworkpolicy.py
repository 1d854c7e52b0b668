"""ClusterNetworkPolicy of policy.networking.k8s.io, v1alpha2 and v1beta1.

Comes in: one manifest. Goes out: one `Policy` of the Admin or the Baseline tier. Refused: what the
CRDs refuse (`ordered.py`); v1beta1 differs in that it refuses host bits of networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from netpolc.core.errors import Path
from netpolc.core.ir import Action, Port, PortRange, Tier
from netpolc.core.nets import Protocol
from netpolc.frontends.fields import Fields
from netpolc.frontends.frontend import Frontend
from netpolc.frontends.ordered.ordered import ordered_policies
from netpolc.frontends.ordered.ordered_fields import (
    GONE,
    GROUP,
    LAST_PRIORITY,
    PODS,
    Dialect,
    at_least_one,
    by_name,
    chosen,
    integer_between,
    one_of,
    port_number,
)
from netpolc.frontends.ordered.plain import PlainReader
from netpolc.frontends.policies import SPEC
from netpolc.manifests import Document

KIND = "ClusterNetworkPolicy"
ALPHA, BETA = f"{GROUP}/v1alpha2", f"{GROUP}/v1beta1"
_TIERS = {"Admin": Tier.ADMIN, "Baseline": Tier.BASELINE}
_PROTOCOLS = {protocol.name.lower(): protocol for protocol in Protocol}
_BY_NAME = "destinationNamedPort"


def _rank(fields: Fields, spec: dict[str, Any]) -> tuple[Tier, int]:
    tier = chosen(fields, spec.get("tier"), SPEC / "tier", tuple(_TIERS))
    priority = integer_between(fields, spec.get("priority"), SPEC / "priority", 0, LAST_PRIORITY)
    return _TIERS[tier or "Admin"], priority or 0


def _port(fields: Fields, value: object, path: Path) -> Iterator[Port]:
    """An entry of `protocols`."""
    found = one_of(fields, value, path, (*_PROTOCOLS, _BY_NAME))
    if found is None:
        return
    name, content = found
    if name == _BY_NAME:
        yield from by_name(fields, content, path / name)
        return
    path = path / name
    own = fields.mapping(content, path, ("destinationPort",))
    given = None if own is None else own.get("destinationPort")
    if given is not None:
        yield from _numbers(fields, _PROTOCOLS[name], given, path / "destinationPort")
    elif own is not None and not (fields.strict and own.keys() - {"destinationPort"}):
        at_least_one(fields, 0, path, "properties")


def _numbers(fields: Fields, protocol: Protocol, value: object, path: Path) -> Iterator[Port]:
    found = one_of(fields, value, path, ("number", "range"))
    if found is None:
        return
    name, content = found
    if name == "number":
        first = last = port_number(fields, content, path / name)
    else:
        ends = ("start", "end")
        own = fields.mapping(content, path / name, ends)
        if own is None:
            return
        first, last = (port_number(fields, own.get(end), path / name / end) for end in ends)
    if first is None or last is None:
        return
    if name == "range" and first >= last:
        detail = "Invalid value: Start port must be less than End port"
        fields.problems.error(path / name, detail)
    yield PortRange(protocol, first, last)


_DIALECT = Dialect(
    rank=_rank,
    ranked=("tier", "priority"),
    actions={"Accept": Action.ACCEPT, "Deny": Action.DENY, "Pass": Action.PASS},
    most=25,
    ports="protocols",
    named_port=_BY_NAME,
    port=_port,
    egress=(*PODS, "nodes", "networks", "domainNames"),
    host_bits=True,
    namespaces_given=False,
    hints={
        **GONE,
        "ports": "write protocols, as in [{tcp: {destinationPort: {number: 80}}}]",
        "portNumber": "write tcp, udp or sctp, as in {tcp: {destinationPort: {number: 80}}}",
        "portRange": "write {tcp: {destinationPort: {range: {start: 80, end: 90}}}}",
        "namedPort": f"write {_BY_NAME}",
    },
)
_DIALECTS = {ALPHA: _DIALECT, BETA: replace(_DIALECT, host_bits=False)}


def _dialect(document: Document) -> Dialect:
    return _DIALECTS.get(document.api_version, _DIALECT)


FRONTEND = Frontend(
    {KIND: (ALPHA, BETA)},
    partial(ordered_policies, dialect_of=_dialect, plain=PlainReader),
    cluster_scoped=True,
)
