"""What is published to whoever is outside, and whether policies let an ingress controller in.

Comes in: a Program, with the Services and what publishes them in its cluster. Goes out: each
published port with the pods behind it, and whether a rule may admit a controller to it. Where the
controller runs, and with which labels, a repository seldom says: whatever may be it counts as it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from netpolc.core.cluster import NAME_LABEL, Pod, Publication, PublishedPort, Service, ServicePort
from netpolc.core.ir import ANY, Direction, Operator, PodPeer, Selector, Tier
from netpolc.core.labels import selects
from netpolc.core.nets import Span
from netpolc.core.program import Program, ResolvedRule

_CONTROLLER = re.compile(
    r"ingress|gateway|traefik|nginx|haproxy|envoy|contour|kong|istio|caddy|cloudflare|proxy|router"
    r"|tunnel|cilium|apisix|tyk|edge",
    re.IGNORECASE,
)
"""What names and labels of controllers have in common, and those of few other pods."""


@dataclass(frozen=True, slots=True, eq=False)
class PublishedPod:
    """A port of a pod that an object publishes through a Service."""

    publication: Publication
    backend: PublishedPort
    service: Service
    port: ServicePort
    pod: Pod
    number: int

    @property
    def span(self) -> Span:
        """The port of the pod, on the port line."""
        number = int(self.port.protocol) << 16 | self.number
        return number, number


class PublishedPods:
    """What the cluster of a program publishes, and who may admit a controller to it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._by_namespace: dict[str, list[Pod]] = {}
        for pod in program.cluster.pods if program.cluster.published else ():
            self._by_namespace.setdefault(pod.namespace, []).append(pod)
        self._known: dict[tuple[int, str, Span], list[ResolvedRule] | None] = {}

    @cached_property
    def pods(self) -> tuple[PublishedPod, ...]:
        """Every pod and port that is published, but for hostNetwork pods: no policy judges them."""
        return tuple(self._published())

    def _published(self) -> Iterator[PublishedPod]:
        behind: dict[Service, list[Pod]] = {}
        for publication in self._program.cluster.published:
            for backend in publication.backends:
                key = backend.namespace, backend.service
                service = self._program.cluster.services.get(key)
                if service is None or service.external:
                    continue
                if service not in behind:
                    space = self._by_namespace.get(service.namespace, ())
                    behind[service] = [own for own in space if service.selects(own)]
                for pod in behind[service]:
                    for port in () if pod.host_network else meant_ports(service, backend.port, pod):
                        for number in port.on(pod):
                            yield PublishedPod(publication, backend, service, port, pod, number)

    def may_be_reached(self, own: PublishedPod) -> bool:
        """Whether an ingress controller may reach it, for all that the policies say."""
        rules = self.admitting(own)
        return rules is None or bool(rules)

    def admitting(self, own: PublishedPod) -> list[ResolvedRule] | None:
        """The rules that may admit an ingress controller to it; None where nothing isolates the
        pod.

        Where an ordered tier judges it nothing is known either (None): what denies by labels may
        or may not mean the controller.
        """
        identity = self._program.identity_of[own.pod.key]
        key = identity, own.pod.namespace, own.span
        if key not in self._known:
            self._known[key] = self._admitting(own, identity)
        return self._known[key]

    def _admitting(self, own: PublishedPod, identity: int) -> list[ResolvedRule] | None:
        judge = self._program.combination_of.get((Direction.INGRESS, identity))
        if judge is None or any(stage.tier is not Tier.NETWORK_POLICY for stage in judge.tiers):
            return None
        return [
            rule
            for stage in judge.tiers
            for rule in stage.questions
            if rule.match.has_port(int(own.port.protocol), own.number)
            and self._may_mean(rule, own.pod.namespace)
        ]

    def _may_mean(self, rule: ResolvedRule, namespace: str) -> bool:
        """Whether a rule for pods of a namespace may mean a controller."""
        if rule.match.identities is ANY or rule.match.networks:
            return True
        question = rule.question
        if question is None or question.peers is ANY:
            return True
        return any(self._may_be(peer, namespace) for peer in question.peers)

    def _may_be(self, peer: PodPeer, namespace: str) -> bool:
        """Whether a peer means pods of other namespaces, pods that are not here, or what looks
        like a controller.
        """
        if isinstance(peer.namespaces, Selector) and not _is_own(peer.namespaces, namespace):
            return True
        if namespace in self._program.cluster.unseen:
            return True
        space = self._by_namespace.get(namespace, ())
        found = [pod for pod in space if selects(peer.pods, pod.labels)]
        return not found or any(map(_looks_like_controller, found))


def meant_ports(service: Service, wanted: int | str | None, pod: Pod) -> list[ServicePort]:
    """The ports of a Service that a backend means: by number or name, by what they lead to on the
    pod (as Routes of OpenShift say it), or all.
    """
    if wanted is None:
        return list(service.ports)
    found = [own for own in service.ports if wanted in (own.number, own.name)]
    return found or [own for own in service.ports if wanted in (own.target, *own.on(pod))]


def _is_own(namespaces: Selector, name: str) -> bool:
    """Whether the namespace of that name is all that a selector can mean."""
    return any(
        need.key == NAME_LABEL and need.operator is Operator.IN and need.values == {name}
        for need in namespaces.requirements
    )


def _looks_like_controller(pod: Pod) -> bool:
    return any(_CONTROLLER.search(text) for text in (pod.name, *pod.labels.values()))
