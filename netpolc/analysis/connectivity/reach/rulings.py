"""What stages decide of some ports, once it is known which of their rules have the peer.

Comes in: a judge, with a bit for each rule of its stages that has the peer. Goes out: an
`Admission`, and of one port the `Ruling`. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from netpolc.core.ir import ANY, Action, Origin, Tier
from netpolc.core.nets import EVERY_PORT, NOTHING, Ranges, numbers
from netpolc.core.program import Combination, Match, ResolvedRule, Run, Stage


@dataclass(frozen=True, slots=True, eq=False)
class Admission:
    """What one direction admits from or to a place; `judge` is None when nothing judges the
    subject. `matching` has for each stage of the judge a bit for each rule.
    """

    ports: Ranges
    judge: Combination | None = None
    matching: tuple[int, ...] = ()

    @property
    def rules(self) -> tuple[ResolvedRule, ...]:
        """Those whose peers include the place, in the order they are asked."""
        return tuple(rule for stage, bits in self._stages for rule in rules_of(stage, bits))

    @property
    def is_ordered(self) -> bool:
        """Whether an ordered tier judges, where which rule is first matters."""
        stages = self.judge.tiers if self.judge is not None else ()
        return any(stage.tier is not Tier.NETWORK_POLICY for stage in stages)

    @property
    def deciding(self) -> Iterator[tuple[ResolvedRule, Ranges]]:
        """Each rule that is the first for some ports of the place, with these; rules of one run
        share theirs. What a rule passes is asked again in the next stage.
        """
        undecided = EVERY_PORT
        for stage, matching in self._stages:
            passed, left = NOTHING, undecided
            for run, own in _by_run(stage, matching):
                taken = NOTHING
                for rule in rules_of(stage, own):
                    ports = left & match_ports(rule.match)
                    if ports:
                        yield rule, ports
                    taken |= ports
                left -= taken
                passed |= taken if run.action is Action.PASS else NOTHING
            undecided = passed | left if stage.default is Action.PASS else passed

    @property
    def _stages(self) -> Iterator[tuple[Stage, int]]:
        stages = self.judge.tiers if self.judge is not None else ()
        return zip(stages, self.matching, strict=True)

    def ruling(self, number: int) -> Ruling:
        """What decides a port (of the port line)."""
        for stage, matching in self._stages:
            ruling = _ruling(stage, matching, number)
            if ruling.action is not Action.PASS:
                return ruling
        return Ruling(Action.ACCEPT)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What decides a flow: rules of one run (each would do alone), else the policies that isolate,
    else nothing, where every stage passes.
    """

    action: Action
    rules: tuple[ResolvedRule, ...] = ()
    isolating: tuple[Origin, ...] = ()


def _ruling(stage: Stage, matching: int, number: int) -> Ruling:
    for run, own in _by_run(stage, matching):
        found = (rule for rule in rules_of(stage, own) if number in match_ports(rule.match))
        if rules := tuple(found):
            return Ruling(run.action, rules)
    return Ruling(stage.default, (), stage.policies)


def _by_run(stage: Stage, matching: int) -> Iterator[tuple[Run, int]]:
    """Each run with its part of the bits of a stage."""
    first = 0
    for run in stage.runs:
        after = first + len(run.rules)
        yield run, matching & (1 << after) - (1 << first)
        first = after


def rules_of(stage: Stage, matching: int) -> Iterator[ResolvedRule]:
    """Some rules of a stage, by the bit of each."""
    return map(stage.rules.__getitem__, numbers(matching))


def match_ports(match: Match) -> Ranges:
    """The ports of a match, on the port line."""
    return EVERY_PORT if match.ports is ANY else match.ports


def admitted(stages: Iterable[tuple[Stage, int]], ports: Callable[[Stage, int], Ranges]) -> Ranges:
    """The ports that come through the stages: the first run with a match decides in each. `ports`
    has those of some rules of a stage.
    """
    found, undecided = NOTHING, EVERY_PORT
    for stage, matching in stages:
        decided = passed = NOTHING
        for run, own in _by_run(stage, matching):
            taken = undecided & ports(stage, own)
            if decided:
                taken -= decided
            decided |= taken
            if run.action is Action.ACCEPT:
                found |= taken
            elif run.action is Action.PASS:
                passed |= taken
        if stage.default is Action.ACCEPT:
            found |= undecided - decided
        elif stage.default is Action.PASS:
            passed |= undecided - decided
        undecided = passed
    return found | undecided
