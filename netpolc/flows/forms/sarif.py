"""Findings of an audit at the lines of policies, for code scanning (SARIF 2.1.0).

Comes in: findings, and the program whose policies decide about them. Goes out: a log whose results
stand where the policy is: what was denied and yet forwarded, what a change cuts or opens, what is
denied where that was asked, and rules that nobody needed. `allowed, yet dropped` is not the doing
of a policy and has no line.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.sarif import (
    ERROR,
    NOTE,
    WARNING,
    PathOf,
    SarifResult,
    SarifRule,
    sarif_log,
)
from netpolc.core.ir import Origin
from netpolc.core.program import Program
from netpolc.core.semantics import Decision, evaluate
from netpolc.flows.audit import Disagreement, FlowGroup, Shift
from netpolc.flows.forms.text import Findings, connection_of, facts, observed_span
from netpolc.flows.judging import RecordOutcome

_LEAK, _CUT, _OPENED, _UNCLEAR, _DENIED, _UNUSED = (
    "audit/denied-yet-forwarded",
    "audit/cut",
    "audit/opened",
    "audit/unclear",
    "audit/denied",
    "audit/unused-rule",
)
_RULES = (
    SarifRule(
        _LEAK,
        "Traffic was forwarded that policies deny",
        "A flow log shows traffic that got through although these policies deny it: nobody "
        "enforces them there, or the log is older than they are.",
        "Enforce the policies on that node, or admit the traffic: netpolc recommend --denied "
        "writes the rules.",
        ERROR,
    ),
    SarifRule(
        _CUT,
        "A change cuts traffic that was seen",
        "A flow log shows traffic that was allowed, and that the changed policies deny.",
        "Admit it in the changed policies, or make sure that nobody needs it any more.",
        ERROR,
    ),
    SarifRule(
        _OPENED,
        "A change opens what was denied",
        "A flow log shows traffic that was denied, and that the changed policies allow.",
        "Nothing is to be done if that is the aim of the change.",
        NOTE,
    ),
    SarifRule(
        _UNCLEAR,
        "A change may cut or open traffic that was seen",
        "The log does not say whether these records are requests or replies, and the change makes "
        "a difference to one of the two.",
        "Use a log that tells replies apart.",
        NOTE,
    ),
    SarifRule(
        _DENIED,
        "Traffic was seen that policies deny",
        "A flow log shows traffic that these policies deny.",
        "Admit it if it should get through: netpolc recommend --denied writes the rules.",
        NOTE,
    ),
    SarifRule(
        _UNUSED,
        "No traffic that was seen needs this rule",
        "No flow of the log is admitted or denied by this rule.",
        "Remove the rule if the span of the log is long enough to know.",
        WARNING,
    ),
)
_LEVELS = {rule.name: rule.level for rule in _RULES}
_SHIFTS = {Shift.CUT: _CUT, Shift.OPENED: _OPENED, Shift.UNCLEAR: _UNCLEAR}


def as_sarif(found: Findings, program: Program, path_of: PathOf) -> str:
    """A log of one run; `program` has the policies that decide, of a change the new ones."""
    results = list(_of_rules(found) if found.rules is not None else _of_groups(found, program))
    return sarif_log(_RULES, results, path_of, facts(found))


def _of_rules(found: Findings) -> Iterator[SarifResult]:
    span = observed_span(found.totals)
    for own in found.rules or ():
        name = f"{own.policy} {own.rule}" if own.rule else f"{own.policy}, no rule of it"
        message = f"{name}: no observed flow needed it ({found.totals.records} records{span})"
        yield SarifResult(_UNUSED, _LEVELS[_UNUSED], message, own.place)


def _of_groups(found: Findings, program: Program) -> Iterator[SarifResult]:
    for group in found.groups:
        rule = _rule_of(group, is_denied_asked=found.because is not None)
        if rule is None:
            continue
        origins = list(dict.fromkeys(_deciding(program, group)))
        related = tuple((own.title, own.place()) for own in origins[1:])
        place = origins[0].place() if origins else None
        yield SarifResult(rule, _LEVELS[rule], _sentence(found, group), place, related)


def _rule_of(group: FlowGroup, *, is_denied_asked: bool) -> str | None:
    if group.shift is not None:
        return _SHIFTS[group.shift]
    if group.disagreement is Disagreement.LEAK:
        return _LEAK
    is_denied = group.outcome in (RecordOutcome.DENY, RecordOutcome.FAR)
    return _DENIED if is_denied and is_denied_asked else None


def _sentence(found: Findings, group: FlowGroup) -> str:
    what = group.shift or group.disagreement or "denied"
    ends = f"{group.source} -> {group.destination} {connection_of(group)}"
    because = "".join(f"; {reason}" for reason in found.reasons(group))
    example = f"{group.sample.source} -> {group.sample.destination}"
    return f"{ends}: {what} ({group.records} records, as of {example}){because}"


def _deciding(program: Program, group: FlowGroup) -> Iterator[Origin]:
    """What denies the sample of a group; what admits it, if nothing does."""
    verdict = evaluate(program, group.sample.flow(program))
    sides = verdict.egress, verdict.ingress
    denying = [side for side in sides if not side.allowed]
    for side in denying or sides:
        yield from _origins(side)


def _origins(decision: Decision) -> Iterator[Origin]:
    if decision.rule is not None:
        yield decision.rule.origin
    elif decision.tier is not None:
        yield from decision.tier.policies
