"""`Stub` (netpolc.dev/v1): pods and namespaces that come from elsewhere, as far as policies ask.

Comes in: one manifest, or a table `stubs` of a file of settings. Goes out: a pod without address,
as of a workload's template, unless pods with its labels are here; the labels of its namespace,
unless the Namespace is here. Refused, with the place: unknown fields, and what the API server would
refuse of labels, ports and names.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from netpolc.core.cluster import NAME_LABEL, Namespace, Pod
from netpolc.core.errors import ROOT, ObjectProblems
from netpolc.core.ir import Origin
from netpolc.core.nets import PORTS, Protocol
from netpolc.frontends.fields import METADATA_FIELDS, Fields, invalid
from netpolc.frontends.frontend import Frontend, Gathered, Name, Reader
from netpolc.frontends.objects import Labels, Metadata, Text, decode
from netpolc.manifests import Document

API_VERSION, KIND = "netpolc.dev/v1", "Stub"
_FIELDS = ("apiVersion", "kind", "metadata", "labels", "ports", "namespaceLabels")
_PORT_FIELDS = ("name", "port", "protocol")
_ELSEWHERE = frozenset({"NP501", "NP502", "NP503"})
"""Findings about pods that are somebody else's concern: that nothing isolates them, or lets them
ask DNS."""


class StubPort(msgspec.Struct, frozen=True, gc=False):
    """`ports[]`."""

    name: Text = None
    port: int | float | None = None
    protocol: Text = None


class StubObject(msgspec.Struct, frozen=True, gc=False):
    """A Stub."""

    metadata: Metadata | None = None
    labels: Labels = None
    ports: list[StubPort] | None = None
    namespaceLabels: Labels = None


class Stubs(Reader):
    """Reads stubs; what they stand for is there once everything else is read."""

    def __init__(self, gathered: Gathered) -> None:
        super().__init__(gathered)
        self._pods: list[Pod] = []
        self._namespaces: list[Namespace] = []

    def read(self, document: Document, report: ObjectProblems) -> Name | None:
        """The pod and the namespace that one declares."""
        self._check_fields(document, report)
        found = None if report.failed else decode(document, StubObject, report)
        if found is None:
            return None
        names = self._gathered.names
        namespace, name = names.namespaced(found.metadata, report, document)
        labels = names.labels(found.labels, ROOT / "labels", report)
        spaces = names.labels(found.namespaceLabels, ROOT / "namespaceLabels", report)
        ports = list(_ports(found.ports or [], report))
        if found.labels is None and found.namespaceLabels is None and not ports:
            report.error(ROOT / "labels", "Required value: labels, ports or namespaceLabels")
        if report.failed:
            return namespace, name
        origin = Origin(KIND, namespace, name, (), document.source)
        if found.labels is not None or ports:
            declared = frozenset((protocol, number) for _, protocol, number in ports) or None
            self._pods.append(
                Pod(
                    namespace,
                    f"{name}[{KIND}]",
                    labels,
                    (),
                    "",
                    (),
                    False,
                    tuple(sorted(own for own in ports if own[0])),
                    origin,
                    _ELSEWHERE,
                    (KIND, name),
                    declared=declared,
                )
            )
        if found.namespaceLabels is not None:
            everything = {**spaces, NAME_LABEL: namespace}
            self._namespaces.append(Namespace(namespace, everything, origin, _ELSEWHERE))
        return namespace, name

    def _check_fields(self, document: Document, report: ObjectProblems) -> None:
        strict = self._gathered.strict
        fields = Fields(report, strict)
        body = fields.mapping(document.fields(report, strict), ROOT, _FIELDS) or {}
        if isinstance(body.get("metadata"), dict):
            fields.mapping(body["metadata"], ROOT / "metadata", METADATA_FIELDS)
        ports = body.get("ports")
        for number, port in enumerate(ports if isinstance(ports, list) else ()):
            fields.mapping(port, ROOT / "ports" / number, _PORT_FIELDS)

    def finish(self) -> None:
        """Add pods where none with these labels lives, and namespaces that have no object."""
        gathered = self._gathered
        living = gathered.pods.values()
        for pod in self._pods:
            wanted = pod.labels.items()
            if not any(o.namespace == pod.namespace and wanted <= o.labels.items() for o in living):
                gathered.templates.append(pod)
        for space in self._namespaces:
            known = gathered.namespaces.setdefault(space.name, space)
            if known.origin is not None and known.origin.kind == KIND and known is not space:
                both = {**known.labels, **space.labels}
                gathered.namespaces[space.name] = Namespace(
                    space.name, both, known.origin, known.waived
                )


def _ports(entries: list[StubPort], report: ObjectProblems) -> Iterator[tuple[str, int, int]]:
    for number, entry in enumerate(entries):
        path = ROOT / "ports" / number
        port = entry.port
        if port is None or not 0 < port < PORTS or port != int(port):
            report.error(path / "port", "must be between 1 and 65535, inclusive")
        elif (entry.protocol or "TCP") not in Protocol.__members__:
            text = invalid(entry.protocol, 'supported values: "TCP", "UDP", "SCTP"')
            report.error(path / "protocol", text)
        else:
            yield entry.name or "", int(Protocol[entry.protocol or "TCP"]), int(port)


FRONTEND = Frontend({KIND: (API_VERSION,)}, Stubs)
