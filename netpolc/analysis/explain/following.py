"""What would have decided next, had that which decided not been there.

Comes in: a judge, its decision on a flow. Goes out: the decision without the rule that decided, or
without the isolation where no rule did. Only where an ordered tier judges: where all that accept
are asked at once, nothing comes next. Nothing is refused.
"""

from __future__ import annotations

from netpolc.core.ir import Action, Tier
from netpolc.core.program import Combination, ResolvedRule, Stage
from netpolc.core.semantics import Decision, Flow, Reason


def following(
    judge: Combination, decision: Decision, peer: int | None, address: int, flow: Flow
) -> Decision | None:
    """The decision without what decided; None where there is no ordered tier, or nothing decided.

    `peer` is the identity of the other end, None of one that is no pod, `address` its address.
    """
    if all(stage.tier is Tier.NETWORK_POLICY for stage in judge.tiers):
        return None
    if decision.reason not in (Reason.RULE, Reason.NO_RULE):
        return None
    for stage in judge.tiers:
        rule = _first(stage, decision.rule, peer, address, flow)
        action = rule.action if rule is not None else stage.default
        if rule is None and decision.rule is None:
            action = Action.PASS  # as if nothing isolated
        if action is not Action.PASS:
            reason = Reason.RULE if rule is not None else Reason.NO_RULE
            allowed = action is Action.ACCEPT
            return Decision(judge.direction, allowed, reason, rule, stage)
    return Decision(judge.direction, True, Reason.PASSED)


def _first(
    stage: Stage, without: ResolvedRule | None, peer: int | None, address: int, flow: Flow
) -> ResolvedRule | None:
    """The first rule that matches, other than one; it may have been resolved to several."""
    for rule in stage.rules:
        if without is not None and rule.origin is without.origin:
            continue
        if rule.match.has_peer(peer, address) and rule.match.has_port(flow.protocol, flow.port):
            return rule
    return None
