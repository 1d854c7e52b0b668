"""Names and labels of core objects, checked once for each that is different.

Comes in: metadata of one object. Goes out: its namespace, name and labels, replicas sharing theirs.
Refused: what the API server refuses, in its words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from netpolc.core.errors import ROOT, ObjectProblems, Path
from netpolc.frontends.fields import (
    dns_label_problems,
    invalid,
    is_label_value,
    is_subdomain,
    label_key_problems,
    label_value_problems,
    subdomain_problems,
)
from netpolc.frontends.objects import Generated, Metadata
from netpolc.manifests import Document

LABELS = ROOT / "metadata" / "labels"
NAME = ROOT / "metadata" / "name"
GENERATE_NAME = ROOT / "metadata" / "generateName"
ANY = "*"
"""Stands for what API servers add to a `generateName`."""
_NAMESPACE = ROOT / "metadata" / "namespace"
NO_NAME = "Required value: name or generateName is required"


class Names:
    """Checks names and labels; only those that were good are remembered."""

    def __init__(self) -> None:
        self.namespaces: set[str] = set()
        self.nodes: set[str] = set()
        self.whole: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        """All labels of an object, by these as pairs."""
        self._labels: dict[tuple[str, str], tuple[str, str]] = {}
        self._generated: Counter[tuple[str, str]] = Counter()

    def namespaced(
        self, metadata: Metadata | None, problems: ObjectProblems, document: Document
    ) -> tuple[str, str]:
        """Namespace (missing means `default`) and name.

        Objects with a `generateName` alone are named `migrate-*`, each of them: those after the
        first have a number behind it.
        """
        is_named = metadata is not None and bool(metadata.name)
        generated = "" if is_named else self._generated_name(document, problems)
        name = generated or self.name(metadata, problems)
        namespace = (metadata.namespace if metadata else None) or "default"
        if namespace not in self.namespaces:
            details = dns_label_problems(namespace)
            if reported(details, namespace, _NAMESPACE, problems):
                self.namespaces.add(namespace)
        if generated:
            self._generated[namespace, name] += 1
            count = self._generated[namespace, name]
            name = name if count == 1 else f"{name}{count}"
        return namespace, name

    def _generated_name(self, document: Document, problems: ObjectProblems) -> str:
        """`migrate-*` of what has a `generateName` only, empty of what has none."""
        own = document.typed(Generated).metadata
        prefix = (own.generateName if own else None) or ""
        if prefix:
            whole = f"{prefix}x"  # a hyphen may be its last character
            reported(subdomain_problems(whole), prefix, GENERATE_NAME, problems)
        return f"{prefix}{ANY}" if prefix else ""

    def name(self, metadata: Metadata | None, problems: ObjectProblems) -> str:
        """`metadata.name`."""
        name = (metadata.name if metadata else None) or ""
        if not name:
            problems.error(NAME, NO_NAME)
        elif not is_subdomain(name):
            reported(subdomain_problems(name), name, NAME, problems)
        return name

    def node(self, name: str, problems: ObjectProblems) -> str:
        """`spec.nodeName`."""
        if name and name not in self.nodes:
            path = ROOT / "spec" / "nodeName"
            if reported(subdomain_problems(name), name, path, problems):
                self.nodes.add(name)
        return name

    def labels(
        self, labels: Mapping[str, str] | None, path: Path, problems: ObjectProblems
    ) -> Mapping[str, str]:
        """Labels; those of replicas, and equal pairs of others, are checked and stored once."""
        whole = self.good_labels(labels)
        if whole is not None:
            return whole
        for key, value in (labels or {}).items():
            reported(label_key_problems(key), key, path, problems)
            reported(label_value_problems(value), value, path.key(key), problems)
        return {}

    def good_labels(self, labels: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """The same, or None if anything is wrong with them."""
        pairs = tuple(labels.items()) if labels else ()
        whole = self.whole.get(pairs)
        if whole is not None:
            return whole
        known = self._labels
        for pair in pairs:
            if pair not in known:
                if label_key_problems(pair[0]) or not is_label_value(pair[1]):
                    return None
                known[pair] = pair
        return self.whole.setdefault(pairs, dict(map(known.__getitem__, pairs)))


def reported(details: Iterable[str], value: str, path: Path, problems: ObjectProblems) -> bool:
    """Record what is wrong with a value; whether nothing is."""
    good = True
    for detail in details:
        problems.error(path, invalid(value, detail))
        good = False
    return good
