"""What adds nothing, because others admit it already.

Comes in: a `View`. Goes out: remarks on rules, on policies, on duplicates. All that is remarked on
can be removed at once without changing a verdict: whatever is found to add nothing covers nothing
else from then on. Of two that cover each other the first by name stays.

A rule is covered where it applies: in every combination of policies that has it, the other rules
of that combination must admit whatever it admits. Peers are compared as sets of identities and of
addresses, apart, so that a block does not count as cover of the pods that happen to be in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from netpolc.analysis.findings.coverage.isolators import Isolators
from netpolc.analysis.findings.coverage.meetings import Meetings, ports_of
from netpolc.analysis.findings.coverage.twins import Twins
from netpolc.analysis.findings.model import Code, Level, Remark
from netpolc.analysis.findings.view import Scope, View, idle_peers
from netpolc.core.errors import listing
from netpolc.core.ir import ANY, Direction, Origin, Policy, Rule
from netpolc.core.labels import NONE
from netpolc.core.nets import EVERYWHERE, NOTHING, Ranges, Span
from netpolc.core.program import Match

CODES = (
    Code(
        "NP301",
        Level.WARNING,
        "a rule adds nothing",
        "Policies add up. Other rules for the same pods admit all that this one admits, in this "
        "snapshot.",
        "ingress:\n  - from:\n      - podSelector: {}\n"
        "  - from:\n      - podSelector:\n          matchLabels: {app: web}",
        "ingress:\n  - from:\n      - podSelector: {}",
    ),
    Code(
        "NP302",
        Level.WARNING,
        "a policy adds nothing",
        "Every rule is covered by other rules, and another policy whose selector is as wide "
        "isolates the same pods. A policy without rules is covered by another one without rules "
        "only: a default deny keeps its worth when the others go. So is one whose rules match "
        "nothing; in a repository, to which their peers may come, it is not remarked on.",
        "# allow-all admits everything to all pods of the namespace\n"
        "metadata: {name: allow-web}\nspec:\n  podSelector:\n    matchLabels: {app: web}\n"
        "  ingress:\n    - ports:\n        - port: 80",
        "# remove allow-web, or what covers it if that is more than was wanted",
    ),
    Code(
        "NP303",
        Level.WARNING,
        "two policies mean the same",
        "Same selector, same directions, and rules that admit the same: one of the two will be "
        "forgotten when the other is changed.",
        "metadata: {name: web-copy}\nspec:\n  podSelector:\n    matchExpressions:\n"
        "      - {key: app, operator: In, values: [web]}   # web says matchLabels: {app: web}",
        "# keep one of them",
    ),
)
Matches = list[Match]


def check(view: View) -> Iterator[Remark]:
    """Rules and policies that could be removed."""
    coverage = _Coverage(view)
    duplicates = dict(coverage.duplicates())
    covered = dict(coverage.covered_rules())
    useless = dict(coverage.useless_policies(duplicates, covered))
    for policy in view.network_policies:
        if policy in duplicates:
            twin = duplicates[policy].origin
            text = f"means the same as {twin}"
            yield Remark("NP303", policy.origin, text, policy.waived, (twin,))
        elif policy in useless:
            others = useless[policy]
            by = f"covered by {_names(others)}"
            if all(coverage.matches_nothing(rule) for rule in policy.rules) and policy.rules:
                by = f"its rules match nothing, and {_names(others)} isolates the same pods"
            yield Remark("NP302", policy.origin, f"adds nothing: {by}", policy.waived, others)
        else:
            for rule in policy.rules:
                if rule.origin in covered:
                    others = covered[rule.origin]
                    text = f"adds nothing: covered by {_names(others)}"
                    yield Remark("NP301", rule.origin, text, policy.waived, others)


def _names(origins: Iterable[Origin]) -> str:
    return listing(map(str, origins))


@dataclass(slots=True)
class _Coverage:
    """Which rules are needed; `gone` grows while those that are not are found."""

    view: View
    applied: list[dict[Origin, Matches]] = field(default_factory=list)
    where: dict[Origin, list[int]] = field(default_factory=dict)
    gone: set[Origin] = field(default_factory=set)
    indexed: dict[int, Meetings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for direction in Direction:
            for combination in self.view.combinations(direction):
                rules: dict[Origin, Matches] = {}
                for rule in self.view.accepting(combination):
                    rules.setdefault(rule.origin, []).append(rule.match)
                for origin in rules:
                    self.where.setdefault(origin, []).append(len(self.applied))
                self.applied.append(rules)

    def duplicates(self) -> Iterator[tuple[Policy, Policy]]:
        """Policies that mean the same as an earlier one."""
        twins = Twins(self.applied, self.where, partial(idle_peers, self.view))
        for policy, twin in twins.among(self.view.network_policies):
            self.gone.update(rule.origin for rule in policy.rules)
            yield policy, twin

    def covered_rules(self) -> Iterator[tuple[Origin, tuple[Origin, ...]]]:
        """Rules that others cover, the last by name first, and which those are."""
        for _, rule in reversed(self.view.rules):
            if idle_peers(self.view, rule):
                continue  # it adds something as soon as there is such a pod
            if rule.origin in self.where and rule.origin not in self.gone:
                others = self._covering(rule)
                if others is not None:
                    self.gone.add(rule.origin)
                    yield rule.origin, others

    def matches_nothing(self, rule: Rule) -> bool:
        """Whether a rule admits nobody, and will not where nothing comes later."""
        if rule.origin in self.where:
            return False
        return self.view.scope is Scope.CLUSTER or not idle_peers(self.view, rule)

    def _covering(self, rule: Rule) -> tuple[Origin, ...] | None:
        """What covers a rule wherever it applies; None if it adds something somewhere."""
        found: dict[Origin, None] = {}
        for number in self.where[rule.origin]:
            rules = self.applied[number]
            for match in rules[rule.origin]:
                others = [
                    (origin, other)
                    for origin, other in self._meeting(number, match)
                    if origin is not rule.origin and origin not in self.gone
                ]
                covering = _cover(match, others)
                if covering is None:
                    return None
                found.update(dict.fromkeys(covering))
        return tuple(found)

    def _meeting(self, number: int, match: Match) -> list[tuple[Origin, Match]]:
        """The matches of a combination that can have a part in covering one."""
        index = self.indexed.get(number)
        if index is None:
            index = self.indexed[number] = Meetings(self.applied[number])
        return index.of(match)

    def useless_policies(
        self, duplicates: Collection[Policy], covered: dict[Origin, tuple[Origin, ...]]
    ) -> Iterator[tuple[Policy, tuple[Origin, ...]]]:
        """Policies of which no rule is needed, nor their isolation."""
        kept = [policy for policy in self.view.network_policies if policy not in duplicates]
        isolators = Isolators(kept)
        by_key = {policy.origin.key: policy for policy in kept}
        for policy in kept[::-1]:
            needed = (own for own in policy.rules if own.origin not in covered)
            if not policy.isolates or not all(map(self.matches_nothing, needed)):
                continue
            rules = [origin for rule in policy.rules for origin in covered.get(rule.origin, ())]
            # Those that are cited anyway come first: one name less to read.
            cited = [by_key[origin.key] for origin in rules]
            isolating = [
                isolators.of(policy, way, cited, denies=not rules)
                for way in sorted(policy.isolates)
            ]
            if None not in isolating:
                isolators.remove(policy)
                also = (other.origin for other in isolating if other is not None)
                yield policy, _one_a_policy((*rules, *also))


def _one_a_policy(origins: Iterable[Origin]) -> tuple[Origin, ...]:
    """Without the policies of which a rule is there already."""
    once = tuple(dict.fromkeys(origins))
    ruled = {origin.key for origin in once if origin.rule}
    return tuple(origin for origin in once if origin.rule or origin.key not in ruled)


def _cover(own: Match, others: Sequence[tuple[Origin, Match]]) -> list[Origin] | None:
    """Which rules admit all that `own` admits, one if one is enough; None if none do."""
    ports = ports_of(own)
    if not _first_is_covered(own, ports, others):
        return None
    for origin, match in others:
        if not ports - ports_of(match) and _peers_covered(own, [match]):
            return [origin]
    found: dict[Origin, None] = {}
    for piece in _pieces(ports, others):
        # A piece lies wholly inside or outside of every other rule's ports.
        there = [(origin, match) for origin, match in others if piece[0] in ports_of(match)]
        if not _peers_covered(own, [match for _, match in there]):
            return None
        found.update((origin, None) for origin, match in there if _touches(own, match))
    return list(found)


def _first_is_covered(own: Match, ports: Ranges, others: Iterable[tuple[Origin, Match]]) -> bool:
    """Whether the first peer on the first port can be: of most rules nothing covers even that."""
    addresses = EVERYWHERE if own.networks is ANY else own.networks
    identity = None if own.identities is ANY else next(iter(own.identities), None)

    def has_peer(match: Match) -> bool:
        if match.identities is ANY or match.networks is ANY:
            return True
        if addresses:
            return addresses.spans[0][0] in match.networks
        return identity in match.identities or bool(match.networks)

    return any(has_peer(match) and ports.spans[0][0] in ports_of(match) for _, match in others)


def _pieces(ports: Ranges, others: Iterable[tuple[Origin, Match]]) -> Iterator[Span]:
    """The ports, cut wherever those of another rule begin or end."""
    cuts: set[int] = set()
    for _, match in others:
        for first, last in ports_of(match):
            cuts.update((first, last + 1))
    ordered = sorted(cuts)
    for first, last in ports:
        at = first
        for cut in ordered:
            if at < cut <= last:
                yield at, cut - 1
                at = cut
        yield at, last


def _peers_covered(own: Match, others: Sequence[Match]) -> bool:
    """Whether the others together have every peer: each identity, and each address."""
    if any(match.networks is ANY for match in others):
        return True
    networks = Ranges.of(
        span for match in others if match.networks is not ANY for span in match.networks
    )
    if (EVERYWHERE if own.networks is ANY else own.networks) - networks:
        return False
    if not EVERYWHERE - networks:
        return True  # every address, whoever has it
    if own.identities is ANY:
        return False
    known = (match.identities for match in others if match.identities is not ANY)
    return own.identities <= NONE.union(*known)


def _touches(own: Match, other: Match) -> bool:
    """Whether two rules have a peer in common."""
    if own.identities is ANY or other.identities is ANY:
        return True
    networks = (match.networks if match.networks is not ANY else NOTHING for match in (own, other))
    one, two = networks
    return bool(own.identities & other.identities or one & two)
