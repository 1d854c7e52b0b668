"""`policyTypes` that say something else than the rules.

Comes in: a `View`. Goes out: remarks on policies. The rules of a direction that a policy does not
isolate are ignored by the API, silently.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.findings.model import Code, Level, Remark, inside
from netpolc.analysis.findings.view import View
from netpolc.core.ir import Direction, Policy

CODES = (
    Code(
        "NP401",
        Level.WARNING,
        "rules of a direction that policyTypes leave out",
        "The rules have no effect, and an empty list does not deny: only the directions in "
        "policyTypes are isolated. Without policyTypes that is Ingress, and Egress if there is an "
        "egress rule.",
        "policyTypes: [Ingress]\negress:\n  - to:\n      - podSelector: {}",
        "policyTypes: [Ingress, Egress]\negress:\n  - to:\n      - podSelector: {}",
    ),
    Code(
        "NP402",
        Level.WARNING,
        "egress rules without policyTypes deny all ingress",
        "A policy without policyTypes always isolates ingress; one that has only egress rules "
        "therefore denies everything that comes in.",
        "podSelector: {}\negress:\n  - ports:\n      - port: 443",
        "podSelector: {}\npolicyTypes: [Egress]\negress:\n  - ports:\n      - port: 443",
    ),
)


def check(view: View) -> Iterator[Remark]:
    """Contradictions between `policyTypes` and the rules."""
    if view.legacy:
        return
    for policy in view.network_policies:
        for direction in sorted(policy.written - policy.isolates):
            yield _ignored(policy, direction)
        both = frozenset(Direction)
        if not policy.typed and policy.isolates == both and Direction.INGRESS not in policy.written:
            origin = inside(policy.origin, "spec", "egress")
            text = "has egress rules only and no policyTypes: all ingress is denied too"
            yield Remark("NP402", origin, text, policy.waived)


def _ignored(policy: Policy, direction: Direction) -> Remark:
    origin = inside(policy.origin, "spec", str(direction))
    name = str(direction).capitalize()
    said = f"policyTypes leave out {name}"
    if not policy.typed:
        said = "an empty list without policyTypes isolates nothing"
    text = f"no effect: {said}"
    return Remark("NP401", origin, text, policy.waived)
