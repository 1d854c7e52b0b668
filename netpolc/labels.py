"""Selector matching through an inverted index of labels.

Comes in: the label map of each member (a pod group, a namespace), numbered from 0. Goes out: the
set of members a selector matches. The cost of a question follows its answer, not the number of
members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from netpolc.ir import Operator, Requirement, Selector

Members = frozenset[int]
NONE: Members = frozenset()


class LabelIndex:
    """Which members carry a label, and which a key at all."""

    def __init__(self, labels: Iterable[Iterable[tuple[str, str]]]) -> None:
        pairs: dict[tuple[str, str], set[int]] = {}
        keys: dict[str, set[int]] = {}
        count = 0
        for number, own in enumerate(labels):
            count += 1
            for pair in own:
                pairs.setdefault(pair, set()).add(number)
                keys.setdefault(pair[0], set()).add(number)
        self.everyone: Members = frozenset(range(count))
        self._pairs = {pair: frozenset(members) for pair, members in pairs.items()}
        self._keys = {key: frozenset(members) for key, members in keys.items()}

    def matching(self, selector: Selector, within: Members | None = None) -> Members:
        """Members of `within` (of everyone) that satisfy all requirements."""
        members = self.everyone if within is None else within
        # Positive requirements first: they shrink the set without walking it.
        for requirement in selector.requirements:
            if requirement.operator in (Operator.IN, Operator.EXISTS):
                members = members & self._carriers(requirement)
        for requirement in selector.requirements:
            if requirement.operator in (Operator.NOT_IN, Operator.DOES_NOT_EXIST):
                members = members - self._carriers(requirement)
        return members

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


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a selector matches one label map, said plainly."""
    for requirement in selector.requirements:
        value = labels.get(requirement.key)
        match requirement.operator:
            case Operator.IN:
                matched = value in requirement.values
            case Operator.NOT_IN:
                matched = value not in requirement.values
            case Operator.EXISTS:
                matched = value is not None
            case Operator.DOES_NOT_EXIST:
                matched = value is None
            case _:
                assert_never(requirement.operator)
        if not matched:
            return False
    return True
