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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import attrgetter
from typing import NamedTuple

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
from netpolc.passes.resolve import Resolver

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
    for place, (subjects, names) in enumerate(zip(alike.subjects, alike.names, strict=True)):
        for subject in subjects:
            selecting[subject].append(place)
        if names:
            for subject in subjects:
                by_ports[subject] = True
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
            tiers = builder.tiers(alike.policies(several), ports)
        else:
            tiers = _closed(identities[members[0]])
        if tiers:
            combinations.append(Combination(direction, frozenset(members), tiers))
    return combinations


@dataclass(slots=True, eq=False)
class _Chosen:
    """Policies of one tier, by number, that some subjects are under; in an ordered tier with the
    names of ports that they ask for, and their stages by what subjects have behind these.
    """

    tier: Tier
    members: tuple[int, ...]
    names: frozenset[tuple[str, int]]
    stages: dict[ContainerPorts, Stage] = field(default_factory=dict)


class _Alike:
    """Policies of one tier with the same subjects, which stand together: many may select all pods
    of a namespace. Their places are in order of tier.
    """

    def __init__(
        self, direction: Direction, policies: Sequence[Policy], resolver: Resolver
    ) -> None:
        self.subjects: list[Members] = []
        self.names: list[frozenset[tuple[str, int]]] = []
        """By place, those by which rules mean other numbers on other subjects."""
        self._together: list[list[int]] = []
        self._ends: list[tuple[Tier, int]] = []
        self._chosen: dict[tuple[int, ...], _Chosen] = {}
        concerned = [
            n
            for n, own in enumerate(policies)
            if direction in own.isolates or resolver.lists.ruled(own, direction)
        ]
        for tier, numbers in groupby(concerned, key=lambda number: policies[number].tier):
            places: dict[Members, int] = {}
            for number in numbers:
                policy = policies[number]
                subjects = resolver.subjects(policy.subject)
                place = places.setdefault(subjects, len(self.subjects))
                if place == len(self.subjects):
                    self.subjects.append(subjects)
                    self.names.append(frozenset())
                    self._together.append([])
                self._together[place].append(number)
                if direction is Direction.INGRESS and (names := resolver.lists.names(policy)):
                    self.names[place] |= names
            self._ends.append((tier, len(self.subjects)))

    def policies(self, places: tuple[int, ...]) -> list[_Chosen]:
        """The policies at some places, tier by tier."""
        chosen = []
        start = 0
        for tier, last in self._ends:
            end = bisect_left(places, last, start)
            if end > start:
                own = places[start:end]
                known = self._chosen.get(own)
                if known is None:
                    found = chain.from_iterable(map(self._together.__getitem__, own))
                    names = frozenset[tuple[str, int]]().union(*[self.names[at] for at in own])
                    known = self._chosen[own] = _Chosen(tier, tuple(sorted(found)), names)
                chosen.append(known)
                start = end
        return chosen


def _closed(identity: Identity) -> tuple[Stage, ...]:
    """What judges closed pods, as an isolating policy without rules would."""
    origin = Origin("Pod", "", CLOSED, (), identity.pods[0].origin.source)
    return (Stage(Tier.NETWORK_POLICY, (), Action.DENY, (origin,)),)


_Unanswered = tuple[tuple[int, ResolvedRule], ...]


class _Rules(NamedTuple):
    """The rules of a policy that match something, as `runs` in an ordered tier; and the others with
    their places among them.
    """

    rules: tuple[ResolvedRule, ...]
    unanswered: _Unanswered
    runs: tuple[Run, ...]


class _TierBuilder:
    """Builds tiers from policies, resolving each policy once for each set of subject ports."""

    def __init__(
        self, direction: Direction, policies: Sequence[Policy], resolver: Resolver
    ) -> None:
        self._direction = direction
        self._policies = policies
        self._resolver = resolver
        self._resolved: dict[int, _Rules] = {}
        self._by_ports: dict[tuple[int, ContainerPorts], _Rules] = {}

    def tiers(self, several: Iterable[_Chosen], ports: ContainerPorts) -> tuple[Stage, ...]:
        """The stages of some policies for subjects with these named ports."""
        found = []
        for own in several:
            if own.tier is not Tier.NETWORK_POLICY:
                found.append(self._ordered(own, ports))
            elif (stage := self._isolating(own.members, ports)) is not None:
                found.append(stage)
        return tuple(found)

    def _isolating(self, members: tuple[int, ...], ports: ContainerPorts) -> Stage | None:
        isolating = [n for n in members if self._direction in self._policies[n].isolates]
        if not isolating:  # v1.6: without the annotation rules admit what was never denied
            return None
        several = self._several(members, ports)
        rules = tuple([rule for own in several for rule in own.rules])
        origins = tuple([self._policies[n].origin for n in isolating])
        runs = (Run(Action.ACCEPT, rules),) if rules else ()
        return Stage(Tier.NETWORK_POLICY, runs, Action.DENY, origins, _unanswered(several))

    def _ordered(self, own: _Chosen, ports: ContainerPorts) -> Stage:
        """The stage of some policies of an ordered tier: one for all who have these, and the same
        ports behind the names that these ask for. What else others ask for makes no difference.
        """
        names = own.names
        if ports:
            ports = tuple([port for port in ports if port[:2] in names]) if names else ()
        known = own.stages.get(ports)
        if known is None:
            runs = joined_runs([each.runs for each in self._several(own.members, ports)])
            origins = tuple([self._policies[number].origin for number in own.members])
            known = Stage(own.tier, runs, Action.PASS, origins, named=ports)
            own.stages[ports] = known
        return known

    def _several(self, members: tuple[int, ...], ports: ContainerPorts) -> list[_Rules]:
        """What some policies say; those without names of ports say the same to all subjects."""
        known = self._resolved
        return [
            self._named(number, ports)
            if ports and self._names(number)
            else known.get(number) or self._plain(number)
            for number in members
        ]

    def _plain(self, number: int) -> _Rules:
        found = self._resolved[number] = self._made(number, ())
        return found

    def _named(self, number: int, ports: ContainerPorts) -> _Rules:
        known = self._by_ports.get((number, ports))
        if known is None:
            known = self._by_ports[number, ports] = self._made(number, ports)
        return known

    def _made(self, number: int, ports: ContainerPorts) -> _Rules:
        policy = self._policies[number]
        asked = self._resolver.asked(policy, self._direction, ports)
        unanswered: list[tuple[int, ResolvedRule]] = []
        rules: list[ResolvedRule] = []
        for rule in asked:
            match = rule.match
            if match.identities or not match.is_empty:
                rules.append(rule)
            else:
                unanswered.append((len(rules), rule))
        answered = tuple(rules)
        runs = () if policy.tier is Tier.NETWORK_POLICY else runs_of(answered)
        return _Rules(answered, tuple(unanswered), runs)

    def _names(self, number: int) -> frozenset[tuple[str, int]]:
        return self._resolver.lists.names(self._policies[number])


def _unanswered(several: Iterable[_Rules]) -> _Unanswered:
    """Those of several policies, with their places among the rules of all."""
    found: list[tuple[int, ResolvedRule]] = []
    before = 0
    for own in several:
        if own.unanswered:
            found += ((before + place, rule) for place, rule in own.unanswered)
        before += len(own.rules)
    return tuple(found)
