"""Which policies select a class of pods, at the cost of those that may.

Comes in: policies as they come, change and go. Goes out: for a class of pods the keys of those that
select it. Pods with the same ones, and the same named ports, are judged alike. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolc.core.ir import Key, Policy
from netpolc.core.labels import selects
from netpolc.live.scope import ClassKey
from netpolc.live.selections import Labels
from netpolc.live.work import Work


class Subjects:
    """The subjects of all policies; `labels_of` has the labels of a namespace."""

    def __init__(self, labels_of: Callable[[str], Labels], work: Work) -> None:
        self._labels_of, self._work = labels_of, work
        self._within: dict[str | None, dict[Key, Policy]] = {}

    def put(self, key: Key, policy: Policy | None) -> None:
        """A policy as it is now; None if it is gone."""
        for several in self._within.values():
            several.pop(key, None)
        if policy is not None:
            within = policy.subject.namespaces
            place = within if isinstance(within, str) else None
            self._within.setdefault(place, {})[key] = policy

    @property
    def any_restricts(self) -> bool:
        """Whether some policy can deny anything."""
        return any(own.restricts for some in self._within.values() for own in some.values())

    def selecting(self, kind: ClassKey) -> tuple[Key, ...]:
        """The keys of the policies that select pods of a class, in order."""
        namespace, labels = kind[0], dict(kind[1])
        found = []
        for place in (namespace, None):
            several = self._within.get(place, {})
            self._work.asked += len(several)
            for key, policy in several.items():
                within = policy.subject.namespaces
                is_there = isinstance(within, str) or selects(within, self._labels_of(namespace))
                if is_there and selects(policy.subject.pods, labels):
                    found.append(key)
        return tuple(sorted(found))
