"""Objects that no frontend reads: most are passed over, some must not be.

Comes in: a document of another kind. Goes out: nothing. Refused: misspelt kinds, and API versions
that no Kubernetes had, because what they say would be lost. Warned of: policies of other groups.
"""

from __future__ import annotations

from netpolc.errors import ROOT, ObjectProblems
from netpolc.frontends.cluster import GROUPS
from netpolc.manifests import Document

_VERSIONS = {kind: tuple(group or "v1" for group in groups) for kind, groups in GROUPS.items()}
_VERSIONS["NetworkPolicy"] = ("networking.k8s.io/v1", "extensions/v1beta1")
_KINDS = {
    form: kind
    for kind in _VERSIONS
    for form in (kind.lower(), f"{kind.lower()}s", f"{kind.lower().removesuffix('y')}ies")
}


def check(document: Document, problems: ObjectProblems) -> None:
    """Report a document that is passed over, if its author would want to know."""
    kind = document.kind
    meant = _KINDS.get(kind.lower())
    built_in = "." not in document.group.removesuffix(".k8s.io")
    if meant is not None and meant != kind:
        problems.error(ROOT / "kind", f"{kind} is not a kind; {meant} is")
    elif meant is not None and built_in:
        text = f"{document.api_version}: a {kind} is {' or '.join(_VERSIONS[kind])}"
        problems.error(ROOT / "apiVersion", text)
    elif kind.endswith("NetworkPolicy"):
        text = f"{document.api_version} {kind} is not read: what it says is not enforced"
        problems.warning(ROOT / "kind", text, code="NP003")
