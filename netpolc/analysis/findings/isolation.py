"""Pods that no policy isolates, and pods that cannot ask DNS.

Comes in: a `View`. Goes out: remarks on namespaces (where the snapshot has their manifest, on the
first pod otherwise) and on egress policies.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.findings.model import Code, Level, Remark
from netpolc.analysis.findings.view import View
from netpolc.core.cluster import Pod
from netpolc.core.errors import listing
from netpolc.core.ir import ANY, Action, Direction, Policy
from netpolc.core.nets import Protocol, parse_address
from netpolc.core.program import Combination, ResolvedRule

CODES = (
    Code(
        "NP501",
        Level.INFO,
        "pods that no policy isolates for ingress",
        "Everybody may connect to these pods. The usual start is a default deny in each namespace.",
        "# a namespace with pods and without a policy",
        "podSelector: {}\npolicyTypes: [Ingress]",
    ),
    Code(
        "NP502",
        Level.INFO,
        "pods that no policy isolates for egress",
        "These pods may connect to everything, also outside of the cluster.",
        "podSelector: {}\npolicyTypes: [Ingress]   # says nothing about egress",
        "podSelector: {}\npolicyTypes: [Ingress, Egress]",
    ),
    Code(
        "NP503",
        Level.WARNING,
        "DNS is forgotten under egress isolation",
        "The pods may open connections but not look up names: no rule of theirs admits port 53, "
        "over UDP and over TCP (answers that do not fit a datagram), to the cluster's DNS. That is "
        "pods with the label k8s-app: kube-dns where the snapshot has some, NodeLocal DNSCache "
        "(169.254.20.10) and the resolvers of clouds (169.254.169.254, ...). Pods to which no rule "
        "opens anything are left out: they are meant to be silent.",
        "policyTypes: [Egress]\negress:\n  - ports:\n      - port: 443",
        "policyTypes: [Egress]\negress:\n  - ports:\n      - port: 443\n"
        "  - to:\n      - namespaceSelector: {}\n        podSelector:\n"
        "          matchLabels: {k8s-app: kube-dns}\n"
        "    ports:\n      - {protocol: UDP, port: 53}\n      - {protocol: TCP, port: 53}",
    ),
)
_DNS = 53
_DNS_LABEL = ("k8s-app", "kube-dns")
_KNOWN = tuple(
    map(
        parse_address,
        (
            "169.254.20.10",  # NodeLocal DNSCache, unless told otherwise
            "169.254.169.254",  # metadata servers that are also resolvers (Google Cloud)
            "169.254.169.253",  # Amazon's
            "168.63.129.16",  # Azure's
        ),
    )
)
"""Where resolvers are that are no pods."""
_OTHER = {"UDP": "TCP", "TCP": "UDP"}
Server = tuple[int | None, int]
"""Identity (None of a node) and address of one."""
_UNISOLATED = {Direction.INGRESS: "NP501", Direction.EGRESS: "NP502"}


def check(view: View) -> Iterator[Remark]:
    """What isolation leaves open, and what it closes by mistake."""
    for direction in Direction:
        if direction is Direction.INGRESS or not view.legacy:  # policies of 1.6 have no egress
            yield from _open(view, direction)
    yield from _without_dns(view)


def _open(view: View, direction: Direction) -> Iterator[Remark]:
    code = _UNISOLATED[direction]
    found: dict[str, list[Pod]] = {}
    for pod in view.snapshot.cluster.pods:
        if not (pod.host_network or code in pod.waived or view.isolated(direction, pod)):
            found.setdefault(pod.namespace, []).append(pod)
    for name, pods in found.items():
        space = view.snapshot.cluster.namespaces[name]
        count = "1 pod" if len(pods) == 1 else f"{len(pods)} pods"
        names = listing(pod.name for pod in pods)
        text = f"no policy isolates {count} of namespace {name} for {direction}: {names}"
        yield Remark(code, space.origin or pods[0].origin, text, space.waived)


def _without_dns(view: View) -> Iterator[Remark]:
    servers: list[Server] = [
        (view.program.identity_of[pod.key], address)
        for pod in dns_pods(view)
        for address in pod.addresses
    ]
    if servers:  # where nobody knows one, any peer that is admitted may be it
        servers += [(None, address) for address in (*_KNOWN, *_service_addresses(view))]
    policies = [
        p
        for p in view.policies
        if Direction.EGRESS in p.isolates and any(r.direction is Direction.EGRESS for r in p.rules)
    ]
    by_rule = {rule.origin: policy for policy in policies for rule in policy.rules}
    found: dict[tuple[Policy, str], list[Pod]] = {}
    for combination in view.combinations(Direction.EGRESS):
        rules = view.accepting(combination)
        missing = _missing(servers, combination)
        first = next((by_rule[rule.origin] for rule in rules if rule.origin in by_rule), None)
        if missing and first is not None:
            found.setdefault((first, missing), []).extend(_subjects(view, combination))
    for (policy, missing), pods in found.items():
        names = listing((pod.key for pod in pods), limit=3)
        only = f", only over {_OTHER[missing]}" if missing in _OTHER else ""
        text = f"no egress rule admits DNS over {missing} (port 53){only} for {names}"
        yield Remark("NP503", policy.origin, text, policy.waived)


def _subjects(view: View, combination: Combination) -> Iterator[Pod]:
    for number in sorted(combination.subjects):
        yield from view.program.identities[number].pods


def dns_pods(view: View) -> list[Pod]:
    """The pods that are known to be the cluster's DNS."""
    key, value = _DNS_LABEL
    pods = view.snapshot.cluster.pods
    return [pod for pod in pods if pod.labels.get(key) == value and not pod.host_network]


def _service_addresses(view: View) -> list[int]:
    """Those of the Services that lead to the cluster's DNS, whatever becomes of them on the way."""
    key, value = _DNS_LABEL
    services = view.snapshot.cluster.services.values()
    found = (own.addresses for own in services if (own.selector or {}).get(key) == value)
    return sorted(address for addresses in found for address in addresses)


def _missing(servers: list[Server], combination: Combination) -> str:
    """The protocols of DNS over which no server is admitted."""
    asked: list[Server | None] = [*servers] or [None]
    missing = []
    for protocol in (Protocol.UDP, Protocol.TCP):
        stages = [
            (stage.default, [rule for rule in stage.rules if rule.match.has_port(protocol, _DNS)])
            for stage in combination.tiers
        ]
        if not any(_admits(stages, server) for server in asked):
            missing.append(protocol.name)
    return " and ".join(missing)


def _admits(stages: list[tuple[Action, list[ResolvedRule]]], server: Server | None) -> bool:
    """Whether stages, of which only the rules for the port are left, admit a server."""
    for default, rules in stages:
        action = next((rule.action for rule in rules if _means(rule, server)), default)
        if action is not Action.PASS:
            return action is Action.ACCEPT
    return True


def _means(rule: ResolvedRule, server: Server | None) -> bool:
    """Whether a rule is about a server; where nobody knows one, any peer that is admitted may be
    it, and of what is not admitted only all peers together.
    """
    if server is None:
        return rule.match.networks is ANY or rule.action is Action.ACCEPT
    return rule.match.has_peer(*server)
