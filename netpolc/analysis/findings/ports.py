"""Named ports that resolve to nothing, or to several numbers.

Comes in: a `View`. Goes out: remarks on entries of `ports`. The name is looked up on the
destination: the subject for ingress, the peers for egress.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.findings.model import Code, Level, Remark, inside
from netpolc.analysis.findings.view import View, numbered_peers
from netpolc.core.ir import ANY, Direction, NamedPort, NetworkPeer, Policy, Rule, Tier
from netpolc.core.labels import NONE, Members

CODES = (
    Code(
        "NP201",
        Level.WARNING,
        "a named port is on none of the destination pods",
        "The name is looked up in the containers of the destination, with its protocol, never in "
        "a Service. An ipBlock has the names of the pods in it. Where no container has it the port "
        "matches nothing.",
        "ports:\n  - port: web        # the container calls it http",
        "ports:\n  - port: http",
    ),
    Code(
        "NP202",
        Level.INFO,
        "a named port means several numbers",
        "The pods give the same name to different numbers, and the rule opens on each pod its "
        "own. That is what names are for; it surprises whoever expects one number.",
        "ports:\n  - port: http   # 8080 on some of the pods, 80 on others",
        "ports:\n  - port: 8080",
    ),
)


def check(view: View) -> Iterator[Remark]:
    """What port names resolve to."""
    if view.is_empty:
        return
    for policy, rule in view.rules:
        if rule.ports is ANY:
            continue
        pods = _destinations(view, policy, rule)
        for number, port in enumerate(rule.ports):
            # Of destinations that no selector finds the checks of selectors speak.
            if isinstance(port, NamedPort) and pods is not None:
                if policy.tier is not Tier.NETWORK_POLICY and _is_other(view, rule, port, pods):
                    continue
                yield from _port(view, policy, rule, number, port, pods)


def matches_no_port(view: View, policy: Policy, rule: Rule) -> bool:
    """Whether all its ports are names that no destination pod has, where that can be told."""
    if view.is_empty or rule.ports is ANY:
        return False
    pods = _destinations(view, policy, rule)
    return pods is not None and all(
        isinstance(port, NamedPort) and not view.port_numbers.behind(port, pods)
        for port in rule.ports
    )


def _is_other(view: View, rule: Rule, port: NamedPort, pods: Members) -> bool:
    """Whether a name that is meant in every protocol means another one, or is told there."""
    ports = () if rule.ports is ANY else rule.ports
    alike = [own for own in ports if isinstance(own, NamedPort) and own.name == port.name]
    some = [own for own in alike if view.port_numbers.behind(own, pods)]
    return port not in (some or alike[:1])


def _destinations(view: View, policy: Policy, rule: Rule) -> Members | None:
    """The identities whose containers are asked; None where a selector finds none."""
    if rule.direction is Direction.INGRESS:
        return view.selected.members(policy.subject) or None
    if rule.peers is ANY:
        return frozenset(range(len(view.program.identities)))
    peers = [view.selected.members(peer) for _, peer in numbered_peers(rule)]
    blocks = (peer for peer in rule.peers if isinstance(peer, NetworkPeer))
    found = NONE.union(*peers, *(view.inside(peer) for peer in blocks))
    return None if peers and not found else found


def _port(
    view: View, policy: Policy, rule: Rule, number: int, port: NamedPort, pods: Members
) -> Iterator[Remark]:
    numbers = view.port_numbers.behind(port, pods)
    origin = rule.origin
    if policy.tier is Tier.NETWORK_POLICY:
        origin = inside(origin, "ports", number, "port")
    called = f'{port.protocol.name} port "{port.name}"'
    if not numbers:
        whose = "the selected pods" if rule.direction is Direction.INGRESS else "the peers"
        text = f"no container of {whose} has a {called}: matches nothing"
        if not pods:
            text = f"no pod is in the ipBlock, and only pods have a {called}: matches nothing"
        yield Remark("NP201", origin, text, policy.waived)
    elif len(numbers) > 1:
        listed = ", ".join(map(str, numbers))
        text = f"{called} is {listed} on different pods"
        yield Remark("NP202", origin, text, policy.waived)
