"""Objects that no frontend reads: most are passed over, some must not be.

Comes in: a document of another kind, and the kinds that are read. Goes out: policies that are not
judged, as much as is known of them. Refused: misspelt kinds, and API versions that no Kubernetes
had, because what they say would be lost. Warned of (NP003): policies of other kinds, whatever
project they are of: known groups, and forms of names that policies have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from typing import Any

from netpolc.core.cluster import Unread
from netpolc.core.errors import ROOT, UNREAD, ObjectProblems, Path
from netpolc.core.ir import WAIVER
from netpolc.frontends.frontend import Frontend
from netpolc.frontends.odd import body_of
from netpolc.manifests import Document

CODE = UNREAD
_ALIKE, _LONGER = 0.8, 2
"""How alike a misspelt kind and the one that is meant are, and how many letters longer one is."""
_NAMES = re.compile(
    r"(Network|Authorization|SecurityGroup|Firewall)Polic(y|ies)$"
    r"|(Egress|Ingress|Network|Pod)Firewall(Rule)?$"
    r"|Traffic(Permission|Target)$|(Service|Server)(Intentions|Authorization)$"
)
"""What policies about traffic between pods are called, in groups that may not be known."""
_GROUPS = {
    "cilium.io": re.compile(r"NetworkPol"),
    "crd.antrea.io": re.compile(r"Pol"),
    "crd.projectcalico.org": re.compile(r"Pol"),
    "k8s.ovn.org": re.compile(r"Firewall|NetworkPol"),
    "kubeovn.io": re.compile(r"^SecurityGroup$"),
    "networking.k8s.io": re.compile(r"Pol"),
    "policy.linkerd.io": re.compile(r"^Server$|Pol"),
    "policy.networking.k8s.io": re.compile(r"Pol"),
    "projectcalico.org": re.compile(r"Pol"),
    "security.istio.io": re.compile(r"^PeerAuthentication$|AuthorizationPol"),
}
"""What else is one by its group, misspelt ones too."""
_HELD = re.compile(rb'"kind"\s*:\s*"[^"]*(?:Pol|Firewall|Traffic|Serv|SecurityGroup|PeerAuth)')
"""What an object that holds a policy has in its JSON; others are not looked through."""
_CONTENT = frozenset({"metadata", "spec", "data", "clone"})
"""Fields of objects, and of what Kyverno generates, that a reference to an object has none of."""


def passed_over(
    document: Document, problems: ObjectProblems, kinds: tuple[Frontend, ...]
) -> str | None:
    """Report a document that is passed over, if its author would want to know; the kind that was
    meant, where it may have been one that is read.
    """
    kind = document.kind
    if kind == "Status" and document.group == "":
        told = str(body_of(document).get("message") or "no message")
        problems.error(ROOT / "kind", f"an answer of an API server, and no object: {told}")
        return None
    versions, forms = _built_in(kinds)
    meant = forms.get(kind.lower()) or _meant(document.group, kind, kinds)
    if meant is not None and meant != kind:
        problems.error(ROOT / "kind", f"{kind} is not a kind; {meant} is")
    elif meant is not None and _is_built_in(document.group):
        text = f"{document.api_version}: a {kind} is {' or '.join(versions[kind])}"
        problems.error(ROOT / "apiVersion", text)
    else:
        meant = None
    return meant


def place(document: Document) -> Path | None:
    """Where an object that is not read says that it is a policy about traffic, by group and kind,
    or that it has one made: a Template of OpenShift, a rule of Kyverno, a Composition, work that
    is sent to other clusters. None if it is neither.
    """
    if _is_policy(document.group, document.kind):
        return ROOT / "kind"
    if isinstance(document.content, dict) or _HELD.search(document.content):
        return _held(body_of(document))
    return None


def _held(body: dict[str, Any]) -> Path | None:
    """The kind of the first policy within an object; what only names one has no content."""
    left: list[tuple[Path, Any]] = [
        (ROOT / name, own) for name, own in body.items() if name not in ("metadata", "status")
    ]
    for path, own in left:  # which grows meanwhile
        if isinstance(own, dict):
            if not _CONTENT.isdisjoint(own) and _is_made_policy(own):
                return path / "kind"
            left += [(path / str(name), inner) for name, inner in own.items()]
        elif isinstance(own, list):
            left += [(path / number, inner) for number, inner in enumerate(own)]
    return None


def _is_made_policy(own: dict[str, Any]) -> bool:
    kind, version = own.get("kind"), own.get("apiVersion")
    group = version.rpartition("/")[0] if isinstance(version, str) else ""
    return isinstance(kind, str) and _is_policy(group, kind)


@lru_cache(maxsize=1024)
def _is_policy(group: str, kind: str) -> bool:
    own = _GROUPS.get(group)
    return bool(_NAMES.search(kind) or (own is not None and own.search(kind)))


def policy(document: Document, problems: ObjectProblems, where: Path) -> Unread:
    """What is known of a policy that is not judged; a warning, unless the object waives it."""
    metadata = _map(body_of(document).get("metadata"))
    waived = str(_map(metadata.get("annotations")).get(WAIVER) or "")
    if CODE not in (part.strip() for part in waived.split(",")):
        text = f"{document.api_version} {document.kind} is not read: what it says is not enforced"
        problems.warning(where, text, code=CODE)
    written = repr(_ordered(body_of(document))).encode()
    names = (metadata.get("namespace"), metadata.get("name") or metadata.get("generateName"))
    name = "/".join(own for own in names if isinstance(own, str) and own)
    kind = f"{document.api_version} {document.kind}"
    return Unread(kind, name or "without a name", sha256(written).hexdigest())


def _ordered(value: object) -> object:
    """A value that is the same however its maps are ordered; what the API server adds is left
    out.
    """
    if isinstance(value, dict):
        return sorted((str(key), _ordered(own)) for key, own in value.items() if key != "status")
    return list(map(_ordered, value)) if isinstance(value, list) else repr(value)


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _meant(group: str, kind: str, kinds: tuple[Frontend, ...]) -> str | None:
    """The kind of the same group that one is a misspelling of, if it looks like one."""
    if not _is_built_in(group):
        return None
    near = get_close_matches(kind, _of_group(group, kinds), 1, _ALIKE)
    return next((own for own in near if abs(len(own) - len(kind)) <= _LONGER), None)


@lru_cache(maxsize=64)
def _of_group(group: str, kinds: tuple[Frontend, ...]) -> tuple[str, ...]:
    return tuple(
        kind
        for frontend in kinds
        for kind, places in frontend.serves.items()
        if group in _groups(places)
    )


def _groups(places: Iterable[str]) -> set[str]:
    return {own.rpartition("/")[0] if "/" in own else own for own in places}


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
