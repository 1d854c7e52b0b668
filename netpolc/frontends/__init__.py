"""Frontends: each lowers one API to the Policy IR. Adding an API is one file and one line here.

`FRONTENDS` is looked up by `apiVersion` and `kind`; which meaning old objects have is chosen for
the whole snapshot (`Semantics`), because their apiVersion alone cannot tell (Kubernetes 1.7 to 1.15
wrote extensions/v1beta1 objects with today's meaning).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from netpolc.errors import ROOT, ObjectProblems
from netpolc.frontends import networkpolicy, networkpolicy_beta
from netpolc.ir import Policy
from netpolc.manifests import Document


class Semantics(StrEnum):
    """What policies of a snapshot mean: today's API, or that of Kubernetes 1.3 to 1.6."""

    CURRENT = "current"
    V1_6 = "v1.6"


Frontend = Callable[[Document, ObjectProblems, bool], Policy | None]


def _too_new(document: Document, problems: ObjectProblems, strict: bool) -> Policy | None:
    text = "did not exist in Kubernetes 1.6; extensions/v1beta1 is what --semantics v1.6 reads"
    problems.error(ROOT / "apiVersion", f"{document.api_version} {text}")
    return None


FRONTENDS: dict[tuple[Semantics, str, str], Frontend] = {
    (Semantics.CURRENT, "networking.k8s.io/v1", "NetworkPolicy"): networkpolicy.lower,
    (Semantics.CURRENT, "extensions/v1beta1", "NetworkPolicy"): networkpolicy.lower,
    (Semantics.V1_6, "networking.k8s.io/v1", "NetworkPolicy"): _too_new,
    (Semantics.V1_6, "extensions/v1beta1", "NetworkPolicy"): networkpolicy_beta.lower,
}
