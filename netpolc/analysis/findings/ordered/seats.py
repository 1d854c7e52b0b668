"""The rules of ordered tiers as they are asked: who is hit, piece by piece of the ports.

Comes in: a `View`. Goes out: for every distinct list of rules a `Piece` for each part of the port
line that its rules tell apart; peers are bits of an integer, one for each identity and one for each
set of addresses outside that blocks tell apart. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from netpolc.analysis.findings.view import View
from netpolc.core.ir import ANY, Policy, Tier
from netpolc.core.nets import (
    EVERY_PORT,
    EVERYWHERE,
    Family,
    Ranges,
    Span,
    family,
    format_address,
    numbers,
    split,
)
from netpolc.core.program import Combination, Match, ResolvedRule


@dataclass(frozen=True, slots=True)
class Hit:
    """Whom a match hits.

    `surely` whatever address a pod may get; `here` with the addresses that pods have now;
    `by_address` are the identities among these that are hit for their address alone.
    """

    surely: int
    here: int
    by_address: int


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """A rule with its policy, and whom it hits."""

    rule: ResolvedRule
    policy: Policy
    hit: Hit


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Ports on which the same rules of a combination are asked: those of Admin, then of Baseline.

    `isolated` says whether a NetworkPolicy isolates the subjects, so that Baseline is not asked.
    """

    combination: Combination
    ports: Span
    tiers: tuple[Sequence[Seat], ...]
    isolated: bool


class Everybody:
    """Everybody who may be at the other end, as bits."""

    def __init__(self, view: View, networks: Sequence[Ranges]) -> None:
        self._view = view
        self._bits = {own: 2 << number for number, own in enumerate(dict.fromkeys(networks))}
        classes: dict[tuple[int, Family], Span] = {}
        for span, held in split([EVERYWHERE, *self._bits]):
            classes.setdefault((held, family(span[0])), span)
        self._classes = [(held, span) for (held, _), span in classes.items()]
        self._first = len(view.program.identities)
        self.pods = (1 << self._first) - 1
        self.everybody = (1 << self._first + len(self._classes)) - 1
        self._families = [
            {family(address) for pod in own.pods for address in pod.addresses}
            for own in view.program.identities
        ]
        self._known: dict[int, Hit] = {}

    def hit(self, match: Match) -> Hit:
        """Whom a match hits."""
        known = self._known.get(id(match))
        if known is None:
            known = self._known[id(match)] = self._hit(match)
        return known

    def _hit(self, match: Match) -> Hit:
        if match.identities is ANY or match.networks is ANY:
            return Hit(self.everybody, self.everybody, 0)
        selected = sum(1 << number for number in match.identities)
        if not match.networks:
            return Hit(selected, selected, 0)
        bit = self._bits[match.networks]
        outside = sum(
            1 << self._first + at for at, (held, _) in enumerate(self._classes) if held & bit
        )
        whole = {v for v in Family if not EVERYWHERE.of_family(v) - match.networks}
        wholly = sum(
            1 << at for at, own in enumerate(self._families) if whole and own and own <= whole
        )
        names = (n for span in match.networks for n in self._view.pod_addresses.inside(span))
        inside = {self._view.program.identity_of[name] for name in names}
        by_address = sum(1 << number for number in inside) & ~selected
        return Hit(
            selected | outside | wholly, selected | outside | wholly | by_address, by_address
        )

    def names(self, peers: int) -> list[str]:
        """The pods, or an address of each set of others."""
        found: list[str] = []
        for number in numbers(peers):
            if number < self._first:
                found.extend(pod.key for pod in self._view.program.identities[number].pods)
            else:
                span = self._classes[number - self._first][1]
                found.append(format_address(min(span[0] + 1, span[1])))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Sitting:
    """Everybody, and every piece of every distinct list of rules."""

    peers: Everybody
    pieces: Sequence[Piece]


def seated(view: View) -> Sitting:
    """The pieces of all combinations that an ordered tier judges; equal lists once."""
    policies = {rule.origin: policy for policy, rule in view.rules}
    judging = [
        (combination, rules)
        for combination in view.program.combinations
        if (rules := _ordered(combination))
    ]
    networks = [
        rule.match.networks
        for _, rules in judging
        for rule in rules
        if rule.match.networks is not ANY and rule.match.networks
    ]
    peers = Everybody(view, networks)
    seen: set[tuple[bool, tuple[int, ...]]] = set()
    pieces: list[Piece] = []
    for combination, rules in judging:
        key = combination.isolates, tuple(map(id, rules))
        if key not in seen:
            seen.add(key)
            seats = [
                Seat(rule, policies[rule.origin], peers.hit(rule.match))
                for rule in rules
                if rule.origin in policies
            ]
            pieces.extend(_pieces(combination, seats))
    return Sitting(peers, pieces)


def _ordered(combination: Combination) -> list[ResolvedRule]:
    stages = (stage for stage in combination.tiers if stage.tier is not Tier.NETWORK_POLICY)
    return [rule for stage in stages for rule in stage.rules]


def _pieces(combination: Combination, seats: Sequence[Seat]) -> Iterator[Piece]:
    """One for each set of rules that are asked on some port."""
    sets = [EVERY_PORT if own.rule.match.ports is ANY else own.rule.match.ports for own in seats]
    asked: dict[int, Span] = {}
    for span, holding in split(sets):
        asked.setdefault(holding, span)
    for holding, span in asked.items():
        own = [seats[number] for number in numbers(holding)]
        tiers = tuple(tuple(g) for _, g in groupby(own, key=lambda seat: seat.policy.tier))
        yield Piece(combination, span, tiers, combination.isolates)
