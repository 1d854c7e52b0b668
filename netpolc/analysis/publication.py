"""What is published to whoever is outside, and whether policies let an ingress controller in.

Comes in: a Program, with the Services and what publishes them in its cluster. Goes out: each
published port with the pods behind it, and whether a rule may admit a controller to it. Where the
controller runs, and with which labels, a repository seldom says: whatever may be it counts as it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from netpolc.core.cluster import NAME_LABEL, Pod, Publication, PublishedPort, Service, ServicePort
from netpolc.core.ir import ANY, Direction, Operator, PodPeer, Selector, Tier
from netpolc.core.labels import selects
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
    def span(self) -> tuple[int, int]:
        """The port of the pod, on the port line."""
        number = int(self.port.protocol) << 16 | self.number
        return number, number


def published_pods(program: Program) -> Iterator[PublishedPod]:
    """Every pod and port that is published, hostNetwork pods left out: no policy judges them."""
    cluster = program.cluster
    for publication in cluster.published:
        for backend in publication.backends:
            service = cluster.services.get((backend.namespace, backend.service))
            if service is None or service.external:
                continue
            for pod in cluster.behind(service):
                if pod.host_network:
                    continue
                for port in meant_ports(service, backend.port, pod):
                    for number in port.on(pod):
                        yield PublishedPod(publication, backend, service, port, pod, number)


def meant_ports(service: Service, wanted: int | str | None, pod: Pod) -> list[ServicePort]:
    """The ports of a Service that a backend means: by number or name, by what they lead to on the
    pod (as Routes of OpenShift say it), or all.
    """
    if wanted is None:
        return list(service.ports)
    found = [own for own in service.ports if wanted in (own.number, own.name)]
    return found or [own for own in service.ports if wanted in (own.target, *own.on(pod))]


def may_admit_controller(program: Program, own: PublishedPod) -> bool:
    """Whether an ingress controller may reach a published port, for all that the policies say."""
    rules = admitting_controller(program, own)
    return rules is None or bool(rules)


def admitting_controller(program: Program, own: PublishedPod) -> list[ResolvedRule] | None:
    """The rules that may admit an ingress controller to a published port; None where nothing
    isolates the pod.

    Where an ordered tier judges it nothing is known either (None): what denies by labels may or may
    not mean the controller.
    """
    key = Direction.INGRESS, program.identity_of[own.pod.key]
    judge = program.combination_of.get(key)
    if judge is None or any(stage.tier is not Tier.NETWORK_POLICY for stage in judge.tiers):
        return None
    return [
        rule
        for stage in judge.tiers
        for rule in stage.questions
        if rule.match.has_port(int(own.port.protocol), own.number)
        and _may_mean_controller(program, rule, own.pod)
    ]


def _may_mean_controller(program: Program, rule: ResolvedRule, subject: Pod) -> bool:
    if rule.match.identities is ANY or rule.match.networks:
        return True
    question = rule.question
    if question is None or question.peers is ANY:
        return True
    return any(_may_be_controller(program, peer, subject) for peer in question.peers)


def _may_be_controller(program: Program, peer: PodPeer, subject: Pod) -> bool:
    """Whether a peer means pods of other namespaces, pods that are not here, or what looks like a
    controller.
    """
    if isinstance(peer.namespaces, Selector) and not _is_own(peer.namespaces, subject.namespace):
        return True
    if subject.namespace in program.cluster.unseen:
        return True
    found = [
        pod
        for pod in program.cluster.pods
        if pod.namespace == subject.namespace and selects(peer.pods, pod.labels)
    ]
    return not found or any(map(_looks_like_controller, found))


def _is_own(namespaces: Selector, name: str) -> bool:
    """Whether the namespace of that name is all that a selector can mean."""
    return any(
        need.key == NAME_LABEL and need.operator is Operator.IN and need.values == {name}
        for need in namespaces.requirements
    )


def _looks_like_controller(pod: Pod) -> bool:
    return any(_CONTROLLER.search(text) for text in (pod.name, *pod.labels.values()))
