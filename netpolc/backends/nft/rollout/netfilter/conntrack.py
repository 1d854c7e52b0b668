"""Open flows in the kernel's connection tracking: the only module that reads or forgets them.

Comes in: values for the mark; addresses; a Program and a node. Goes out: a value that no flow
carries; how many flows were forgotten. Refused (`SystemRefusal`): whatever the kernel refuses.

Netlink and not the program `conntrack`, which reads the whole table again for each flow it deletes
and is not on every machine. Messages are linux/netfilter/nfnetlink_conntrack.h. An entry is deleted
by its tuple, its zone and its number, all as the kernel listed them: other zones have other flows
with the same tuple, and the number keeps a later flow safe.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EINVAL, ENOENT, EOPNOTSUPP

from netpolc.backends.nft.netlink.attributes import by_type, nested, packed
from netpolc.backends.nft.netlink.wire import Netlink
from netpolc.core.errors import RulesetError, SystemRefusal
from netpolc.core.nets import IPV6, Protocol, format_address
from netpolc.core.program import Program
from netpolc.core.semantics import Flow, evaluate

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_...
_GET_STATISTICS, _ALL = 1 << 8 | 5, 1  # IPCTNL_MSG_CT_GET_STATS, CTA_STATS_GLOBAL_ENTRIES
_GET_EXPECTED, _DELETE_EXPECTED = 2 << 8 | 1, 2 << 8 | 2  # NFNL_SUBSYS_CTNETLINK_EXP
_ORIGINAL, _REPLY, _MARK, _NUMBER, _ZONE, _MASK = 1, 2, 8, 12, 18, 21  # CTA_...
_FILTER, _FROM, _TO = 25, 1, 2  # CTA_FILTER, CTA_IP_V4_SRC and _DST, also as bits of its flags
_EXPECTED, _EXPECTED_NUMBER, _EXPECTED_ZONE = 2, 5, 7  # CTA_EXPECT_...
_ENDS, _SERVICE = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
_SOURCE = {socket.AF_INET: 1, socket.AF_INET6: 3}  # CTA_IP_V4_SRC, CTA_IP_V6_SRC
_PROTOCOL, _PORT = 1, 2  # CTA_PROTO_NUM, CTA_PROTO_SRC_PORT
_FAMILY = struct.Struct("=BBH")  # nfgenmsg: family, version, resource
_FEW = 16
"""For so many addresses flows are looked through as bytes, before any is taken apart."""
_FILTERS = ((_ORIGINAL, _FROM), (_ORIGINAL, _TO), (_REPLY, _FROM), (_REPLY, _TO))
"""Where an address may stand in a flow."""
_PASSES, _ON_ITS_WAY = 5, 0.02
"""How often, and how many seconds later, it is looked whether an answer began a flow anew."""
_WITH_PORTS = frozenset(map(int, Protocol))


@dataclass(frozen=True, slots=True)
class OpenFlow:
    """A tracked flow as policies see it: destination and port after translation; and its entry."""

    flow: Flow
    family: socket.AddressFamily
    entry: dict[int, bytes]


def first_unused(values: Iterable[int], mask: int) -> int:
    """The first of some values that no open flow has under the mask of its mark."""
    with _socket() as conntrack:
        for value in values:
            wanted = packed(_MARK, struct.pack(">I", value))
            wanted += packed(_MASK, struct.pack(">I", mask))
            if not _listed(conntrack, _GET, socket.AF_UNSPEC, wanted):
                return value
    raise SystemRefusal(
        "open flows carry every value of the mark that netpolc may use: a wider --ct-mark-mask has "
        "more"
    )


def open_flows(addresses: Collection[int] | None = None) -> Iterator[OpenFlow]:
    """Every tracked flow of both families; of those that have one of few `addresses`, if given,
    and of others perhaps.
    """
    few = None
    if addresses is not None and len(addresses) <= _FEW:
        few = [_packed(own) for own in addresses]
    with _socket() as conntrack:
        for family, content in _all_listed(conntrack, _GET):
            if few is None or any(own in content for own in few):
                entry = by_type(content)
                source, _, _ = _end(entry[_ORIGINAL], family)
                destination, protocol, port = _end(entry[_REPLY], family)
                yield OpenFlow(Flow(source, destination, protocol, port), family, entry)


def forget_denied(program: Program, node: str | None, local: Collection[int] | None = None) -> int:
    """Forget the flows of local pods that the policies deny; gives how many there were.

    Only pods with one of the addresses `local` count, if it is given. Other flows are left alone:
    forgetting an admitted one could break it, because the address of a Service is translated once,
    when the flow begins.
    """
    denied = [own for own in open_flows(local) if _is_denied(program, node, own.flow, local)]
    with _socket() as conntrack:
        return sum(_forget(conntrack, own.family, own.entry) for own in denied)


def forget_addresses(addresses: Collection[int]) -> int:
    """Forget every flow with one of the addresses, before translation or after it, and what
    helpers expect of them; gives how many flows there were.

    An answer that was on its way would begin its flow anew from the other end, if that is admitted,
    and so what begins that way in the next moments is forgotten as well.
    """
    if not addresses:
        return 0
    with _socket() as conntrack:
        ended = _forgotten(conntrack, addresses)
        for _ in range(_PASSES if ended else 0):
            time.sleep(_ON_ITS_WAY)
            if not _forget_answers(conntrack, ended):
                break
    return len(ended)


class FlowFlusher:
    """Forgets flows without a list of them, in the network namespace it was made in.

    Its socket stays open: to close one waits for the kernel to free what the last transaction
    removed, milliseconds after a single element.
    """

    def __init__(self) -> None:
        with _refusals():
            self._conntrack = Netlink()

    def flush(self, addresses: Collection[int]) -> bool:
        """Forget every flow with one of some IPv4 addresses, before translation or after it, and
        what helpers expect of them; False where the kernel cannot, as Linux 6.6, or IPv6 is among
        them: then some may be left.

        For a list the kernel takes a lock for each bucket of a table that all namespaces share,
        here it passes over empty ones: a thirtieth of the time. It does not say which flows it
        forgot. Its filter by an IPv6 address takes the flows of all others (6.18), so that is not
        asked for.
        """
        if any(own >= IPV6 for own in addresses):
            return False
        conntrack = self._conntrack
        with _refusals():
            if _is_empty(conntrack):
                return True
            own = [_packed(address) for address in addresses]
            _forget_expected(conntrack, socket.AF_INET, own)
            return all(_flushed(conntrack, one, place) for one in own for place in _FILTERS)

    def flush_answers(self, addresses: Collection[int]) -> None:
        """Forget every flow that was begun to one of some IPv4 addresses, or from one; only after
        `flush` could do it.
        """
        conntrack = self._conntrack
        with _refusals():
            if not _is_empty(conntrack):
                for address in addresses:
                    for end in (_FROM, _TO):
                        _flushed(conntrack, _packed(address), (_ORIGINAL, end))


def _flushed(conntrack: Netlink, address: bytes, place: tuple[int, int]) -> bool:
    """Have the kernel forget what has an address in one place of a tuple; False if it cannot.

    An older one takes the tuple for that of one flow, and refuses it, since it is not whole.
    """
    way, end = place
    bits = {own: struct.pack("=I", end if own == way else 0) for own in (_ORIGINAL, _REPLY)}
    content = nested(way, nested(_ENDS, packed(end, address)))
    content += nested(_FILTER, *(packed(*own) for own in bits.items()))
    try:
        conntrack.done(_DELETE, _FAMILY.pack(socket.AF_INET, 0, 0) + content)
    except OSError as error:
        if error.errno in (EINVAL, EOPNOTSUPP):
            return False
        raise
    return True


def _forgotten(
    conntrack: Netlink, addresses: Collection[int]
) -> list[tuple[socket.AddressFamily, dict[int, bytes]]]:
    found = []
    listed = list(_all_listed(conntrack, _GET))
    for family in _FAMILIES:
        own = [_packed(address) for address in addresses if _is_of(family, address)]
        if own:
            some = [content for of, content in listed if of == family]
            found += [(family, o) for o in _with_addresses(some, own, (_ORIGINAL, _REPLY))]
            _forget_expected(conntrack, family, own)
    return [own for own in found if _forget(conntrack, *own)]


def _forget_expected(conntrack: Netlink, family: int, addresses: Collection[bytes]) -> None:
    listed = _listed(conntrack, _GET_EXPECTED, family)
    for entry in _with_addresses(listed, addresses, (_EXPECTED,)):
        parts = (_EXPECTED, _EXPECTED_ZONE, _EXPECTED_NUMBER)
        _delete(conntrack, _DELETE_EXPECTED, family, entry, parts)


def _forget_answers(
    conntrack: Netlink, ended: Iterable[tuple[socket.AddressFamily, dict[int, bytes]]]
) -> int:
    """Forget flows that begin with what answered one of those that ended."""
    answers = {entry[_REPLY] for _, entry in ended}
    again = [
        (family, entry)
        for family, content in _all_listed(conntrack, _GET)
        for entry in (by_type(content),)
        if entry[_ORIGINAL] in answers
    ]
    return sum(_forget(conntrack, family, entry) for family, entry in again)


def _with_addresses(
    found: list[bytes], addresses: Collection[bytes], tuples: tuple[int, ...]
) -> list[dict[int, bytes]]:
    """The entries that have one of some addresses in one of their tuples."""
    likely = found
    if len(addresses) <= _FEW:  # most flows are passed over without taking them apart
        likely = [entry for entry in likely if any(address in entry for address in addresses)]
    wanted = frozenset(addresses)
    return [
        entry
        for entry in map(by_type, likely)
        if any(
            not wanted.isdisjoint(by_type(by_type(entry[own])[_ENDS]).values()) for own in tuples
        )
    ]


def _is_denied(
    program: Program, node: str | None, flow: Flow, local: Collection[int] | None
) -> bool:
    """Whether a pod of this node may not have the flow; the others are judged by their nodes."""
    source, destination = (
        pod is not None and pod.is_on(node) and (local is None or address in local)
        for address in (flow.source, flow.destination)
        for pod in (program.pods_by_address.get(address),)
    )
    if not source and not destination:
        return False
    verdict = evaluate(program, flow)
    return (source and not verdict.egress.allowed) or (destination and not verdict.ingress.allowed)


def _forget(conntrack: Netlink, family: int, entry: dict[int, bytes]) -> bool:
    return _delete(conntrack, _DELETE, family, entry, (_ORIGINAL, _ZONE, _NUMBER))


def _delete(
    conntrack: Netlink, kind: int, family: int, entry: dict[int, bytes], parts: tuple[int, ...]
) -> bool:
    """Delete one entry, named by some of its attributes; False when it ended by itself."""
    first = parts[0]
    content = nested(first, entry[first])
    content += b"".join(packed(own, entry[own]) for own in parts[1:] if own in entry)
    try:
        conntrack.done(kind, _FAMILY.pack(family, 0, 0) + content)
    except OSError as error:
        if error.errno == ENOENT:
            return False
        raise
    return True


def _end(content: bytes, family: socket.AddressFamily) -> tuple[str, int, int | None]:
    """Where packets of one direction come from: address, protocol, port (None: it has none)."""
    own = by_type(content)
    address = socket.inet_ntop(family, by_type(own[_ENDS])[_SOURCE[family]])
    service = by_type(own[_SERVICE])
    protocol = service[_PROTOCOL][0]
    port = int.from_bytes(service[_PORT], "big") if protocol in _WITH_PORTS else None
    return address, protocol, port


def _is_of(family: int, address: int) -> bool:
    return (address >= IPV6) == (family == socket.AF_INET6)


def _packed(address: int) -> bytes:
    return ipaddress.ip_address(format_address(address)).packed


def _all_listed(conntrack: Netlink, kind: int) -> Iterator[tuple[socket.AddressFamily, bytes]]:
    """The family and attributes of every entry of both, of one walk of the kernel."""
    if not _is_empty(conntrack):
        for own in conntrack.dumped(kind, _FAMILY.pack(socket.AF_UNSPEC, 0, 0)):
            if own[0] in _FAMILIES:
                yield socket.AddressFamily(own[0]), own[_FAMILY.size :]


def _listed(conntrack: Netlink, kind: int, family: int, content: bytes = b"") -> list[bytes]:
    """The attributes of every entry of a family."""
    if _is_empty(conntrack):
        return []
    found = conntrack.dumped(kind, _FAMILY.pack(family, 0, 0) + content)
    return [own[_FAMILY.size :] for own in found]


def _is_empty(conntrack: Netlink) -> bool:
    """Whether this namespace has no flow, and so nothing that is expected of one, either.

    However few there are, the kernel walks the table of all network namespaces for them, for
    milliseconds.
    """
    counted = conntrack.asked(_GET_STATISTICS, _FAMILY.pack(socket.AF_UNSPEC, 0, 0))
    return counted is not None and not any(by_type(counted[_FAMILY.size :]).get(_ALL, b"?"))


@contextmanager
def _socket() -> Iterator[Netlink]:
    with _refusals(), Netlink() as conntrack:
        yield conntrack


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (OSError, RulesetError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SystemRefusal(f"the kernel refused to show or forget open flows: {why}") from error
