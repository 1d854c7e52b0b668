"""What a Program means for one flow: slow and obvious, the oracle of every backend. Never optimise
it.

Comes in: a `Program` and a `Flow`. Goes out: a `Verdict` whose trace says what was asked and what
decided. Egress of the source and ingress of the destination are judged apart, and both must accept.
Audited policies decide nothing; a decision tells beside its own what it would be with them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from numbers import Real

from netpolc.core.cluster import Pod
from netpolc.core.errors import UsageError
from netpolc.core.ir import ANY, Action, Direction, Tier
from netpolc.core.nets import (
    PORTS,
    Family,
    Protocol,
    family,
    format_address,
    format_service,
    parse_address,
)
from netpolc.core.program import Combination, Program, ResolvedRule, Stage

AddressLike = str | ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, init=False)
class Flow:
    """The first packet of a connection.

    `source` and `destination` are on the address line (`nets`), `protocol` is an IP protocol
    number, `port` the destination port: 0 to 65535 for TCP, UDP and SCTP, None for every other
    protocol. `source_pod` and `destination_pod` (`namespace/pod`) are ends that have no address
    yet, empty of others: of such an end the address says only which family is meant, and what
    blocks of addresses hold it.
    """

    source: int
    destination: int
    protocol: int
    port: int | None
    source_pod: str = ""
    destination_pod: str = ""

    def __init__(
        self,
        source: AddressLike,
        destination: AddressLike,
        protocol: str | int = "TCP",
        port: int | None = None,
        source_pod: str = "",
        destination_pod: str = "",
    ) -> None:
        """Addresses as text or `ipaddress` objects; `protocol` is TCP, UDP, SCTP, ICMP (of either
        family), ICMPv6 or a number. `ValueError` for what no packet could be.
        """
        object.__setattr__(self, "source", parse_address(str(source)))
        object.__setattr__(self, "destination", parse_address(str(destination)))
        if family(self.source) is not family(self.destination):
            raise ValueError(f"{source} and {destination} are of different address families")
        if isinstance(protocol, str):
            numbers = {**Protocol.__members__, **_ICMP[family(self.source)]}
            if protocol.upper() not in numbers:
                raise ValueError(f"unknown protocol {protocol!r}: TCP, UDP, SCTP, ICMP or a number")
            protocol = numbers[protocol.upper()]
        protocol = _whole("protocol", protocol)
        port = None if port is None else _whole("port", port)
        if not 0 <= protocol <= 255:
            raise ValueError(f"protocol {protocol} is outside 0-255")
        if protocol in set(Protocol):
            if port is None or not 0 <= port < PORTS:
                raise ValueError(f"protocol {protocol} needs a port between 0 and 65535")
        elif port is not None:
            raise ValueError(f"protocol {protocol} has no ports")
        object.__setattr__(self, "protocol", protocol)
        object.__setattr__(self, "port", port)
        object.__setattr__(self, "source_pod", source_pod)
        object.__setattr__(self, "destination_pod", destination_pod)

    def __str__(self) -> str:
        source = self.source_pod or format_address(self.source)
        destination = self.destination_pod or format_address(self.destination)
        return f"{source} -> {destination} {format_service(self.protocol, self.port)}"


def _whole(name: str, number: object) -> int:
    """The number; of a column of floats, as data frames have them where some are missing, too."""
    if isinstance(number, Real) and not isinstance(number, bool) and float(number).is_integer():
        return int(float(number))
    raise ValueError(f"{name} {number!r} is no whole number")


_ICMP = {Family.IPV4: {"ICMP": 1}, Family.IPV6: {"ICMP": 58, "ICMPV6": 58}}


class Reason(StrEnum):
    """Why a direction came out as it did."""

    SELF = "a pod may always reach itself"
    NODE = "traffic with the pod's own node is never judged"
    NOT_A_POD = "not the address of a pod"
    NOT_ISOLATED = "no policy isolates the pod"
    RULE = "decided by a rule"
    NO_RULE = "isolated, and no rule accepts"
    PASSED = "every tier passed"
    CLOSED = (
        "the pod is closed: its object is odd, or nobody can tell whether its address is its own"
    )
    UNKNOWN = "it could be any pod of the node, and not every isolated one admits anybody"
    PENDING = "it is in the blocks of the node's pods, and no pod is known to have it yet"
    ANYBODY = "it could be any pod of the node, and every isolated one admits anybody"


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
    tier: Stage | None = None
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


def evaluate(program: Program, flow: Flow, *, hairpin: bool = False) -> Verdict:
    """Judge one flow, in both directions.

    `hairpin` says of a flow of a pod with itself that a Service led it back, so that it left the
    pod: ordered tiers then judge it, while a NetworkPolicy never keeps a pod from itself. Raises
    nothing of its own: what no packet could be is no `Flow`; `UsageError` for a pod without address
    that is not in the Program.
    """
    source = pod_at(program, flow.source, flow.source_pod)
    destination = pod_at(program, flow.destination, flow.destination_pod)
    # A pod without address is the template of many: two addresses are two of these.
    is_self = source is destination and not (flow.source_pod and flow.source != flow.destination)
    if source is not None and is_self and not hairpin:
        return Verdict(
            flow,
            Decision(Direction.EGRESS, True, Reason.SELF),
            Decision(Direction.INGRESS, True, Reason.SELF),
        )
    ends = source, destination
    return Verdict(
        flow,
        _decide(program, Direction.EGRESS, *ends, flow.destination, flow, is_self),
        _decide(program, Direction.INGRESS, *ends[::-1], flow.source, flow, is_self),
    )


def pod_at(program: Program, address: int, name: str = "") -> Pod | None:
    """The pod that an end of a flow is: the one with the address, or one without that is named."""
    if not name:
        return program.pods_by_address.get(address)
    pod = program.pods_by_key.get(name)
    if pod is None:
        raise UsageError(f"no pod {name!r} in the Program")
    return pod


def _decide(
    program: Program,
    direction: Direction,
    subject: Pod | None,
    peer: Pod | None,
    peer_address: int,
    flow: Flow,
    is_self: bool,
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
        decision = _judge(combination, peer_identity, peer_address, flow, is_self)
        if subject.closed and not is_self:
            decision = replace(decision, reason=Reason.CLOSED)
    if tried is not None:
        would_be = _judge(tried, peer_identity, peer_address, flow, is_self)
        decision = replace(decision, tried=would_be)
    return decision


def _judge(
    combination: Combination, peer: int | None, address: int, flow: Flow, is_self: bool
) -> Decision:
    direction = combination.direction
    steps: list[Step] = []
    for stage in combination.tiers:
        if is_self and stage.tier is Tier.NETWORK_POLICY:
            return Decision(direction, True, Reason.SELF, None, stage, tuple(steps))
        rule = _first_match(stage, peer, address, flow, steps)
        action = rule.action if rule is not None else stage.default
        if action is not Action.PASS:
            reason = Reason.RULE if rule is not None else Reason.NO_RULE
            allowed = action is Action.ACCEPT
            return Decision(direction, allowed, reason, rule, stage, tuple(steps))
    return Decision(direction, True, Reason.PASSED, steps=tuple(steps))


def _first_match(
    stage: Stage, peer: int | None, address: int, flow: Flow, steps: list[Step]
) -> ResolvedRule | None:
    """The first rule that matches; any other of its run would do."""
    for rule in stage.rules:
        step = Step(
            stage.tier,
            rule,
            rule.match.has_peer(peer, address),
            rule.match.has_port(flow.protocol, flow.port),
        )
        steps.append(step)
        if step.peer_matched and step.port_matched:
            return rule
    return None


def decide_unknown(
    program: Program, direction: Direction, pods: Iterable[Pod], flow: Flow
) -> Decision:
    """Judge one direction of a flow whose subject is one of some pods, and nobody can tell which:
    a bridge carried it by an address that none of them is known to have.

    It is allowed what every judged one admits from anybody. Audited policies count where no
    other denies anything.
    """
    keys = {(direction, program.identity_of[pod.key]) for pod in pods}
    decision = Decision(direction, True, Reason.NOT_ISOLATED)
    for judging in program.combination_of, program.tried_of:
        combinations = {id(judging[key]): judging[key] for key in keys if key in judging}.values()
        closed = [own for own in combinations if not _admits_anybody(own.tiers, None)]
        if closed:
            admits = all(_admits_anybody(own.tiers, flow) for own in closed)
            reason = Reason.ANYBODY if admits else Reason.UNKNOWN
            own = Decision(direction, admits, reason)
            return own if judging is program.combination_of else replace(decision, tried=own)
    return decision


def _admits_anybody(stages: Sequence[Stage], flow: Flow | None) -> bool:
    """Whether stages accept a flow (None: every flow), whoever the peer is.

    A rule for some peers may match or not, so both must come to the same: if it denies, that is
    no; if it passes, the stages after it must accept, too.
    """
    if not stages:
        return True
    stage, *later = stages
    for rule in stage.rules:
        if rule.action is Action.ACCEPT:
            if _surely_matches(rule, flow):
                return True
        elif flow is None or rule.match.has_port(flow.protocol, flow.port):
            if rule.action is Action.DENY or not _admits_anybody(later, flow):
                return False
            if _surely_matches(rule, flow):
                return True
    if stage.default is Action.PASS:
        return _admits_anybody(later, flow)
    return stage.default is Action.ACCEPT


def _surely_matches(rule: ResolvedRule, flow: Flow | None) -> bool:
    if rule.match.identities is not ANY:
        return False
    if flow is None:
        return rule.match.ports is ANY
    return rule.match.has_port(flow.protocol, flow.port)
