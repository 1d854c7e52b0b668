"""What the rules of an ordered tier come to, for each of its peers: the first that matches decides.

Comes in: the rules of a stage, in order. Goes out: peers by the rules that hit them, and for each
such set of rules the ports on which each decides. Nothing is refused.

Blocks hit addresses, not pods: of a pod with two addresses one may lie in a block and the other
not. So what awaits a packet is a function of the pod's identity and of the blocks around its very
address.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from netpolc.backends.nft.lower.sets import PodAddress
from netpolc.core.ir import ANY, Action
from netpolc.core.nets import EVERY_PORT, NOTHING, Ranges, Span, numbers, split
from netpolc.core.program import ResolvedRule, Stage

Hits = int
"""The rules of a tier that speak of some peer: a bit for each, by its place."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Which rule decides on which ports: spans without what would be decided alike anyway, and
    the rule that decides on all other ports and protocols (None: none does).
    """

    spans: tuple[tuple[Span, int], ...]
    rest: int | None


class Decisions:
    """The decisions of one stage; `alike` has for each rule's place what it comes to (None: the
    same as if no rule matched), so that rules which come to the same are told apart no further.
    """

    def __init__(self, rules: Sequence[ResolvedRule], alike: Sequence[object]) -> None:
        self._rules, self._alike = rules, alike
        self._known: dict[Hits, Decided] = {}

    @cached_property
    def everybody(self) -> Hits:
        """The rules that speak of everybody."""
        return sum(
            1 << place for place, rule in enumerate(self._rules) if rule.match.identities is ANY
        )

    @cached_property
    def of_identity(self) -> dict[int, Hits]:
        """The rules that speak of each identity by itself, everybody's left aside."""
        found: dict[int, Hits] = {}
        for place, rule in enumerate(self._rules):
            if rule.match.identities is not ANY:
                for number in rule.match.identities:
                    found[number] = found.get(number, 0) | 1 << place
        return found

    @cached_property
    def of_blocks(self) -> tuple[tuple[Span, Hits], ...]:
        """Disjoint blocks in order, each with the rules that speak of it as of addresses."""
        networks = (rule.match.networks for rule in self._rules)
        return tuple(split(NOTHING if own is ANY else own for own in networks))

    def around(self, address: int) -> Hits:
        """The rules that speak of the blocks around an address, and those of everybody."""
        at = bisect_right(self._firsts, address) - 1
        if at >= 0:
            (_, last), hits = self.of_blocks[at]
            if address <= last:
                return hits | self.everybody
        return self.everybody

    @cached_property
    def _firsts(self) -> list[int]:
        return [first for (first, _), _ in self.of_blocks]

    def pods(self, several: Iterable[PodAddress]) -> Iterator[tuple[str, Hits]]:
        """Those of some addresses of pods that meet something else than their address tells, with
        what they meet.
        """
        if not self.of_blocks:  # then all addresses of an identity meet the same
            everybody = self.everybody
            told = self.decided(everybody)
            found = {number: own | everybody for number, own in self.of_identity.items()}
            meets = {number: hits for number, hits in found.items() if self.decided(hits) != told}
            yield from ((text, meets[number]) for _, text, number in several if number in meets)
            return
        for address, text, number in several:
            own = self.of_identity.get(number)
            met = self.met(own, address) if own is not None else None
            if met is not None:
                yield text, met

    def met(self, own: Hits, address: int) -> Hits | None:
        """What meets an address of a pod that some rules speak of; None where it is what its
        address tells.
        """
        around = self.around(address)
        hits = own | around
        return hits if self.decided(hits) != self.decided(around) else None

    def blocks(self) -> Iterator[tuple[Span, Hits]]:
        """The blocks whose addresses meet something else than everybody, with what they meet."""
        for span, hits in self.of_blocks:
            if self.decided(hits | self.everybody) != self.decided(self.everybody):
                yield span, hits | self.everybody

    def decided(self, hits: Hits) -> Decided:
        """What these rules come to."""
        known = self._known.get(hits)
        if known is None:
            known = self._known[hits] = self._made(hits)
        return known

    def _made(self, hits: Hits) -> Decided:
        covered, rest = NOTHING, None
        spans: list[tuple[Span, int]] = []
        for place in numbers(hits):
            ports = self._rules[place].match.ports
            if ports is ANY:
                rest = None if self._alike[place] is None else place
                break
            spans += [(span, place) for span in ports - covered]
            covered |= ports
        default = self._comes_to(rest)
        kept = sorted(own for own in spans if self._comes_to(own[1]) != default)
        return Decided(tuple(self._joined(kept)), rest)

    def _joined(self, spans: Sequence[tuple[Span, int]]) -> Iterator[tuple[Span, int]]:
        """Neighbours that come to the same, as one."""
        last: tuple[Span, int] | None = None
        for span, place in spans:
            if last is not None:
                (first, end), before = last
                together = end + 1 == span[0] and end >> 16 == span[0] >> 16
                if together and self._alike[before] == self._alike[place]:
                    last = (first, span[1]), before
                    continue
                yield last
            last = span, place
        if last is not None:
            yield last

    def _comes_to(self, place: int | None) -> object:
        return None if place is None else self._alike[place]


def admitted_from_anybody(stages: Sequence[Stage]) -> Ranges:
    """The ports that stages accept whoever the peer is, as spans of the port line; of protocols
    without ports either all or none are there.

    A rule for some peers may match or not, so both must come to the same
    (`core.semantics.decide_unknown`).
    """
    if not stages:
        return EVERY_PORT
    stage, *later = stages
    left, admitted = EVERY_PORT, NOTHING
    after: Ranges | None = None
    for rule in stage.rules:
        ports = EVERY_PORT if rule.match.ports is ANY else rule.match.ports
        if rule.action is Action.DENY:
            left -= ports
            continue
        if rule.action is Action.PASS:
            after = admitted_from_anybody(later) if after is None else after
            left -= ports - after
        if rule.match.identities is ANY:
            admitted |= left & ports
            left -= ports
    if stage.default is Action.ACCEPT:
        return admitted | left
    return (
        admitted | left & admitted_from_anybody(later) if stage.default is Action.PASS else admitted
    )


def is_open(stages: Sequence[Stage]) -> bool:
    """Whether stages accept everything, seen rule by rule: what several rules do together counts as
    a denial that may be.
    """
    if not stages:
        return True
    stage, *later = stages
    for rule in stage.rules:
        accepts = rule.action is Action.ACCEPT
        if not accepts and (rule.action is Action.DENY or not is_open(later)):
            return False
        if rule.match.identities is ANY and rule.match.ports is ANY:
            return True
    return is_open(later) if stage.default is Action.PASS else stage.default is Action.ACCEPT
