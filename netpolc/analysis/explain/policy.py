"""One policy in plain sentences.

Comes in: a policy and the snapshot it is read with, which may hold nothing else. Goes out: a
`Description`: whom it selects, what it isolates, what each rule admits, and what is easily
misunderstood in it. Refused: the name of a policy that is not there.
"""

from __future__ import annotations

import textwrap
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from netpolc.analysis.explain import words
from netpolc.analysis.explain.notes import policy_notes
from netpolc.core.cluster import Cluster, Snapshot
from netpolc.core.errors import UsageError, listing
from netpolc.core.ir import (
    ANY,
    Direction,
    NamedPort,
    NetworkPeer,
    Peer,
    PodPeer,
    Policy,
    Port,
    Rule,
    Tier,
)
from netpolc.core.labels import NONE, Members
from netpolc.passes.answers import Answers, PortNumbers

_WIDTH = 80
_NAMES = 4
"""Pods that are named; the others are counted."""
_IN, _OUT = Direction.INGRESS, Direction.EGRESS
_WAY = {_IN: "in", _OUT: "out"}


@dataclass(frozen=True, slots=True)
class Sentence:
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
    admits: tuple[Sentence, ...]
    notes: tuple[str, ...]


def find_policy(snapshot: Snapshot, name: str) -> Policy:
    """The policy `namespace/name` or, of a cluster-scoped one, `kind/name`, or that of the
    annotation of a namespace; else `UsageError`.
    """
    for policy in snapshot.policies:
        if policy.origin.policy == name:
            return policy
    there = listing(policy.origin.policy for policy in snapshot.policies) or "none"
    raise UsageError(f"no policy {name!r} (NAMESPACE/NAME, or KIND/NAME): there is {there}")


def describe(snapshot: Snapshot, policy: Policy) -> Description:
    """A policy in sentences; pods are counted where the snapshot has any."""
    here = _Here(snapshot.cluster)
    return Description(
        policy,
        f"It selects {words.pods(policy.subject)}{_count(policy.subject, here)}.",
        _isolation(snapshot, policy),
        tuple(_admission(rule, policy, here) for rule in policy.rules),
        tuple(policy_notes(policy, snapshot.cluster)),
    )


class _Here:
    """The pods of a snapshot that policies can mean, and which of them do what."""

    def __init__(self, cluster: Cluster) -> None:
        self.pods = [pod for pod in cluster.pods if not pod.host_network]
        self.is_known = bool(cluster.pods)
        self.names = [pod.key for pod in self.pods]
        self.everybody: Members = frozenset(range(len(self.pods)))
        self._answers = Answers(self.pods, tuple(cluster.namespaces.values()))
        addressed = ((a, at) for at, pod in enumerate(self.pods) for a in pod.addresses)
        self._addressed = sorted(addressed)

    def selected(self, peer: PodPeer) -> Members:
        """The pods a subject or a peer selects."""
        return self._answers.members(peer)

    def inside(self, block: NetworkPeer) -> Members:
        """The pods that have an address in a block."""
        return frozenset(
            number
            for first, last in block.addresses
            for _, number in self._addressed[self._before(first) : self._before(last + 1)]
        )

    def _before(self, address: int) -> int:
        return bisect_left(self._addressed, (address, 0))

    @cached_property
    def ports(self) -> PortNumbers:
        """What the pods have behind the names of ports."""
        return PortNumbers(pod.ports for pod in self.pods)


def _count(peer: PodPeer, here: _Here) -> str:
    if not here.is_known:
        return ""
    names = [here.names[number] for number in here.selected(peer)]
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
    if policy.tier is not Tier.NETWORK_POLICY:
        return _ordered(policy)
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


def _ordered(policy: Policy) -> str:
    if policy.tier is Tier.ADMIN:
        asked = "before every NetworkPolicy"
    else:
        asked = "where no NetworkPolicy isolates"
    return (
        f"It is asked {asked}, with priority {policy.priority} in the "
        f"{words.TIERS[policy.tier]} tier: the first rule of the tier that matches decides."
    )


def _admission(rule: Rule, policy: Policy, here: _Here) -> Sentence:
    does = words.ADMITS[rule.action]
    preposition = "from" if rule.direction is _IN else "to"
    if rule.peers == () or rule.ports == ():
        empty = "peers" if rule.peers == () else "ports"
        return Sentence(rule, f"{does} nothing: its list of {empty} is empty", ())
    if rule.ports is ANY:
        service = "every port and protocol"
    else:
        service = words.joined([_port(port, rule, policy, here) for port in rule.ports])
    if rule.peers is ANY:
        everybody = "anywhere: every pod, node and address outside"
        return Sentence(rule, f"{does} {service} {preposition}", (everybody,))
    return Sentence(
        rule,
        f"{does} {service} {preposition}",
        tuple(_peer(entry, here) for entry in rule.peers),
    )


def _peer(entry: Peer, here: _Here) -> str:
    return words.peer(entry) + (_count(entry, here) if isinstance(entry, PodPeer) else "")


def _port(port: Port, rule: Rule, policy: Policy, here: _Here) -> str:
    """A port; of a name also whose it is, where peers have none, and the numbers behind it here."""
    text = words.port_text(port)
    if not isinstance(port, NamedPort):
        return text
    if rule.direction is _OUT and rule.peers is ANY:
        text += " of any pod"
    if not here.is_known:
        return text
    numbers = here.ports.behind(port, _destinations(rule, policy, here))
    return f"{text} ({words.joined([str(n) for n in numbers]) if numbers else 'none'} here)"


def _destinations(rule: Rule, policy: Policy, here: _Here) -> Members:
    """The pods in whose containers a named port of the rule is looked up."""
    if rule.direction is _IN:
        return here.selected(policy.subject)
    if rule.peers is ANY:
        return here.everybody
    found = [
        here.selected(peer) if isinstance(peer, PodPeer) else here.inside(peer)
        for peer in rule.peers
        if isinstance(peer, PodPeer | NetworkPeer)  # nodes and names are no pods
    ]
    return found[0] if len(found) == 1 else NONE.union(*found)


def text(description: Description) -> Iterator[str]:
    """The sentences as lines of at most 80 characters, but for long names."""
    origin = description.policy.origin
    what = "The annotation of namespace" if origin.kind == "Namespace" else origin.kind
    yield f"{what} {origin.path}, at {origin.place()}"
    yield ""
    yield from _wrapped(f"{description.selects} {description.isolates}")
    if description.admits:
        yield ""
    for admission in description.admits:
        origin = admission.rule.origin
        opening = f"{origin.rule}{origin.name_said} {admission.opening}"
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
                **({"name": own} if (own := admission.rule.origin.called) else {}),
                "place": admission.rule.origin.place(),
                "admits": " ".join((admission.opening, "; ".join(admission.peers))).rstrip(),
            }
            for admission in description.admits
        ],
        "notes": list(description.notes),
    }
