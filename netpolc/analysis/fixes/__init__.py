"""Findings that one edit of the manifest puts right, and that edit.

Comes in: findings and the snapshot they are about. Goes out: a `Fix` for each that has one. No fix
changes what is admitted: rules and policies go that add nothing whatever pods there are
(containment.py), and waivers of codes that are none. What of that cannot be edited alone is found
while the text is edited (editing.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netpolc.analysis.findings import CATALOGUE, Finding
from netpolc.analysis.findings.model import UNKNOWN_WAIVER
from netpolc.analysis.fixes.containment import PolicyRule, contains, selects_as_much
from netpolc.analysis.fixes.editing import Edit
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import WAIVER, Origin, Policy, Waived
from netpolc.manifests import ManifestSource
from netpolc.manifests.syntax import Elements

__all__ = ["Fix", "fixes"]
_RULE, _POLICY, _COPY = "NP301", "NP302", "NP303"


@dataclass(frozen=True, slots=True)
class Fix:
    """What becomes of the file in which a finding is."""

    finding: Finding
    file: str
    edit: Edit


def fixes(findings: Iterable[Finding], snapshot: Snapshot) -> Iterator[Fix]:
    """The fix of each finding that has one; places are those before any of them is made."""
    known = _Known(snapshot)
    for finding in findings:
        remark = finding.remark
        if remark is None:
            continue
        origin, source = remark.origin, remark.origin.source
        text: str | None = None
        elements: Elements = ()
        if not isinstance(source, ManifestSource) or source.is_json:
            continue
        if finding.code == UNKNOWN_WAIVER:
            text = ", ".join(sorted(known.waived(origin) & CATALOGUE.keys())) or None
            elements = ("metadata", "annotations", WAIVER)
        elif known.adds_nothing(finding.code, origin, remark.others):
            elements = origin.field if finding.code == _RULE else ()
        else:
            continue
        yield Fix(finding, source.file.name, Edit(source.document, (*source.at, *elements), text))


class _Known:
    """Policies and rules by their origin."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._policies = {policy.origin: policy for policy in snapshot.policies}
        self._rules: dict[Origin, PolicyRule] = {
            rule.origin: (policy, rule) for policy in snapshot.policies for rule in policy.rules
        }

    def adds_nothing(self, code: str, origin: Origin, others: tuple[Origin, ...]) -> bool:
        """Whether something that adds nothing today never will, beside the others that are named
        with it.
        """
        rules = [self._rules[own] for own in others if own in self._rules]
        policies = [self._policies[own] for own in others if own in self._policies]
        if code == _RULE:
            enforced = [own for own in rules if not own[0].audited]
            return self._is_covered(self._rules[origin], enforced)
        if code not in (_POLICY, _COPY):
            return False
        policy = self._policies[origin]
        rules += [(own, rule) for own in policies for rule in own.rules]
        named = [*policies, *(own for own, _ in rules)]
        if any(own.audited for own in named):  # it admits nothing yet
            return False
        return all(self._is_covered((policy, own), rules) for own in policy.rules) and all(
            any(way in own.isolates and _is_as_wide(own, policy) for own in named)
            for way in policy.isolates
        )

    @staticmethod
    def _is_covered(rule: PolicyRule, others: Iterable[PolicyRule]) -> bool:
        return any(contains(own, rule) for own in others)

    def waived(self, origin: Origin) -> Waived:
        """The codes that an object's annotation names."""
        cluster = self._snapshot.cluster
        found = (
            *((own.origin, own.waived) for own in self._snapshot.policies),
            *((own.origin, own.waived) for own in cluster.namespaces.values()),
            *((own.origin, own.waived) for own in cluster.pods),
        )
        return next((codes for own, codes in found if own and own.key == origin.key), frozenset())


def _is_as_wide(policy: Policy, other: Policy) -> bool:
    return policy.tier is other.tier and selects_as_much(policy.subject, other.subject)
