"""What neither a ruleset nor the policies tell apart: classes of addresses and of other fields.

Comes in: a Program, a `Listing`, the node it is for. Goes out: classes with a few members each,
which stand for all. Every element of the ruleset, every pod, node address and block of the policies
labels the numbers it covers; numbers with the same labels are one class. So a pod that is missing
from one set is in a class of its own, and every edge of every block begins one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product

from netpolc.backends.nft.readback.fields import LINKS, STATES, Field
from netpolc.backends.nft.readback.listing import Elements, Listing
from netpolc.backends.nft.readback.tracer import (
    ECHO_REQUEST,
    ICMPV6,
    ROUTED,
    ROUTED_HOP_LIMIT,
    Link,
)
from netpolc.core.cluster import Pod
from netpolc.core.ir import ANY
from netpolc.core.nets import (
    GROUPS,
    IPV6,
    LINK_LOCAL,
    NOTHING,
    Family,
    Protocol,
    Ranges,
    Span,
    family,
)
from netpolc.core.program import Program

Labelled = tuple[Span, Hashable]
_NEW, _INVALID, _ESTABLISHED, _RELATED = map(
    STATES.index, ("new", "invalid", "established", "related")
)
_KNOWN = {_ESTABLISHED, _RELATED}
DISCOVERY = (133, 137)
_ON_LINK = 255
_LINES = {Family.IPV4: (0, (1 << 32) - 1), Family.IPV6: (IPV6, 2 * IPV6 - 1)}
MAPPED = (IPV6 + (0xFFFF << 32), IPV6 + (0x10000 << 32) - 1)
"""IPv4-mapped addresses, which no packet carries (RFC 4291, section 2.5.5.2)."""
_ADDRESS_FIELDS = {"ipv4_addr", "ipv6_addr"}


def partition(labelled: Iterable[Labelled], line: Span) -> dict[frozenset[Hashable], list[Span]]:
    """The spans of a line by the labels that cover them; spans of one label must be disjoint."""
    first, last = line
    events: dict[int, tuple[set[Hashable], set[Hashable]]] = {first: (set(), set())}
    for (low, high), label in labelled:
        if low <= last and high >= first:
            events.setdefault(max(low, first), (set(), set()))[0].add(label)
            if high < last:
                events.setdefault(high + 1, (set(), set()))[1].add(label)
    found: dict[frozenset[Hashable], list[Span]] = {}
    covering: set[Hashable] = set()
    starts = sorted(events)
    for start, following in zip(starts, [*starts[1:], last + 1], strict=True):
        opened, closed = events[start]
        covering = covering - closed | opened
        found.setdefault(frozenset(covering), []).append((start, following - 1))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class AddressClass:
    """Addresses that only the node of their pods tells apart: two members for each such node.

    `of_node` says whether they are addresses of nodes themselves.
    """

    members: tuple[int, ...]
    of_node: bool


@dataclass(frozen=True, slots=True)
class Variant:
    """A packet's fields beside those of a flow: connection state, hop limit, ICMPv6 type, link.

    `judged` is whether the flow is marked as judged by this table, None where no table rechecks;
    `direction` 1 for replies, None where nothing is tracked.
    """

    state: int
    hop_limit: int | None
    icmpv6_type: int | None
    direction: int | None = 0
    judged: bool | None = None
    link: Link = ROUTED
    acknowledges: bool = False

    def value(self, field: Field) -> int | None:
        """What a packet has in a field that is none of a flow's; None if it has no such field."""
        link = self.link
        values = {
            Field.STATE: self.state,
            Field.HOP_LIMIT: self.hop_limit,
            Field.DIRECTION: self.direction,
            Field.JUDGED: int(bool(self.judged)),
            Field.OUT_KIND: int(link.bridge),
            Field.IN_NAME: link.iifname,
            Field.OUT_NAME: link.oifname,
            Field.IN_INDEX: int(link.iifname != 0),
            Field.ACKNOWLEDGES: int(self.acknowledges),
        }
        return values[field]

    @property
    def invalid(self) -> bool:
        """Whether connection tracking knows nothing of it: it is never counted as a denial."""
        return self.state == _INVALID

    @property
    def on_link(self) -> bool:
        """Whether no router can have forwarded it (RFC 4861, section 7.1)."""
        return self.hop_limit == _ON_LINK

    @property
    def passes_anyway(self) -> bool:
        """Known connections and neighbour discovery are never judged (docs/semantics.md)."""
        low, high = DISCOVERY
        discovery = self.on_link and low <= (self.icmpv6_type or 0) <= high
        return (self.state in _KNOWN and self.judged is not False) or discovery

    @property
    def answers(self) -> bool:
        """Whether it is judged as the flow that it answers."""
        return (self.state, self.direction, self.judged) == (_ESTABLISHED, 1, False)

    @property
    def may_be_remembered(self) -> bool:
        """Whether its verdict is that of its flow: a related packet is judged as itself."""
        return self.state in (_NEW, _ESTABLISHED)

    @property
    def possible(self) -> bool:
        """Whether connection tracking makes such packets: what is new answers nothing."""
        if self.state in _KNOWN:
            return self.direction is not None
        if self.state == _NEW:
            return self.direction == 0
        return self.direction is None and not self.judged

    def differs(self, other: Variant, states: Iterable[int]) -> int:
        """A bit for each `Field` in which two variants differ; of what answers a flow, all.

        Connection states differ where one of some sets of them (`Trace.states`) has but one.
        """
        if self.answers is not other.answers:
            return -1
        return (
            any((own >> self.state ^ own >> other.state) & 1 for own in states) << Field.STATE
            | (self.hop_limit != other.hop_limit) << Field.HOP_LIMIT
            | (self.icmpv6_type != other.icmpv6_type) << Field.ICMPV6_TYPE
            | (self.direction != other.direction) << Field.DIRECTION
            | (self.judged != other.judged) << Field.JUDGED
            | (self.link.bridge != other.link.bridge) << Field.OUT_KIND
            | (self.link.iifname != other.link.iifname) << Field.IN_NAME
            | (self.link.oifname != other.link.oifname) << Field.OUT_NAME
            | ((self.link.iifname == 0) != (other.link.iifname == 0)) << Field.IN_INDEX
            | (self.acknowledges != other.acknowledges) << Field.ACKNOWLEDGES
        )

    def __str__(self) -> str:
        words = [] if self.state == 0 else [STATES[self.state]]
        if self.icmpv6_type not in (None, ECHO_REQUEST):
            words.append(f"ICMPv6 type {self.icmpv6_type}")
        if self.hop_limit not in (None, ROUTED_HOP_LIMIT):
            words.append(f"hop limit {self.hop_limit}")
        if self.direction == 1:
            words.append("reply")
        if self.judged:
            words.append("judged before")
        if self.link != ROUTED:
            words.append(str(self.link))
        if self.acknowledges:
            words.append("ACK")
        return ", ".join(words)


class Classes:
    """The classes of one ruleset and one Program, for a node (None: every pod is local) with some
    pod bridges, by names as numbers. `pending` are the addresses for pods of the node.
    """

    def __init__(
        self,
        program: Program,
        listing: Listing,
        node: str | None,
        bridges: Iterable[int],
        pending: Ranges = NOTHING,
    ) -> None:
        self._program, self._listing, self._node = program, listing, node
        self.pending = pending
        self._bridges = tuple(bridges)
        self._of_nodes = frozenset[int]().union(*self.nodes)

    def is_local(self, pod: Pod) -> bool:
        """Whether the ruleset is to judge a pod."""
        return pod.is_on(self._node)

    def addresses(self, version: Family) -> tuple[AddressClass, ...]:
        """The address classes of a family."""
        labelled = [*self._ruleset_labels(), *self._policy_labels(), (MAPPED, "mapped")]
        labelled += [(LINK_LOCAL, "link-local"), (GROUPS[version], "group")]
        labelled += [(span, "pending") for span in self.pending]
        found = partition(labelled, _LINES[version])
        return tuple(self._class(own) for labels, own in found.items() if "mapped" not in labels)

    def _class(self, spans: list[Span]) -> AddressClass:
        return self.made_of(at for first, last in spans for at in islice(range(first, last + 1), 2))

    def made_of(self, addresses: Iterable[int]) -> AddressClass:
        """The class of some addresses, of which it keeps two for each node of their pods."""
        pods, cluster = self._program.pods_by_address, self._program.cluster
        by_node: dict[frozenset[int], list[int]] = {}
        for address in addresses:
            pod = pods.get(address)
            node = cluster.node_addresses(pod) if pod is not None else frozenset[int]()
            some = by_node.setdefault(node, [])
            if len(some) < 2:
                some.append(address)
        members = tuple(address for some in by_node.values() for address in some)
        return AddressClass(members, members[0] in self._of_nodes)

    @cached_property
    def nodes(self) -> tuple[frozenset[int], ...]:
        """The addresses of each node, by its object and by what its pods say of it."""
        cluster = self._program.cluster
        found = {node.addresses: None for node in cluster.nodes.values()}
        found.update({frozenset(pod.host_addresses): None for pod in cluster.pods})
        return tuple(own for own in found if own)

    @cached_property
    def networks(self) -> tuple[Ranges, ...]:
        """The blocks of the rules, each once."""
        matches = {
            id(rule.match.networks): rule.match.networks
            for combination in (*self._program.combinations, *self._program.tried)
            for tier in combination.tiers
            for rule in tier.rules
        }
        return tuple({own: None for own in matches.values() if own is not ANY})

    def _policy_labels(self) -> Iterator[Labelled]:
        for identity in self._program.identities:
            for pod in identity.pods:
                several = len({family(address) for address in pod.addresses}) < len(pod.addresses)
                own = pod.key if several else ""  # its addresses are more than equal: they are one
                for address in pod.addresses:
                    yield (address, address), ("pod", identity.number, self.is_local(pod), own)
        for number, addresses in enumerate(self.nodes):
            for address in addresses:
                yield (address, address), ("node", number)
        for number, ranges in enumerate(self.networks):
            for span in ranges:
                yield span, ("network", number)

    def _ruleset_labels(self) -> Iterator[Labelled]:
        for number, elements in enumerate(self._asked_elements):
            for at, (box, verdict) in enumerate(elements.entries):
                addresses = [
                    place for place, kind in enumerate(elements.kinds) if kind in _ADDRESS_FIELDS
                ]
                rest = tuple(span for place, span in enumerate(box) if place not in addresses)
                label: Hashable = (number, rest, verdict)
                if len(addresses) > 1:
                    # Each address with itself is one property; any other pair tells its two apart.
                    single = (
                        len({box[place] for place in addresses}) == 1 and box[0][0] == box[0][1]
                    )
                    label = (number, "itself") if single else (number, at)
                if len(addresses) > 1 and label == (number, at):
                    yield from ((box[place], (*label, place)) for place in addresses)
                elif addresses:
                    yield box[addresses[0]], label

    @cached_property
    def _asked_elements(self) -> tuple[Elements, ...]:
        """The elements of every test, each once."""
        return tuple({id(test.elements): test.elements for test in self._listing.tests()}.values())

    @cached_property
    def portless(self) -> tuple[int, ...]:
        """One protocol without ports of each class; ICMP, GRE and ICMPv6 always."""
        own = [((at, at), at) for at in (*map(int, Protocol), ICMPV6)]
        found = self._representatives(Field.PROTOCOL, own, (1, 47), (0, 255))
        return tuple(sorted({1, 47, *found} - set(map(int, Protocol))))

    @cached_property
    def types(self) -> tuple[int, ...]:
        """One type of ICMPv6 of each class."""
        own = [(DISCOVERY, "discovery")]
        return tuple(self._representatives(Field.ICMPV6_TYPE, own, (ECHO_REQUEST,), (0, 255)))

    @cached_property
    def variants(self) -> dict[tuple[Family, bool], tuple[Variant, ...]]:
        """Variants by family and whether the packet is ICMPv6; the first is the plainest."""
        known = [((at, at), "known") for at in _KNOWN] + [((_INVALID, _INVALID), "invalid")]
        states = self._representatives(Field.STATE, known, (0,), (0, len(STATES) - 1))
        on_link = [((_ON_LINK, _ON_LINK), "on link")]
        hops = self._representatives(Field.HOP_LIMIT, on_link, (ROUTED_HOP_LIMIT,), (0, 255))
        rechecks = self._listing.rechecks
        own = [((1, 1), "reply")] if rechecks else []
        directions = (*self._representatives(Field.DIRECTION, own, (0, 1), (0, 1)), None)
        judged = (False, True) if rechecks else (None,)
        segments = self._representatives(Field.ACKNOWLEDGES, (), (0, 1), (0, 1))
        found = {}
        for version, icmpv6 in product(Family, (False, True)):
            limits: Sequence[int | None] = hops if version is Family.IPV6 else (None,)
            kinds: Sequence[int | None] = self.types if icmpv6 else (None,)
            choices = product(
                states, limits, kinds, directions, judged, self.links, map(bool, segments)
            )
            variants = [own for own in (Variant(*choice) for choice in choices) if own.possible]
            found[version, icmpv6] = tuple(sorted(variants, key=lambda own: len(str(own))))
        return found

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Where packets come in and leave: routed, and by bridges whose names are told apart."""
        own = [((name, name), "pod bridge") for name in self._bridges]
        came, left = (
            self._representatives(field, own, (ROUTED.iifname,), LINKS, members=True)
            for field in (Field.IN_NAME, Field.OUT_NAME)
        )
        if self._listing.hook == "postrouting":
            came.append(0)
        return (ROUTED, *(Link(True, *names) for names in product(came, left)))

    def _representatives(
        self,
        wanted: Field,
        policies: Iterable[Labelled],
        preferred: Sequence[int],
        line: Span,
        *,
        members: bool = False,
    ) -> list[int]:
        """One value of each class of a field, a preferred one if the class has it; with `members`
        the elements of one set are alike.
        """
        labelled = list(policies)
        for number, test in enumerate(self._listing.tests()):
            for place, own in enumerate(test.fields):
                if own is wanted:
                    boxes = enumerate(box for box, _ in test.elements.entries)
                    spans = {box[place]: at for at, box in boxes}
                    labelled += [(span, (number, span if not members else ())) for span in spans]
        return [
            next((at for at in preferred if any(a <= at <= b for a, b in spans)), spans[0][0])
            for spans in partition(labelled, line).values()
        ]
