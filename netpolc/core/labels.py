"""Selector matching through an inverted index of labels.

Comes in: the label map of each member (a pod group, a namespace), numbered from 0. Goes out: the
set of members a selector matches. The cost of a question follows its answer, not the number of
members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from netpolc.core.ir import Operator, Requirement, Selector

_PRESENT = (Operator.IN, Operator.EXISTS)
Members = frozenset[int]
NONE: Members = frozenset()


class LabelIndex:
    """Which members carry a label, and which a key at all; `unsure` ones may have more of both."""

    def __init__(
        self, labels: Iterable[Iterable[tuple[str, str]]], unsure: Iterable[int] = ()
    ) -> None:
        pairs: dict[tuple[str, str], set[int]] = {}
        keys: dict[str, set[int]] = {}
        count = 0
        for number, own in enumerate(labels):
            count += 1
            for pair in own:
                pairs.setdefault(pair, set()).add(number)
                keys.setdefault(pair[0], set()).add(number)
        self.everyone: Members = frozenset(range(count))
        self._unsure: Members = frozenset(unsure)
        self._pairs = {pair: frozenset(members) for pair, members in pairs.items()}
        self._keys = {key: frozenset(members) for key, members in keys.items()}

    def matching(self, selector: Selector, within: Members | None = None) -> Members:
        """Members of `within` (of everyone) that satisfy all requirements."""
        members, excluded = self.divided(selector, within)
        # Without any the set stays the same object, which many selectors then share.
        return members - excluded if excluded else members

    def divided(self, selector: Selector, within: Members | None = None) -> tuple[Members, Members]:
        """Members of `within` (of everyone) that carry what the selector wants to be there, and
        those of them that carry what it wants not to be: they are not selected.

        Costs what the smaller of both is, where taking the one from the other costs all members.
        """
        members = self.everyone if within is None else within
        unwanted = []
        for requirement in selector.requirements:
            if requirement.operator in _PRESENT:
                members = members & self._carriers(requirement)
            else:
                unwanted.append(requirement)
        excluded = NONE
        for requirement in unwanted:
            carriers = self._carriers(requirement)
            if self._unsure:  # whether they lack the key nobody knows
                carriers |= self._unsure - self._keys.get(requirement.key, NONE)
            excluded = excluded | (carriers & members)
        return members, excluded

    def _carriers(self, requirement: Requirement) -> Members:
        """Members with the key and, for In and NotIn, one of the values."""
        match requirement.operator:
            case Operator.IN | Operator.NOT_IN:
                found = [
                    self._pairs.get((requirement.key, value), NONE) for value in requirement.values
                ]
                return found[0] if len(found) == 1 else NONE.union(*found)
            case Operator.EXISTS | Operator.DOES_NOT_EXIST:
                return self._keys.get(requirement.key, NONE)
            case _:
                assert_never(requirement.operator)


def selects(selector: Selector, labels: Mapping[str, str], unsure: bool = False) -> bool:
    """Whether a selector matches one label map, said plainly; an `unsure` one may hold more."""
    for requirement in selector.requirements:
        value = labels.get(requirement.key)
        match requirement.operator:
            case Operator.IN:
                matched = value in requirement.values
            case Operator.NOT_IN:
                matched = value not in requirement.values and not (unsure and value is None)
            case Operator.EXISTS:
                matched = value is not None
            case Operator.DOES_NOT_EXIST:
                matched = value is None and not unsure
            case _:
                assert_never(requirement.operator)
        if not matched:
            return False
    return True


def may_select(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a selector could match what has these labels and perhaps more of other keys."""
    known = (need for need in selector.requirements if need.key in labels)
    return selects(Selector(frozenset(known)), labels)
