"""That a conversion changes nothing: for the pods that are there, and for those to come.

Comes in: a snapshot and the policies that replace some of it. Goes out: what would change. Two
proofs must agree: connections of every pod, and of newcomers that every selector speaks of, are
compared as `diff` compares them; and of objects with one meaning the rules are compared as symbols,
which also tells names of ports that no pod has. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from netpolc.analysis.connectivity.changes import Changes
from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.connectivity.newcomers import with_newcomers
from netpolc.compiler import compile
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import Key, Policy
from netpolc.frontends.odd import same_meaning


def changed(
    snapshot: Snapshot, replaced: Collection[Key], policies: Sequence[Policy]
) -> tuple[Changes, list[str]]:
    """The connections that would change, and the policies that would not say the same."""
    extended = with_newcomers(snapshot).snapshot
    kept = [own for own in extended.policies if own.origin.key not in replaced]
    after = replace(extended, policies=(*kept, *policies))
    difference = Difference(compile(extended), compile(after))
    changes = Changes(difference.changes(), difference.new_workloads, difference.lost_workloads)
    gone = [own for own in snapshot.policies if own.origin.key in replaced]
    return changes, [_named(own) for own in gone if not _is_kept(own, policies)]


def _is_kept(old: Policy, policies: Sequence[Policy]) -> bool:
    """Whether a policy of one name says the same; those of Kubernetes 1.6 never did."""
    if not old.isolates and old.origin.namespace:
        return True
    if old.origin.kind == "Namespace":
        return True
    own = old.origin.namespace, old.origin.name
    alike = (new for new in policies if (new.origin.namespace, new.origin.name) == own)
    return any(same_meaning(old, new) for new in alike)


def _named(policy: Policy) -> str:
    return f"{policy.origin.policy} would not say the same"
