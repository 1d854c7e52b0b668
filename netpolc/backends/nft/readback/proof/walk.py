"""Walks all packets through a ruleset at once, as boxes: what `tracer.py` does with one of them.

Comes in: a `Listing`, a `Universe` that knows which bits each test has, boxes to begin with. Goes
out: what becomes of every part of them. Refused (`Fragmented`): boxes that become too many to be of
use.

A chain is walked once for all that leads there by `goto`: verdict maps send many boxes to many
chains, and those send on to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from netpolc.backends.nft.readback.listing import Action, Listing, Rule, Test, Verdict
from netpolc.backends.nft.readback.proof.axes import Fragmented, Hits

MOST_BOXES = 20_000
"""As many boxes at one place of a ruleset, or `MOST_SPLITS` in all, are not worth it any more."""
MOST_SPLITS = 2_000_000


class Note(NamedTuple):
    """What a packet has met so far (see `tracer.Trace`); `other_port` says that a rule looked at
    the port of its other end, which ends the walk: netpolc never emits that.
    """

    audits: int = 0
    counted: frozenset[str] = frozenset()
    remembered: bool = False
    lost: bool = False
    other_port: bool = False


class Box(NamedTuple):
    """Packets: each source with each destination, each kind in each variant; bits of the axes."""

    source: int
    destination: int
    kind: int
    variant: int
    note: Note = Note()

    @property
    def size(self) -> int:
        """How many packets it stands for."""
        source, destination, kind, variant = map(int.bit_count, self[:4])
        return source * destination * kind * variant


SOURCE, DESTINATION, KIND, VARIANT = range(4)
_ORDER = (KIND, VARIANT, SOURCE, DESTINATION)


@dataclass(frozen=True, slots=True)
class Asked:
    """A test on one axis: which bits have which verdict (those of a set: None).

    `counted` is the name of a set that counts what is found in it; `wrong` says that it looks at
    the port of the other end.
    """

    axis: int
    hits: Hits
    bits: int
    counted: str = ""
    wrong: bool = False


class Universe(Protocol):
    """Packets of one sort, and how the tests of rules look at them."""

    def asked(self, test: Test) -> Sequence[Asked]:
        """A test as tests on single axes, all of which must hold; only the last has verdicts."""
        ...


@dataclass(frozen=True, slots=True)
class Exit:
    """Where some packets ended: passed or not."""

    box: Box
    passed: bool


class Walk:
    """One walk through a ruleset; `universe` says what its tests mean."""

    def __init__(self, listing: Listing, universe: Universe) -> None:
        self._chains, self._bases, self._universe = listing.chains, listing.bases, universe
        self._ranks = _ranks(listing)
        self._rules: dict[int, tuple[list[Asked], list[Asked] | None]] = {}
        self._ends: dict[bool, list[Box]] = {False: [], True: []}
        self._splits = 0

    def ends(self, boxes: Iterable[Box]) -> list[Exit]:
        """What becomes of all packets of some disjoint boxes, in disjoint boxes."""
        self._ends[True] = list(boxes)
        for base in self._bases:
            coming, self._ends[True] = self._ends[True], []
            returned = self._chains_from({base.chain: coming})
            self._ends[base.policy is Action.ACCEPT] += returned
        return [Exit(box, passed) for passed, own in self._ends.items() for box in merged(own)]

    def _chains_from(self, waiting: dict[str, list[Box]]) -> list[Box]:
        """Walk some chains and what they `goto`; gives what comes to the end of one."""
        returned: list[Box] = []
        order = [(self._ranks[name], name) for name in waiting]
        order.sort()
        while order:
            _, name = heappop(order)
            boxes = merged(waiting.pop(name))
            for rule in self._chains[name]:
                before = len(boxes)
                boxes, left = self._rule(rule, boxes, name)
                for verdict, own in left.items():
                    match verdict.action:
                        case Action.RETURN:
                            returned += own
                        case Action.GOTO:
                            if verdict.chain not in waiting:
                                heappush(order, (self._ranks[verdict.chain], verdict.chain))
                            waiting.setdefault(verdict.chain, []).extend(own)
                        case Action.JUMP:
                            pass
                        case final:
                            self._ends[final is Action.ACCEPT] += own
                jumps = {v.chain: own for v, own in left.items() if v.action is Action.JUMP}
                if jumps:
                    boxes = boxes + self._chains_from(jumps)
                if not boxes:
                    break
                if len(boxes) > before:
                    boxes = merged(boxes)
            returned += boxes
        return merged(returned)

    def _rule(
        self, rule: Rule, boxes: list[Box], chain: str
    ) -> tuple[list[Box], dict[Verdict, list[Box]]]:
        """What goes on to the next rule, and what a verdict takes away."""
        tests, outcome = self._asked(rule)
        stay: list[Box] = []
        left: dict[Verdict, list[Box]] = {}
        for box in boxes:
            hit = self._tested(tests, box, stay)
            if hit is None:
                continue
            if rule.audits or rule.remembers or rule.loses:
                note = hit.note
                note = note._replace(
                    audits=note.audits + rule.audits,
                    remembered=note.remembered or rule.remembers,
                    lost=note.lost or rule.loses,
                )
                hit = hit._replace(note=note)
            if outcome is not None:
                hit = self._tested(outcome[:-1], hit, stay)
                if hit is not None and not self._is_wrong(outcome[-1], hit):
                    _looked_up(outcome[-1], hit, stay, left)
            elif isinstance(rule.outcome, Verdict):
                left.setdefault(rule.outcome, []).append(hit)
            else:
                stay.append(hit)
        self._splits += len(stay)
        if len(stay) > MOST_BOXES or self._splits > MOST_SPLITS:
            raise Fragmented(f"chain {chain} tells too many kinds of packets apart")
        return stay, left

    def _tested(self, tests: Sequence[Asked], box: Box, stay: list[Box]) -> Box | None:
        """The part for which all tests hold; the others stay in the chain."""
        for test in tests:
            if self._is_wrong(test, box):
                return None
            own = box[test.axis]
            assert isinstance(own, int)
            found = own & test.bits
            if found != own:
                stay.append(_with(box, test.axis, own & ~test.bits))
            if not found:
                return None
            box = _with(box, test.axis, found)
            if test.counted:
                note = box.note
                box = box._replace(note=note._replace(counted=note.counted | {test.counted}))
        return box

    def _is_wrong(self, test: Asked, box: Box) -> bool:
        """Whether a test must not be met; if so the walk of these packets ends."""
        if test.wrong:
            self._ends[False].append(box._replace(note=box.note._replace(other_port=True)))
        return test.wrong

    def _asked(self, rule: Rule) -> tuple[list[Asked], list[Asked] | None]:
        """The tests of a rule and its lookup, in the order that leaves the fewest boxes behind:
        kinds first. A test that counts, or must not be met, stays where it is.
        """
        known = self._rules.get(id(rule))
        if known is None:
            tests = [own for test in rule.tests for own in self._universe.asked(test)]
            if not any(own.counted or own.wrong for own in tests):
                tests.sort(key=lambda own: _ORDER.index(own.axis))
            outcome = None
            if isinstance(rule.outcome, Test):
                outcome = list(self._universe.asked(rule.outcome))
            known = self._rules[id(rule)] = tests, outcome
        return known


def _with(box: Box, axis: int, bits: int) -> Box:
    source, destination, kind, variant, note = box
    if axis == SOURCE:
        return Box(bits, destination, kind, variant, note)
    if axis == DESTINATION:
        return Box(source, bits, kind, variant, note)
    if axis == KIND:
        return Box(source, destination, bits, variant, note)
    return Box(source, destination, kind, bits, note)


def _looked_up(test: Asked, box: Box, stay: list[Box], left: dict[Verdict, list[Box]]) -> None:
    own = box[test.axis]
    assert isinstance(own, int)
    rest = own & ~test.bits
    if rest:
        stay.append(_with(box, test.axis, rest))
    if rest == own:
        return
    for verdict, bits in test.hits:
        found = own & bits
        if found and verdict is not None:
            left.setdefault(verdict, []).append(_with(box, test.axis, found))


def merged(boxes: list[Box]) -> list[Box]:
    """The same packets in fewer boxes: those that differ in one axis are one."""
    for axis in (KIND, DESTINATION, SOURCE, VARIANT):
        if len(boxes) < 2:
            break
        found: dict[tuple[object, ...], int] = {}
        for box in boxes:
            key = box[:axis] + box[axis + 1 :]
            own = box[axis]
            assert isinstance(own, int)
            found[key] = found.get(key, 0) | own
        if len(found) < len(boxes):
            boxes = [Box._make((*key[:axis], bits, *key[axis:])) for key, bits in found.items()]
    return boxes


def _ranks(listing: Listing) -> dict[str, int]:
    """An order of the chains in which each comes before those it leads to."""
    ranks: dict[str, int] = {}
    done: list[str] = []

    def visit(name: str) -> None:
        if name in ranks:
            return
        ranks[name] = 0
        for rule in listing.chains[name]:
            for target in rule.targets():
                visit(target)
        done.append(name)

    for name in listing.chains:
        visit(name)
    return {name: -at for at, name in enumerate(done)}
