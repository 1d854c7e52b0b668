"""Open flows in the kernel's connection tracking: the only module that reads or forgets them.

Comes in: values for the mark; a Program and a node. Goes out: a value that no flow carries; how
many flows were forgotten. Refused (`SystemRefusal`): a machine without pyroute2, and whatever the
kernel refuses.

pyroute2 and not the program `conntrack`: that reads the whole table again for each flow it deletes,
and k3s brings one that is not on the path.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOENT
from typing import Any

from netpolc.errors import SystemRefusal
from netpolc.nets import Protocol
from netpolc.program import Program
from netpolc.semantics import Flow, evaluate

_INSTALL = "pyroute2 is missing: pip install 'netpolc[node]'"
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_ADDRESSES = {socket.AF_INET: "CTA_IP_V4_SRC", socket.AF_INET6: "CTA_IP_V6_SRC"}


@dataclass(frozen=True, slots=True)
class OpenFlow:
    """A tracked flow as policies see it: destination and port after translation; and its entry."""

    flow: Flow
    family: socket.AddressFamily
    entry: Any


def first_unused(values: Iterable[int], mask: int) -> int:
    """The first of some values that no open flow has under the mask of its mark."""
    with _socket(socket.AF_UNSPEC) as conntrack:
        for value in values:
            if not list(conntrack.dump(mark=value, mark_mask=mask)):
                return value
    raise SystemRefusal(
        "open flows carry every value of the mark that netpolc may use: a wider --ct-mark-mask has "
        "more"
    )


def open_flows() -> Iterator[OpenFlow]:
    """Every tracked flow of both families."""
    for family in _FAMILIES:
        with _socket(family) as conntrack:
            for entry in list(conntrack.dump()):
                source, _, _ = _end(entry, "CTA_TUPLE_ORIG", family)
                destination, protocol, port = _end(entry, "CTA_TUPLE_REPLY", family)
                yield OpenFlow(Flow(source, destination, protocol, port), family, entry)


def forget_denied(program: Program, node: str | None) -> int:
    """Forget the flows of local pods that the policies deny; gives how many there were.

    Others are left alone: forgetting an admitted one could break it, because the address of a
    Service is translated once, when the flow begins.
    """
    denied = [own for own in open_flows() if _is_denied(program, node, own.flow)]
    forgotten = 0
    for family in _FAMILIES:
        with _socket(family) as conntrack:
            forgotten += sum(
                _forget(conntrack, own.entry) for own in denied if own.family is family
            )
    return forgotten


def _is_denied(program: Program, node: str | None, flow: Flow) -> bool:
    """Whether a pod of this node may not have the flow; the others are judged by their nodes."""
    source, destination = (
        pod is not None and node in (None, pod.node)
        for pod in map(program.pods_by_address.get, (flow.source, flow.destination))
    )
    if not source and not destination:
        return False
    verdict = evaluate(program, flow)
    return (source and not verdict.egress.allowed) or (destination and not verdict.ingress.allowed)


def _forget(conntrack: Any, entry: Any) -> bool:
    """Delete one entry; False when it ended by itself. Its number keeps a later one safe."""
    netlink = importlib.import_module("pyroute2.netlink.exceptions")
    try:
        conntrack.entry(
            "del",
            tuple_orig=entry.get_attr("CTA_TUPLE_ORIG"),
            zone=entry.get_attr("CTA_ZONE"),
            id=entry.get_attr("CTA_ID"),
        )
    except netlink.NetlinkError as error:
        if error.code == ENOENT:
            return False
        raise
    return True


def _end(entry: Any, name: str, family: socket.AddressFamily) -> tuple[str, int, int | None]:
    """Where packets of one direction come from: address, protocol, port (None: it has none)."""
    own = entry.get_attr(name)
    address = own.get_attr("CTA_TUPLE_IP").get_attr(_ADDRESSES[family])
    protocol = own.get_attr("CTA_TUPLE_PROTO").get_attr("CTA_PROTO_NUM")
    has_ports = protocol in set(map(int, Protocol))
    port = own.get_attr("CTA_TUPLE_PROTO").get_attr("CTA_PROTO_SRC_PORT") if has_ports else None
    return address, protocol, port


def require() -> None:
    """`SystemRefusal` when this machine lacks what reads open flows; to be asked before a load."""
    with _socket(socket.AF_UNSPEC):
        pass


@contextmanager
def _socket(family: int) -> Iterator[Any]:
    try:
        module = importlib.import_module("pyroute2.netlink.nfnetlink.nfctsocket")
        netlink = importlib.import_module("pyroute2.netlink.exceptions")
    except ImportError as error:
        raise SystemRefusal(_INSTALL) from error
    try:
        with module.NFCTSocket(nfgen_family=family) as conntrack:
            yield conntrack
    except netlink.NetlinkError as error:
        raise SystemRefusal(f"the kernel refused to show or forget open flows: {error}") from error
