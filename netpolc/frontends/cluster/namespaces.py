"""Namespaces: their labels, and the annotations that Kubernetes 1.6 read.

Comes in: documents of that kind. Goes out: a `Namespace` each. Refused, with the place: names and
labels the API server would refuse.
"""

from __future__ import annotations

from dataclasses import replace

from netpolc.core.cluster import NAME_LABEL, Namespace
from netpolc.core.errors import ObjectProblems
from netpolc.core.ir import WAIVER, Origin
from netpolc.frontends.fields import dns_label_problems, waived
from netpolc.frontends.frontend import PASSED_OVER, Frontend, Name, Reader, check_fields
from netpolc.frontends.naming import LABELS, NAME, reported
from netpolc.frontends.objects import NamespaceObject, decode
from netpolc.manifests import Document

KIND = "Namespace"


class Namespaces(Reader):
    """Of two with one name what both say is known; the labels of an odd one are unknown."""

    def read(self, document: Document, problems: ObjectProblems) -> Name | None:
        """A namespace and its annotations."""
        check_fields(document, problems, self._gathered.strict)
        found = decode(document, NamespaceObject, problems)
        if found is None:
            return None
        name = (found.metadata.name if found.metadata else None) or ""
        reported(dns_label_problems(name), name, NAME, problems)
        if not name:
            return None
        own = found.metadata.labels if found.metadata else None
        labels = self._gathered.names.labels(own, LABELS, problems)
        origin = Origin(KIND, "", name, (), document.source)
        annotations = (found.metadata.annotations if found.metadata else None) or {}
        own_waivers = waived(annotations.get(WAIVER))
        if not problems.failed:
            self._merge(Namespace(name, {**labels, NAME_LABEL: name}, origin, own_waivers))
            self._gathered.annotations.setdefault(name, {}).update(annotations)
        return "", name

    def stand_in(
        self, document: Document, kind: str, report: ObjectProblems
    ) -> tuple[Name | None, str | None]:
        """The namespace is there, and satisfies a selector only by labels that it surely has."""
        odd = self._gathered.odd
        named = odd.named(document, kind)
        if not odd.has_name(document):
            return named, PASSED_OVER
        name = named[1]
        origin = Origin(kind, "", name, (), document.source)
        self._merge(Namespace(name, {NAME_LABEL: name}, origin, unsure=True))
        return named, "its labels count as unknown"

    def twice(self, name: Name) -> str:
        """Only labels that both have are known."""
        return "only what both say counts"

    def _merge(self, space: Namespace) -> None:
        known = self._gathered.namespaces
        other = known.get(space.name)
        if other is not None and (other.unsure or space.unsure or other.labels != space.labels):
            both = dict(other.labels.items() & space.labels.items())
            space = replace(other, labels=both, unsure=True)
        known[space.name] = space


FRONTEND = Frontend({KIND: ("",)}, Namespaces, cluster_scoped=True)
