"""Explains the verdict on a flow: who was asked, who decided, who came close.

Comes in: a snapshot, its Program, flows. Goes out: `Explanation` values. The Program decides what
matches; the snapshot's policies, which rules point back to, say why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter

from netpolc.analysis.explain.following import following
from netpolc.analysis.explain.misses import is_selected, misses
from netpolc.analysis.explain.model import Answer, Consulted, End, Explanation, RulePart, Side
from netpolc.core.cluster import Pod, Snapshot
from netpolc.core.ir import Action, Direction, Origin, Policy, Rule, Selector, Tier
from netpolc.core.program import Combination, Match, Program, Run, Stage
from netpolc.core.semantics import Decision, Flow, Reason, evaluate, pod_at


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
        self._policies = sorted(snapshot.policies, key=attrgetter("order"))
        self._by_namespace: dict[str, list[Policy]] = {}
        self._found: dict[Combination, dict[Origin, _Resolved]] = {}

    def explain(self, flow: Flow) -> Explanation:
        verdict = evaluate(self._program, flow)
        source = self._end(flow.source, flow.source_pod)
        destination = self._end(flow.destination, flow.destination_pod)
        egress = self._side(verdict.egress, source, destination, flow)
        ingress = self._side(verdict.ingress, destination, source, flow)
        return Explanation(verdict, egress, ingress)

    def _end(self, address: int, name: str) -> End:
        nodes = self._cluster.nodes.values()
        node = next((node.name for node in nodes if address in node.addresses), "")
        return End(address, pod_at(self._program, address, name), node)

    def _side(self, decision: Decision, subject: End, peer: End, flow: Flow) -> Side:
        consulted: tuple[Consulted, ...] = ()
        next_: Decision | None = None
        pod = subject.pod
        if pod is not None and decision.reason not in (Reason.SELF, Reason.NODE):
            consulted = tuple(self._consulted(decision.direction, pod, subject, peer, flow))
            next_ = self._following(decision, pod, peer, flow)
        return Side(subject, peer, decision, consulted, next_)

    def _following(self, decision: Decision, pod: Pod, peer: End, flow: Flow) -> Decision | None:
        """What would decide without what did, where an ordered tier judges."""
        key = decision.direction, self._program.identity_of[pod.key]
        judge = self._program.combination_of.get(key)
        if judge is None or decision.reason is Reason.CLOSED:
            return None
        identity = self._program.identity_of[peer.pod.key] if peer.pod is not None else None
        return following(judge, decision, identity, peer.address, flow)

    def _consulted(
        self, direction: Direction, pod: Pod, subject: End, peer: End, flow: Flow
    ) -> Iterator[Consulted]:
        identity = self._program.identity_of[pod.key]
        enforced = _Course(self._program.combination_of.get((direction, identity)))
        tried = _Course(self._program.tried_of.get((direction, identity)))
        destination = subject if direction is Direction.INGRESS else peer
        for policy in self._candidates(pod.namespace):
            rules = [rule for rule in policy.rules if rule.direction is direction]
            course = tried if policy.audited else enforced
            isolates = direction in policy.isolates
            if not (isolates or rules) or not is_selected(policy.subject, pod, self._cluster):
                continue
            judge = course.enter(policy.tier)
            answers = (
                [self._answer(judge, course, rule, peer, destination, flow) for rule in rules]
                if judge is not None
                else []
            )
            if policy.audited:  # it decides nothing, and takes the part of no other
                answers = [replace(own, part=_PART_OF_AUDITED[own.matched]) for own in answers]
            yield Consulted(policy, isolates and not policy.audited, tuple(answers))

    def _candidates(self, namespace: str) -> list[Policy]:
        """The policies that may select pods of a namespace, in the order of judgement."""
        known = self._by_namespace.get(namespace)
        if known is None:
            known = self._by_namespace[namespace] = [
                policy
                for policy in self._policies
                if policy.subject.namespaces == namespace
                or isinstance(policy.subject.namespaces, Selector)
            ]
        return known

    def _answer(
        self,
        judge: Combination,
        course: _Course,
        rule: Rule,
        peer: End,
        destination: End,
        flow: Flow,
    ) -> Answer:
        identity = self._program.identity_of[peer.pod.key] if peer.pod is not None else None
        resolved = self._resolved(judge).get(rule.origin)
        compared = tuple(misses(rule, peer, destination, flow, self._cluster))
        if resolved is not None and any(
            match.has_peer(identity, peer.address) and match.has_port(flow.protocol, flow.port)
            for match in resolved.matches
        ):
            through = tuple(miss.field for miss in compared if not miss.gaps)
            return Answer(rule, True, through, (), course.meet(resolved.run))
        run = resolved.run if resolved is not None else None
        return Answer(rule, False, (), compared, course.miss(run))

    def _resolved(self, combination: Combination) -> dict[Origin, _Resolved]:
        """What each rule was resolved to; rules that match nothing are left out."""
        known = self._found.get(combination)
        if known is None:
            known = self._found[combination] = {}
            for run in (run for stage in combination.tiers for run in stage.runs):
                for rule in run.rules:
                    known.setdefault(rule.origin, _Resolved(run, [])).matches.append(rule.match)
        return known


@dataclass(frozen=True, slots=True)
class _Resolved:
    """The matches of a rule in a combination, and the run that they are in."""

    run: Run
    matches: list[Match]


_PART_OF_AUDITED = {True: RulePart.AGREES, False: RulePart.NONE}


class _Course:
    """How far a flow has come through the stages of a combination, policy by policy."""

    def __init__(self, judge: Combination | None) -> None:
        self._judge = judge
        self._stage: Stage | None = None
        self._met: Run | None = None
        self._is_over = False

    def enter(self, tier: Tier) -> Combination | None:
        """Go on to a tier; what judges there, None if nothing does."""
        if self._judge is None:
            return None
        stage = next((own for own in self._judge.tiers if own.tier is tier), None)
        if stage is None:
            return None
        if self._stage is not None and self._stage is not stage:
            action = self._stage.default if self._met is None else self._met.action
            self._is_over |= action is not Action.PASS
            self._met = None
        self._stage = stage
        return self._judge

    def meet(self, run: Run) -> RulePart:
        """Match a rule of a run."""
        if self._is_over or self._met not in (None, run):
            return RulePart.NOT_ASKED
        if self._met is run:
            return RulePart.AGREES
        self._met = run
        return RulePart.PASSES if run.action is Action.PASS else RulePart.DECIDES

    def miss(self, run: Run | None) -> RulePart:
        """Match no rule of a run (None: a rule that nothing matches)."""
        return (
            RulePart.NOT_ASKED if self._is_over or self._met not in (None, run) else RulePart.NONE
        )
