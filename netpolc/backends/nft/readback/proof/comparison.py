"""Compares what a ruleset does to all packets of a family with what the policies say of them.

Comes in: a Program, a `Listing`, and the `PairProof` of both, which judges packets one by one.
Goes out: differences. A part of a box in which the two differ is turned into packets; one that
`PairProof` does not confirm is a bug, and an `InvariantError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from netpolc.backends.nft.names import denied_set
from netpolc.backends.nft.readback.classes import Variant
from netpolc.backends.nft.readback.fields import STATES
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof.axes import AddressAxis, KindAxis, VariantAxis
from netpolc.backends.nft.readback.proof.meaning import Judgement, Meaning, Regions
from netpolc.backends.nft.readback.proof.outcomes import Counterexample
from netpolc.backends.nft.readback.proof.pairs import PairProof
from netpolc.backends.nft.readback.proof.sender import SCOPES
from netpolc.backends.nft.readback.proof.universes import Axes, Cross, Ends, Single
from netpolc.backends.nft.readback.proof.walk import Box, Exit, Note, Walk
from netpolc.backends.nft.readback.tracer import ROUTED
from netpolc.core.ir import Direction
from netpolc.core.nets import Family, family, numbers
from netpolc.core.program import InvariantError, Program

_DIRECTIONS = (Direction.EGRESS, Direction.INGRESS)
_OF_SCOPE = {"": (0, 1), "egress alone": (0,), "ingress alone": (1,)}
_UNTRACKED = (STATES.index("invalid"), STATES.index("untracked"))


@dataclass(frozen=True, slots=True)
class Sort:
    """Variants to which the same applies: they pass whatever the policies say, belong to no
    connection, are tracked, may mark their flow as judged; `on_link` ones may be discovery.
    """

    passes: bool
    invalid: bool
    tracked: bool
    may_remember: bool
    on_link: bool


def sort_of(own: Variant) -> Sort:
    """The sort of a variant, its kind left aside."""
    tracked = own.state not in _UNTRACKED
    return Sort(own.passes_anyway, own.invalid, tracked, own.may_be_remembered, own.on_link)


@dataclass(frozen=True, slots=True)
class Wrong:
    """Packets that are judged differently: of single pairs, or of all pairs of two classes."""

    single: bool
    scope: str
    box: Box


class Comparison:
    """One ruleset against one Program, on the packets of one family; `cases` counts their kinds.

    `crosses` and `singles` are all packets, by whether they answer a flow; of the pairs of classes
    in `not_crossed` (destinations by source) no packet is like others, so only `singles` count.
    """

    def __init__(
        self,
        program: Program,
        listing: Listing,
        pairs: PairProof,
        kinds: KindAxis,
        version: Family,
    ) -> None:
        self.cases = 0
        self._pairs, self._version, self._rechecks = pairs, version, listing.rechecks
        here = self._here = pairs.here
        addresses = AddressAxis(program, listing, here.classes, version)
        variants = VariantAxis(here.classes.variants[version, False])
        self.axes = Axes(addresses, kinds, variants, addresses.within(here.addresses))
        self._local = sum(
            1 << at
            for at, pod in enumerate(addresses.pods)
            if pod is not None and here.classes.is_local(pod)
        )
        self._answering = variants.those(lambda own: own.answers)
        self._routed = variants.those(lambda own: own.link == ROUTED)
        self._sorts: dict[Sort, int] = {}
        for at, own in enumerate(variants.variants):
            sort = sort_of(own)
            self._sorts[sort] = self._sorts.get(sort, 0) | 1 << at
        self._extra: dict[tuple[int, int, bool], Ends] = {}
        self.not_crossed: dict[int, int] = {}
        self._set_apart()
        meaning = Meaning(
            program,
            self.axes,
            self._local,
            {program.identity_of[pod.key] for pod in here.pods},
            bridged=variants.those(lambda own: own.link.bridge),
            between_ports=variants.those(lambda own: here.between_ports(own.link)),
            of_node=here.hook == "postrouting",
            pending=here.classes.pending,
        )
        extra = tuple(self._extra.values())
        self.singles = {answers: Single(self.axes, answers, extra) for answers in (False, True)}
        self.crosses = {answers: Cross(self.axes, answers) for answers in (False, True)}
        self._regions = {
            False: [meaning.cross(own) for own in _DIRECTIONS],
            True: [meaning.single(own, self.singles[False]) for own in _DIRECTIONS],
        }
        self._known: dict[object, bool] = {}
        self._wrong: list[Wrong] = []

    def steps(self) -> list[Callable[[], None]]:
        """What there is to do before `differences`."""
        answers = (False, True) if self._rechecks else (False,)
        return [
            partial(self._compare, *choice) for choice in product((False, True), answers, SCOPES)
        ]

    def differences(self) -> Iterator[Counterexample]:
        """Every packet that stands for a class of packets and is judged differently."""
        classes = self.axes.addresses.classes
        wrong: dict[int, int] = {}
        for own in self._wrong:
            for source, destinations in self._classes_of(own):
                wrong[source] = wrong.get(source, 0) | destinations
        for source in sorted(wrong):
            for destination in numbers(wrong[source]):
                told = False
                for difference in self._pairs.of_classes(classes[source], classes[destination]):
                    told = True
                    yield difference
                if not told:
                    yield self._confirmed(source, destination)

    def _set_apart(self) -> None:
        """Pairs of classes between which no packet is like those of two other classes: they are
        not crossed. Those that are judged at all are single pairs.
        """
        addresses, here = self.axes.addresses, self._here
        for number, own in enumerate(addresses.classes):
            if len(own.members) == 1:
                self._cross_out(number, number)
            if here.is_pending(own.members[0]):
                self._set_node_apart(number, own.members[:1])
            pod = addresses.pods[number]
            if pod is None or not self._local >> number & 1:
                continue
            if len(mine := [at for at in pod.addresses if family(at) is self._version]) > 1:
                for source, destination in product(mine, mine):
                    self._single_out(source, destination)
            self._set_node_apart(number, own.members)
        for source, destination in addresses.pairs:
            self._single_out(source, destination)

    def _set_node_apart(self, number: int, members: Sequence[int]) -> None:
        """What pods of a class and their own nodes send each other."""
        addresses = self.axes.addresses
        always = -1
        for member in members:
            near = addresses.within(self._here.nodes_of(member))
            always &= near
            for node in numbers(near):
                for address in addresses.classes[node].members:
                    if self._here.is_judged(address, member):
                        key = node, number, True
                        self._extra.setdefault(key, Ends(address, member, node, number, True))
        for node in numbers(always) if always > 0 else ():
            self._cross_out(node, number)
            self._cross_out(number, node)

    def _cross_out(self, source: int, destination: int) -> None:
        self.not_crossed[source] = self.not_crossed.get(source, 0) | 1 << destination

    def _single_out(self, source: int, destination: int) -> None:
        """Judge two addresses for themselves, if they are not one, and are judged."""
        if source == destination:
            return
        class_of = self.axes.addresses.class_of
        one, other = class_of[source], class_of[destination]
        self._cross_out(one, other)
        if self._here.is_judged(source, destination):
            local = self._here.sends(source, destination)
            self._extra.setdefault(
                (one, other, local), Ends(source, destination, one, other, local)
            )

    def _compare(self, single: bool, answers: bool, scope: str) -> None:
        """Walk all packets of one sort, and compare."""
        boxes = list(self.boxes(single, answers))
        universe = (self.singles if single else self.crosses)[answers]
        ends = Walk(self._pairs.sender.listing(scope, answers), universe).ends(boxes)
        count = sum(own.size for own in boxes)
        if sum(own.box.size for own in ends) != count:
            raise InvariantError("a walk through the ruleset lost packets, or met some twice")
        if not scope:
            self.cases += count
        regions = [self._regions[single][number] for number in _OF_SCOPE[scope]]
        directions = [_DIRECTIONS[number] for number in _OF_SCOPE[scope]]
        for end in ends:
            for box in self._wrong_in(end, regions, directions):
                judged = self._denied(box, single) if scope else (box,)
                self._wrong += [Wrong(single, scope, own) for own in judged]

    def boxes(self, single: bool, answers: bool) -> Iterator[Box]:
        """All packets. What answers the node itself passes neither hook, and what the node itself
        answers is on no bridge before it leaves.
        """
        axes = self.axes
        kinds, variants = axes.kinds.everything, (1 << len(axes.variants.variants)) - 1
        pairs = self.singles[False]
        source = pairs.everything if single else axes.addresses.everything
        destination = 1 if single else axes.addresses.everything
        if not answers:
            yield Box(source, destination, kinds, variants & ~self._answering)
            return
        own = axes.own_node
        source &= ~(pairs.local if single else own)
        routed = self._answering
        if self._here.hook == "postrouting":
            routed &= self._routed
        if single:
            node = pairs.of(own, source=False)
            boxes = (
                Box(source & ~node, 1, kinds, self._answering),
                Box(source & node, 1, kinds, routed),
            )
        else:
            boxes = (
                Box(source, destination & ~own, kinds, self._answering),
                Box(source, destination & own, kinds, routed),
            )
        yield from (box for box in boxes if box.size)

    def _wrong_in(
        self, end: Exit, regions: Sequence[Regions], directions: Sequence[Direction]
    ) -> Iterator[Box]:
        """The parts of a box that do not end as the policies say."""
        for sort, variants in self._sorts.items():
            own = end.box._replace(variant=end.box.variant & variants)
            if not own.variant:
                continue
            parts = [(own, sort)]
            discovery = own.kind & self.axes.kinds.discovery
            if sort.on_link and discovery:
                parts = [(own._replace(kind=own.kind & ~discovery), sort)]
                parts += [(own._replace(kind=discovery), replace(sort, passes=True))]
            for box, kind in parts:
                if box.kind:
                    is_right = partial(
                        self._is_right, end.passed, box.note, kind, tuple(directions)
                    )
                    yield from _where(box, regions, is_right)

    def _is_right(
        self,
        passed: bool,
        note: Note,
        sort: Sort,
        directions: tuple[Direction, ...],
        judgements: tuple[Judgement, ...],
    ) -> bool:
        key = passed, note, sort, directions, judgements
        if key not in self._known:
            self._known[key] = self._asked(*key)
        return self._known[key]

    def _asked(
        self,
        passed: bool,
        note: Note,
        sort: Sort,
        directions: tuple[Direction, ...],
        judgements: tuple[Judgement, ...],
    ) -> bool:
        """Whether packets with these judgements may end so."""
        if note.other_port:
            return False
        allowed, audits, counted = True, 0, frozenset[str]()
        for direction, own in zip(directions, judgements, strict=True):
            if own is Judgement.PASS:
                continue
            if own.of_pod:
                counted |= {denied_set(direction, self._version)}
            if own.denies and not self._pairs.audit:
                allowed = False
                break
            audits += 1
        if note.remembered and sort.tracked and not (allowed and sort.may_remember):
            return False
        found = passed, note.audits, note.counted, note.lost
        if sort.passes:
            return found == (True, 0, frozenset(), False)
        if sort.invalid:
            return found == (allowed, 0, frozenset(), not allowed or audits > 0)
        return found == (allowed, audits, counted, False)

    def _denied(self, box: Box, single: bool) -> Iterator[Box]:
        """The part whose flows some direction denies, in whatever variant."""
        egress, ingress = self._regions[single]
        variants = (1 << len(self.axes.variants.variants)) - 1
        for own, judgement in egress.pieces(box._replace(variant=variants)):
            if judgement.denies:
                yield own._replace(variant=box.variant)
                continue
            for one, other in ingress.pieces(own):
                if other.denies:
                    yield one._replace(variant=box.variant)

    def _classes_of(self, wrong: Wrong) -> Iterator[tuple[int, int]]:
        """Each class of sources, with those of its destinations."""
        for number in numbers(wrong.box.source):
            if wrong.single:
                ends = self.singles[False].ends(number)
                yield ends.source_class, 1 << ends.destination_class
            else:
                yield number, wrong.box.destination & ~self.not_crossed.get(number, 0)

    def _confirmed(self, source: int, destination: int) -> Counterexample:
        """A packet between two classes that tracer and policies judge differently, too."""
        classes = self.axes.addresses.classes
        for own in self._wrong:
            found = dict(self._classes_of(own)).get(source, 0)
            if not found >> destination & 1:
                continue
            kind = next(numbers(own.box.kind))
            variant = self.axes.variants.variants[next(numbers(own.box.variant))]
            protocol, port, icmpv6_type = self.axes.kinds.atoms[kind]
            packet = replace(variant, icmpv6_type=icmpv6_type)
            for pair in self._pairs.class_pairs(classes[source], classes[destination]):
                confirmed = self._pairs.difference(pair, protocol, port, packet, own.scope)
                if confirmed is not None:
                    return confirmed
        ends = classes[source].members[0], classes[destination].members[0]
        raise InvariantError(f"a difference between {ends} is not confirmed packet by packet")


def _where(
    box: Box, regions: Sequence[Regions], is_right: Callable[[tuple[Judgement, ...]], bool]
) -> Iterator[Box]:
    """The parts of a box of which something is wrong. Nothing is split that need not be."""
    values = [own.values for own in regions]
    if all(map(is_right, product(*values))):
        return
    first, *others = regions
    for piece, judgement in first.pieces(box):
        if not others:
            if not is_right((judgement,)):
                yield piece
        elif not all(is_right((judgement, own)) for own in values[1]):
            for part, other in others[0].pieces(piece):
                if not is_right((judgement, other)):
                    yield part
