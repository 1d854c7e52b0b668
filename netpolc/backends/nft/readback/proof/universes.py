"""The two sorts of packets that `walk.py` walks, and what the tests of rules say of them.

`Cross`: each address class with each other one, in boxes of both. `Single`: pairs that no box
describes, one bit each: every address with itself, a pod's other addresses, pairs that elements
name, the node with its own pods. `answers` are packets that are judged as the flow they answer:
their source is the flow's destination, and bits always are of the flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netpolc.backends.nft.readback.fields import Field
from netpolc.backends.nft.readback.listing import Elements, Test
from netpolc.backends.nft.readback.proof.axes import (
    ADDRESSES,
    KINDS,
    AddressAxis,
    Fragmented,
    Hits,
    KindAxis,
    VariantAxis,
    by_verdict,
)
from netpolc.backends.nft.readback.proof.walk import DESTINATION, KIND, SOURCE, VARIANT, Asked


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """All that packets of a family differ in; `own_node` are the classes of the node itself."""

    addresses: AddressAxis
    kinds: KindAxis
    variants: VariantAxis
    own_node: int


class _Universe:
    def __init__(self, axes: Axes, answers: bool) -> None:
        self._axes, self._answers = axes, answers
        self._known: dict[int, tuple[Asked, ...]] = {}
        self._tests: list[Test] = []

    def asked(self, test: Test) -> Sequence[Asked]:
        """A test as tests on single axes."""
        known = self._known.get(id(test))
        if known is None:
            self._tests.append(test)  # so that its id stays its own
            known = self._known[id(test)] = tuple(self._ask(test))
        return known

    def _ask(self, test: Test) -> list[Asked]:
        fields, elements = test.fields, test.elements
        if set(fields) <= ADDRESSES:
            axis, hits = self._addresses(test)
        elif set(fields) <= KINDS:
            axis, hits = KIND, by_verdict(test, self._axes.kinds.span)
        elif fields == (Field.LOCAL_SOURCE,):
            axis, hits = self._local(test)
        elif ADDRESSES.isdisjoint(fields) and KINDS.isdisjoint(fields):
            axis, hits = VARIANT, by_verdict(test, self._axes.variants.span)
        else:
            return self._ask_parts(test)
        bits = 0
        for _, own in hits:
            bits |= own
        wrong = (Field.PORT if self._answers else Field.SOURCE_PORT) in fields
        found = Asked(axis, hits, bits, elements.name if elements.counted else "", wrong)
        if Field.ACKNOWLEDGES in fields:
            tcp = self._axes.kinds.tcp
            return [Asked(KIND, ((None, tcp),), tcp), found]
        return [found]

    def _ask_parts(self, test: Test) -> list[Asked]:
        """A set or a map of addresses, all beside the same values of other fields (see
        `AddressAxis`).
        """
        elements = test.elements
        address = [at for at, own in enumerate(test.fields) if own in ADDRESSES]
        if len(address) != 1:
            raise Fragmented(f"{elements.name} joins addresses with something else")
        found: list[Asked] = []
        for at, field in enumerate(test.fields):
            if at not in address:
                boxes = [((box[at],), None) for box, _ in elements.entries[:1]]
                beside = Elements(elements.name, elements.kinds[at : at + 1], boxes)
                found += self._ask(Test((field,), beside))
        return [*found, *self._ask(Test((test.fields[address[0]],), elements))]

    def _addresses(self, test: Test) -> tuple[int, Hits]:
        raise NotImplementedError

    def _local(self, test: Test) -> tuple[int, Hits]:
        raise NotImplementedError

    def _is_source(self, field: Field) -> bool:
        """Whether it is the source of the flow."""
        return (field is Field.SOURCE) is not self._answers


def _chosen(test: Test, yes: int, no: int) -> Hits:
    """The bits of a test of something that is 1 for some and 0 for others."""
    boxes = [(box[0], verdict) for box, verdict in test.elements.entries]
    return tuple(
        (verdict, (yes if first <= 1 <= last else 0) | (no if first <= 0 <= last else 0))
        for (first, last), verdict in boxes
    )


class Cross(_Universe):
    """Two different addresses, by the class of each."""

    def _addresses(self, test: Test) -> tuple[int, Hits]:
        axis = SOURCE if self._is_source(test.fields[0]) else DESTINATION
        addresses = self._axes.addresses
        if len(test.fields) == 1:
            return axis, addresses.hits(test.elements)
        if len(set(test.fields)) == 1:
            return axis, ((None, addresses.itself(test.elements)),)
        return axis, ((None, 0),)  # the pairs that elements name are all in `Single`

    def _local(self, test: Test) -> tuple[int, Hits]:
        own = self._axes.own_node
        axis = SOURCE if self._is_source(Field.SOURCE) else DESTINATION
        return axis, _chosen(test, own, self._axes.addresses.everything & ~own)


@dataclass(frozen=True, slots=True)
class Ends:
    """One pair of addresses, with the class of each; `local` says that the node itself sends."""

    source: int
    destination: int
    source_class: int
    destination_class: int
    local: bool


class Single(_Universe):
    """Pairs of addresses, each a bit of the axis of sources: first each class with itself."""

    def __init__(self, axes: Axes, answers: bool, extra: Sequence[Ends]) -> None:
        super().__init__(axes, answers)
        self._extra = extra
        self._count = len(axes.addresses.classes)
        self._itself = (1 << self._count) - 1
        self.everything = (1 << self._count + len(extra)) - 1

    def ends(self, number: int) -> Ends:
        """The addresses of a bit."""
        if number >= self._count:
            return self._extra[number - self._count]
        address = self._axes.addresses.classes[number].members[0]
        return Ends(address, address, number, number, bool(self._axes.own_node >> number & 1))

    def of(self, bits: int, *, source: bool) -> int:
        """The pairs whose source, or destination, is in some classes."""
        for at, own in enumerate(self._extra, start=self._count):
            number = own.source_class if source else own.destination_class
            bits = bits & ~(1 << at) | (bits >> number & 1) << at
        return bits

    @property
    def local(self) -> int:
        """The pairs whose source is the node itself."""
        bits = self._axes.own_node
        return bits | sum(1 << at for at, own in enumerate(self._extra, self._count) if own.local)

    def _addresses(self, test: Test) -> tuple[int, Hits]:
        addresses, elements = self._axes.addresses, test.elements
        if len(test.fields) == 1:
            source = self._is_source(test.fields[0])
            hits = addresses.hits(elements)
            return SOURCE, tuple((verdict, self.of(bits, source=source)) for verdict, bits in hits)
        bits = addresses.itself(elements)
        for at, own in enumerate(self._extra, start=self._count):
            ends = [own.source if self._is_source(it) else own.destination for it in test.fields]
            bits |= elements.find(tuple(ends))[0] << at
        return SOURCE, ((None, bits),)

    def _local(self, test: Test) -> tuple[int, Hits]:
        own = self.local
        if self._answers:
            own = self.of(self._axes.own_node, source=False)
        return SOURCE, _chosen(test, own, self.everything & ~own)
