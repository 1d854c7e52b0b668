"""Nodes: which addresses their objects list, the blocks of their pods, and their labels.

Comes in: documents of that kind. Goes out: a `Node` each. Refused, with the place: names and labels
the API server would refuse. An address or a block that is none is passed over with a
warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netpolc.core.cluster import Node
from netpolc.core.errors import ROOT, ObjectProblems
from netpolc.core.ir import Origin
from netpolc.core.nets import Span, parse_cidr
from netpolc.frontends.cluster.pods import usable_addresses
from netpolc.frontends.fields import invalid
from netpolc.frontends.frontend import PASSED_OVER, Frontend, Name, Reader, check_fields
from netpolc.frontends.naming import LABELS
from netpolc.frontends.objects import NodeObject, NodeSpec, decode
from netpolc.manifests import Document

KIND = "Node"
_ADDRESS_TYPES = ("InternalIP", "ExternalIP")


class Nodes(Reader):
    """Of two with one name what both say is known, of an odd one neither address nor label."""

    def read(self, document: Document, problems: ObjectProblems) -> Name | None:
        """A node with its internal and external addresses, and its labels."""
        check_fields(document, problems, self._gathered.strict)
        found = decode(document, NodeObject, problems)
        if found is None:
            return None
        name = self._gathered.names.name(found.metadata, problems)
        path = ROOT / "status" / "addresses"
        entries = (found.status.addresses if found.status else None) or []
        texts = (
            (entry.address, path / number / "address")
            for number, entry in enumerate(entries)
            if entry.type in _ADDRESS_TYPES
        )
        addresses = frozenset(usable_addresses(texts, problems))
        own = found.metadata.labels if found.metadata else None
        labels = self._gathered.names.labels(own, LABELS, problems)
        cidrs = tuple(_pod_cidrs(found.spec, problems))
        if not problems.failed:
            origin = Origin(KIND, "", name, (), document.source)
            self._merge(Node(name, addresses, origin, labels, pod_cidrs=cidrs))
        return "", name

    def stand_in(
        self, document: Document, kind: str, report: ObjectProblems
    ) -> tuple[Name | None, str | None]:
        """The node is there, without addresses of its own, and may have any labels."""
        odd = self._gathered.odd
        named = odd.named(document, kind)
        if not odd.has_name(document):
            return named, PASSED_OVER
        name = named[1]
        origin = Origin(kind, "", name, (), document.source)
        self._merge(Node(name, frozenset(), origin, unsure=True))
        return named, "its addresses are passed over"

    def twice(self, name: Name) -> str:
        """Only addresses and labels that both have are known."""
        return "only what both say counts"

    def _merge(self, node: Node) -> None:
        known = self._gathered.nodes
        other = known.get(node.name)
        if other is not None:
            unsure = other.unsure or node.unsure or other.labels != node.labels
            both = dict(other.labels.items() & node.labels.items())
            addresses = other.addresses & node.addresses
            cidrs = tuple(own for own in other.pod_cidrs if own in node.pod_cidrs)
            node = replace(other, addresses=addresses, labels=both, unsure=unsure, pod_cidrs=cidrs)
        known[node.name] = node


def _pod_cidrs(spec: NodeSpec | None, problems: ObjectProblems) -> Iterator[Span]:
    """The blocks of a node's pods; one that is none is passed over with a warning."""
    if spec is None:
        return
    for number, text in enumerate(spec.pod_cidrs or [spec.pod_cidr]):
        if text:
            try:
                yield parse_cidr(text, masked=True)
            except ValueError as error:
                path = ROOT / "spec" / "podCIDRs" / number
                said = f"{invalid(text, str(error))}; it is passed over"
                problems.warning(path, said, code="NP008")


FRONTEND = Frontend({KIND: ("",)}, Nodes, cluster_scoped=True)
