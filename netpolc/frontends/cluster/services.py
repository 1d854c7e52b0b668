"""Services and ranges of their addresses: which pods a name leads to, and on which ports.

Comes in: documents of these kinds. Goes out: a `Service` each, ranges of addresses. No policy asks
for them, so nothing of them stops anything: what cannot be read is passed over with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from netpolc.core.cluster import Service, ServicePort
from netpolc.core.errors import ROOT, ObjectProblems
from netpolc.core.ir import Origin
from netpolc.core.nets import PORTS, Protocol, parse_address, parse_cidr
from netpolc.frontends.cluster.pods import own_waivers
from netpolc.frontends.fields import DEFAULT_NAMESPACE
from netpolc.frontends.frontend import PASSED_OVER, Frontend, Name, Reader
from netpolc.frontends.objects import Metadata, Text
from netpolc.manifests import Document

T = TypeVar("T")
KIND, RANGE = "Service", "ServiceCIDR"
_HEADLESS = "None"
_DIGITS = 5
_PROTOCOLS = Protocol.__members__


class ServicePortEntry(msgspec.Struct, frozen=True, gc=False):
    """`spec.ports[]`."""

    name: Text = None
    protocol: Text = None
    port: int | float | None = None
    targetPort: int | float | str | None = None


class ServiceSpec(msgspec.Struct, frozen=True, gc=False):
    """`spec` of a Service."""

    selector: dict[str, str] | None = None
    ports: list[ServicePortEntry] | None = None
    clusterIP: Text = None
    clusterIPs: list[str] | None = None
    type: Text = None


class ServiceObject(msgspec.Struct, frozen=True, gc=False):
    """A Service."""

    metadata: Metadata | None = None
    spec: ServiceSpec | None = None


class RangeSpec(msgspec.Struct, frozen=True, gc=False):
    """`spec` of a ServiceCIDR."""

    cidrs: list[str] | None = None


class RangeObject(msgspec.Struct, frozen=True, gc=False):
    """A ServiceCIDR."""

    spec: RangeSpec | None = None


def leniently(document: Document, model: type[T], problems: ObjectProblems) -> T | None:
    """The object; None, with a warning, of one that has fields of other types."""
    try:
        return document.typed(model)
    except (msgspec.MsgspecError, RecursionError) as error:
        text = str(error).replace("`", "")
        problems.warning(ROOT, f"{document.kind}: {text}; {PASSED_OVER}")
        return None


def place_of(metadata: Metadata | None) -> Name:
    """Namespace and name."""
    own = metadata or Metadata()
    return own.namespace or DEFAULT_NAMESPACE, own.name or ""


class Services(Reader):
    """Reads Services; of two with one name the first counts."""

    def read(self, document: Document, report: ObjectProblems) -> Name | None:
        """A Service. Its name is given to nobody: two of them are no reason to refuse anything."""
        found = leniently(document, ServiceObject, report)
        if found is None:
            return None
        key = place_of(found.metadata)
        spec = found.spec or ServiceSpec()
        known = self._gathered.services.get(key)
        if known is not None:
            text = f"Service {'/'.join(key)} is already at {known.origin.place()}; {PASSED_OVER}"
            report.warning(ROOT, text)
            return None
        is_headless = _HEADLESS in (spec.clusterIP, *(spec.clusterIPs or ()))
        origin = Origin(KIND, *key, (), document.source)
        self._gathered.services[key] = Service(
            *key,
            spec.selector or None,
            tuple(_ports(spec, is_headless)),
            frozenset(_addresses(spec)),
            origin,
            own_waivers(found.metadata),
            spec.type == "ExternalName",
        )
        return None


def _ports(spec: ServiceSpec, is_headless: bool) -> Iterator[ServicePort]:
    """The ports; a headless Service leads nowhere, its name is the pods' addresses."""
    for entry in spec.ports or ():
        protocol = entry.protocol or "TCP"
        if entry.port is None or not 0 < entry.port < PORTS or protocol not in _PROTOCOLS:
            continue
        number = int(entry.port)
        target = number if is_headless else port_or_name(entry.targetPort) or number
        yield ServicePort(entry.name or "", Protocol[protocol], number, target)


def port_or_name(value: int | float | str | None) -> int | str | None:
    """A port by number or name; None of what is neither."""
    if isinstance(value, str):
        is_number = value.isascii() and value.isdecimal()
        if not is_number or len(value) > _DIGITS:
            return None if is_number else value or None
        value = int(value)
    return int(value) if value is not None and 0 < value < PORTS else None


def _addresses(spec: ServiceSpec) -> Iterator[int]:
    for text in dict.fromkeys((spec.clusterIP or "", *(spec.clusterIPs or ()))):
        try:
            yield parse_address(text)
        except ValueError:  # "None", or an address that API servers of old took
            continue


class ServiceRanges(Reader):
    """Reads ServiceCIDRs."""

    def read(self, document: Document, report: ObjectProblems) -> Name | None:
        """Its ranges."""
        found = leniently(document, RangeObject, report)
        spec = found.spec if found is not None else None
        for text in (spec.cidrs if spec is not None else None) or ():
            try:
                self._gathered.service_ranges.append(parse_cidr(text))
            except ValueError as error:
                report.warning(ROOT / "spec" / "cidrs", f"{error}; {PASSED_OVER}")
        return None


FRONTEND = Frontend({KIND: ("",)}, Services, judged=False)
RANGES = Frontend({RANGE: ("networking.k8s.io",)}, ServiceRanges, cluster_scoped=True, judged=False)
