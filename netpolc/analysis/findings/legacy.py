"""The meaning of Kubernetes 1.3 to 1.6: annotations and policies without effect.

Comes in: a `View`. Goes out: remarks on policies that admit where nothing isolates. What is wrong
with annotations the frontend says while reading, with the codes that are explained here.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.findings.model import Code, Level, Remark
from netpolc.analysis.findings.view import View
from netpolc.core.ir import Direction

_ANNOTATION = "net.beta.kubernetes.io/network-policy"
_DENY = '\'{"ingress": {"isolation": "DefaultDeny"}}\''
CODES = (
    Code(
        "NP601",
        Level.WARNING,
        "the v1.6 annotation has no effect",
        "Since Kubernetes 1.7 a pod is isolated by a policy that selects it, and by nothing else.",
        f"kind: Namespace\nmetadata:\n  annotations:\n    {_ANNOTATION}: {_DENY}",
        "kind: NetworkPolicy\nspec:\n  podSelector: {}\n  policyTypes: [Ingress]",
    ),
    Code(
        "NP602",
        Level.WARNING,
        "the v1.6 annotation is misspelt",
        "Old documentation wrote the key without a hyphen; it never had an effect.",
        f"annotations:\n  net.beta.kubernetes.io/networkpolicy: {_DENY}",
        f"annotations:\n  {_ANNOTATION}: {_DENY}",
    ),
    Code(
        "NP603",
        Level.WARNING,
        "the v1.6 annotation does not isolate",
        "Anything but the one known value was ignored, broken JSON too.",
        f'annotations:\n  {_ANNOTATION}: \'{{"ingress": {{"isolation": "Deny"}}}}\'',
        f"annotations:\n  {_ANNOTATION}: {_DENY}",
    ),
    Code(
        "NP604",
        Level.WARNING,
        "a v1.6 policy admits where nothing isolates",
        "With the meaning of 1.6 a policy isolates no pod: without the annotation of its namespace "
        "everything is admitted anyway.",
        "kind: Namespace\nmetadata: {name: shop}   # and a policy in shop",
        f"kind: Namespace\nmetadata:\n  name: shop\n  annotations:\n    {_ANNOTATION}: {_DENY}",
    ),
)


def check(view: View) -> Iterator[Remark]:
    """Policies of 1.6 in namespaces that are not isolated."""
    isolated = {
        policy.subject.namespaces
        for policy in view.snapshot.policies
        if Direction.INGRESS in policy.isolates
    }
    for policy in view.network_policies:
        space = policy.origin.namespace
        if not policy.isolates and space not in isolated:
            text = f"no effect: the annotation of namespace {space} does not isolate it"
            yield Remark("NP604", policy.origin, text, policy.waived)
