"""What an explanation is made of.

Comes in from `flow`: what the Program decided and the symbols it was compiled from. Goes out to
`formats`: for each direction the two ends, every policy that was consulted, every rule of it, and
for a denial what each rule would have needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cached_property

from netpolc.core.cluster import Pod
from netpolc.core.ir import Action, Direction, Policy, Rule
from netpolc.core.nets import format_address
from netpolc.core.semantics import Decision, Flow, Verdict


@dataclass(frozen=True)
class End:
    """One end of a flow: `node` is the name of the node whose address it is, if it is one's.

    The address of a pod that has none yet stands for any of its family.
    """

    address: int
    pod: Pod | None
    node: str = ""

    @property
    def is_placed(self) -> bool:
        """Whether the address is its own."""
        return self.pod is None or bool(self.pod.addresses)

    def __str__(self) -> str:
        return self.pod.key if self.pod is not None else format_address(self.address)

    @cached_property
    def port_numbers(self) -> Mapping[tuple[str, int], Sequence[int]]:
        """The numbers behind each name and protocol of its containers' ports."""
        found: dict[tuple[str, int], list[int]] = {}
        for name, protocol, number in self.pod.ports if self.pod is not None else ():
            found.setdefault((name, protocol), []).append(number)
        return found


class GapKind(StrEnum):
    """What stands between a flow and a rule."""

    PORT = "port"
    PROTOCOL = "protocol"
    NO_PORT = "no port"
    LABEL = "label"
    NAMESPACE = "namespace"
    EXCEPT = "except"
    ADDRESS = "address"
    NOT_A_POD = "not a pod"
    NOT_A_NODE = "not a node"
    NO_PEER = "no peer"


_OF_PORTS = {GapKind.PORT, GapKind.PROTOCOL, GapKind.NO_PORT}
_FAR = {
    GapKind.ADDRESS: 3,
    GapKind.NOT_A_POD: 4,
    GapKind.NOT_A_NODE: 4,
    GapKind.NO_PEER: 4,
    GapKind.NO_PORT: 4,
}
"""Differences that no change of a label, a port or an exception would mend count for more."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One difference, in words."""

    kind: GapKind
    message: str

    @property
    def is_of_port(self) -> bool:
        """Whether it is about the port; about the peer otherwise."""
        return self.kind in _OF_PORTS


@dataclass(frozen=True, slots=True)
class Miss:
    """What a flow lacked to match one peer of a rule: `field` is that peer, or the rule where any
    peer would do; `met` is what did match.
    """

    rule: Rule
    field: tuple[str | int, ...]
    met: tuple[str, ...]
    gaps: tuple[Gap, ...]

    @property
    def distance(self) -> int:
        """The number of differences, weighed; never 0."""
        return sum(_FAR.get(gap.kind, 1) for gap in self.gaps)


class RulePart(Enum):
    """What a rule has to do with the verdict.

    The first that matches in a tier DECIDES, or hands on to the next tier (PASSES). Others of its
    run (`program.Run`) that match agree; what comes later is not asked.
    """

    DECIDES = "decides"
    PASSES = "passes"
    AGREES = "agrees"
    NOT_ASKED = "not asked"
    NONE = "does not match"


@dataclass(frozen=True, slots=True)
class Answer:
    """One rule of a policy that was consulted: through which peers it matched (the rule itself
    where any peer would do), or one miss for each peer.
    """

    rule: Rule
    matched: bool
    through: tuple[tuple[str | int, ...], ...]
    misses: tuple[Miss, ...]
    part: RulePart

    @property
    def peer_matched(self) -> bool:
        """Whether the far end is one of the peers."""
        return self.matched or any(all(g.is_of_port for g in m.gaps) for m in self.misses)

    @property
    def port_matched(self) -> bool:
        """Whether the port is one of the ports, for some peer at least."""
        return self.matched or any(not any(g.is_of_port for g in m.gaps) for m in self.misses)


@dataclass(frozen=True, slots=True)
class Consulted:
    """One policy that selects the subject, and its rules of this direction in order.

    Nothing is asked of the rules of a NetworkPolicy where none isolates.
    """

    policy: Policy
    isolates: bool
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One direction of a flow: the subject is the end whose policies are asked.

    `next` is the decision there would be without what decided, where an ordered tier judges: then
    the order tells.
    """

    subject: End
    peer: End
    decision: Decision
    consulted: tuple[Consulted, ...]
    next: Decision | None = None

    @property
    def direction(self) -> Direction:
        """The direction, seen from the subject."""
        return self.decision.direction

    @property
    def accepting(self) -> tuple[Rule, ...]:
        """Every rule that admits the flow, not only the one that decided."""
        enforced = (found for found in self.consulted if not found.policy.audited)
        answers = (answer for found in enforced for answer in found.answers)
        return tuple(
            answer.rule
            for answer in answers
            if answer.rule.action is Action.ACCEPT
            and answer.part in (RulePart.DECIDES, RulePart.AGREES)
        )

    @property
    def isolating(self) -> tuple[Policy, ...]:
        """The policies without which the subject would be open."""
        return tuple(found.policy for found in self.consulted if found.isolates)

    @property
    def misses(self) -> tuple[Miss, ...]:
        """Of a denial, what came close: fewest differences first, then in order of the rules."""
        if self.decision.allowed:
            return ()
        found = (
            miss
            for consulted in self.consulted
            for answer in consulted.answers
            if answer.part is RulePart.NONE and self._might_open(consulted.policy, answer.rule)
            for miss in answer.misses
        )
        return tuple(sorted(found, key=lambda miss: miss.distance))

    def _might_open(self, policy: Policy, rule: Rule) -> bool:
        """Whether a flow that was denied would get further by matching a rule that was asked."""
        if rule.action is Action.PASS:  # any other tier the flow left anyway
            return self.decision.tier is None or policy.tier is self.decision.tier.tier
        return rule.action is Action.ACCEPT


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a flow gets through or does not."""

    verdict: Verdict
    egress: Side
    ingress: Side

    @property
    def flow(self) -> Flow:
        """The flow in question."""
        return self.verdict.flow

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both directions, in the order a packet meets them."""
        return self.egress, self.ingress
