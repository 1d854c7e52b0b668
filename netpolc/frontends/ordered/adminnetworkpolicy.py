"""AdminNetworkPolicy of policy.networking.k8s.io/v1alpha1, as its last release (v0.1.7) has it.

Comes in: one manifest. Goes out: one `Policy` of the Admin tier. Refused: what the CRD refuses
(`ordered.py`). That release's fields are read; those of v0.1.1 and of v1alpha2 are refused, with
what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from netpolc.core.errors import Path
from netpolc.core.ir import Action, Port, PortRange, Tier
from netpolc.core.nets import Protocol
from netpolc.frontends.fields import Fields, invalid, quoted
from netpolc.frontends.frontend import Frontend
from netpolc.frontends.ordered.ordered import ordered_policies
from netpolc.frontends.ordered.ordered_fields import (
    GONE,
    GROUP,
    LAST_PRIORITY,
    PODS,
    Dialect,
    by_name,
    integer_between,
    one_of,
    port_number,
)
from netpolc.frontends.policies import SPEC

KIND, VERSION = "AdminNetworkPolicy", f"{GROUP}/v1alpha1"
ACTIONS = {"Allow": Action.ACCEPT, "Deny": Action.DENY, "Pass": Action.PASS}
HINTS = {
    **GONE,
    "namespaces": "write namespaceSelector",
    "tier": "v1alpha1 has none: AdminNetworkPolicy is Admin, BaselineAdminNetworkPolicy Baseline; "
    "or write a ClusterNetworkPolicy",
    "protocols": "write ports, as in [{portNumber: {protocol: TCP, port: 80}}]",
    "destinationNamedPort": "write namedPort",
}
"""What to write instead of fields that v0.1.1 and v1alpha2 have."""


def _rank(fields: Fields, spec: dict[str, Any]) -> tuple[Tier, int]:
    priority = integer_between(fields, spec.get("priority"), SPEC / "priority", 0, LAST_PRIORITY)
    return Tier.ADMIN, priority or 0


def port(fields: Fields, value: object, path: Path) -> Iterator[Port]:
    """An entry of `ports`."""
    found = one_of(fields, value, path, ("portNumber", "portRange", "namedPort"))
    if found is None:
        return
    name, content = found
    path = path / name
    if name == "namedPort":
        yield from by_name(fields, content, path)
        return
    ends = ("port",) if name == "portNumber" else ("start", "end")
    entry = fields.mapping(content, path, ("protocol", *ends))
    if entry is None:
        return
    protocol = _protocol(fields, entry.get("protocol"), path / "protocol")
    numbers = [port_number(fields, entry.get(end), path / end) for end in ends]
    first, last = numbers[0], numbers[-1]
    if first is None or last is None or protocol is None:
        return
    if first > last and fields.doubts is not None:
        detail = invalid(last, "must be greater than or equal to `start`")
        fields.doubts.error(path / "end", detail)
    yield PortRange(protocol, first, last)


def _protocol(fields: Fields, value: object, path: Path) -> Protocol | None:
    """TCP where there is none; the CRD takes any string."""
    text = "TCP" if value is None else fields.text(value, path)
    if text is None or text in Protocol.__members__:
        return None if text is None else Protocol[text]
    if fields.doubts is not None:
        supported = 'supported values: "TCP", "UDP", "SCTP"'
        fields.doubts.error(path, f"Unsupported value: {quoted(text)}: {supported}")
    return None


DIALECT = Dialect(
    rank=_rank,
    ranked=("priority",),
    actions=ACTIONS,
    most=100,
    ports="ports",
    named_port="namedPort",
    port=port,
    egress=(*PODS, "nodes", "networks", "domainNames"),
    host_bits=True,
    namespaces_given=True,
    hints=HINTS,
)
FRONTEND = Frontend(
    {KIND: (VERSION,)}, partial(ordered_policies, dialect_of=lambda _: DIALECT), cluster_scoped=True
)
