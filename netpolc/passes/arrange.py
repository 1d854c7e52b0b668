"""Arranges resolved rules: identities under the same policies share one combination.

Comes in: policies and a resolver. Goes out: combinations, one for each direction and distinct list
of policies (and, where ingress rules name ports, for each distinct set of the subject's ports).
Only subjects that some policy isolates, or that an ordered tier judges, are in one; all others are
open. Audited policies are left out of them; what all policies together would make of the subjects
that only audited ones isolate is arranged apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from netpolc.cluster import ContainerPorts
from netpolc.ir import Action, Direction, Policy, Tier
from netpolc.passes.resolve import Resolver, has_named_ports
from netpolc.program import Combination, Identity, ResolvedRule, TierRules


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
    """The combinations of all policies, audited ones too, for subjects no enforced one isolates.

    Audited policies change nothing else: where a pod is isolated already, one more NetworkPolicy
    could only admit more.
    """
    if not any(policy.audited for policy in policies):
        return ()
    isolated = {(c.direction, own) for c in enforced if _isolates(c) for own in c.subjects}
    tried = []
    for combination in filter(_isolates, _all(policies, identities, resolver)):
        direction = combination.direction
        subjects = {own for own in combination.subjects if (direction, own) not in isolated}
        if subjects:
            tried.append(replace(combination, subjects=frozenset(subjects)))
    return tuple(tried)


def _isolates(combination: Combination) -> bool:
    return any(rules.tier is Tier.NETWORK_POLICY for rules in combination.tiers)


def _all(
    policies: Iterable[Policy], identities: Sequence[Identity], resolver: Resolver
) -> tuple[Combination, ...]:
    ordered = sorted(policies, key=_order)
    return tuple(
        combination
        for direction in Direction
        for combination in _arrange(direction, ordered, identities, resolver)
    )


def _order(policy: Policy) -> tuple[Tier, int, str, str, str]:
    origin = policy.origin
    return policy.tier, policy.priority, origin.namespace, origin.name, origin.kind


def _arrange(
    direction: Direction,
    policies: Sequence[Policy],
    identities: Sequence[Identity],
    resolver: Resolver,
) -> list[Combination]:
    selecting: list[list[int]] = [[] for _ in identities]
    named = [False] * len(policies)
    for number, policy in enumerate(policies):
        if not _concerns(policy, direction):
            continue
        named[number] = direction is Direction.INGRESS and has_named_ports(policy.rules)
        for subject in resolver.subjects(policy.subject):
            selecting[subject].append(number)
    groups: dict[tuple[tuple[int, ...], ContainerPorts], list[int]] = {}
    for subject, numbers in enumerate(selecting):
        if numbers:
            by_ports = any(named[number] for number in numbers)
            ports = identities[subject].ports if by_ports else ()
            groups.setdefault((tuple(numbers), ports), []).append(subject)
    builder = _TierBuilder(direction, policies, resolver)
    combinations = []
    for (chosen, ports), subjects in groups.items():
        tiers = builder.tiers(chosen, ports)
        if tiers:
            combinations.append(Combination(direction, frozenset(subjects), tiers))
    return combinations


def _concerns(policy: Policy, direction: Direction) -> bool:
    return direction in policy.isolates or any(rule.direction is direction for rule in policy.rules)


class _TierBuilder:
    """Builds tiers from policies, resolving each policy once for each set of subject ports."""

    def __init__(
        self, direction: Direction, policies: Sequence[Policy], resolver: Resolver
    ) -> None:
        self._direction = direction
        self._policies = policies
        self._resolver = resolver
        self._resolved: dict[tuple[int, ContainerPorts], tuple[ResolvedRule, ...]] = {}

    def tiers(self, numbers: Sequence[int], ports: ContainerPorts) -> tuple[TierRules, ...]:
        found = []
        for tier, group in groupby(numbers, key=lambda number: self._policies[number].tier):
            members = list(group)
            isolating = [n for n in members if self._direction in self._policies[n].isolates]
            if tier is Tier.NETWORK_POLICY and not isolating:
                continue  # v1.6: policies without the annotation admit what was never denied
            rules = tuple(rule for number in members for rule in self._rules(number, ports))
            default = Action.DENY if tier is Tier.NETWORK_POLICY else Action.PASS
            origins = tuple(self._policies[n].origin for n in isolating or members)
            found.append(TierRules(tier, rules, default, origins))
        return tuple(found)

    def _rules(self, number: int, ports: ContainerPorts) -> tuple[ResolvedRule, ...]:
        policy = self._policies[number]
        if ports and not has_named_ports(policy.rules):
            ports = ()
        known = self._resolved.get((number, ports))
        if known is None:
            known = tuple(
                resolved
                for rule in policy.rules
                if rule.direction is self._direction
                for resolved in self._resolver.rule(rule, ports)
            )
            self._resolved[number, ports] = known
        return known
