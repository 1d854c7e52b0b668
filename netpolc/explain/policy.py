"""One policy in plain sentences.

Comes in: a policy and the snapshot it is read with, which may hold nothing else. Goes out: a
`Description`: whom it selects, what it isolates, what each rule admits, and what is easily
misunderstood in it. Refused: the name of a policy that is not there.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netpolc.cluster import Cluster, Pod, Snapshot
from netpolc.errors import UsageError, listing
from netpolc.explain import words
from netpolc.explain.misses import is_selected
from netpolc.explain.notes import notes
from netpolc.ir import ANY, Direction, NamedPort, NetworkPeer, Peer, PodPeer, Policy, Port, Rule

_WIDTH = 80
_NAMES = 4
"""Pods that are named; the others are counted."""
_IN, _OUT = Direction.INGRESS, Direction.EGRESS
_WAY = {_IN: "in", _OUT: "out"}


@dataclass(frozen=True, slots=True)
class Admission:
    """What one rule admits: a sentence that ends with any of the peers, or whole without any."""

    rule: Rule
    opening: str
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """What one policy says."""

    policy: Policy
    selects: str
    isolates: str
    admits: tuple[Admission, ...]
    notes: tuple[str, ...]


def find(snapshot: Snapshot, name: str) -> Policy:
    """The policy `namespace/name`, or that of the annotation of a namespace; else `UsageError`."""
    for policy in snapshot.policies:
        if policy.origin.policy == name:
            return policy
    there = listing(policy.origin.policy for policy in snapshot.policies) or "none"
    raise UsageError(f"no policy {name!r} (NAMESPACE/NAME): there is {there}")


def describe(snapshot: Snapshot, policy: Policy) -> Description:
    """A policy in sentences; pods are counted where the snapshot has any."""
    cluster = snapshot.cluster
    return Description(
        policy,
        f"It selects {words.pods(policy.subject)}{_count(policy.subject, cluster)}.",
        _isolation(snapshot, policy),
        tuple(_admission(rule, policy, cluster) for rule in policy.rules),
        tuple(notes(policy, cluster)),
    )


def _selected(peer: PodPeer, cluster: Cluster) -> list[Pod]:
    pods = (pod for pod in cluster.pods if not pod.host_network)
    return [pod for pod in pods if is_selected(peer, pod, cluster)]


def _count(peer: PodPeer, cluster: Cluster) -> str:
    if not cluster.pods:
        return ""
    names = [pod.key for pod in _selected(peer, cluster)]
    if not names:
        return " (none here)"
    return f" ({len(names)} here: {listing(names, _NAMES)})"


def _isolation(snapshot: Snapshot, policy: Policy) -> str:
    origin = policy.origin
    if origin.kind == "Namespace":
        return (
            "The annotation isolates their ingress: only what a policy admits gets in. Egress is "
            "not isolated, for which Kubernetes 1.6 had no means."
        )
    ruled = {rule.direction for rule in policy.rules}
    if not policy.isolates:
        annotated = any(
            other.origin.kind == "Namespace" and other.origin.name == origin.namespace
            for other in snapshot.policies
        )
        effect = "is there" if annotated else "is not there, so everything gets in anyway"
        return (
            "It isolates nothing: in Kubernetes 1.6 the annotation of the namespace does that, "
            f"which {effect}."
        )
    sides = [direction for direction in (_IN, _OUT) if direction in policy.isolates]
    ways = " or ".join(_WAY[direction] for direction in sides)
    closed = [direction for direction in sides if direction not in ruled]
    verb = "are" if len(sides) > 1 else "is"
    text = (
        f"Their {words.joined([str(side) for side in sides])} {verb} isolated: only what a rule of "
        f"this or another policy admits gets {ways}."
    )
    if closed:
        names = words.joined([str(direction) for direction in closed], "or")
        ways = " or ".join(_WAY[direction] for direction in closed)
        text += f" It has no {names} rule, so by itself it lets nothing {ways}."
    if len(sides) == 1:
        text += f" It leaves {_OUT if sides == [_IN] else _IN} as it is."
    return text


def _admission(rule: Rule, policy: Policy, cluster: Cluster) -> Admission:
    preposition = "from" if rule.direction is _IN else "to"
    if rule.peers == () or rule.ports == ():
        empty = "peers" if rule.peers == () else "ports"
        return Admission(rule, f"admits nothing: its list of {empty} is empty", ())
    if rule.ports is ANY:
        service = "every port and protocol"
    else:
        service = words.joined([_port(port, rule, policy, cluster) for port in rule.ports])
    if rule.peers is ANY:
        everybody = "anywhere: every pod, node and address outside"
        return Admission(rule, f"admits {service} {preposition}", (everybody,))
    return Admission(
        rule,
        f"admits {service} {preposition}",
        tuple(_peer(entry, cluster) for entry in rule.peers),
    )


def _peer(entry: Peer, cluster: Cluster) -> str:
    return words.peer(entry) + (_count(entry, cluster) if isinstance(entry, PodPeer) else "")


def _port(port: Port, rule: Rule, policy: Policy, cluster: Cluster) -> str:
    """A port; of a name also whose it is, where peers have none, and the numbers behind it here."""
    text = words.port(port)
    if not isinstance(port, NamedPort):
        return text
    if rule.direction is _OUT:
        if rule.peers is ANY:
            text += " of any pod"
        elif any(isinstance(peer, NetworkPeer) for peer in rule.peers):
            text += " of pods that a selector admits"
    if not cluster.pods:
        return text
    numbers = {
        number
        for pod in _destinations(rule, policy, cluster)
        for name, protocol, number in pod.ports
        if (name, protocol) == (port.name, port.protocol)
    }
    return f"{text} ({words.joined([str(n) for n in sorted(numbers)]) if numbers else 'none'} here)"


def _destinations(rule: Rule, policy: Policy, cluster: Cluster) -> Sequence[Pod]:
    """The pods in whose containers a named port of the rule is looked up."""
    if rule.direction is _IN:
        return _selected(policy.subject, cluster)
    if rule.peers is ANY:
        return [pod for pod in cluster.pods if not pod.host_network]
    peers = (peer for peer in rule.peers if isinstance(peer, PodPeer))
    return [pod for peer in peers for pod in _selected(peer, cluster)]


def text(description: Description) -> Iterator[str]:
    """The sentences as lines of at most 80 characters, but for long names."""
    origin = description.policy.origin
    what = "The annotation of namespace" if origin.kind == "Namespace" else origin.kind
    yield f"{what} {origin.policy}, at {origin.place()}"
    yield ""
    yield from _wrapped(f"{description.selects} {description.isolates}")
    if description.admits:
        yield ""
    for admission in description.admits:
        opening = f"{admission.rule.origin.rule} {admission.opening}"
        if len(admission.peers) > 1:
            yield from _wrapped(f"{opening} any of", "- ")
            *others, last = admission.peers
            for peer in (*(f"{other};" for other in others), f"{last}."):
                yield from _wrapped(peer, "  - ")
        else:
            yield from _wrapped(" ".join((opening, *admission.peers)) + ".", "- ")
    if description.notes:
        yield ""
        yield "Mind:"
    for note in description.notes:
        yield from _wrapped(note, "- ")


def _wrapped(sentence: str, bullet: str = "") -> list[str]:
    return textwrap.wrap(
        sentence,
        _WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )


def document(description: Description) -> dict[str, Any]:
    """The same for programs (docs/explain.md)."""
    origin = description.policy.origin
    return {
        "policy": str(origin),
        "place": origin.place(),
        "selects": description.selects,
        "isolates": description.isolates,
        "rules": [
            {
                "rule": str(admission.rule.origin),
                "place": admission.rule.origin.place(),
                "admits": " ".join((admission.opening, "; ".join(admission.peers))).rstrip(),
            }
            for admission in description.admits
        ],
        "notes": list(description.notes),
    }
