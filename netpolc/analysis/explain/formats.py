"""Explanations of flows as lines of text and as JSON.

Comes in: `Explanation` values. Goes out: `Line` values, which a terminal may colour, or values for
a JSON encoder. Long excerpts are cut to their first lines, with the number of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from netpolc.analysis.explain import words
from netpolc.analysis.explain.model import Answer, Consulted, End, Explanation, Miss, RulePart, Side
from netpolc.core.errors import printable
from netpolc.core.ir import Action, Origin, Rule, Tier
from netpolc.core.nets import family, format_address
from netpolc.core.program import ResolvedRule
from netpolc.core.semantics import Decision, Reason

Style = Literal["", "green", "red", "dim"]
MOST_LINES = 8
"""Lines of an excerpt."""
CLOSEST = 3
"""Near misses of a direction, unless all are asked for."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and how a terminal shows it."""

    text: str
    style: Style = ""


def briefs(explanations: Iterable[Explanation]) -> Iterator[str]:
    """Verdicts, and a line for each direction with what decided.

    Between pods without addresses both families are said at once where they are alike.
    """
    bodies = groupby(explanations, key=lambda found: (str(found.flow), list(brief(found))))
    for (_, reasons), group in bodies:
        yield from (line.text for line in _headlines(group))
        yield from reasons


def brief(explanation: Explanation) -> Iterator[str]:
    """A line for each direction with what decided."""
    for side in explanation.sides:
        decision = side.decision
        name = str(side.subject)
        yield f"  {decision.direction!s:<8}{_state(decision):<8}{name}: {_reason(decision)}"
        if decision.would_deny and decision.tried is not None:
            why = _reason(decision.tried)
            yield f"  {decision.direction!s:<8}audit   {name}: would be denied: {why}"


def _headlines(explanations: Iterable[Explanation]) -> Iterator[Line]:
    """The verdict of each flow; of two that differ in an unknown address one line."""
    alike: dict[str, list[Explanation]] = {}
    for explanation in explanations:
        verdict = "ALLOW" if explanation.verdict.allowed else "DENY"
        alike.setdefault(f"{verdict} {explanation.flow}", []).append(explanation)
    for text, group in alike.items():
        flow = group[0].flow
        is_one = len({family(own.flow.source) for own in group}) == 1
        over = f" over IPv{family(flow.source)}" if flow.source_pod and flow.destination_pod else ""
        allowed = group[0].verdict.allowed
        yield Line(text + (over if is_one else ""), "green" if allowed else "red")


def _state(decision: Decision) -> str:
    return "allowed" if decision.allowed else "denied"


def _reason(decision: Decision) -> str:
    if decision.rule is not None:
        return _cited(decision.rule.origin)
    if decision.reason is Reason.NO_RULE and decision.tier is not None:
        places = ", ".join(_cited(origin) for origin in decision.tier.policies)
        return f"{decision.reason} ({places})"
    return str(decision.reason)


def _cited(origin: Origin) -> str:
    return f"{origin.title} at {origin.place()}"


def text(explanations: Iterable[Explanation], most: int | None = CLOSEST) -> Iterator[Line]:
    """Whole explanations, with the `most` closest misses of each direction (None: all).

    Flows of which the same is to be said (one in each address family) are headlines of one text.
    """
    bodies = groupby(explanations, key=lambda found: list(_body(found, most)))
    for number, (body, group) in enumerate(bodies):
        if number:
            yield Line("")
        yield from _headlines(group)
        yield from body


def _body(explanation: Explanation, most: int | None) -> Iterator[Line]:
    for side in explanation.sides:
        decision = side.decision
        yield Line("")
        rule = decision.rule
        why = f", {decision.reason}" if rule is None else f" by {rule.origin.title}"
        heading = f"{side.direction} of {_named(side.subject)}: {_state(decision)}{why}"
        yield Line(heading, "green" if decision.allowed else "red")
        for consulted in side.consulted:
            yield from _consulted(side, consulted)
        if side.next is not None:
            yield Line(f"  {_without(decision)}: {_state(side.next)}, {_reason(side.next)}")
        if decision.would_deny:
            yield Line("  enforced, what is tried would deny it", "red")
        yield from _misses(side.misses, most)


def _without(decision: Decision) -> str:
    """What `Side.next` leaves out."""
    if decision.rule is not None:
        return "without that rule"
    return "without what isolates" if decision.reason is Reason.NO_RULE else "without any rule"


def _named(end: End) -> str:
    if end.pod is None and end.node:
        return f"node {end.node} ({format_address(end.address)})"
    return str(end)


def _consulted(side: Side, consulted: Consulted) -> Iterator[Line]:
    origin = consulted.policy.origin
    effect = "isolates" if consulted.isolates else "selects it and isolates nothing"
    if consulted.policy.tier is not Tier.NETWORK_POLICY:
        effect = f"judges it in the {words.TIERS[consulted.policy.tier]} tier"
    if consulted.policy.audited:
        effect = "is tried and decides nothing"
    yield Line(f"  {origin} {effect}, at {origin.place()}")
    if not side.decision.allowed and consulted.isolates:
        yield from _excerpt(origin, origin.field or ("spec", "podSelector"))
    if not consulted.policy.rules and origin.kind != "Namespace":
        yield Line("    no rule")
    for answer in consulted.answers:
        own = answer.rule.origin
        yield Line(f"    {own.rule}{own.name_said} {_outcome(answer)}, at {own.place()}")
        if answer.part is RulePart.DECIDES:
            whole = len(own.source.excerpt(own.field)) <= MOST_LINES
            yield from _excerpt(own, own.field if whole else answer.through[0])


_DOES = {Action.ACCEPT: "accepts", Action.DENY: "denies", Action.PASS: "passes"}


def _outcome(answer: Answer) -> str:
    if answer.matched:
        does = _DOES[answer.rule.action]
        if how := words.joined([_inside(field, answer.rule) for field in answer.through]):
            does += f" through {how}"
        match answer.part:
            case RulePart.DECIDES:
                return f"{does}, which decides"
            case RulePart.PASSES:
                return f"{does} to the next tier"
            case RulePart.AGREES:
                return f"{does} too"
        return f"{does}, but is not asked any more"
    peer, port = ("yes" if part else "no" for part in (answer.peer_matched, answer.port_matched))
    return f"does not match: peer {peer}, port {port}"


def _excerpt(origin: Origin, field: tuple[str | int, ...]) -> Iterator[Line]:
    lines = origin.source.excerpt(field)
    for number, content in lines[:MOST_LINES]:
        yield Line(f"    {number:>6} | {printable(content)}", "dim")
    if len(lines) > MOST_LINES:
        yield Line(f"           ... {len(lines) - MOST_LINES} more lines", "dim")


def _misses(misses: tuple[Miss, ...], most: int | None) -> Iterator[Line]:
    shown = misses[:most]
    if shown:
        which = "" if len(shown) == len(misses) else f", {len(shown)} of {len(misses)}"
        yield Line(f"  what came close{which}:")
    for miss in shown:
        origin = miss.rule.origin
        yield Line(f"    {_field(miss)} at {origin.source.place(miss.field)}")
        yield from (Line(f"      + {met}", "green") for met in miss.met)
        yield from (Line(f"      - {gap.message}", "red") for gap in miss.gaps)


def _field(miss: Miss) -> str:
    """The rule, and the peer in it: `shop/web ingress[0].from[1]`."""
    inside = _inside(miss.field, miss.rule)
    return f"{miss.rule.origin}{'.' if inside else ''}{inside}"


def _inside(field: tuple[str | int, ...], rule: Rule) -> str:
    """A peer in its rule, `from[1]`; empty for the rule itself."""
    inside = field[len(rule.origin.field) :]
    return "".join(f"[{step}]" if isinstance(step, int) else step for step in inside)


def document(explanation: Explanation, most: int | None = CLOSEST) -> dict[str, Any]:
    """The same for programs (docs/explain.md)."""
    flow = explanation.flow
    return {
        "source": _end(explanation.egress.subject),
        "destination": _end(explanation.ingress.subject),
        "protocol": flow.protocol,
        "port": flow.port,
        "allowed": explanation.verdict.allowed,
        **{str(side.direction): _side(side, most) for side in explanation.sides},
    }


def _end(end: End) -> dict[str, str | None]:
    pod = end.pod.key if end.pod is not None else None
    address = format_address(end.address) if end.is_placed else None
    return {"address": address, "pod": pod, "node": end.node or None}


def _side(side: Side, most: int | None) -> dict[str, Any]:
    rule = side.decision.rule
    return {
        "allowed": side.decision.allowed,
        "reason": str(side.decision.reason),
        "rule": str(rule.origin) if rule is not None else None,
        **_named_rule(rule),
        **({"next": _next(side.next)} if side.next is not None else {}),
        "policies": [
            {
                "policy": str(found.policy.origin),
                "place": found.policy.origin.place(),
                "isolates": found.isolates,
                "rules": [
                    _answer(answer, found.policy.tier is not Tier.NETWORK_POLICY)
                    for answer in found.answers
                ],
            }
            for found in side.consulted
        ],
        "near": [_near(miss) for miss in side.misses[:most]],
    }


def _named_rule(rule: ResolvedRule | None) -> dict[str, str]:
    """The name of a rule, where it has one."""
    return {"name": rule.origin.called} if rule is not None and rule.origin.called else {}


def _next(decision: Decision) -> dict[str, Any]:
    rule = decision.rule
    return {
        "allowed": decision.allowed,
        "reason": str(decision.reason),
        "rule": str(rule.origin) if rule is not None else None,
        **_named_rule(rule),
    }


def _answer(answer: Answer, is_ordered: bool) -> dict[str, Any]:
    origin = answer.rule.origin
    lines = origin.source.excerpt(origin.field) if answer.matched else ()
    # In the tier of NetworkPolicies every rule accepts, and every rule is asked.
    ordered = {"action": str(answer.rule.action), "part": answer.part.value}
    if origin.called:
        ordered = {"name": origin.called, **ordered}
    return {
        "rule": str(origin),
        "place": origin.place(),
        **(ordered if is_ordered else {}),
        "matched": answer.matched,
        "peer": answer.peer_matched,
        "port": answer.port_matched,
        "through": [_inside(field, answer.rule) for field in answer.through],
        "source": [{"line": number, "text": content} for number, content in lines[:MOST_LINES]],
    }


def _near(miss: Miss) -> dict[str, Any]:
    return {
        "rule": _field(miss),
        "place": miss.rule.origin.source.place(miss.field),
        "met": list(miss.met),
        "missing": [{"kind": str(gap.kind), "message": gap.message} for gap in miss.gaps],
    }
