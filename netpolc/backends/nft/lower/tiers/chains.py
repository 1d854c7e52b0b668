"""The chains of ordered tiers: what the policies of one tier say, rule after rule.

Comes in: a `Stage` of an ordered tier, and what becomes of packets that it accepts. Goes out:
`TierChains`, a chain to jump to and all it refers to. A packet that nothing decides, or that is
passed on, returns to whoever jumped. Every rule that denies has a chain of its own, shared by all
tiers of the table, which counts and logs for that rule. Refused (`InvariantError`): a name that
would mean two things.

A chain is named by its policies and not by what they say, in whatever order: an edited rule or
another priority changes its rules, and nothing that leads there. Combinations of pods with the same
policies share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from netpolc.backends.nft.lower.facts import Families, NodeFacts, PodMap
from netpolc.backends.nft.lower.questions import Questions
from netpolc.backends.nft.lower.sets import Sets
from netpolc.backends.nft.lower.tiers.build import Builder, Merged, Met, TierChains, Way
from netpolc.backends.nft.names import digest
from netpolc.backends.nft.options import Options
from netpolc.core.ir import ANY
from netpolc.core.program import InvariantError, Program, ResolvedRule, Stage


class Tiers:
    """The tiers of one Program, each built once."""

    def __init__(
        self, program: Program, options: Options, sets: Sets, questions: Questions
    ) -> None:
        self._program, self._options = program, options
        self._sets, self._questions = sets, questions
        self._known: dict[tuple[int, Way, Families, int], TierChains] = {}
        self._named: dict[tuple[str, Families, int], tuple[str, TierChains]] = {}
        self._now: dict[TierChains, TierChains] = {}
        self._said: dict[int, str] = {}
        self._asked: dict[int, str] = {}
        self._digests: dict[int, str] = {}
        self.maps: list[PodMap] = []
        """The maps of pods of tiers."""

    @property
    def made(self) -> int:
        """How many tiers were built."""
        return len(self._known)

    def tier(self, stage: Stage, way: Way, facts: NodeFacts) -> TierChains:
        """The chain of a stage; with rules for the families that any pod of the node has."""
        key = id(stage), way, facts.families, facts.lists
        known = self._known.get(key)
        if known is None:
            name, content = self.name(stage, way), self._content(stage)
            named = name, facts.families, facts.lists
            same = self._named.get(named)
            if same is None:
                made = self._builder(way, facts)
                same = self._named[named] = content, made.tier(name, stage)
                if made.merged is not None:
                    remade = partial(self._remade, stage, way, facts, same[1])
                    self.maps.append(_pod_map(stage, made.merged, remade))
            elif same[0] != content:
                raise InvariantError(f"chain {name} is named once and means two things")
            known = self._known[key] = same[1]
        return known

    def now(self, tier: TierChains) -> TierChains:
        """A tier as it is for the pods of now."""
        return self._now.get(tier, tier)

    def _builder(self, way: Way, facts: NodeFacts) -> Builder:
        return Builder(
            self._program, self._options, self._sets, self._questions, self._peers, way, facts
        )

    def _remade(
        self,
        stage: Stage,
        way: Way,
        facts: NodeFacts,
        tier: TierChains,
        before: Merged,
        met: Met,
    ) -> PodMap:
        """Make a tier for pods that meet something else."""
        made = self._builder(way, facts)
        self._now[tier] = made.remade(tier.name, stage, before.decisions, met)
        assert made.merged is not None
        return _pod_map(stage, made.merged, partial(self._remade, stage, way, facts, tier))

    def name(self, stage: Stage, way: Way) -> str:
        """From its policies, and from the ports of its subjects behind names that these ask for:
        to subjects with others they say something else. So no other node has a say.
        """
        mode = "audited" if way.audited else ""
        words = [*_policies(stage), mode, way.accepted.chain]
        if stage.named:
            words.append(str(stage.named))
        head = f"{way.direction.name[0]}_{stage.tier.name}".lower()
        return f"{head}_{digest(words)}"

    def _content(self, stage: Stage) -> str:
        known = self._digests.get(id(stage))
        if known is None:
            known = self._digests[id(stage)] = digest(map(self._text, stage.rules))
        return known

    def _text(self, rule: ResolvedRule) -> str:
        """All that a rule says; many lists have it."""
        known = self._said.get(id(rule))
        if known is None:
            known = f"{rule.origin} {rule.action} {rule.match.ports} {self._peers(rule)}"
            self._said[id(rule)] = known
        return known

    def _peers(self, rule: ResolvedRule) -> str:
        """Words for the peers of a rule."""
        known = self._asked.get(id(rule))
        if known is None:
            known = f"{self._questions.of_rule(rule)} {rule.match.networks}"
            self._asked[id(rule)] = known
        return known


def _pod_map(stage: Stage, merged: Merged, remade: Callable[[Merged, Met], PodMap]) -> PodMap:
    """The maps of a tier as whoever follows pods needs them."""
    asked = [
        (own.question,) if own.question is not None and own.match.identities is not ANY else ()
        for own in stage.rules
    ]
    counted = {own: Counter(some) for own, some in merged.met.items()}
    met = merged.decisions.met
    return PodMap(merged.names, asked, met, merged.verdicts, counted, partial(remade, merged))


def _policies(stage: Stage) -> list[str]:
    return sorted({"/".join(own.key) for own in stage.policies})
