"""Which objects are converted, under which names, and which are left out.

Comes in: the documents of a snapshot, and it. Goes out: a `Conversion`. Refused, all together: what
has no equal, and two objects that would have one name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from netpolc.analysis.conversion.legacy import DENY, in_place_of_annotation, spec_of_1_6
from netpolc.analysis.conversion.ordered import KINDS, VERSION, cluster_policy
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import ROOT, ObjectProblems, Problems
from netpolc.core.ir import Key
from netpolc.frontends import Semantics
from netpolc.frontends.ordered import clusternetworkpolicy as ordered
from netpolc.manifests import Document

_KEPT = ("name", "namespace", "labels", "annotations")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OLD, _NEW = "extensions/v1beta1", "networking.k8s.io/v1"
_POLICY = "NetworkPolicy"


@dataclass(frozen=True, slots=True)
class Conversion:
    """The new objects, and the keys of policies that they stand for.

    `left_out` says of policies that have no effect that they are in neither.
    """

    objects: tuple[Mapping[str, Any], ...]
    replaced: frozenset[Key]
    left_out: tuple[str, ...]


def convert(documents: Iterable[Document], snapshot: Snapshot, semantics: str) -> Conversion:
    """Convert whatever is of an API that is gone; `InputError` for what has no equal.

    The documents are those of the snapshot, which was read with these `semantics`.
    """
    converter = _Converter(snapshot, Semantics(semantics) is Semantics.V1_6)
    for document in documents:
        converter.read(document)
    return converter.result()


class _Converter:
    """A conversion while documents are read."""

    def __init__(self, snapshot: Snapshot, is_legacy: bool) -> None:
        self._problems = Problems()
        self._is_legacy = is_legacy
        annotations = [p for p in snapshot.policies if p.origin.kind == "Namespace"]
        self._isolated = {own.origin.name for own in annotations}
        self._replaced: set[Key] = {own.origin.key for own in annotations}
        self._places: dict[Key, str] = {}
        self._left_out: list[str] = []
        self._objects: list[Mapping[str, Any]] = []
        for own in annotations:
            made = in_place_of_annotation(own.origin.name)
            self._places[_POLICY, own.origin.name, DENY] = own.origin.place()
            self._objects.append(made)

    def read(self, document: Document) -> None:
        """Convert one document, if it is of an API that is gone; remember names of others."""
        if document.kind in KINDS and document.api_version == VERSION:
            self._add(document, ordered.ALPHA, ordered.KIND)
        elif document.kind == _POLICY and document.api_version == _OLD:
            self._add(document, _NEW, _POLICY)
        elif (document.kind, document.api_version) == (_POLICY, _NEW) or (
            document.kind == ordered.KIND and document.api_version in (ordered.ALPHA, ordered.BETA)
        ):
            self._name(document, document.kind, self._body(document))

    def result(self) -> Conversion:
        """What was found; `InputError` if something has no equal."""
        self._problems.raise_errors()
        return Conversion(tuple(self._objects), frozenset(self._replaced), tuple(self._left_out))

    def _body(self, document: Document) -> dict[str, Any]:
        return document.fields(self._report(document), False) or {}

    def _report(self, document: Document) -> ObjectProblems:
        return ObjectProblems(self._problems, document.source.place)

    def _add(self, document: Document, version: str, kind: str) -> None:
        body = self._body(document)
        given = body["metadata"]
        namespace = "" if kind == ordered.KIND else given.get("namespace") or "default"
        self._replaced.add((document.kind, namespace, given["name"]))
        if self._is_legacy and kind == _POLICY and namespace not in self._isolated:
            why = f"no effect, as nothing isolates namespace {namespace}: left out"
            self._left_out.append(f"{document.source.place()}: {namespace}/{given['name']}: {why}")
            return
        self._name(document, kind, body)
        metadata = {name: given[name] for name in _KEPT if given.get(name)}
        if "annotations" in metadata:
            kept = {key: own for key, own in given["annotations"].items() if key != _APPLIED}
            metadata = {**metadata, "annotations": kept} if kept else _without_annotations(metadata)
        if kind == ordered.KIND:
            spec = cluster_policy(document, body, self._report(document))
        else:
            spec = spec_of_1_6(body) if self._is_legacy else body.get("spec") or {}
        self._objects.append(
            {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
        )

    def _name(self, document: Document, kind: str, body: Mapping[str, Any]) -> None:
        """Refuse a second object of one name."""
        given = body["metadata"]
        namespace = "" if kind == ordered.KIND else given.get("namespace") or "default"
        place = document.source.place()
        first = self._places.setdefault((kind, namespace, given["name"]), place)
        if first != place:
            name = "/".join(filter(None, (namespace, given["name"])))
            text = f"would be {kind} {name}, as what is at {first}: rename one of them first"
            self._report(document).error(ROOT / "metadata" / "name", text)


def _without_annotations(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: own for name, own in metadata.items() if name != "annotations"}
