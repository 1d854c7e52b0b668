"""What all kinds of policies share: one policy an object, one object a name.

Comes in: documents of one kind, and the function that lowers them. Goes out: policies. An odd one
isolates what it selects and admits nothing; so does each of two with one name, unless they say the
same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from netpolc.core.errors import ObjectProblems
from netpolc.core.ir import Key, Policy, Tier
from netpolc.frontends import Semantics
from netpolc.frontends.frontend import Gathered, Name, Reader
from netpolc.frontends.odd import isolating, same_meaning, treated
from netpolc.manifests import Document

Lower = Callable[[Document, ObjectProblems, bool], Policy | None]
"""The policy of a manifest, None when it has errors; unknown fields are errors if strict."""


Closing = Callable[[Document, str, ObjectProblems], Policy | None]
"""What stands for an object that was refused, in the strict direction, given its kind; None where
nobody can tell whom it is about.
"""
_EACH = "each isolates what it selects and admits nothing"
_EACH_ORDERED = "each denies everything of what it selects, in the directions it has rules for"


class PolicyObjects(Reader):
    """Reads the policies of one kind; `closing` makes what stands for an odd one, as NetworkPolicy
    has it where it is not given.
    """

    def __init__(self, gathered: Gathered, lower: Lower, closing: Closing | None = None) -> None:
        super().__init__(gathered)
        legacy = gathered.semantics is Semantics.V1_6
        self._lower, self._closing = lower, closing or partial(gathered.odd.policy, legacy=legacy)
        self._by_name: dict[Name, Policy] = {}
        self._closed: set[Key] = set()

    def read(self, document: Document, report: ObjectProblems) -> Name | None:
        """A policy."""
        policy = self._lower(document, report, self._gathered.strict)
        return None if policy is None else self._add(policy)

    def stand_in(
        self, document: Document, kind: str, report: ObjectProblems
    ) -> tuple[Name | None, str | None]:
        """A policy that admits nothing; none where nobody can tell whom it is about."""
        policy = self._closing(document, kind, report)
        if policy is None:
            return None, None
        return self._add(policy), treated(policy)

    def twice(self, name: Name) -> str:
        """Neither admits anything, unless they say the same."""
        policies = self._gathered.policies
        first, last = self._by_name[name], policies[-1]
        if last.origin.key not in self._closed and same_meaning(first, last):
            policies.pop()
            return "they say the same"
        self._closed.add(last.origin.key)
        return _EACH if last.tier is Tier.NETWORK_POLICY else _EACH_ORDERED

    def finish(self) -> None:
        """Close those of which two differ."""
        if self._closed:
            self._gathered.policies[:] = [
                isolating(own) if own.origin.key in self._closed else own
                for own in self._gathered.policies
            ]

    def _add(self, policy: Policy) -> Name:
        """Gather a policy; its name, under which the first is kept."""
        name = policy.origin.namespace, policy.origin.name
        self._gathered.policies.append(policy)
        self._by_name.setdefault(name, policy)
        return name
