"""Objects that no frontend reads: most are passed over, some must not be.

Comes in: a document of another kind, and the kinds that are read. Goes out: nothing. Refused:
misspelt kinds, and API versions that no Kubernetes had, because what they say would be lost.
Warned of: policies of other groups.
"""

from __future__ import annotations

from functools import lru_cache

from netpolc.core.errors import ROOT, ObjectProblems
from netpolc.frontends.frontend import Frontend
from netpolc.manifests import Document


def passed_over(
    document: Document, problems: ObjectProblems, kinds: tuple[Frontend, ...]
) -> str | None:
    """Report a document that is passed over, if its author would want to know; the kind that was
    meant, where it may have been one that is read.
    """
    kind = document.kind
    versions, forms = _built_in(kinds)
    meant = forms.get(kind.lower())
    if meant is not None and meant != kind:
        problems.error(ROOT / "kind", f"{kind} is not a kind; {meant} is")
    elif meant is not None and _is_built_in(document.group):
        text = f"{document.api_version}: a {kind} is {' or '.join(versions[kind])}"
        problems.error(ROOT / "apiVersion", text)
    else:
        meant = None
    if meant is None and kind.endswith("NetworkPolicy"):
        text = f"{document.api_version} {kind} is not read: what it says is not enforced"
        problems.warning(ROOT / "kind", text, code="NP003")
    return meant


@lru_cache(maxsize=4)
def _built_in(kinds: tuple[Frontend, ...]) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The kinds of Kubernetes and its projects with their places, and forms of their names."""
    versions = {
        kind: tuple(place or "v1" for place in places)
        for frontend in kinds
        if frontend.judged
        for kind, places in frontend.serves.items()
        if all(_is_built_in(place.partition("/")[0]) for place in places)
    }
    forms = {
        form: kind
        for kind in versions
        for form in (kind.lower(), f"{kind.lower()}s", f"{kind.lower().removesuffix('y')}ies")
    }
    return versions, forms


def _is_built_in(group: str) -> bool:
    return "." not in group or group.endswith(".k8s.io")
