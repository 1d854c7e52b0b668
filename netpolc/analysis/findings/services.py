"""What policies and Services say of each other.

Comes in: a `View`. Goes out: remarks on what is published and let in by nobody, and on rules that
name a Service's port or address, where policies see those of pods. Of pods that may be elsewhere
nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from netpolc.analysis.findings.model import Code, Level, Remark, inside, peer_origin
from netpolc.analysis.findings.view import View, numbered_peers
from netpolc.analysis.publication import PublishedPod, PublishedPods
from netpolc.core.cluster import Pod, Publication, PublishedPort, Service, ServicePort
from netpolc.core.errors import listing
from netpolc.core.ir import (
    ANY,
    Direction,
    NetworkPeer,
    Origin,
    PodPeer,
    Policy,
    PortRange,
    Rule,
    Tier,
)
from netpolc.core.labels import NONE, Members
from netpolc.core.nets import format_span

CODES = (
    Code(
        "NP901",
        Level.WARNING,
        "what is published is let in by no policy",
        "An Ingress, or a route of the Gateway API or of OpenShift, leads to these pods, and they "
        "are isolated: no rule admits whatever may be the ingress controller to that port. Peers "
        "in other namespaces, blocks of addresses, pods that are not in the snapshot and pods with "
        "the name of a controller all may be it.",
        "kind: Ingress   # leads to pods of which this is the only policy\n---\n"
        "podSelector: {}\npolicyTypes: [Ingress]",
        "podSelector:\n  matchLabels: {app: api}\ningress:\n  - from:\n"
        "      - namespaceSelector:\n"
        "          matchLabels: {kubernetes.io/metadata.name: ingress-nginx}\n"
        "    ports:\n      - port: 8080   # the port of the pods",
    ),
    Code(
        "NP902",
        Level.WARNING,
        "a rule names the port of a Service",
        "Policies see connections as they arrive at the pod, when the Service has already led them "
        "to its target port. The number in the rule is that of a Service, and the pods behind it "
        "listen on another one.",
        "ports:\n  - port: 443   # Service: {port: 443, targetPort: 9443}",
        "ports:\n  - port: 9443",
    ),
    Code(
        "NP903",
        Level.WARNING,
        "an ipBlock means addresses of Services",
        "Policies see the addresses of the pods behind a Service and not its own: the block "
        "matches nobody where kube-proxy leads connections on, and plugins that replace it differ. "
        "Known are addresses of Services in the snapshot, and ranges of ServiceCIDR objects.",
        "to:\n  - ipBlock: {cidr: 10.96.0.10/32}   # the Service kube-dns",
        "to:\n  - namespaceSelector: {}\n    podSelector:\n      matchLabels: {k8s-app: kube-dns}",
    ),
    Code(
        "NP904",
        Level.INFO,
        "no container of the destination declares the port",
        "All containers behind the rule declare ports, and this number is not among them. What a "
        "container declares binds it to nothing; most often the number is old or mistyped.",
        "ports:\n  - port: 8008   # containerPort: 8080",
        "ports:\n  - port: 8080",
    ),
)


def check(view: View) -> Iterator[Remark]:
    """What is published and closed, and what rules say of Services."""
    yield from _blocked(view)
    listeners = _Listeners(view)
    services = view.snapshot.cluster.services.values()
    owners = {address: own for own in services for address in own.addresses}
    for policy, rule in view.rules:
        yield from _ports(view, listeners, policy, rule)
        yield from _blocks(view, owners, policy, rule)


def _blocked(view: View) -> Iterator[Remark]:
    found: dict[tuple[Publication, PublishedPort, ServicePort], list[PublishedPod]] = {}
    publications = PublishedPods(view.program)
    for own in publications.pods:
        if not publications.may_be_reached(own):
            found.setdefault((own.publication, own.backend, own.port), []).append(own)
    for (publication, backend, port), several in found.items():
        text = f"port {port} of Service {backend.namespace}/{backend.service}"
        cluster = view.snapshot.cluster
        names = listing(dict.fromkeys(cluster.workload(own.pod) for own in several), 3)
        numbers = ", ".join(f"{own.port.protocol.name}/{own.number}" for own in _once(several))
        yield Remark(
            "NP901",
            inside(publication.origin, *backend.field),
            f"{text} leads to {names} on {numbers}, where no policy admits an ingress controller",
            publication.waived,
            _isolating(view, several[0].pod),
        )


def _once(several: list[PublishedPod]) -> list[PublishedPod]:
    return list({own.span: own for own in several}.values())


def _isolating(view: View, pod: Pod) -> tuple[Origin, ...]:
    key = Direction.INGRESS, view.program.identity_of[pod.key]
    return tuple(o for stage in view.program.combination_of[key].tiers for o in stage.policies)


@dataclass(frozen=True, slots=True, eq=False)
class _Listening:
    """Pods with the same labels and ports: what they declare, and what leads to them by which port
    of a Service: to (protocol, number) from (Service, its number).
    """

    pod: Pod
    targets: dict[tuple[int, int], list[tuple[Service, int]]]

    def led_from(self, wanted: tuple[int, int]) -> Iterator[tuple[Service, int]]:
        """The Services that have this port, with the number on the pod."""
        for (protocol, number), sources in self.targets.items():
            for service, entered in sources:
                if (protocol, entered) == wanted:
                    yield service, number


class _Listeners:
    """How pods are reached, by identity."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._found: dict[int, list[_Listening]] = {}

    def of(self, identities: Iterable[int]) -> list[_Listening]:
        """One for all pods of these that are alike."""
        return [own for number in sorted(identities) for own in self._of(number)]

    def _of(self, number: int) -> list[_Listening]:
        known = self._found.get(number)
        if known is None:
            alike: dict[object, Pod] = {}
            for pod in self._view.program.identities[number].pods:
                alike.setdefault((pod.namespace, id(pod.labels), pod.ports, pod.declared), pod)
            known = self._found[number] = list(map(self._listening, alike.values()))
        return known

    def _listening(self, pod: Pod) -> _Listening:
        targets: dict[tuple[int, int], list[tuple[Service, int]]] = {}
        for service in self._view.services.get(pod.namespace, ()):
            for port in service.ports if service.selects(pod) else ():
                for number in port.on(pod):
                    own = int(port.protocol), number
                    targets.setdefault(own, []).append((service, port.number))
        return _Listening(pod, targets)


def _ports(view: View, listeners: _Listeners, policy: Policy, rule: Rule) -> Iterator[Remark]:
    single = [
        (number, port)
        for number, port in enumerate(() if rule.ports is ANY else rule.ports)
        if isinstance(port, PortRange) and port.first == port.last
    ]
    found = listeners.of(_destinations(view, policy, rule)) if single else []
    for number, port in single:
        origin = rule.origin
        if policy.tier is Tier.NETWORK_POLICY:
            origin = inside(origin, "ports", number, "port")
        remark = _port(port, found)
        if remark is not None:
            code, text, others = remark
            yield Remark(code, origin, text, policy.waived, others)


def _port(port: PortRange, pods: list[_Listening]) -> tuple[str, str, tuple[Origin, ...]] | None:
    """What to say of a port at some pods; nothing where one of them may listen there."""
    wanted = int(port.protocol), port.first
    called = f"{port.protocol.name}/{port.first}"
    leading: dict[Service, set[int]] = {}
    for own in pods:
        declared = own.pod.declared
        if wanted in own.targets or (declared is not None and wanted in declared):
            return None
        led = list(own.led_from(wanted))
        if declared is None and not led:
            return None
        for service, number in led:
            leading.setdefault(service, set()).add(number)
    if leading:
        service = next(iter(leading))
        numbers = ", ".join(map(str, sorted(leading[service])))
        name = f"{service.namespace}/{service.name}"
        text = f"{called} is the port of Service {name}: policies see {numbers}, to which it leads"
        return "NP902", text, (service.origin,)
    if not pods:
        return None
    others = {
        number
        for own in pods
        for protocol, number in own.pod.declared or ()
        if protocol == wanted[0]
    }
    has = listing(map(str, sorted(others)), 4) or "none"
    names = listing((own.pod.key for own in pods), 3)
    text = f"no container of {names} declares {called}; {port.protocol.name} has {has}"
    return "NP904", text, ()


def _destinations(view: View, policy: Policy, rule: Rule) -> Members:
    """The identities whose ports a rule names; none where others are meant as well."""
    peers = [policy.subject]
    if rule.direction is Direction.EGRESS:
        if rule.peers is ANY or not all(isinstance(peer, PodPeer) for peer in rule.peers):
            return NONE
        peers = [peer for _, peer in numbered_peers(rule)]
    return NONE.union(*map(view.selected.members, peers))


def _blocks(
    view: View, owners: Mapping[int, Service], policy: Policy, rule: Rule
) -> Iterator[Remark]:
    if rule.peers is ANY:
        return
    for number, peer in enumerate(rule.peers):
        if not isinstance(peer, NetworkPeer):
            continue
        origin = peer_origin(policy, rule, number, "ipBlock", "cidr")
        first, last = peer.cidr
        block = format_span(peer.cidr)
        ranges = view.snapshot.cluster.service_ranges
        held = [own for own in ranges if own[0] <= first and last <= own[1]]
        service = owners.get(first) if first == last else None
        if service is not None:
            text = f"{block} is the address of Service {service.namespace}/{service.name}"
            yield Remark("NP903", origin, text, policy.waived, (service.origin,))
        elif held:
            text = f"{block} is in the range of Services {format_span(held[0])}"
            yield Remark("NP903", origin, text, policy.waived)
