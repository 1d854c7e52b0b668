"""A typed nftables ruleset: rules are data until the last line.

Comes in from `lower`; `write` reads it. Only the part of nftables that netpolc emits is here.
A ruleset has many of these: as msgspec structures they are made several times as fast as frozen
dataclasses, and the collector does not visit them, because none leads to itself.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from netpolc.core.nets import Family, Protocol, Span

Field = Literal["saddr", "daddr"]
PortField = Literal["dport", "sport"]
LinkField = Literal["iifname", "oifname"]


class Action(StrEnum):
    """How a verdict ends or continues the evaluation."""

    ACCEPT = "accept"
    DROP = "drop"
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"


class Verdict(Struct, frozen=True, gc=False):
    """A verdict; jump and goto name a chain."""

    action: Action
    chain: str = ""


ACCEPT = Verdict(Action.ACCEPT)
DROP = Verdict(Action.DROP)
RETURN = Verdict(Action.RETURN)


# Matches
# ----------------------------------------------------------------------------------------------


class PortMatch(Struct, frozen=True, gc=False):
    """Ports of one protocol, of the destination unless told; 0 to 65535 compares the protocol
    alone.
    """

    protocol: Protocol
    first: int
    last: int
    field: PortField = "dport"


class SpanMatch(Struct, frozen=True, gc=False):
    """An address inside one block, compared inline."""

    field: Field
    span: Span


class SetMatch(Struct, frozen=True, gc=False):
    """An address in a named set; `interval` sets carry a second field that is always true."""

    field: Field
    family: Family
    name: str
    interval: bool


class PairMatch(Struct, frozen=True, gc=False):
    """Source and destination together in a named set of pairs."""

    family: Family
    name: str


class ConnectionState(Struct, frozen=True, gc=False):
    """`ct state`, any of some: `established,related` are known connections and errors of theirs."""

    states: tuple[str, ...]


class ReplyDirection(Struct, frozen=True, gc=False):
    """`ct direction reply`: it answers the flow that was judged."""


NO_GENERATION = 1 << 32
"""Stands for the value of a mark until a table has a generation: no mark can be that, so it is
never listed, and nft refuses to load it."""


class FlowMark(Struct, frozen=True, gc=False):
    """The bits of the flow's mark (`ct mark`) under `mask` are `value`."""

    mask: int
    value: int


class Acknowledges(Struct, frozen=True, gc=False):
    """A TCP segment with ACK: it began no connection (RFC 9293, section 3.5)."""


class OutOfBridge(Struct, frozen=True, gc=False):
    """`meta oifkind "bridge"`: it leaves by a bridge.

    Of a frame between two ports of one bridge, which br_netfilter shows, that is the bridge itself.
    """


class NamedLink(Struct, frozen=True, gc=False):
    """The interface it came in by (`iifname`) or leaves by (`oifname`) is in a set of names."""

    field: LinkField
    name: str


class NoInterface(Struct, frozen=True, gc=False):
    """`iif 0`: it came in by no interface.

    In postrouting that is what the node itself sends, and what a bridge passes on
    (`br_nf_post_routing` in net/bridge/br_netfilter_hooks.c).
    """


class LocalSource(Struct, frozen=True, gc=False):
    """`fib saddr type local`: the node itself sent it."""


class OnLink(Struct, frozen=True, gc=False):
    """IPv6 with hop limit 255: sent on this link, no router was passed (RFC 4861, section 6.1).

    In the forward hook that is what a bridge hands over (br_netfilter), never a routed packet.
    """


class NeighbourDiscovery(Struct, frozen=True, gc=False):
    """ICMPv6 types 133 to 137 (RFC 4861)."""


Match = (
    PortMatch
    | SpanMatch
    | SetMatch
    | PairMatch
    | ConnectionState
    | ReplyDirection
    | FlowMark
    | Acknowledges
    | OutOfBridge
    | NamedLink
    | NoInterface
    | LocalSource
    | OnLink
    | NeighbourDiscovery
)

# Statements
# -------------------------------------------------------------------------------------------


class AddressLookup(Struct, frozen=True, gc=False):
    """Look the address up in a verdict map."""

    field: Field
    family: Family
    name: str


class NetworkLookup(Struct, frozen=True, gc=False):
    """Look the address up in a verdict map of blocks."""

    field: Field
    family: Family
    name: str


class PortLookup(Struct, frozen=True, gc=False):
    """Look protocol and port up in a verdict map; interval maps have the port first."""

    name: str
    interval: bool
    field: PortField = "dport"


class Count(Struct, frozen=True, gc=False):
    """Count the packet in a named counter."""

    counter: str


class MarkFlow(Struct, frozen=True, gc=False):
    """Set the bits of the flow's mark under `mask` to `value`, and leave the others alone."""

    mask: int
    value: int

    @property
    def kept(self) -> int:
        """What the mark is ANDed with before `value` is ORed in, as nft itself writes it."""
        return ~self.mask & 0xFFFFFFFF | self.value


class Log(Struct, frozen=True, gc=False):
    """Log with a prefix, at most `rate` (such as `10/second`)."""

    prefix: str
    rate: str


class Reject(Struct, frozen=True, gc=False):
    """Answer with a TCP reset, or with ICMP(v6) administratively prohibited."""

    tcp_reset: bool


Statement = AddressLookup | NetworkLookup | PortLookup | Count | MarkFlow | Log | Reject | Verdict


class Rule(Struct, frozen=True, gc=False):
    """Matches, all of which must hold, then statements in order; the comment names policies."""

    matches: tuple[Match, ...]
    statements: tuple[Statement, ...]
    comment: str


# Objects
# ----------------------------------------------------------------------------------------------


def room(count: int) -> int:
    """The `size` of a set or map: at least a quarter more than its elements, to add some later.

    With a size the kernel takes a hash of fixed width, which loads and answers faster than one that
    must be able to grow (`nft_hash_estimate` in net/netfilter/nft_set_hash.c). It has buckets for a
    third more, in a power of two (`nft_hash_buckets`): three quarters of one leave none unused.
    """
    wanted = count + count // 4
    return max(16, 3 << ((wanted - 1) // 3).bit_length())


class AddressSet(Struct, frozen=True, eq=False, gc=False):
    """Single addresses, in order, as canonical text: a hash in the kernel.

    Of a `counted` one each element counts the packets that were looked up and found.
    """

    name: str
    family: Family
    elements: tuple[str, ...]
    counted: bool = False


class NetworkSet(Struct, frozen=True, eq=False, gc=False):
    """Disjoint, merged, sorted blocks.

    The kernel type is `address . inet_proto` with 0-255 as the second field: that makes it a pipapo
    set, which nft 1.0.6 does not read again at every change of any element, as it does with plain
    intervals.
    """

    name: str
    family: Family
    spans: tuple[Span, ...]


class PairSet(Struct, frozen=True, eq=False, gc=False):
    """Source and destination of one pod: traffic of a pod with itself."""

    name: str
    family: Family
    elements: tuple[tuple[str, str], ...]


class LinkSet(Struct, frozen=True, eq=False, gc=False):
    """Names of interfaces."""

    name: str
    elements: tuple[str, ...]


class AddressMap(Struct, frozen=True, eq=False, gc=False):
    """Verdict by address."""

    name: str
    family: Family
    elements: tuple[tuple[str, Verdict], ...]


class NetworkMap(Struct, frozen=True, eq=False, gc=False):
    """Verdict by block; the blocks are disjoint, and beside a second field as in `NetworkSet`."""

    name: str
    family: Family
    elements: tuple[tuple[Span, Verdict], ...]


class PortMap(Struct, frozen=True, eq=False, gc=False):
    """Verdict by protocol and destination port, as spans of the port line; no spans overlap."""

    name: str
    interval: bool
    elements: tuple[tuple[Span, Verdict], ...]


NamedSet = AddressSet | NetworkSet | PairSet | LinkSet
NamedMap = AddressMap | NetworkMap | PortMap


class Counter(Struct, frozen=True, eq=False, gc=False):
    """A named counter; those named `meta_…` carry facts in their comment and count nothing."""

    name: str
    comment: str


class Hook(Struct, frozen=True, gc=False):
    """Where a base chain sits: filter hook and priority, policy accept."""

    name: str
    priority: int


class Chain(Struct, frozen=True, eq=False, gc=False):
    """A chain; with a hook it is a base chain."""

    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


class Table(Struct, frozen=True, eq=False, gc=False):
    """One `inet` table, every object in order of its name."""

    name: str
    counters: tuple[Counter, ...]
    sets: tuple[NamedSet, ...]
    maps: tuple[NamedMap, ...]
    chains: tuple[Chain, ...]
