"""Nodes: which addresses their objects list.

Comes in: documents of that kind. Goes out: a `Node` each. Refused, with the place: names the API
server would refuse. An address that is none is passed over with a warning.
"""

from __future__ import annotations

from dataclasses import replace

from netpolc.core.cluster import Node
from netpolc.core.errors import ROOT, ObjectProblems
from netpolc.core.ir import Origin
from netpolc.frontends.frontend import PASSED_OVER, Frontend, Name, Reader, check_fields
from netpolc.frontends.objects import NodeObject, decode
from netpolc.frontends.pods import usable_addresses
from netpolc.manifests import Document

KIND = "Node"
_ADDRESS_TYPES = ("InternalIP", "ExternalIP")


class Nodes(Reader):
    """Of two with one name the addresses that both have are known, of an odd one none."""

    def read(self, document: Document, problems: ObjectProblems) -> Name | None:
        """A node with its internal and external addresses."""
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
        if not problems.failed:
            self._merge(Node(name, addresses, Origin(KIND, "", name, (), document.source)))
        return "", name

    def stand_in(
        self, document: Document, kind: str, report: ObjectProblems
    ) -> tuple[Name | None, str | None]:
        """The node is there, without addresses of its own."""
        odd = self._gathered.odd
        named = odd.named(document, kind)
        if not odd.has_name(document):
            return named, PASSED_OVER
        name = named[1]
        self._merge(Node(name, frozenset(), Origin(kind, "", name, (), document.source)))
        return named, "its addresses are passed over"

    def twice(self, name: Name) -> str:
        """Only addresses that both have are known."""
        return "only what both say counts"

    def _merge(self, node: Node) -> None:
        known = self._gathered.nodes
        other = known.get(node.name)
        if other is not None:
            node = replace(other, addresses=other.addresses & node.addresses)
        known[node.name] = node


FRONTEND = Frontend({KIND: ("",)}, Nodes, cluster_scoped=True)
