"""What the policies say of flows between two addresses, one flow at a time.

Comes in: a Program and the `Locality` of a ruleset. Goes out: a `JudgedFlow` with the decisions
that count there, what is to become of its packets, and the ports at which the answers may change.
Nothing is refused. `core.semantics` decides; what this module knows is where a ruleset can ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import product

from netpolc.backends.nft.readback.classes import Variant
from netpolc.backends.nft.readback.proof.locality import Locality
from netpolc.backends.nft.readback.proof.outcomes import PASSES, AddressPair, JudgedFlow, Outcome
from netpolc.backends.nft.readback.tracer import Link
from netpolc.core.ir import ANY, Direction, Tier
from netpolc.core.nets import GROUPS, LINK_LOCAL, Span, family, format_address
from netpolc.core.program import Combination, Program
from netpolc.core.semantics import Decision, Flow, Reason, decide_unknown, evaluate


class FlowDecisions:
    """The decisions on flows that count on a node; with `audit` nothing is to be denied."""

    def __init__(self, program: Program, here: Locality, *, audit: bool) -> None:
        self._program, self._here, self._audit = program, here, audit
        self._unknown: dict[tuple[Direction, int, int | None], Decision] = {}

    def on(self, ends: AddressPair, protocol: int, port: int | None) -> JudgedFlow:
        """What the policies say of a flow, by link."""
        flow = Flow(format_address(ends.source), format_address(ends.destination), protocol, port)
        verdict = evaluate(self._program, flow, hairpin=True)
        both = {
            link: (
                self._decision(verdict.egress, flow, ends, link),
                self._decision(verdict.ingress, flow, ends, link),
            )
            for link in self._here.classes.links
        }
        return JudgedFlow(ends, flow, "", both)

    def _decision(
        self, decision: Decision, flow: Flow, ends: AddressPair, link: Link
    ) -> Decision | None:
        """The decision that counts at one end; None where no local pod can be."""
        end = ends.source if decision.direction is Direction.EGRESS else ends.destination
        if self._here.pod(end) is not None:
            return decision
        if ends.local and self._here.hook == "postrouting":
            return None
        if self._here.is_pending(end):
            return Decision(decision.direction, False, Reason.PENDING)
        if not link.bridge:
            return None
        sender = self._here.pod(ends.source) is not None or _inside(ends.source, LINK_LOCAL)
        to_group = sender and _inside(ends.destination, GROUPS[family(end)])
        ports = self._here.between_ports(link)
        to_group = to_group and decision.direction is Direction.INGRESS
        if not (ports or to_group or _inside(end, LINK_LOCAL)):
            return None
        key = decision.direction, flow.protocol, flow.port
        if key not in self._unknown:
            self._unknown[key] = decide_unknown(
                self._program, decision.direction, self._here.pods, flow
            )
        return self._unknown[key]

    def denies(self, asked: JudgedFlow) -> bool:
        """Whether a flow is denied, on some link or anywhere on its way."""
        passes = all(asked.outcome(own, False).passed for own in asked.decisions)
        return not (passes and evaluate(self._program, asked.flow, hairpin=True).allowed)

    def judgements(self, asked: JudgedFlow) -> dict[Link, Outcome]:
        """What the policies say of a flow, by link."""
        return {link: asked.outcome(link, self._audit) for link in asked.decisions}

    def expected(self, asked: JudgedFlow, variant: Variant) -> tuple[Outcome, Outcome]:
        """What is to become of a packet, and what the policies say of its flow."""
        judgement = asked.outcome(variant.link, self._audit)
        if variant.invalid:
            lost = not judgement.passed or judgement.audits > 0
            judgement = Outcome(judgement.passed, lost=lost)
        return PASSES if variant.passes_anyway else judgement, judgement


class PortEdges:
    """Where ports begin, or have just ended, in the policies of a Program."""

    def __init__(self, program: Program, here: Locality) -> None:
        self._here, self._identity_of = here, program.identity_of
        self._judging = program.combination_of, program.tried_of
        self._known: dict[int, tuple[int, ...]] = {}

    def between(self, source: int, destination: int) -> Sequence[int]:
        """The edges of what judges two addresses, in order."""
        found: set[int] = set()
        for direction, end in (Direction.EGRESS, source), (Direction.INGRESS, destination):
            pod = self._here.pod(end)
            if pod is not None:
                for own in self._combinations(direction, self._identity_of[pod.key]):
                    found.update(self._of(own))
        return sorted(found.union(self._open))

    @cached_property
    def _open(self) -> frozenset[int]:
        """The edges of ports on which some local pod admits anybody, or a rule of an ordered tier
        says something of it.
        """
        keys = {
            (way, self._identity_of[own.key]) for way, own in product(Direction, self._here.pods)
        }
        found = (
            rule.match.ports
            for key in keys
            for own in self._combinations(*key)
            for tier in own.tiers
            for rule in tier.rules
            if rule.match.identities is ANY or tier.tier is not Tier.NETWORK_POLICY
        )
        return frozenset(_ends(span for own in found if own is not ANY for span in own))

    def _combinations(self, direction: Direction, identity: int) -> list[Combination]:
        """What judges an identity, and what only counts."""
        key = direction, identity
        return [own[key] for own in self._judging if key in own]

    def _of(self, combination: Combination) -> tuple[int, ...]:
        key = id(combination)
        if key not in self._known:
            ports = (rule.match.ports for tier in combination.tiers for rule in tier.rules)
            spans = {span for own in ports if own is not ANY for span in own}
            self._known[key] = tuple(sorted(_ends(spans)))
        return self._known[key]


def _ends(spans: Iterable[Span]) -> set[int]:
    return {edge for first, last in spans for edge in (first, last + 1)}


def _inside(number: int, span: Span) -> bool:
    return span[0] <= number <= span[1]
