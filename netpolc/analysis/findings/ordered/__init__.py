"""Rules of cluster-scoped policies, which are asked in order, that do not do what they seem to.

Comes in: a `View`. Goes out: remarks on rules and policies of the Admin and Baseline tiers. Without
such policies nothing is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netpolc.analysis.findings.model import Code, Level, Remark, inside, peer_origin
from netpolc.analysis.findings.ordered import names
from netpolc.analysis.findings.ordered.asked import Order, Standing, Tie
from netpolc.analysis.findings.ordered.seats import Everybody, Seat, seated
from netpolc.analysis.findings.view import View
from netpolc.core.errors import listing
from netpolc.core.ir import ANY, Action, Direction, NetworkPeer, Origin, Policy, Rule, Tier
from netpolc.core.nets import EVERY_PORT, PORTS, Protocol, Span, format_service, format_span

CODES = (
    Code(
        "NP801",
        Level.WARNING,
        "policies of one priority contradict each other",
        "The API leaves open which of two policies with one priority comes first in a tier: here "
        "names tell, elsewhere something else may. A BaselineAdminNetworkPolicy has priority 1000 "
        "here. Remarked on where rules of both hit the same traffic and do not do the same.",
        "metadata: {name: a}\nspec: {tier: Admin, priority: 10}   # accepts what b denies\n---\n"
        "metadata: {name: b}\nspec: {tier: Admin, priority: 10}",
        "metadata: {name: a}\nspec: {tier: Admin, priority: 10}\n---\n"
        "metadata: {name: b}\nspec: {tier: Admin, priority: 20}",
    ),
    Code(
        "NP802",
        Level.WARNING,
        "a rule of a cluster-scoped policy never decides",
        "The first rule that matches decides. Whatever this one hits, rules before it have decided "
        "already, in this snapshot: those of its own policy, of policies with a lower priority "
        "number, or of the Admin tier. What is decided for a pod by its address is not counted.",
        "ingress:\n- {action: Deny, from: [{namespaces: {}}]}\n"
        "- {action: Accept, from: [{namespaces: {matchLabels: {team: ops}}}]}",
        "ingress:\n- {action: Accept, from: [{namespaces: {matchLabels: {team: ops}}}]}\n"
        "- {action: Deny, from: [{namespaces: {}}]}",
    ),
    Code(
        "NP803",
        Level.INFO,
        "rules of the Baseline tier are never asked",
        "Where a NetworkPolicy isolates a pod, Baseline is not asked, and every pod that this "
        "policy selects is isolated in the direction. Pods without a NetworkPolicy may come.",
        "spec: {tier: Baseline}   # and each namespace has a default deny",
        "# keep it for namespaces to come (netpolc.dev/ignore: NP803), or remove it",
    ),
    Code(
        "NP804",
        Level.WARNING,
        "a cluster-scoped policy denies DNS",
        "A rule that is asked first denies port 53 of the cluster's DNS (pods with the label "
        "k8s-app: kube-dns): no NetworkPolicy can open it again.",
        "egress:\n- {action: Deny, to: [{namespaces: {}}]}",
        "egress:\n- action: Accept\n  to:\n  - pods:\n      namespaceSelector: {}\n"
        "      podSelector: {matchLabels: {k8s-app: kube-dns}}\n  protocols:\n"
        "  - udp: {destinationPort: {number: 53}}\n  - tcp: {destinationPort: {number: 53}}\n"
        "- {action: Deny, to: [{namespaces: {}}]}",
    ),
    Code(
        "NP805",
        Level.WARNING,
        "networks that are denied hold pods",
        "networks mean addresses, those of pods too: what was meant for the outside also cuts pods "
        "off from pods. A rule before it that passes pods on leaves them to the next tier.",
        "egress:\n- {action: Deny, to: [{networks: [0.0.0.0/0]}]}",
        "egress:\n- {action: Pass, to: [{namespaces: {}}]}\n"
        "- {action: Deny, to: [{networks: [0.0.0.0/0]}]}",
    ),
    Code(
        "NP806",
        Level.INFO,
        "a rule that passes changes nothing",
        "Pass skips the rest of its tier, and no later rule of the tier accepts or denies any of "
        "what this one passes, in this snapshot: without it the next tier would be asked as well.",
        "ingress:\n- {action: Deny, from: [{namespaces: {matchLabels: {team: lab}}}]}\n"
        "- {action: Pass, from: [{namespaces: {}}]}",
        "ingress:\n- {action: Deny, from: [{namespaces: {matchLabels: {team: lab}}}]}",
    ),
)
_DOES = {Action.ACCEPT: "accepts", Action.DENY: "denies", Action.PASS: "passes"}


def check(view: View) -> Iterator[Remark]:
    """What order makes of rules."""
    if view.is_empty or all(own.tier is Tier.NETWORK_POLICY for own in view.policies):
        return
    sitting = seated(view)
    order = Order(sitting)
    for tie in order.ties.values():
        yield _tied(tie, sitting.peers, view)
    for policy in view.policies:
        yield from _unreached(policy, order)
        for rule in policy.rules:
            asked = order.rules.get(rule.origin)
            if asked is not None:
                before = [own for own in asked.before if order.rules[own].needed]
                yield from _rule(policy, rule, asked, before, sitting.peers)
    yield from names.denied(view)


def _tied(tie: Tie, peers: Everybody, view: View) -> Remark:
    first, second = tie.first, tie.second
    subject = view.program.identities[min(tie.piece.combination.subjects)].pods[0].key
    ends = peers.names(tie.peers)[0], subject
    if tie.piece.combination.direction is Direction.EGRESS:
        ends = ends[::-1]
    flow = f"{_service(tie.piece.ports)} from {ends[0]} to {ends[1]}"
    policy = second.policy
    text = (
        f"has priority {policy.priority} as {first.policy.origin.policy} has, and which is first "
        f"matters: {_said(first)} and {_said(second)} {flow}"
    )
    others = (first.rule.origin, second.rule.origin)
    return Remark("NP801", policy.origin, text, policy.waived, others)


def _said(seat: Seat) -> str:
    return f"{seat.rule.origin.title} {_DOES[seat.rule.action]}"


def _service(span: Span) -> str:
    """A port of a span, where it is not the whole line."""
    if span in EVERY_PORT.spans:
        return "everything"
    protocol, port = max(span[0], Protocol.TCP << 16 | 1) >> 16, span[0] & PORTS - 1
    return format_service(protocol, port if protocol in set(Protocol) else None)


def _unreached(policy: Policy, order: Order) -> Iterator[Remark]:
    for direction in Direction:
        rules = [rule for rule in policy.rules if rule.direction is direction]
        found = [own for rule in rules if (own := order.rules.get(rule.origin)) and own.hits]
        if found and all(own.unreached for own in found):
            origin = inside(policy.origin, "spec", str(direction))
            text = f"never asked: a NetworkPolicy isolates every pod it selects for {direction}"
            yield Remark("NP803", origin, text, policy.waived)


def _rule(
    policy: Policy, rule: Rule, asked: Standing, before: Sequence[Origin], peers: Everybody
) -> Iterator[Remark]:
    origin = rule.origin
    if not asked.hits or asked.unreached:
        return  # of selectors that select nothing others speak
    if not asked.needed:
        text = f"never decides: {listing(own.title for own in before)} come first"
        if len(before) == 1:
            text = f"never decides: {before[0].title} comes first"
        yield Remark("NP802", origin, text, policy.waived, tuple(before))
    elif rule.action is Action.PASS and not asked.matters:
        text = "changes nothing: no later rule of the tier accepts or denies what it passes"
        yield Remark("NP806", origin, text, policy.waived)
    if asked.pods and rule.peers is not ANY:
        pods = listing(peers.names(asked.pods), limit=3)
        blocks = [(n, own) for n, own in enumerate(rule.peers) if isinstance(own, NetworkPeer)]
        named = listing((format_span(own.cidr) for _, own in blocks), limit=3)
        text = f"denies pods for their addresses in {named}: {pods}"
        yield Remark("NP805", peer_origin(policy, rule, blocks[0][0]), text, policy.waived)
