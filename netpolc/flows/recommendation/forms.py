"""A recommendation in words and as JSON (docs/flow-logs.md).

Comes in: a recommendation and its proof. Goes out: sentences, or a document. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.connectivity.ports import spans
from netpolc.core.errors import counted
from netpolc.core.foreign import to_json
from netpolc.core.nets import format_ports, format_service, protocol_name
from netpolc.flows.recommendation.observed import ObservedFlow
from netpolc.flows.recommendation.proving import FlowProof
from netpolc.flows.recommendation.recommended import Recommendation
from netpolc.manifests.yaml.yaml_format import documents

VERSION = 1
"""Of the JSON document; it changes when a field changes its meaning."""
_NAMES = 5
"""Groups that a sentence names."""


def proven(found: Recommendation, proof: FlowProof, top: int) -> Iterator[str]:
    """What was left out, whether all flows are admitted, and what is besides."""
    for reason, count in sorted(found.left_out.items()):
        yield f"left out: {count} records: {reason}"
    policies = counted(len(found.policies), "NetworkPolicy").replace("ys", "ies")
    admitted = len(found.flows) - len(proof.denied)
    yield f"{policies}: {admitted} of {len(found.flows)} different flows are admitted"
    for flow in proof.denied[:top]:
        yield f"not admitted, by policies that stay: {_flow(flow)}"
    lonely = {str(own) for own in found.groups.values()} - {str(p.group) for p in found.policies}
    if lonely:
        yield f"no policy for groups of which no flow was seen: {_some(sorted(lonely))}"
    if not proof.besides:
        yield "nothing else is admitted between groups of pods"
    for own in proof.besides[:top]:
        yield f"admitted besides: {own}"
    if len(proof.besides) > top:
        yield f"{len(proof.besides) - top} more are admitted besides (--top, or -o json)"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def _flow(flow: ObservedFlow) -> str:
    return f"{flow.source} -> {flow.destination} {format_service(flow.protocol, flow.port)}"


def as_json(found: Recommendation) -> str:
    """Policies as the API has them, and the proof."""
    proof = found.proof
    body = {
        "version": VERSION,
        "policies": [own.plain for own in documents(found.text.encode())] if found.text else [],
        "flows": len(found.flows),
        "left_out": dict(sorted(found.left_out.items())),
        "denied": [
            {
                "source": str(own.source),
                "destination": str(own.destination),
                "protocol": protocol_name(own.protocol),
                "port": own.port,
            }
            for own in proof.denied
        ],
        "besides": [
            {
                "source": own.source,
                "destination": own.destination,
                "ports": [format_ports(span) for span in spans(own.ports)],
                "addresses": own.addresses,
            }
            for own in proof.besides
        ],
    }
    return to_json(body, 2) + "\n"
