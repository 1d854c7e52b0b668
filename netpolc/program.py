"""Program: the resolved IR that every backend reads.

Comes in from the passes: identities instead of pods, numbers instead of names. An **identity** is
the set of pods that no policy tells apart: the same answer to every selector in use and the same
named ports. A `Match` is the (identity-set, CIDR-set, port-range) tuple. Identities with the same
policies in a direction share one `Combination`.

`verify()` refuses a Program that breaks the invariants; the compiler calls it after the last pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from netpolc.cluster import Cluster, ContainerPorts, Pod
from netpolc.ir import ANY, Action, Any_, Direction, Origin, Tier
from netpolc.nets import PORTS, Protocol, Ranges


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """Pods that no policy tells apart; `ports` are those named ports that a policy mentions."""

    number: int
    pods: tuple[Pod, ...]
    ports: ContainerPorts


@dataclass(frozen=True, slots=True)
class Match:
    """Traffic with a peer that is one of the identities or in one of the networks, on one of the
    ports.

    `identities` and `networks` are `ANY` together: anybody, known or not. `ports` are `ANY` for
    every protocol, ICMP included; otherwise spans of the port line (see `nets.ports`).
    """

    identities: frozenset[int] | Any_
    networks: Ranges | Any_
    ports: Ranges | Any_

    def has_port(self, protocol: int, port: int | None) -> bool:
        """Whether the ports include this one; protocols without ports are only in `ANY`."""
        return self.ports is ANY or (port is not None and (protocol << 16 | port) in self.ports)

    def has_peer(self, identity: int | None, address: int) -> bool:
        """Whether a peer, by its identity (None outside the cluster) and address, is included."""
        if self.identities is ANY or self.networks is ANY:
            return True
        return identity in self.identities or address in self.networks


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedRule:
    """What happens to matching traffic, and the rule of the policy that says so."""

    match: Match
    action: Action
    origin: Origin


@dataclass(frozen=True, slots=True, eq=False)
class TierRules:
    """The rules of one tier.

    ADMIN and BASELINE: the first match decides. NETWORK_POLICY: any match accepts. `default`
    applies when none matches: DENY for an isolated pod, PASS to the next tier otherwise. `policies`
    are those that make it so.
    """

    tier: Tier
    rules: tuple[ResolvedRule, ...]
    default: Action
    policies: tuple[Origin, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """What judges its subjects in one direction: the tiers that say anything, in order."""

    direction: Direction
    subjects: frozenset[int]
    tiers: tuple[TierRules, ...]


class InvariantError(AssertionError):
    """A pass produced a Program that must not exist: a bug in netpolc."""


@dataclass(frozen=True, eq=False)
class Program:
    """The meaning of a snapshot: who is who, what judges whom. Others are open.

    `tried` judges nothing: it holds what all policies would make, audited ones too, of identities
    that only audited ones isolate.
    """

    cluster: Cluster
    identities: tuple[Identity, ...]
    combinations: tuple[Combination, ...]
    tried: tuple[Combination, ...] = ()

    @cached_property
    def identity_of(self) -> dict[str, int]:
        """Identity by pod key (`namespace/name`)."""
        return {pod.key: own.number for own in self.identities for pod in own.pods}

    @cached_property
    def pods_by_address(self) -> dict[int, Pod]:
        """The pod behind each address; nodes and hostNetwork pods are not pods here."""
        return {
            address: pod for own in self.identities for pod in own.pods for address in pod.addresses
        }

    @cached_property
    def combination_of(self) -> dict[tuple[Direction, int], Combination]:
        """The combination that judges an identity in a direction; absent means not isolated."""
        return {(c.direction, subject): c for c in self.combinations for subject in c.subjects}

    @cached_property
    def tried_of(self) -> dict[tuple[Direction, int], Combination]:
        """What would judge an identity in a direction, if audited policies were enforced."""
        return {(c.direction, subject): c for c in self.tried for subject in c.subjects}

    def verify(self) -> None:
        """Raise `InvariantError` unless every invariant holds."""
        _require(
            [own.number for own in self.identities] == list(range(len(self.identities))),
            "identities are numbered in order",
        )
        everyone = frozenset(range(len(self.identities)))
        checked: set[int] = set()
        _verify_combinations(self.combinations, everyone, checked)
        _verify_combinations(self.tried, everyone, checked)
        for key in self.tried_of:
            tiers = self.combination_of[key].tiers if key in self.combination_of else ()
            _require(
                not any(rules.tier is Tier.NETWORK_POLICY for rules in tiers),
                "what is isolated is not tried",
            )


def _verify_combinations(
    combinations: tuple[Combination, ...], everyone: frozenset[int], checked: set[int]
) -> None:
    seen: set[tuple[Direction, int]] = set()
    for combination in combinations:
        keys = {(combination.direction, subject) for subject in combination.subjects}
        _require(bool(keys) and not keys & seen, "one combination per identity and direction")
        _require(combination.subjects <= everyone, "subjects exist")
        seen |= keys
        tiers = [rules.tier for rules in combination.tiers]
        _require(tiers == sorted(set(tiers)) and bool(tiers), "tiers are in order")
        for tier in combination.tiers:
            _verify_tier(tier, everyone, checked)


def _verify_tier(tier: TierRules, everyone: frozenset[int], checked: set[int]) -> None:
    for rule in tier.rules:
        if id(rule) in checked:
            continue
        checked.add(id(rule))
        match = rule.match
        _require(
            tier.tier is not Tier.NETWORK_POLICY or rule.action is Action.ACCEPT,
            "NetworkPolicy only accepts",
        )
        _require((match.identities is ANY) == (match.networks is ANY), "any peer is any address")
        _require(match.identities is ANY or match.identities <= everyone, "peers exist")
        _require(match.networks is ANY or _canonical(match.networks), "networks are canonical")
        _require(match.ports is ANY or _canonical_ports(match.ports), "ports are canonical")


def _canonical(ranges: Ranges) -> bool:
    spans = ranges.spans
    return all(first <= last for first, last in spans) and all(
        before[1] + 1 < after[0] for before, after in pairwise(spans)
    )


_PROTOCOLS = frozenset(map(int, Protocol))


def _canonical_ports(ranges: Ranges) -> bool:
    return _canonical(ranges) and all(
        first >> 16 == last >> 16 and first >> 16 in _PROTOCOLS and last & PORTS - 1 < PORTS
        for first, last in ranges
    )


def _require(condition: bool, invariant: str) -> None:
    if not condition:
        raise InvariantError(invariant)
