"""Builds the chain that judges one combination: what admits, what denies, and what counts it.

Comes in: a `Combination`, and another that is only tried. Goes out: a `Judge`, or None when
everything is admitted. Refused (`InvariantError`): a stage whose default is not that of its tier.
`layout.py` lays out what NetworkPolicies admit, `tiers/` what ordered tiers say, `denials.py` is
the end of the chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.denials import tail
from netpolc.backends.nft.lower.layout import Laid, Layout
from netpolc.backends.nft.lower.questions import Questions
from netpolc.backends.nft.lower.sets import Sets
from netpolc.backends.nft.lower.tiers.build import TierChains, Way
from netpolc.backends.nft.lower.tiers.chains import Tiers
from netpolc.backends.nft.lower.tiers.decisions import admitted_from_anybody, is_open
from netpolc.backends.nft.names import counter_name, digest, naming, self_set
from netpolc.backends.nft.options import Options
from netpolc.core.ir import Action, Direction, Tier
from netpolc.core.nets import EVERY_PORT, Family, Ranges
from netpolc.core.program import Combination, InvariantError, Program, Stage


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """The chain of a combination with all it refers to; `name` is the chain to send packets to.

    `counter` is of what no NetworkPolicy admits, `tiers` are the ordered tiers that it asks.
    `anybody` are the ports that it admits from (or to) anybody, of all protocols; `tried` says that
    only audited policies deny anything. What is accepted goes on to `then`, which only counts.
    """

    name: str
    chains: tuple[nft.Chain, ...]
    sets: tuple[nft.NamedSet, ...]
    maps: tuple[nft.NamedMap, ...]
    counter: nft.Counter | None
    anybody: Ranges
    tried: bool
    tiers: tuple[TierChains, ...] = ()
    then: Judge | None = None

    @property
    def meaning(self) -> object:
        """What it does, but for the sets and the tiers it shares."""
        return [chain.rules for chain in self.chains], self.maps


class JudgeBuilder:
    """Builds judges for one Program and one set of options; equal questions get the same object."""

    def __init__(
        self, program: Program, options: Options, ingress: str, admitted: nft.Verdict
    ) -> None:
        self.options = options
        self._admit = {
            Direction.INGRESS: admitted,
            Direction.EGRESS: nft.Verdict(nft.Action.GOTO, ingress),
        }
        self._judges: dict[tuple[int, int], Judge | None] = {}
        self._named: dict[str, Judge] = {}
        self._questions = Questions(program)
        self._sets = Sets(program, self._questions)
        self._tiers = Tiers(program, options, self._sets, self._questions)

    def judge(self, enforced: Combination | None, tried: Combination | None = None) -> Judge | None:
        """The judge of a combination; None when everything is admitted. What a `tried` one denies
        is let pass.
        """
        key = id(enforced), id(tried)
        if key not in self._judges:
            then = self._known(tried, True, None) if tried is not None else None
            own = self._known(enforced, False, then) if enforced is not None else None
            self._judges[key] = own or then
        return self._judges[key]

    def _known(self, combination: Combination, tried: bool, then: Judge | None) -> Judge | None:
        judge = self._made(combination, tried, then)
        if judge is not None:
            same = self._named.setdefault(judge.name, judge)
            if same is not judge and same.meaning != judge.meaning:
                raise InvariantError(f"chain {judge.name} is named once and means two things")
        return judge

    def _made(self, combination: Combination, tried: bool, then: Judge | None) -> Judge | None:
        direction, audited = combination.direction, tried or self.options.audit
        admitted = self._admit[direction]
        accepted = nft.Verdict(nft.Action.GOTO, then.name) if then is not None else admitted
        stages = {stage.tier: _checked(stage) for stage in combination.tiers}
        policies = stages.pop(Tier.NETWORK_POLICY, None)
        if policies is not None:
            stages.pop(Tier.BASELINE, None)  # what NetworkPolicies isolate, they decide
        if stages and is_open(combination.tiers):
            return None
        way = Way(direction, accepted, admitted, audited)
        tiers = {rank: self._tiers.tier(stage, way) for rank, stage in stages.items()}
        asked = [(stages[rank], tier) for rank, tier in tiers.items()]
        name = self._chain_name(direction, policies, [tier for _, tier in asked], way, then)
        laid = Layout(self._sets, direction, accepted, name).lay_out(
            policies.rules if policies is not None else ()
        )
        if laid is None and not stages:
            return None
        rules = [_jump(*own) for own in asked]
        counter = None
        if policies is not None and laid is not None:
            told = naming(policies.policies)
            itself = _itself(accepted) if then is not None else ()
            rules += (*laid.rules, *itself)
            rules += tail(self.options, direction, name, told, audited, admitted)
            counter = nft.Counter(counter_name(name, audited), told)
        else:
            rules.append(nft.Rule((), (accepted,), "denied by no tier"))
        parts = laid if laid is not None else Laid((), (), (), (), EVERY_PORT)
        return Judge(
            name,
            (*parts.chains, nft.Chain(name, tuple(rules))),
            parts.sets,
            parts.maps,
            counter,
            admitted_from_anybody(combination.tiers) if stages else parts.anybody,
            tried,
            tuple(tiers.values()),
            then,
        )

    def _chain_name(
        self,
        direction: Direction,
        policies: Stage | None,
        tiers: list[TierChains],
        way: Way,
        then: Judge | None,
    ) -> str:
        """The chain of a combination, named from what its rules say: not from their layout, which
        follows the sizes of sets. One that lets pass never has the name of one that denies.
        """
        asked = self._questions.of_rule
        words = [*map(str, policies.policies if policies is not None else ())]
        words.append("audited" if way.audited else "")
        words += (
            f"{rule.origin} {rule.match.ports} {rule.match.networks} {asked(rule)}"
            for rule in (policies.rules if policies is not None else ())
        )
        words += [tier.name for tier in tiers]
        if then is not None:
            words.append(then.name)
        return f"{direction.name[0].lower()}_{digest(words)}"

    def admit(self, direction: Direction) -> nft.Verdict:
        """What an admitted packet meets next."""
        return self._admit[direction]


def _checked(stage: Stage) -> Stage:
    isolates = stage.tier is Tier.NETWORK_POLICY
    if stage.default is not (Action.DENY if isolates else Action.PASS):
        raise InvariantError(f"tier {stage.tier.name} ends in {stage.default}")
    return stage


def _jump(stage: Stage, tier: TierChains) -> nft.Rule:
    policies = sorted(stage.policies, key=lambda own: own.key)  # another priority changes nothing
    return nft.Rule((), (nft.Verdict(nft.Action.JUMP, tier.name),), naming(policies))


def _itself(accepted: nft.Verdict) -> Iterator[nft.Rule]:
    """A pod with itself, where what is accepted is tried next."""
    for version in Family:
        pair = nft.PairMatch(version, self_set(version))
        yield nft.Rule((pair,), (accepted,), "a pod with itself")
