"""What a Program means for one flow: slow and obvious, the oracle of every backend. Never optimise
it.

Comes in: a `Program` and a `Flow`. Goes out: a `Verdict` whose trace says what was asked and what
decided. Egress of the source and ingress of the destination are judged apart, and both must accept.
Audited policies decide nothing; a decision tells beside its own what it would be with them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from enum import StrEnum

from netpolc.cluster import Pod
from netpolc.errors import UsageError
from netpolc.ir import Action, Direction, Tier
from netpolc.nets import PORTS, Protocol, family, format_address, parse_address
from netpolc.program import Combination, Program, ResolvedRule, TierRules

AddressLike = str | ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, init=False)
class Flow:
    """The first packet of a connection.

    `source` and `destination` are on the address line (`nets`), `protocol` is an IP protocol
    number, `port` the destination port: 0 to 65535 for TCP, UDP and SCTP, None for every other
    protocol.
    """

    source: int
    destination: int
    protocol: int
    port: int | None

    def __init__(
        self,
        source: AddressLike,
        destination: AddressLike,
        protocol: str | int = "TCP",
        port: int | None = None,
    ) -> None:
        """Addresses as text or `ipaddress` objects; `ValueError` for what no packet could be."""
        object.__setattr__(self, "source", parse_address(str(source)))
        object.__setattr__(self, "destination", parse_address(str(destination)))
        if family(self.source) is not family(self.destination):
            raise ValueError(f"{source} and {destination} are of different address families")
        if isinstance(protocol, str):
            if protocol.upper() not in Protocol.__members__:
                raise ValueError(f"unknown protocol {protocol!r}: TCP, UDP, SCTP or a number")
            protocol = Protocol[protocol.upper()]
        if not 0 <= protocol <= 255:
            raise ValueError(f"protocol {protocol} is outside 0-255")
        if protocol in set(Protocol):
            if port is None or not 0 <= port < PORTS:
                raise ValueError(f"protocol {protocol} needs a port between 0 and 65535")
        elif port is not None:
            raise ValueError(f"protocol {protocol} has no ports")
        object.__setattr__(self, "protocol", int(protocol))
        object.__setattr__(self, "port", port)

    def __str__(self) -> str:
        known = {int(protocol): protocol.name for protocol in Protocol}
        name = known.get(self.protocol, f"protocol {self.protocol}")
        port = "" if self.port is None else f"/{self.port}"
        ends = f"{format_address(self.source)} -> {format_address(self.destination)}"
        return f"{ends} {name}{port}"


class Reason(StrEnum):
    """Why a direction came out as it did."""

    SELF = "a pod may always reach itself"
    NODE = "traffic with the pod's own node is never judged"
    NOT_A_POD = "not the address of a pod"
    NOT_ISOLATED = "no policy isolates the pod"
    RULE = "decided by a rule"
    NO_RULE = "isolated, and no rule accepts"
    PASSED = "every tier passed"


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was asked: did the peer match, did the port."""

    tier: Tier
    rule: ResolvedRule
    peer_matched: bool
    port_matched: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict of one direction, the rule that decided (if one did), every rule asked.

    `tried` is the decision there would be if audited policies were enforced, where they matter.
    """

    direction: Direction
    allowed: bool
    reason: Reason
    rule: ResolvedRule | None = None
    tier: TierRules | None = None
    steps: tuple[Step, ...] = ()
    tried: Decision | None = None

    @property
    def would_deny(self) -> bool:
        """Whether the direction allows the flow and audited policies would not."""
        return self.allowed and self.tried is not None and not self.tried.allowed


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a flow: both directions must allow it."""

    flow: Flow
    egress: Decision
    ingress: Decision

    @property
    def allowed(self) -> bool:
        """Whether the flow gets through."""
        return self.egress.allowed and self.ingress.allowed

    @property
    def would_deny(self) -> bool:
        """Whether the flow gets through, and would not if audited policies were enforced."""
        return self.allowed and (self.egress.would_deny or self.ingress.would_deny)


def evaluate(program: Program, flow: Flow) -> Verdict:
    """Judge one flow, in both directions."""
    source = program.pods_by_address.get(flow.source)
    destination = program.pods_by_address.get(flow.destination)
    if source is not None and source is destination:
        return Verdict(
            flow,
            Decision(Direction.EGRESS, True, Reason.SELF),
            Decision(Direction.INGRESS, True, Reason.SELF),
        )
    return Verdict(
        flow,
        _decide(program, Direction.EGRESS, source, destination, flow.destination, flow),
        _decide(program, Direction.INGRESS, destination, source, flow.source, flow),
    )


def _decide(
    program: Program,
    direction: Direction,
    subject: Pod | None,
    peer: Pod | None,
    peer_address: int,
    flow: Flow,
) -> Decision:
    if subject is None:
        return Decision(direction, True, Reason.NOT_A_POD)
    if peer_address in program.cluster.node_addresses(subject):
        return Decision(direction, True, Reason.NODE)
    key = direction, program.identity_of[subject.key]
    peer_identity = program.identity_of[peer.key] if peer is not None else None
    combination, tried = program.combination_of.get(key), program.tried_of.get(key)
    decision = Decision(direction, True, Reason.NOT_ISOLATED)
    if combination is not None:
        decision = _judge(combination, peer_identity, peer_address, flow)
    if tried is not None:
        would_be = _judge(tried, peer_identity, peer_address, flow)
        decision = replace(decision, tried=would_be)
    return decision


def _judge(combination: Combination, peer: int | None, address: int, flow: Flow) -> Decision:
    direction = combination.direction
    steps: list[Step] = []
    for tier in combination.tiers:
        rule = _first_match(tier, peer, address, flow, steps)
        action = rule.action if rule is not None else tier.default
        if action is not Action.PASS:
            reason = Reason.RULE if rule is not None else Reason.NO_RULE
            allowed = action is Action.ACCEPT
            return Decision(direction, allowed, reason, rule, tier, tuple(steps))
    return Decision(direction, True, Reason.PASSED, steps=tuple(steps))


def _first_match(
    tier: TierRules, peer: int | None, address: int, flow: Flow, steps: list[Step]
) -> ResolvedRule | None:
    """The first rule that matches; in NETWORK_POLICY, where all accept, any would do."""
    for rule in tier.rules:
        step = Step(
            tier.tier,
            rule,
            rule.match.has_peer(peer, address),
            rule.match.has_port(flow.protocol, flow.port),
        )
        steps.append(step)
        if step.peer_matched and step.port_matched:
            return rule
    return None


def flows_between(
    program: Program, source: str, destination: str, protocol: str | int, port: int | None
) -> tuple[Flow, ...]:
    """The flows between two ends named `namespace/pod`, by address, or `node:NAME`, one a family.

    `UsageError` when an end is unknown or the two have no address family in common.
    """
    starts, ends = _ends(program, source), _ends(program, destination)
    flows = tuple(
        Flow(format_address(start), format_address(end), protocol, port)
        for start in starts
        for end in ends
        if family(start) is family(end)
    )
    if not flows:
        raise UsageError(f"{source} and {destination} have no address family in common")
    return flows


def _ends(program: Program, name: str) -> tuple[int, ...]:
    if name.startswith("node:"):
        node = program.cluster.nodes.get(name.removeprefix("node:"))
        if node is None:
            raise UsageError(f"unknown node {name.removeprefix('node:')!r}")
        return tuple(sorted(node.addresses))
    if "/" not in name:
        try:
            return (parse_address(name),)
        except ValueError as error:
            raise UsageError(f"{name!r} is no namespace/pod and no address: {error}") from None
    pods = [pod for pod in program.cluster.pods if pod.key == name]
    if not pods:
        raise UsageError(f"unknown pod {name!r}")
    return pods[0].addresses
