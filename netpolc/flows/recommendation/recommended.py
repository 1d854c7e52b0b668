"""The policies for what was observed, and their proof.

Comes in: a snapshot and an `Observation`. Goes out: a `Recommendation`. The policies stand for all
NetworkPolicies of the snapshot; cluster-scoped policies stay as they are. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from netpolc.compiler import load
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import Policy, Tier
from netpolc.flows.recommendation.groups import PodGroup, pod_groups
from netpolc.flows.recommendation.needs import NeededPolicy, Wishes, needed_policies
from netpolc.flows.recommendation.observed import Observation, ObservedFlow
from netpolc.flows.recommendation.proving import FlowProof, prove_flows
from netpolc.flows.recommendation.writing import as_manifests
from netpolc.manifests import File

PORTLESS = (
    "of protocols without ports, such as ICMP: only rules that open everything admit them (--icmp)"
)
_KIND = "NetworkPolicy"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Policies by the names they shall have, the flows that they are for, and the proof.

    `left_out` counts records that no policy is for, by the reason.
    """

    policies: Sequence[NeededPolicy]
    names: Mapping[NeededPolicy, str]
    flows: Mapping[ObservedFlow, int]
    groups: Mapping[str, PodGroup]
    left_out: Mapping[str, int]
    proof: FlowProof

    @property
    def text(self) -> str:
        """YAML, with comments."""
        return as_manifests(self.policies, self.names)


def recommend(snapshot: Snapshot, seen: Observation, wishes: Wishes) -> Recommendation:
    """The policies for what was seen in a log of this snapshot."""
    flows, left_out = dict(seen.flows), dict(seen.left_out)
    if not wishes.portless:
        portless = [flow for flow in flows if flow.port is None]
        count = sum(flows.pop(flow) for flow in portless)
        left_out |= {PORTLESS: count} if count else {}
    groups = pod_groups(snapshot.cluster)
    policies = needed_policies(flows, snapshot.cluster, groups, wishes)
    names = _names(snapshot, policies)
    kept = [own for own in snapshot.policies if own.tier is not Tier.NETWORK_POLICY]
    after = replace(snapshot, policies=(*kept, *read_back(as_manifests(policies, names))))
    return Recommendation(
        policies, names, flows, groups, left_out, prove_flows(after, flows, groups)
    )


def read_back(text: str) -> tuple[Policy, ...]:
    """Policies as they are written: what is proven is what is handed out."""
    return load([File("<recommended>", text.encode())]).policies if text else ()


def _names(snapshot: Snapshot, policies: Sequence[NeededPolicy]) -> dict[NeededPolicy, str]:
    """Of its group; another one where a policy of the snapshot has that name."""
    taken = {own.origin.key for own in snapshot.policies}
    found = {}
    for policy in policies:
        name, number = policy.group.name, 1
        while (_KIND, policy.group.namespace, name) in taken:
            name = f"{policy.group.name}-recommended{f'-{number}' if number > 1 else ''}"
            number += 1
        taken.add((_KIND, policy.group.namespace, name))
        found[policy] = name
    return found
