"""What selectors select: one pod of each identity answers for the others.

Comes in: a cluster and the identities of its Program; selectors in use. Goes out: identities,
namespaces by number, pods. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from netpolc.core.cluster import Cluster, Pod
from netpolc.core.ir import PodPeer, Selector
from netpolc.core.labels import Members, selects
from netpolc.core.nets import Family, family
from netpolc.core.program import Identity
from netpolc.passes.answers import Answers


class SelectorAnswers:
    """The answers to selectors, each found once."""

    def __init__(self, cluster: Cluster, identities: Sequence[Identity]) -> None:
        self._pods, self._identities = cluster.pods, identities
        self._namespaces = tuple(cluster.namespaces.values())

    @cached_property
    def _members(self) -> Answers:
        return Answers([own.pods[0] for own in self._identities], self._namespaces)

    @cached_property
    def _hosts(self) -> tuple[tuple[Pod, ...], Answers]:
        pods = tuple(pod for pod in self._pods if pod.host_network)
        return pods, Answers(pods, self._namespaces)

    def members(self, peer: PodPeer) -> Members:
        """The identities a subject or a peer selects."""
        return self._members.members(peer)

    def namespaces(self, selector: Selector) -> Members:
        """The namespaces a selector matches, by number."""
        return self._members.namespaces(selector)

    def host_pods(self, peer: PodPeer) -> list[Pod]:
        """The hostNetwork pods whose labels match, although no policy sees them."""
        pods, answers = self._hosts
        return [pods[number] for number in sorted(answers.members(peer))]

    def both_match(self, namespaces: Selector, pods: Selector) -> Pod | None:
        """The first pod that both selectors match, though no peer combines them."""
        found = self.namespaces(namespaces)
        names = {self._namespaces[number].name for number in found}
        for pod in self._pods:
            if pod.host_network or pod.closed:
                continue
            if pod.namespace in names and selects(pods, pod.labels):
                return pod
        return None

    def families(self, subject: PodPeer) -> set[Family]:
        """The address families that the subject's pods have addresses of."""
        return {
            family(address)
            for number in self.members(subject)
            for pod in self._identities[number].pods
            for address in pod.addresses
        }
