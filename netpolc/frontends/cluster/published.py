"""Ingresses, routes of the Gateway API and of OpenShift: which ports of Services they publish.

Comes in: documents of these kinds. Goes out: a `Publication` each. No policy asks for them: what
cannot be read is passed over with a warning. Sources: Kubernetes `networking/v1` and
`extensions/v1beta1`, Gateway API `v1`, OpenShift `route/v1`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from netpolc.core.cluster import Publication, PublishedPort
from netpolc.core.errors import ObjectProblems
from netpolc.core.ir import Origin
from netpolc.frontends.cluster.pods import own_waivers
from netpolc.frontends.cluster.services import KIND as SERVICE
from netpolc.frontends.cluster.services import leniently, place_of, port_or_name
from netpolc.frontends.frontend import Frontend, Name, Reader
from netpolc.frontends.objects import Metadata, Text
from netpolc.manifests import Document

_GATEWAY = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
Field = tuple[str | int, ...]


class BackendPort(msgspec.Struct, frozen=True, gc=False):
    """`backend.service.port`."""

    name: Text = None
    number: int | float | None = None


class BackendService(msgspec.Struct, frozen=True, gc=False):
    """`backend.service`."""

    name: Text = None
    port: BackendPort | None = None


class Backend(msgspec.Struct, frozen=True, gc=False):
    """`backend`, with the fields that `extensions/v1beta1` had."""

    service: BackendService | None = None
    serviceName: Text = None
    servicePort: int | float | str | None = None


class HTTPPath(msgspec.Struct, frozen=True, gc=False):
    """`http.paths[]`."""

    backend: Backend | None = None


class HTTPPaths(msgspec.Struct, frozen=True, gc=False):
    """`rules[].http`."""

    paths: list[HTTPPath] | None = None


class IngressRule(msgspec.Struct, frozen=True, gc=False):
    """`spec.rules[]` of an Ingress."""

    http: HTTPPaths | None = None


class BackendRef(msgspec.Struct, frozen=True, gc=False):
    """`backendRefs[]`, `parentRefs[]`, `to` and `alternateBackends[]`."""

    kind: Text = None
    name: Text = None
    namespace: Text = None
    port: int | float | None = None


class GatewayRule(msgspec.Struct, frozen=True, gc=False):
    """`spec.rules[]` of a route of the Gateway API."""

    backendRefs: list[BackendRef] | None = None


class RoutePort(msgspec.Struct, frozen=True, gc=False):
    """`spec.port` of a Route."""

    targetPort: int | float | str | None = None


class IngressSpec(msgspec.Struct, frozen=True, gc=False):
    """`spec` of an Ingress."""

    defaultBackend: Backend | None = None
    backend: Backend | None = None
    rules: list[IngressRule] | None = None


class GatewaySpec(msgspec.Struct, frozen=True, gc=False):
    """`spec` of a route of the Gateway API."""

    parentRefs: list[BackendRef] | None = None
    rules: list[GatewayRule] | None = None


class RouteSpec(msgspec.Struct, frozen=True, gc=False):
    """`spec` of a Route of OpenShift."""

    to: BackendRef | None = None
    alternateBackends: list[BackendRef] | None = None
    port: RoutePort | None = None


class IngressObject(msgspec.Struct, frozen=True, gc=False):
    """An Ingress."""

    metadata: Metadata | None = None
    spec: IngressSpec | None = None


class GatewayObject(msgspec.Struct, frozen=True, gc=False):
    """A route of the Gateway API."""

    metadata: Metadata | None = None
    spec: GatewaySpec | None = None


class RouteObject(msgspec.Struct, frozen=True, gc=False):
    """A Route of OpenShift."""

    metadata: Metadata | None = None
    spec: RouteSpec | None = None


Reference = tuple[str, str, int | float | str | None, Field]
"""Namespace (empty: that of the object), name, port and place of a backend."""


def _of_ingress(document: Document, report: ObjectProblems) -> Found:
    found = leniently(document, IngressObject, report)
    spec = found.spec if found is not None else None
    return (found.metadata if found else None), list(_ingress_backends(spec or IngressSpec()))


def _ingress_backends(spec: IngressSpec) -> Iterator[Reference]:
    named = (("defaultBackend", spec.defaultBackend), ("backend", spec.backend))
    entries: list[tuple[Field, Backend]] = [
        (("spec", field), backend) for field, backend in named if backend is not None
    ]
    for number, rule in enumerate(spec.rules or ()):
        for place, path in enumerate((rule.http.paths if rule.http else None) or ()):
            if path.backend is not None:
                at: Field = ("spec", "rules", number, "http", "paths", place, "backend")
                entries.append((at, path.backend))
    for field, backend in entries:
        service = backend.service
        if service is not None and service.name:
            port = service.port or BackendPort()
            yield "", service.name, port.name or port.number, (*field, "service")
        elif backend.serviceName:
            yield "", backend.serviceName, backend.servicePort, field


def _of_gateway(document: Document, report: ObjectProblems) -> Found:
    found = leniently(document, GatewayObject, report)
    spec = (found.spec if found is not None else None) or GatewaySpec()
    parents = [own.kind for own in spec.parentRefs or ()]
    if parents and all(kind == SERVICE for kind in parents):
        return None, []  # of a mesh: nothing comes in by it
    entries: list[Reference] = [
        (own.namespace or "", own.name, own.port, ("spec", "rules", number, "backendRefs", place))
        for number, rule in enumerate(spec.rules or ())
        for place, own in enumerate(rule.backendRefs or ())
        if own.name and (own.kind or SERVICE) == SERVICE
    ]
    return (found.metadata if found else None), entries


def _of_route(document: Document, report: ObjectProblems) -> Found:
    found = leniently(document, RouteObject, report)
    spec = (found.spec if found is not None else None) or RouteSpec()
    port = spec.port.targetPort if spec.port is not None else None
    entries: list[tuple[Field, BackendRef | None]] = [(("spec", "to"), spec.to)]
    others = enumerate(spec.alternateBackends or ())
    entries += [(("spec", "alternateBackends", number), own) for number, own in others]
    return (found.metadata if found else None), [
        ("", own.name, port, field)
        for field, own in entries
        if own is not None and own.name and (own.kind or SERVICE) == SERVICE
    ]


Found = tuple[Metadata | None, list[Reference]]
_READERS: dict[str, Callable[[Document, ObjectProblems], Found]] = {
    "Ingress": _of_ingress,
    "Route": _of_route,
    **dict.fromkeys(_GATEWAY, _of_gateway),
}


class Publications(Reader):
    """Reads what publishes ports of Services."""

    def read(self, document: Document, report: ObjectProblems) -> Name | None:
        """One of them, if it publishes anything."""
        metadata, entries = _READERS[document.kind](document, report)
        namespace, name = place_of(metadata)
        origin = Origin(document.kind, namespace, name, (), document.source)
        backends = tuple(
            PublishedPort(space or namespace, service, port_or_name(port), field)
            for space, service, port, field in entries
        )
        if backends:
            own = Publication(tuple(dict.fromkeys(backends)), origin, own_waivers(metadata))
            self._gathered.published.append(own)
        return None


FRONTEND = Frontend(
    {
        "Ingress": ("networking.k8s.io", "extensions"),
        "Route": ("route.openshift.io",),
        **dict.fromkeys(_GATEWAY, ("gateway.networking.k8s.io",)),
    },
    Publications,
    judged=False,
)
