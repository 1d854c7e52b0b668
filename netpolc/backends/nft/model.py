"""A typed nftables ruleset: rules are data until the last line.

Comes in from `lower`; `write` reads it. Only the part of nftables that netpolc emits is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from netpolc.core.nets import Family, Protocol, Span

Field = Literal["saddr", "daddr"]
PortField = Literal["dport", "sport"]
LinkField = Literal["iifname", "oifname"]


class Action(Enum):
    """How a verdict ends or continues the evaluation."""

    ACCEPT = "accept"
    DROP = "drop"
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict; jump and goto name a chain."""

    action: Action
    chain: str = ""


ACCEPT = Verdict(Action.ACCEPT)
DROP = Verdict(Action.DROP)
RETURN = Verdict(Action.RETURN)


# Matches
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PortMatch:
    """Ports of one protocol, of the destination unless told; 0 to 65535 compares the protocol
    alone.
    """

    protocol: Protocol
    first: int
    last: int
    field: PortField = field(default="dport", repr=False)  # names of chains come from `repr`


@dataclass(frozen=True, slots=True)
class SpanMatch:
    """An address inside one block, compared inline."""

    field: Field
    span: Span


@dataclass(frozen=True, slots=True)
class SetMatch:
    """An address in a named set; `interval` sets carry a second field that is always true."""

    field: Field
    family: Family
    name: str
    interval: bool


@dataclass(frozen=True, slots=True)
class PairMatch:
    """Source and destination together in a named set of pairs."""

    family: Family
    name: str


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """`ct state`, any of some: `established,related` are known connections and errors of theirs."""

    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplyDirection:
    """`ct direction reply`: it answers the flow that was judged."""


NO_GENERATION = 1 << 32
"""Stands for the value of a mark until a table has a generation: no mark can be that, so it is
never listed, and nft refuses to load it."""


@dataclass(frozen=True, slots=True)
class FlowMark:
    """The bits of the flow's mark (`ct mark`) under `mask` are `value`."""

    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Acknowledges:
    """A TCP segment with ACK: it began no connection (RFC 9293, section 3.5)."""


@dataclass(frozen=True, slots=True)
class OutOfBridge:
    """`meta oifkind "bridge"`: it leaves by a bridge.

    Of a frame between two ports of one bridge, which br_netfilter shows, that is the bridge itself.
    """


@dataclass(frozen=True, slots=True)
class NamedLink:
    """The interface it came in by (`iifname`) or leaves by (`oifname`) is in a set of names."""

    field: LinkField
    name: str


@dataclass(frozen=True, slots=True)
class NoInterface:
    """`iif 0`: it came in by no interface.

    In postrouting that is what the node itself sends, and what a bridge passes on
    (`br_nf_post_routing` in net/bridge/br_netfilter_hooks.c).
    """


@dataclass(frozen=True, slots=True)
class LocalSource:
    """`fib saddr type local`: the node itself sent it."""


@dataclass(frozen=True, slots=True)
class OnLink:
    """IPv6 with hop limit 255: sent on this link, no router was passed (RFC 4861, section 6.1).

    In the forward hook that is what a bridge hands over (br_netfilter), never a routed packet.
    """


@dataclass(frozen=True, slots=True)
class NeighbourDiscovery:
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


@dataclass(frozen=True, slots=True)
class AddressLookup:
    """Look the address up in a verdict map."""

    field: Field
    family: Family
    name: str


@dataclass(frozen=True, slots=True)
class NetworkLookup:
    """Look the address up in a verdict map of blocks."""

    field: Field
    family: Family
    name: str


@dataclass(frozen=True, slots=True)
class PortLookup:
    """Look protocol and port up in a verdict map; interval maps have the port first."""

    name: str
    interval: bool
    field: PortField = field(default="dport", repr=False)


@dataclass(frozen=True, slots=True)
class Count:
    """Count the packet in a named counter."""

    counter: str


@dataclass(frozen=True, slots=True)
class MarkFlow:
    """Set the bits of the flow's mark under `mask` to `value`, and leave the others alone."""

    mask: int
    value: int

    @property
    def kept(self) -> int:
        """What the mark is ANDed with before `value` is ORed in, as nft itself writes it."""
        return ~self.mask & 0xFFFFFFFF | self.value


@dataclass(frozen=True, slots=True)
class Log:
    """Log with a prefix, at most `rate` (such as `10/second`)."""

    prefix: str
    rate: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Answer with a TCP reset, or with ICMP(v6) administratively prohibited."""

    tcp_reset: bool


Statement = AddressLookup | NetworkLookup | PortLookup | Count | MarkFlow | Log | Reject | Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """Matches, all of which must hold, then statements in order; the comment names policies."""

    matches: tuple[Match, ...]
    statements: tuple[Statement, ...]
    comment: str


# Objects
# ----------------------------------------------------------------------------------------------


def room(count: int) -> int:
    """The `size` of a set or map: at least a quarter more than its elements, to add some later.

    With a size the kernel takes a hash of fixed width, which loads and answers faster than one that
    must be able to grow (`nft_hash_estimate` in net/netfilter/nft_set_hash.c).
    """
    return 1 << max(4, (count + count // 4).bit_length())


@dataclass(frozen=True, slots=True, eq=False)
class AddressSet:
    """Single addresses, in order, as canonical text: a hash in the kernel.

    Of a `counted` one each element counts the packets that were looked up and found.
    """

    name: str
    family: Family
    elements: tuple[str, ...]
    counted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class NetworkSet:
    """Disjoint, merged, sorted blocks.

    The kernel type is `address . inet_proto` with 0-255 as the second field: that makes it a pipapo
    set, which nft 1.0.6 does not read again at every change of any element, as it does with plain
    intervals.
    """

    name: str
    family: Family
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PairSet:
    """Source and destination of one pod: traffic of a pod with itself."""

    name: str
    family: Family
    elements: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class LinkSet:
    """Names of interfaces."""

    name: str
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AddressMap:
    """Verdict by address."""

    name: str
    family: Family
    elements: tuple[tuple[str, Verdict], ...]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkMap:
    """Verdict by block; the blocks are disjoint, and beside a second field as in `NetworkSet`."""

    name: str
    family: Family
    elements: tuple[tuple[Span, Verdict], ...]


@dataclass(frozen=True, slots=True, eq=False)
class PortMap:
    """Verdict by protocol and destination port, as spans of the port line; no spans overlap."""

    name: str
    interval: bool
    elements: tuple[tuple[Span, Verdict], ...]


NamedSet = AddressSet | NetworkSet | PairSet | LinkSet
NamedMap = AddressMap | NetworkMap | PortMap


@dataclass(frozen=True, slots=True, eq=False)
class Counter:
    """A named counter; those named `meta_…` carry facts in their comment and count nothing."""

    name: str
    comment: str


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain sits: filter hook and priority, policy accept."""

    name: str
    priority: int


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A chain; with a hook it is a base chain."""

    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One `inet` table, every object in order of its name."""

    name: str
    counters: tuple[Counter, ...]
    sets: tuple[NamedSet, ...]
    maps: tuple[NamedMap, ...]
    chains: tuple[Chain, ...]
