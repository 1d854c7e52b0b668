"""Arranges resolved rules: identities under the same policies share one combination.

Comes in: policies and a resolver. Goes out: combinations, one for each direction and distinct list
of policies (and, where ingress rules name ports, for each distinct set of the subject's ports).
Only subjects that some policy isolates, or that an ordered tier judges, are in one, and the closed
ones, which nothing is admitted to or from; all others are open. Audited policies are left out of
them; what all policies together would make of the subjects to which these could deny more is
arranged apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import attrgetter

from msgspec import structs

from netpolc.core.cluster import ContainerPorts
from netpolc.core.ir import Action, Direction, Origin, Policy, Tier
from netpolc.core.labels import Members
from netpolc.core.program import (
    Combination,
    Identity,
    ResolvedRule,
    Run,
    Stage,
    joined_runs,
    runs_of,
)
from netpolc.passes.resolve import Resolver, has_named_ports, named_ports

_ORDER = attrgetter("order")
CLOSED = "closed-pods"
"""What isolates pods that are closed, where a policy would be named."""


def arrange(
    policies: Sequence[Policy], identities: Sequence[Identity], resolver: Resolver
) -> tuple[Combination, ...]:
    """The combinations of a snapshot, in order of direction and first subject."""
    return _all((p for p in policies if not p.audited), identities, resolver)


def arrange_tried(
    policies: Sequence[Policy],
    identities: Sequence[Identity],
    resolver: Resolver,
    enforced: Iterable[Combination],
) -> tuple[Combination, ...]:
    """The combinations of all policies, audited ones too, for subjects to which those could deny
    more: they alone isolate them, or a rule of an ordered tier denies something or passes it on.

    Audited policies change nothing else: where a pod is isolated already, one more NetworkPolicy
    could only admit more.
    """
    if not any(policy.audited for policy in policies):
        return ()
    isolated = {(c.direction, own) for c in enforced if c.isolates for own in c.subjects}
    ordered = _strict(policies, resolver)
    tried = []
    for combination in _all(policies, identities, resolver):
        direction = combination.direction
        subjects = {
            own
            for own in combination.subjects
            if (combination.isolates and (direction, own) not in isolated)
            or (direction, own) in ordered
        }
        if subjects:
            tried.append(structs.replace(combination, subjects=frozenset(subjects)))
    return tuple(tried)


def _strict(policies: Iterable[Policy], resolver: Resolver) -> set[tuple[Direction, int]]:
    """What audited policies of ordered tiers select, in directions where they not only accept."""
    return {
        (rule.direction, subject)
        for policy in policies
        if policy.audited and policy.tier is not Tier.NETWORK_POLICY
        for rule in policy.rules
        if rule.action is not Action.ACCEPT
        for subject in resolver.subjects(policy.subject)
    }


def _all(
    policies: Iterable[Policy], identities: Sequence[Identity], resolver: Resolver
) -> tuple[Combination, ...]:
    ordered = sorted(policies, key=_ORDER)
    return tuple(
        combination
        for direction in Direction
        for combination in _arrange(direction, ordered, identities, resolver)
    )


def _arrange(
    direction: Direction,
    policies: Sequence[Policy],
    identities: Sequence[Identity],
    resolver: Resolver,
) -> list[Combination]:
    alike = _Alike(direction, policies, resolver)
    selecting: list[list[int]] = [[] for _ in identities]
    by_ports = [False] * len(identities)
    for place, (subjects, by_name) in enumerate(zip(alike.subjects, alike.by_name, strict=True)):
        for subject in subjects:
            selecting[subject].append(place)
            by_ports[subject] |= by_name
    groups: dict[tuple[tuple[int, ...], ContainerPorts], list[int]] = {}
    for subject, places in enumerate(selecting):
        if identities[subject].closed:
            groups[(), ()] = [subject]
        elif places:
            ports = identities[subject].ports if by_ports[subject] else ()
            groups.setdefault((tuple(places), ports), []).append(subject)
    builder = _TierBuilder(direction, policies, resolver)
    combinations = []
    for (several, ports), members in groups.items():
        if several:
            chosen = alike.policies(several)
            tiers = builder.tiers(chosen, ports)
        else:
            tiers = _closed(identities[members[0]])
        if tiers:
            combinations.append(Combination(direction, frozenset(members), tiers))
    return combinations


class _Alike:
    """Policies of one tier with the same subjects, which stand together: many may select all pods
    of a namespace. Their places are in order of tier.
    """

    def __init__(
        self, direction: Direction, policies: Sequence[Policy], resolver: Resolver
    ) -> None:
        self.subjects: list[Members] = []
        self.by_name: list[bool] = []
        """Of each place, whether the rules mean other numbers on other subjects."""
        self._together: list[list[int]] = []
        self._ends: list[tuple[Tier, int]] = []
        self._chosen: dict[tuple[int, ...], tuple[int, ...]] = {}
        concerned = [n for n, own in enumerate(policies) if _concerns(own, direction)]
        for tier, numbers in groupby(concerned, key=lambda number: policies[number].tier):
            places: dict[Members, int] = {}
            for number in numbers:
                policy = policies[number]
                subjects = resolver.subjects(policy.subject)
                place = places.setdefault(subjects, len(self.subjects))
                if place == len(self.subjects):
                    self.subjects.append(subjects)
                    self.by_name.append(False)
                    self._together.append([])
                self._together[place].append(number)
                if direction is Direction.INGRESS and has_named_ports(policy.rules):
                    self.by_name[place] = True
            self._ends.append((tier, len(self.subjects)))

    def policies(self, places: tuple[int, ...]) -> Iterator[tuple[Tier, tuple[int, ...]]]:
        """The numbers of the policies at some places in order, tier by tier."""
        start = 0
        for tier, last in self._ends:
            end = bisect_left(places, last, start)
            if end > start:
                own = places[start:end]
                known = self._chosen.get(own)
                if known is None:
                    found = chain.from_iterable(map(self._together.__getitem__, own))
                    known = self._chosen[own] = tuple(sorted(found))
                yield tier, known
            start = end


def _closed(identity: Identity) -> tuple[Stage, ...]:
    """What judges closed pods, as an isolating policy without rules would."""
    origin = Origin("Pod", "", CLOSED, (), identity.pods[0].origin.source)
    return (Stage(Tier.NETWORK_POLICY, (), Action.DENY, (origin,)),)


def _concerns(policy: Policy, direction: Direction) -> bool:
    return direction in policy.isolates or any(rule.direction is direction for rule in policy.rules)


_Unanswered = tuple[tuple[int, ResolvedRule], ...]
_Rules = tuple[tuple[ResolvedRule, ...], _Unanswered]


class _TierBuilder:
    """Builds tiers from policies, resolving each policy once for each set of subject ports."""

    def __init__(
        self, direction: Direction, policies: Sequence[Policy], resolver: Resolver
    ) -> None:
        self._direction = direction
        self._policies = policies
        self._resolver = resolver
        self._named: dict[int, frozenset[tuple[str, int]]] = {}
        self._named_among: dict[tuple[int, ...], frozenset[tuple[str, int]]] = {}
        self._resolved: dict[tuple[int, ContainerPorts], _Rules] = {}
        self._in_runs: dict[int, tuple[Run, ...]] = {}  # by the id of what `_resolved` keeps
        self._stages: dict[tuple[tuple[int, ...], ContainerPorts], Stage] = {}

    def tiers(
        self, chosen: Iterable[tuple[Tier, tuple[int, ...]]], ports: ContainerPorts
    ) -> tuple[Stage, ...]:
        """The stages of policies, given by tier."""
        found = []
        for tier, members in chosen:
            if tier is not Tier.NETWORK_POLICY:
                found.append(self._ordered(tier, members, ports))
                continue
            isolating = [n for n in members if self._direction in self._policies[n].isolates]
            several = [self._rules(number, ports) for number in members]
            rules = tuple(rule for own, _ in several for rule in own)
            origins = tuple(self._policies[n].origin for n in isolating)
            if isolating:  # v1.6: without the annotation rules admit what was never denied
                runs = (Run(Action.ACCEPT, rules),) if rules else ()
                found.append(Stage(tier, runs, Action.DENY, origins, _unanswered(several)))
        return tuple(found)

    def _ordered(self, tier: Tier, members: tuple[int, ...], ports: ContainerPorts) -> Stage:
        """The stage of some policies of an ordered tier: one for all who have these, and the same
        ports behind the names that these ask for. What else others ask for makes no difference.
        """
        if ports:
            asked = self._named_among.get(members)
            if asked is None:
                asked = frozenset[tuple[str, int]]().union(*map(self._names, members))
                self._named_among[members] = asked
            ports = tuple(own for own in ports if own[:2] in asked)
        known = self._stages.get((members, ports))
        if known is None:
            runs = joined_runs(self._runs(number, ports) for number in members)
            origins = tuple(self._policies[number].origin for number in members)
            known = Stage(tier, runs, Action.PASS, origins, named=ports)
            self._stages[members, ports] = known
        return known

    def _rules(self, number: int, ports: ContainerPorts) -> _Rules:
        policy = self._policies[number]
        if ports and not self._names(number):
            ports = ()
        known = self._resolved.get((number, ports))
        if known is None:
            known = _answered(self._resolver.asked(policy, self._direction, ports))
            self._resolved[number, ports] = known
        return known

    def _runs(self, number: int, ports: ContainerPorts) -> tuple[Run, ...]:
        """The runs of a policy of an ordered tier, which stages that have it share."""
        rules = self._rules(number, ports)[0]
        known = self._in_runs.get(id(rules))
        if known is None:
            known = self._in_runs[id(rules)] = runs_of(rules)
        return known

    def _names(self, number: int) -> frozenset[tuple[str, int]]:
        """The names (with protocols) by which the rules of a policy mean other ports on other
        subjects; looked at once.
        """
        known = self._named.get(number)
        if known is None:
            asked = named_ports(self._policies[number].rules)
            known = self._named[number] = frozenset((own.name, own.protocol) for own in asked)
        return known


def _answered(asked: Iterable[ResolvedRule]) -> _Rules:
    """The rules that match something, and the others with their places among them."""
    rules: list[ResolvedRule] = []
    unanswered: list[tuple[int, ResolvedRule]] = []
    for rule in asked:
        match = rule.match
        if not match.identities and match.is_empty:
            unanswered.append((len(rules), rule))
        else:
            rules.append(rule)
    return tuple(rules), tuple(unanswered)


def _unanswered(several: Iterable[_Rules]) -> _Unanswered:
    """Those of several policies, with their places among the rules of all."""
    found: list[tuple[int, ResolvedRule]] = []
    before = 0
    for rules, unanswered in several:
        if unanswered:
            found += ((before + place, rule) for place, rule in unanswered)
        before += len(rules)
    return tuple(found)
