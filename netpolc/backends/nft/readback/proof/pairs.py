"""Proves a ruleset equal to the policies packet by packet, slowly: the oracle of `prover.py`.

Comes in: a Program, a `Listing`, the node it is for (None: every pod is local). Goes out: how many
packets were judged, and the differences. What is local is in `locality.py`, what the policies say
in `decisions.py`, what the ruleset does in `sender.py`; here packets are chosen and compared.

One packet stands for each pair of address classes (`classes.py`), and so for connection states,
hop limits, ICMPv6 types and protocols without ports. Ports are walked from one edge to the next, of
the elements a packet met and of the policies that judge it. No packet is left that either side
could treat differently from one that was judged. The work grows with the square of the classes.

Beside the verdict it is compared what is counted: as a denial of which pod, as an audit's.

Not judged: what never meets the base chain, which is traffic of a pod with its own node (in
postrouting: to it).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import product

from netpolc.backends.nft.options import POD_BRIDGES
from netpolc.backends.nft.readback.classes import AddressClass, Variant
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof.decisions import FlowDecisions, PortEdges
from netpolc.backends.nft.readback.proof.locality import Locality
from netpolc.backends.nft.readback.proof.outcomes import (
    AddressPair,
    Counterexample,
    JudgedFlow,
    Outcome,
    outcome_of,
)
from netpolc.backends.nft.readback.proof.sender import SCOPES, Sender
from netpolc.backends.nft.readback.tracer import ICMPV6, ROUTED, Link, Trace
from netpolc.core.nets import NOTHING, PORTS, Family, Protocol, Ranges, family
from netpolc.core.program import Program

Progress = Callable[[int, int], None]
_NEVER_JUDGED = "known connections and neighbour discovery pass"
_NOT_TO_REMEMBER = "its flow must not be marked as judged"


class PairProof:
    """One ruleset against one Program; `cases` counts the packets judged so far. `here` is what is
    local to its node, `sender` sends packets through it.

    With `audit` the ruleset is to let everything pass and to count what the policies would deny.
    Addresses in `pending` that no pod of the node has are to be denied.
    Raises `UsageError` when the node is unknown.
    """

    def __init__(
        self,
        program: Program,
        listing: Listing,
        node: str | None = None,
        *,
        audit: bool = False,
        pod_bridges: Iterable[str] = POD_BRIDGES,
        pending: Ranges = NOTHING,
    ) -> None:
        self.cases = 0
        self.audit = audit
        self.here = Locality(program, listing, node, pod_bridges, pending)
        self.sender = Sender(listing, self.here)
        self._decisions = FlowDecisions(program, self.here, audit=audit)
        self._edges = PortEdges(program, self.here)

    def differences(
        self, progress: Progress = lambda done, total: None
    ) -> Iterator[Counterexample]:
        """Every packet that stands for a class of packets and is judged differently.

        `progress` is told how many classes of sources are done, of how many.
        """
        all_classes = [self.here.classes.addresses(version) for version in Family]
        total, done = sum(map(len, all_classes)), 0
        for classes in all_classes:
            for source in classes:
                for destination in classes:
                    yield from self.of_classes(source, destination)
                done += 1
                progress(done, total)

    def of_classes(
        self, source: AddressClass, destination: AddressClass
    ) -> Iterator[Counterexample]:
        """The differences between two classes of addresses."""
        for pair in self.class_pairs(source, destination):
            yield from self._between(*pair)

    def class_pairs(
        self, source: AddressClass, destination: AddressClass
    ) -> Iterator[tuple[int, int]]:
        """Strangers, an address with itself, a pod and its node: a pair for each there is."""
        starts = source.members if destination.of_node else source.members[:2]
        ends = destination.members if source.of_node else destination.members[:2]
        found: dict[object, tuple[int, int]] = {}
        for start, end in product(starts, ends):
            own = start == end, self.here.with_own_node(start, end)
            found.setdefault(own, (start, end))
        return iter(found.values())

    def difference(
        self,
        pair: tuple[int, int],
        protocol: int,
        port: int | None,
        variant: Variant,
        scope: str,
    ) -> Counterexample | None:
        """How the two sides differ on one packet, if they do; with a scope, in one direction."""
        if not self.here.is_judged(*pair):
            return None
        asked = self._decisions.on(AddressPair(*pair, self.here.sends(*pair)), protocol, port)
        if scope:
            asked = _alone(asked, scope)
        expected, judgement = self._decisions.expected(asked, variant)
        return _compared(asked, variant, self.sender.send(asked, variant), expected, judgement)

    def _between(self, source: int, destination: int) -> Iterator[Counterexample]:
        """Every port and protocol between two addresses."""
        if not self.here.is_judged(source, destination):
            return
        self._by_link: dict[tuple[str, AddressPair, Link], bool] = {}
        ends = AddressPair(source, destination, self.here.sends(source, destination))
        edges = self._edges.between(source, destination)
        for protocol in Protocol:
            port = 0
            while port < PORTS:
                at = protocol << 16 | port
                following = bisect_right(edges, at)
                until = edges[following] - at + port if following < len(edges) else PORTS
                met = yield from self._judge(ends, protocol, port)
                port = min(until, met + 1)
        for portless in self.here.classes.portless:
            yield from self._judge(ends, portless, None)

    def _judge(
        self, ends: AddressPair, protocol: int, port: int | None
    ) -> Generator[Counterexample, None, int]:
        """Every variant of a flow; gives the last port at which the ruleset would say the same.

        Of a flow that is rightly denied each direction is judged alone, too: what one lets through
        by mistake must not hide behind the other. That is told rather than what was not counted.
        """
        asked = self._decisions.on(ends, protocol, port)
        found, until = self._variants(asked)
        denied = self._decisions.denies(asked)
        if denied and all(own.expected.passed is own.trace.passed for own in found):
            alone: list[Counterexample] = []
            for scope in SCOPES[1:]:
                some, end = self._variants(_alone(asked, scope))
                alone += some
                until = min(until, end)
            found = alone or found
        yield from found
        return until

    def _variants(self, question: JudgedFlow) -> tuple[list[Counterexample], int]:
        """A variant is left out when it differs, from one that was judged, in nothing asked."""
        flow, until = question.flow, PORTS - 1
        judgements = self._decisions.judgements(question)
        found: list[Counterexample] = []
        judged: list[tuple[Variant, Trace, Outcome]] = []
        variants = self.here.classes.variants
        for variant in variants[family(question.ends.source), flow.protocol == ICMPV6]:
            if variant.answers and question.ends.local:
                continue  # what answers the node itself goes up to it and passes neither hook
            from_node = self.here.answers(question.ends.destination)
            if variant.answers and variant.link != ROUTED and from_node:
                continue  # what the node itself answers is on no bridge before it leaves
            expected, judgement = self._decisions.expected(question, variant)
            if self._as_if_routed(question, variant, judgements):
                continue
            if any(
                expected == before and not met.asked & variant.differs(other, met.states)
                for other, met, before in judged
            ):
                continue
            trace = self.sender.send(question, variant)
            self.cases += 1
            judged.append((variant, trace, expected))
            until = min(until, trace.until)
            told = any(own.expected.passed is expected.passed for own in found)
            if variant.invalid and told and trace.passed is not expected.passed:
                continue  # the same once more
            compared = _compared(question, variant, trace, expected, judgement)
            if compared is not None:
                found.append(compared)
        return found, until

    def _as_if_routed(
        self, question: JudgedFlow, variant: Variant, judgements: Mapping[Link, Outcome]
    ) -> bool:
        """Whether neither side looks at the link of a packet, whose routed twin is judged, too."""
        link = variant.link
        if link == ROUTED or variant.answers or judgements[link] != judgements[ROUTED]:
            return False
        key = question.scope, question.ends, link
        if key not in self._by_link:
            self._by_link[key] = self.sender.passes_by(question, variant)
        return self._by_link[key]


def _alone(asked: JudgedFlow, scope: str) -> JudgedFlow:
    """The same question of one direction."""
    place = SCOPES.index(scope) - 1
    one = {link: (decisions[place],) for link, decisions in asked.decisions.items()}
    return JudgedFlow(asked.ends, asked.flow, scope, one)


def _compared(
    question: JudgedFlow, variant: Variant, trace: Trace, expected: Outcome, judgement: Outcome
) -> Counterexample | None:
    details = ", ".join(filter(None, (question.scope, str(variant))))
    if outcome_of(trace) != expected:
        why = question.why(variant.link) if expected == judgement else _NEVER_JUDGED
        return Counterexample(question.flow, details, expected, why, trace)
    if trace.remembered and not (judgement.passed and variant.may_be_remembered):
        return Counterexample(question.flow, details, expected, _NOT_TO_REMEMBER, trace)
    return None
