"""What a ruleset and the policies tell apart, numbered: each set of packets is a few sets of bits.

Comes in: a Program, a `Listing`, `Classes`. Goes out: one `AddressAxis` a family, whose bits are
address classes, and a `KindAxis` and a `VariantAxis`, whose bits are what a packet is beside its
two addresses. Refused (`Fragmented`): sets with addresses beside several protocols, and pairs of
whole blocks, which netpolc never emits; then pairs are judged one by one (`pairs.py`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property

from netpolc.backends.nft.readback.classes import (
    DISCOVERY,
    MAPPED,
    AddressClass,
    Classes,
    Variant,
    partition,
)
from netpolc.backends.nft.readback.fields import Field
from netpolc.backends.nft.readback.listing import Elements, Listing, Test, Verdict
from netpolc.backends.nft.readback.tracer import ICMPV6
from netpolc.core.cluster import Pod
from netpolc.core.ir import ANY
from netpolc.core.nets import (
    GROUPS,
    IPV6,
    LINK_LOCAL,
    PORTS,
    Family,
    Protocol,
    Ranges,
    Span,
    family,
)
from netpolc.core.program import Program

Hits = tuple[tuple[Verdict | None, int], ...]
"""The verdicts of a test (of a set: None), each with the bits that it has for."""
ADDRESSES = frozenset((Field.SOURCE, Field.DESTINATION))
KINDS = frozenset((Field.PROTOCOL, Field.PORT, Field.SOURCE_PORT, Field.ICMPV6_TYPE))
_LINES = {Family.IPV4: (0, (1 << 32) - 1), Family.IPV6: (IPV6, 2 * IPV6 - 1)}
_FAMILIES = {"ipv4_addr": Family.IPV4, "ipv6_addr": Family.IPV6}


class Fragmented(Exception):
    """A ruleset of a shape that boxes do not describe well."""


def bit_range(first: int, last: int) -> int:
    """The bits `first`..`last`, both included."""
    return (1 << last + 1) - (1 << first)


class AddressAxis:
    """The address classes of a family, as `Classes.addresses` has them, in the same order.

    `pairs` are those that elements name, but for those of an address with itself.
    """

    def __init__(
        self, program: Program, listing: Listing, classes: Classes, version: Family
    ) -> None:
        self.version = version
        self._program, self._known = program, classes
        self._numbers: dict[Hashable, int] = {}
        self._points: dict[int, list[int]] = {}
        self._spans: list[tuple[Span, int]] = []
        self._labels_of: dict[int, list[tuple[Verdict | None, int]]] = {}
        self._itself: dict[int, int] = {}
        self.pairs: set[tuple[int, int]] = set()
        asked = {id(test.elements): test for test in listing.tests()}
        for test in asked.values():
            if not ADDRESSES.isdisjoint(test.fields):
                self._label_elements(test)
        self._label_policies()
        self.classes: list[AddressClass] = []
        self.class_of: dict[int, int] = {}
        self._bits = [0] * len(self._numbers)
        self._classify()
        self.everything = (1 << len(self.classes)) - 1

    def hits(self, elements: Elements) -> Hits:
        """The classes that a set or a map of addresses holds, by verdict."""
        if not elements.entries:
            return ()
        return tuple((verdict, self._bits[own]) for verdict, own in self._labels_of[id(elements)])

    def itself(self, elements: Elements) -> int:
        """The classes whose addresses a set of pairs holds, each with itself."""
        own = self._itself.get(id(elements)) if elements.entries else None
        return self._bits[own] if own is not None else 0

    def inside(self, span: Span) -> int:
        """The classes inside a span that was labelled."""
        return self._bits[self._numbers[span]] if span in self._numbers else 0

    @cached_property
    def of_identity(self) -> dict[int, int]:
        """The classes of the pods of each identity."""
        found: dict[int, int] = {}
        for label, number in self._numbers.items():
            if isinstance(label, tuple) and label[0] == "pod":
                found[label[1]] = found.get(label[1], 0) | self._bits[number]
        return found

    @cached_property
    def pods(self) -> tuple[Pod | None, ...]:
        """A pod of each class, of any node; all of a class are of one identity."""
        pods = self._program.pods_by_address
        return tuple(pods.get(own.members[0]) for own in self.classes)

    def networks(self, ranges: Ranges) -> int:
        """The classes inside the blocks of a rule."""
        number = self._numbers.get(("network", ranges))
        return self._bits[number] if number is not None else 0

    def within(self, addresses: Iterable[int]) -> int:
        """The classes of some addresses that all of a class are among, or none."""
        mine = (at for at in addresses if family(at) is self.version)
        return sum(1 << own for own in {self.class_of[at] for at in mine})

    def _label(self, label: Hashable) -> int:
        return self._numbers.setdefault(label, len(self._numbers))

    def _put(self, span: Span, label: int) -> None:
        if span[0] == span[1]:
            self._points.setdefault(span[0], []).append(label)
        else:
            self._spans.append((span, label))

    def _label_elements(self, test: Test) -> None:
        elements = test.elements
        places = [at for at, own in enumerate(test.fields) if own in ADDRESSES]
        families = {_FAMILIES[elements.kinds[at]] for at in places}
        if self.version not in families:
            self._labels_of[id(elements)] = []
        elif len(places) > 1:
            self._label_pairs(elements)
        else:
            if len({box[: places[0]] + box[places[0] + 1 :] for box, _ in elements.entries}) > 1:
                raise Fragmented(f"{elements.name} has addresses beside different protocols")
            labels: dict[Verdict | None, int] = {}
            for box, verdict in elements.entries:
                if verdict not in labels:
                    labels[verdict] = self._label((id(elements), verdict))
                self._put(box[places[0]], labels[verdict])
            self._labels_of[id(elements)] = list(labels.items())

    def _label_pairs(self, elements: Elements) -> None:
        for box, verdict in elements.entries:
            if verdict is not None or len(box) != 2 or any(a != b for a, b in box):
                raise Fragmented(f"{elements.name} holds more than pairs of single addresses")
            (one, _), (other, _) = box
            if one == other:
                self._itself[id(elements)] = label = self._label((id(elements), "itself"))
                self._put(box[0], label)
            else:
                self.pairs.add((one, other))
                for place, span in enumerate(box):
                    self._put(span, self._label((id(elements), box, place)))

    def _label_policies(self) -> None:
        mine = self.version
        for identity in self._program.identities:
            for pod in identity.pods:
                own = pod.addresses
                several = len(own) > 1 and len(set(map(family, own))) < len(own)
                key = pod.key if several else ""
                local = self._known.is_local(pod)
                label = self._label(("pod", identity.number, local, key))
                for address in pod.addresses:
                    if family(address) is mine:
                        self._put((address, address), label)
        for number, addresses in enumerate(self._known.nodes):
            for address in addresses:
                if family(address) is mine:
                    self._put((address, address), self._label(("node", number)))
        for networks in self._known.networks:
            for span in networks.of_family(mine):
                self._put(span, self._label(("network", networks)))
        for span in (LINK_LOCAL, GROUPS[mine], MAPPED, *self._known.pending):
            if family(span[0]) is mine:
                self._put(span, self._label(span))

    def _classify(self) -> None:
        """Put addresses with the same labels together: those named alone, and the rest of spans."""
        spans = partition(self._spans, _LINES[self.version])
        mapped = self._numbers.get(MAPPED)
        places = sorted(
            (first, last, at) for at, own in enumerate(spans.values()) for first, last in own
        )
        starts = [first for first, _, _ in places]
        around = list(spans)
        alike: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        points = sorted(self._points)
        for address in points:
            at = places[bisect_right(starts, address) - 1][2]
            alike.setdefault((at, tuple(self._points[address])), []).append(address)
        rest: dict[int, list[int]] = {}
        for first, last, at in places:
            some = rest.setdefault(at, [])
            if len(some) < 2:
                taken = (points[own] for own in range(bisect_left(points, first), len(points)))
                some.extend(_between(taken, first, last, 2 - len(some)))
        found: list[tuple[list[int], tuple[int, tuple[int, ...]]]]
        found = [(members, (at, ())) for at, members in rest.items() if members]
        found += [(members, key) for key, members in alike.items()]
        for members, (at, own) in sorted(found):
            if mapped is None or mapped not in around[at]:
                self._add(members, {*around[at], *own})

    def _add(self, addresses: Sequence[int], labels: Iterable[Hashable]) -> None:
        number = len(self.classes)
        for label in labels:
            assert isinstance(label, int)
            self._bits[label] |= 1 << number
        for address in addresses:
            self.class_of[address] = number
        self.classes.append(self._known.made_of(addresses))


def _between(taken: Iterable[int], first: int, last: int, count: int) -> list[int]:
    """The first addresses of a span that are not taken; `taken` are in order, from `first` on."""
    found: list[int] = []
    for stop in taken:
        if stop > last or len(found) == count:
            break
        found.extend(range(first, min(stop, first + count - len(found))))
        first = stop + 1
    if len(found) < count:
        found.extend(range(first, min(last + 1, first + count - len(found))))
    return found


class KindAxis:
    """Protocols, ports from one edge to the next, types of ICMPv6: each bit is one of each kind."""

    def __init__(self, program: Program, listing: Listing, classes: Classes) -> None:
        edges = {own << 16 for own in Protocol}
        for test in listing.tests():
            if Field.PORT in test.fields or Field.SOURCE_PORT in test.fields:
                edges.update(_port_edges(test))
        for combination in (*program.combinations, *program.tried):
            for tier in combination.tiers:
                for rule in tier.rules:
                    if rule.match.ports is not ANY:
                        for first, last in rule.match.ports:
                            edges.update((first, last + 1))
        protocols = set(map(int, Protocol))
        self._starts = sorted(own for own in edges if own >> 16 in protocols)
        self.atoms: list[tuple[int, int | None, int | None]] = [
            (own >> 16, own & PORTS - 1, None) for own in self._starts
        ]
        for protocol in classes.portless:
            types = classes.types if protocol == ICMPV6 else (None,)
            self.atoms += [(protocol, None, own) for own in types]
        self.everything = (1 << len(self.atoms)) - 1
        self.tcp = self._those(lambda protocol, kind: protocol == Protocol.TCP)
        low, high = DISCOVERY
        self.discovery = self._those(lambda protocol, kind: low <= (kind or 0) <= high)
        self._known: dict[object, int] = {}

    def _those(self, wanted: Callable[[int, int | None], bool]) -> int:
        found = (at for at, (protocol, _, kind) in enumerate(self.atoms) if wanted(protocol, kind))
        return sum(1 << at for at in found)

    def ports(self, spans: Iterable[Span]) -> int:
        """The kinds on spans of the port line that begin and end at edges."""
        found = 0
        for first, last in spans:
            start = bisect_left(self._starts, first)
            found |= bit_range(start, bisect_right(self._starts, last) - 1)
        return found

    def span(self, field: Field, span: Span) -> int:
        """The kinds whose value of a field is in a span."""
        key = field, span
        if key not in self._known:
            first, last = span
            if field in (Field.PORT, Field.SOURCE_PORT):
                lines = ((own << 16 | first, own << 16 | last) for own in Protocol)
                self._known[key] = self.ports(lines)
            elif field is Field.PROTOCOL:
                self._known[key] = self._those(lambda protocol, _: first <= protocol <= last)
            else:
                self._known[key] = self._those(
                    lambda _, kind: kind is not None and first <= kind <= last
                )
        return self._known[key]


def _port_edges(test: Test) -> Iterable[int]:
    fields = test.fields
    at = next(place for place, own in enumerate(fields) if own in (Field.PORT, Field.SOURCE_PORT))
    for box, _ in test.elements.entries:
        first, last = box[at]
        for own in Protocol:
            yield own << 16 | first
            if last + 1 < PORTS:
                yield own << 16 | last + 1


class VariantAxis:
    """Packets of one flow, by connection state, hop limit, link and so on."""

    def __init__(self, variants: Sequence[Variant]) -> None:
        self.variants = variants
        self._known: dict[object, int] = {}

    def those(self, wanted: Callable[[Variant], bool]) -> int:
        """The variants that are as wanted."""
        return sum(1 << at for at, own in enumerate(self.variants) if wanted(own))

    def span(self, field: Field, span: Span) -> int:
        """The variants whose value of a field is in a span."""
        key = field, span
        if key not in self._known:
            first, last = span
            self._known[key] = self.those(
                lambda own: (value := own.value(field)) is not None and first <= value <= last
            )
        return self._known[key]


def by_verdict(test: Test, span: Callable[[Field, Span], int]) -> Hits:
    """The bits of a test, all of whose fields are of one axis, by verdict."""
    found: dict[Verdict | None, int] = {}
    for box, verdict in test.elements.entries:
        bits = -1
        for field, own in zip(test.fields, box, strict=True):
            bits &= span(field, own)
        found[verdict] = found.get(verdict, 0) | bits
    return tuple(found.items())


def local_pod(program: Program, classes: Classes, address: int) -> Pod | None:
    """The pod of an address, if the ruleset is to judge it."""
    pod = program.pods_by_address.get(address)
    return pod if pod is not None and classes.is_local(pod) else None
