"""What reading the manifests found, as findings.

Comes in: diagnostics, and the waivers of all objects. Goes out: findings, and remarks on waivers
that name no code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from netpolc.cluster import Snapshot
from netpolc.errors import Diagnostic, Severity, listing
from netpolc.findings.model import (
    MANIFEST_ERROR,
    MANIFEST_WARNING,
    UNKNOWN_WAIVER,
    Code,
    Finding,
    Level,
    Remark,
)
from netpolc.ir import WAIVER, Origin, Waived

CODES = (
    Code(
        MANIFEST_ERROR,
        Level.ERROR,
        "a manifest is not valid",
        "The API server would refuse it, or it cannot be read. Nothing else is checked until it "
        "is right.",
        "spec:\n  podSelector: {}\n  ingres: []",
        "spec:\n  podSelector: {}\n  ingress: []",
    ),
    Code(
        MANIFEST_WARNING,
        Level.WARNING,
        "a field is passed over",
        "With --no-strict unknown and duplicate fields are passed over. What they say has no "
        "effect.",
        "spec:\n  podSelector: {}\n  ingres: []   # read with --no-strict",
        "spec:\n  podSelector: {}\n  ingress: []",
    ),
    Code(
        "NP003",
        Level.WARNING,
        "a policy of another API is not read",
        "netpolc does not know what it means and leaves it out of every check.",
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy",
    ),
    Code(
        "NP004",
        Level.INFO,
        "the snapshot isolates nothing",
        "There is no policy, or no pod with an address. Manifests with workload templates only are "
        "checked all the same; if pods were meant to be there, the path is wrong.",
        "netpolc check policies/",
        "netpolc check policies/ cluster/",
    ),
    Code(
        UNKNOWN_WAIVER,
        Level.WARNING,
        "a waiver names no code",
        f"The annotation {WAIVER} takes codes, separated by commas.",
        f'metadata:\n  annotations:\n    {WAIVER}: "NP99"',
        f'metadata:\n  annotations:\n    {WAIVER}: "NP501, NP502"',
    ),
)


def found(diagnostic: Diagnostic, levels: dict[str, Level]) -> Finding:
    """A diagnostic as a finding: validation errors have one code in common."""
    is_error = diagnostic.severity is Severity.ERROR
    code = diagnostic.code or (MANIFEST_ERROR if is_error else MANIFEST_WARNING)
    place, field = diagnostic.place, diagnostic.path
    return Finding(code, levels[code], place, "", field, diagnostic.message)


def waivers(snapshot: Snapshot, known: Collection[str]) -> Iterator[Remark]:
    """Waivers that waive nothing, because there is no such code."""
    for origin, waived in _waivers(snapshot):
        unknown = waived.difference(known)
        if unknown:
            at = ("metadata", "annotations", WAIVER)
            place = Origin(origin.kind, origin.namespace, origin.name, at, origin.source)
            text = f"no such code: {listing(unknown)}"
            yield Remark(UNKNOWN_WAIVER, place, text)


def _waivers(snapshot: Snapshot) -> Iterable[tuple[Origin, Waived]]:
    for policy in snapshot.policies:
        if policy.waived:
            yield policy.origin, policy.waived
    for space in snapshot.cluster.namespaces.values():
        if space.waived and space.origin is not None:
            yield space.origin, space.waived
    for pod in snapshot.cluster.pods:
        if pod.waived:
            yield pod.origin, pod.waived
