"""Explains the verdict on a flow: who was asked, who decided, who came close.

Comes in: a snapshot, its Program, flows. Goes out: `Explanation` values. The Program decides what
matches; the snapshot's policies, which rules point back to, say why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netpolc.cluster import Pod, Snapshot
from netpolc.explain.misses import is_selected, misses
from netpolc.explain.model import Answer, Consulted, End, Explanation, Side
from netpolc.ir import Direction, Origin, Policy, Rule
from netpolc.program import Combination, Match, Program
from netpolc.semantics import Decision, Flow, Reason, evaluate


def explain(program: Program, snapshot: Snapshot, flow: Flow) -> Explanation:
    """Why one flow gets through or does not; the Program is the one of the snapshot."""
    return next(explain_all(program, snapshot, (flow,)))


def explain_all(
    program: Program, snapshot: Snapshot, flows: Iterable[Flow]
) -> Iterator[Explanation]:
    """The same for many flows, one at a time."""
    explainer = _Explainer(program, snapshot)
    return map(explainer.explain, flows)


class _Explainer:
    """A snapshot with what is looked up in it more than once."""

    def __init__(self, program: Program, snapshot: Snapshot) -> None:
        self._program = program
        self._cluster = snapshot.cluster
        self._policies = sorted(snapshot.policies, key=_order)
        self._matches: dict[Combination, dict[Origin, list[Match]]] = {}

    def explain(self, flow: Flow) -> Explanation:
        verdict = evaluate(self._program, flow)
        source, destination = self._end(flow.source), self._end(flow.destination)
        egress = self._side(verdict.egress, source, destination, flow)
        ingress = self._side(verdict.ingress, destination, source, flow)
        return Explanation(verdict, egress, ingress)

    def _end(self, address: int) -> End:
        nodes = self._cluster.nodes.values()
        node = next((node.name for node in nodes if address in node.addresses), "")
        return End(address, self._program.pods_by_address.get(address), node)

    def _side(self, decision: Decision, subject: End, peer: End, flow: Flow) -> Side:
        consulted: tuple[Consulted, ...] = ()
        pod = subject.pod
        if pod is not None and decision.reason not in (Reason.SELF, Reason.NODE):
            consulted = tuple(self._consulted(decision.direction, pod, subject, peer, flow))
        return Side(subject, peer, decision, consulted)

    def _consulted(
        self, direction: Direction, pod: Pod, subject: End, peer: End, flow: Flow
    ) -> Iterator[Consulted]:
        identity = self._program.identity_of[pod.key]
        combination = self._program.combination_of.get((direction, identity))
        destination = subject if direction is Direction.INGRESS else peer
        for policy in self._policies:
            rules = [rule for rule in policy.rules if rule.direction is direction]
            isolates = direction in policy.isolates
            if not (isolates or rules) or not is_selected(policy.subject, pod, self._cluster):
                continue
            answers = (
                [self._answer(combination, rule, peer, destination, flow) for rule in rules]
                if combination is not None
                else []
            )
            yield Consulted(policy, isolates, tuple(answers))

    def _answer(
        self, combination: Combination, rule: Rule, peer: End, destination: End, flow: Flow
    ) -> Answer:
        identity = self._program.identity_of[peer.pod.key] if peer.pod is not None else None
        matched = any(
            match.has_peer(identity, peer.address) and match.has_port(flow.protocol, flow.port)
            for match in self._tuples(combination).get(rule.origin, ())
        )
        compared = tuple(misses(rule, peer, destination, flow, self._cluster))
        if matched:
            return Answer(rule, True, tuple(m.field for m in compared if not m.gaps), ())
        return Answer(rule, False, (), compared)

    def _tuples(self, combination: Combination) -> dict[Origin, list[Match]]:
        """The matches that each rule was resolved to: none, one or several."""
        known = self._matches.get(combination)
        if known is None:
            known = self._matches[combination] = {}
            for tier in combination.tiers:
                for rule in tier.rules:
                    known.setdefault(rule.origin, []).append(rule.match)
        return known


def _order(policy: Policy) -> tuple[int, int, str, str, str]:
    """The order of judgement, as `passes.arrange` has it."""
    origin = policy.origin
    return policy.tier, policy.priority, origin.namespace, origin.name, origin.kind
