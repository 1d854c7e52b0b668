"""Which other policy isolates the pods of one, whatever labels they get besides.

Comes in: policies. Goes out: the first of them whose selector asks for no more than that of another
one. Policies are found by their namespace and one of their requirements, not by asking all of them.
Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from netpolc.core.ir import Direction, Policy, Requirement, Selector

_Place = tuple[str | Selector, Direction, Requirement | None]


class Isolators:
    """Policies in order, of which some may be removed."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._order = {policy: number for number, policy in enumerate(policies)}
        self._found: dict[_Place, dict[Policy, None]] = {}
        for policy in policies:
            for place in _places(policy):
                self._found.setdefault(place, {})[policy] = None

    def remove(self, policy: Policy) -> None:
        """Forget a policy."""
        del self._order[policy]
        for place in _places(policy):
            del self._found[place][policy]

    def of(
        self, policy: Policy, direction: Direction, cited: Iterable[Policy], *, denies: bool
    ) -> Policy | None:
        """The first other policy that isolates the same pods, those that are `cited` before all; of
        a policy that only `denies`, another that has no rules.
        """
        for other in cited:
            if other in self._order and _isolates(other, policy, direction, denies):
                return other
        firsts = (
            next(self._at(policy, direction, need, denies), None)
            for need in (None, *policy.subject.pods.requirements)
        )
        return min(
            (own for own in firsts if own is not None), key=self._order.__getitem__, default=None
        )

    def _at(
        self, policy: Policy, direction: Direction, need: Requirement | None, denies: bool
    ) -> Iterator[Policy]:
        place = policy.subject.namespaces, direction, need
        for other in self._found.get(place, ()):
            if _isolates(other, policy, direction, denies):
                yield other


def _places(policy: Policy) -> Iterator[_Place]:
    """Where a policy is looked for: under the first of its requirements, if it has any."""
    needs = policy.subject.pods.requirements
    need = min(needs, key=_text) if needs else None
    for direction in policy.isolates:
        yield policy.subject.namespaces, direction, need


def _text(need: Requirement) -> tuple[str, str, list[str]]:
    return need.key, need.operator.value, sorted(need.values)


def _isolates(other: Policy, policy: Policy, direction: Direction, denies: bool) -> bool:
    """Whether another policy isolates the pods of one, and what it admits is no loss."""
    return (
        other is not policy
        and direction in other.isolates
        and other.subject.namespaces == policy.subject.namespaces
        and other.subject.pods.requirements <= policy.subject.pods.requirements
        and not (denies and other.rules)
    )
