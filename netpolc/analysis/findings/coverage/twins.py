"""Policies that mean the same, told by what each means and not pair by pair.

Comes in: the matches of each rule in some combinations. Goes out: policies with an earlier one that
admits the same. What a policy admits has one form, whatever rules it is made of, so that `n`
policies are compared by `n` look-ups. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence

from netpolc.analysis.findings.coverage.meetings import ports_of
from netpolc.core.ir import ANY, Origin, PodPeer, Policy, Rule
from netpolc.core.labels import NONE, Members
from netpolc.core.nets import EVERYWHERE, NOTHING, Ranges, edges
from netpolc.core.program import Match

_Peers = tuple[Ranges, Members]


class Twins:
    """Compares policies by the matches that each rule has in each combination, by number; `idle`
    are the peers of a rule that match nothing yet.
    """

    def __init__(
        self,
        applied: Sequence[Mapping[Origin, Sequence[Match]]],
        where: Mapping[Origin, Sequence[int]],
        idle: Callable[[Rule], Sequence[PodPeer]],
    ) -> None:
        self._applied = applied
        self._where = where
        self._idle = idle

    def among(self, policies: Iterable[Policy]) -> Iterator[tuple[Policy, Policy]]:
        """Each policy that means the same as an earlier one, and the first of those.

        They select and isolate the same pods, and rules that match nothing must be alike. What is
        cheap comes first: most policies differ in it.
        """
        for group in _alike(policies, _selection):
            for similar in _alike(group, self._outline) if len(group) > 1 else ():
                for first, *others in self._equal(similar):
                    yield from ((policy, first) for policy in others)

    def _equal(self, policies: list[Policy]) -> list[list[Policy]]:
        written = _alike(policies, self._written)
        if len(written) == 1:
            return written
        meanings = {own: self.meaning(same[0]) for same in written for own in same}
        return _alike(policies, meanings.__getitem__)

    def _outline(self, policy: Policy) -> Hashable:
        """What its rules and peers say that match nothing, and the ports of the others."""
        idle = frozenset(
            (
                rule.direction,
                _as_set(self._idle(rule) if rule.origin in self._where else rule.peers),
                _as_set(rule.ports),
            )
            for rule in policy.rules
            if rule.origin not in self._where or self._idle(rule)
        )
        return idle, frozenset(
            (number, Ranges.of(span for match in own for span in ports_of(match)))
            for number, own in self._matches(policy).items()
        )

    def _written(self, policy: Policy) -> Hashable:
        """Its matches: equal ones mean the same, but others may too."""
        return frozenset((number, frozenset(own)) for number, own in self._matches(policy).items())

    def meaning(self, policy: Policy) -> Hashable:
        """What it admits in each combination, in the same form however it is written."""
        return frozenset((at, tuple(_by_port(own))) for at, own in self._matches(policy).items())

    def _matches(self, policy: Policy) -> dict[int, list[Match]]:
        found: dict[int, list[Match]] = {}
        for rule in policy.rules:
            for number in self._where.get(rule.origin, ()):
                found.setdefault(number, []).extend(self._applied[number][rule.origin])
        return found


def _selection(policy: Policy) -> Hashable:
    return policy.subject, policy.isolates


def _alike(policies: Iterable[Policy], told: Callable[[Policy], Hashable]) -> list[list[Policy]]:
    """The policies that something does not tell apart, each group in order."""
    found: dict[Hashable, list[Policy]] = {}
    for policy in policies:
        found.setdefault(told(policy), []).append(policy)
    return list(found.values())


def _as_set(items: Sequence[object] | object) -> object:
    return frozenset(items) if isinstance(items, tuple) else items


def _by_port(matches: Sequence[Match]) -> Iterator[tuple[int, _Peers]]:
    """Where on the port line other peers begin to be admitted, and which."""
    before: _Peers = NOTHING, NONE
    holding: set[int] = set()
    for edge, changing in edges(map(ports_of, matches)):
        holding.symmetric_difference_update(changing)
        peers = _peers([matches[number] for number in holding])
        if peers != before:
            yield edge, peers
        before = peers


def _peers(matches: Collection[Match]) -> _Peers:
    """The peers of some matches together; who has every address has every pod as well."""
    if any(match.networks is ANY for match in matches):
        return EVERYWHERE, NONE
    networks = Ranges.union(own.networks for own in matches if own.networks is not ANY)
    if not EVERYWHERE - networks:
        return EVERYWHERE, NONE
    return networks, NONE.union(*(own.identities for own in matches if own.identities is not ANY))
