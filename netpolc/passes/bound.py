"""Policies too large to be enforced as they are written: they admit nothing.

Comes in: a cluster and its policies. Goes out: the policies, in which those past a bound are
without their rules (they isolate what they select in the directions they name, or deny everything
there in an ordered tier), and which those were. The bound is on what a policy becomes and not on
its bytes: a few kilobytes can select every pod a thousand times. Nobody else's policies count, so
no tenant can push another past it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import islice

from netpolc.core.cluster import Cluster
from netpolc.core.ir import ANY, Direction, NamedPort, Policy, Rule
from netpolc.passes.identify import identify, pod_peers, selected
from netpolc.passes.ports import has_named_ports
from netpolc.passes.resolve import Resolver

MAX_PODS = 5_000_000
"""Pods that the different selectors of a policy select, added up: 50 times all of 100,000."""
MAX_RULES = 100_000
"""Rules, where one that names ports is one for each set of numbers that its peers (in ingress: the
pods of the policy) have behind them."""


def bounded(
    cluster: Cluster, policies: Sequence[Policy], pods: int = MAX_PODS, rules: int = MAX_RULES
) -> tuple[tuple[Policy, ...], list[tuple[Policy, str]]]:
    """The policies to enforce, and those that lost their rules, with the reason."""
    measure = _Measure(cluster)
    large = []
    kept = []
    for policy in policies:
        if measure.selects_more(policy, pods):
            large.append((policy, f"its selectors select more than {pods:,} pods in all"))
        elif measure.becomes_more(policy, rules):
            large.append((policy, f"its port names make more than {rules:,} rules of it"))
        else:
            kept.append(policy)
            continue
        kept.append(policy.admitting_nothing())
    return tuple(kept), large


class _Measure:
    """What policies become; it is counted only where a rough estimate is past the bound."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @cached_property
    def _port_lists(self) -> int:
        """How many different lists of named ports pods have."""
        return len({pod.ports for pod in self._cluster.pods})

    def selects_more(self, policy: Policy, most: int) -> bool:
        """Whether the pods of all different selectors are more than `most`."""
        pods = len(self._cluster.pods)
        written = sum(len(rule.peers) for rule in policy.rules if rule.peers is not ANY)
        if pods * (1 + written) <= most:
            return False
        peers = dict.fromkeys(pod_peers(policy))
        if pods * len(peers) <= most:
            return False
        found = 0
        for count in selected(self._cluster, peers):
            found += count
            if found > most:
                return True
        return False

    def becomes_more(self, policy: Policy, most: int) -> bool:
        """Whether resolving its rules would make more than `most` of them."""
        named = sum(map(_names_ports, policy.rules))
        if len(policy.rules) + named * len(self._cluster.pods) <= most:
            return False
        if len(policy.rules) + named * self._port_lists <= most:
            return False
        identification = identify(self._cluster, (policy,))
        resolver = Resolver(identification)
        subjects = resolver.subjects(policy.subject)
        own = {identification.identities[number].ports for number in subjects}
        named = has_named_ports(policy.rules)
        made = (
            resolved
            for direction in Direction
            for ports in (own if named and direction is Direction.INGRESS else ((),))
            for resolved in resolver.asked(policy, direction, ports)
            if not resolved.match.is_empty
        )
        return next(islice(made, most, None), None) is not None


def _names_ports(rule: Rule) -> bool:
    return rule.ports is not ANY and any(isinstance(port, NamedPort) for port in rule.ports)
