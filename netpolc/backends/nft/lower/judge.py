"""Builds the chain that judges one combination: what admits, what denies, and what counts it.

Comes in: a `Combination`. Goes out: a `Judge`, or None when it admits everything. Refused
(`UnsupportedError`): tiers that nftables cannot judge yet. `layout.py` lays out what is admitted,
`denials.py` is the end of the chain.
"""

from __future__ import annotations

from dataclasses import dataclass

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.denials import tail
from netpolc.backends.nft.lower.layout import Layout
from netpolc.backends.nft.lower.questions import Questions
from netpolc.backends.nft.lower.sets import Sets
from netpolc.backends.nft.names import counter_name, digest, naming
from netpolc.backends.nft.options import Options
from netpolc.core.errors import UnsupportedError
from netpolc.core.ir import Direction, Tier
from netpolc.core.nets import Ranges
from netpolc.core.program import Combination, InvariantError, Program, Stage


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """The chain of a combination with all it refers to; `name` is the chain to send packets to.

    `anybody` are the ports that it admits from (or to) anybody; `tried` says that only audited
    policies isolate its pods.
    """

    name: str
    chains: tuple[nft.Chain, ...]
    sets: tuple[nft.NamedSet, ...]
    maps: tuple[nft.NamedMap, ...]
    counter: nft.Counter
    anybody: Ranges
    tried: bool

    @property
    def meaning(self) -> object:
        """What it does, but for the sets it shares."""
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
        self._judges: dict[int, Judge | None] = {}
        self._named: dict[str, Judge] = {}
        self._questions = Questions(program)
        self._sets = Sets(program, self._questions)

    def judge(self, combination: Combination, tried: bool) -> Judge | None:
        """The judge of a combination; None when everything is admitted. A `tried` one lets pass
        what it would deny.
        """
        key = id(combination)
        if key not in self._judges:
            judge = self._judges[key] = self._made(combination, tried)
            if judge is not None:
                same = self._named.setdefault(judge.name, judge)
                if same is not judge and same.meaning != judge.meaning:
                    raise InvariantError(f"chain {judge.name} is named once and means two things")
        return self._judges[key]

    def _made(self, combination: Combination, tried: bool) -> Judge | None:
        direction, tier = combination.direction, _network_policy_tier(combination)
        audited = tried or self.options.audit
        admitted = self._admit[direction]
        name = self._chain_name(direction, tier, audited)
        laid = Layout(self._sets, direction, admitted, name).lay_out(tier.rules)
        if laid is None:
            return None
        policies = naming(tier.policies)
        end = tail(self.options, direction, name, policies, audited, admitted)
        return Judge(
            name,
            (*laid.chains, nft.Chain(name, (*laid.rules, *end))),
            laid.sets,
            laid.maps,
            nft.Counter(counter_name(name, audited), policies),
            laid.anybody,
            tried,
        )

    def _chain_name(self, direction: Direction, tier: Stage, audited: bool) -> str:
        """The chain that judges a tier, named from what its rules say: not from their layout, which
        follows the sizes of sets. One that lets pass never has the name of one that denies.
        """
        asked = self._questions.of_rule
        rules = (
            f"{rule.origin} {rule.match.ports} {rule.match.networks} {asked(rule)}"
            for rule in tier.rules
        )
        content = digest((*map(str, tier.policies), "audited" if audited else "", *rules))
        return f"{direction.name[0].lower()}_{content}"

    def admit(self, direction: Direction) -> nft.Verdict:
        """What an admitted packet meets next."""
        return self._admit[direction]


def _network_policy_tier(combination: Combination) -> Stage:
    for tier in combination.tiers:
        if tier.tier is not Tier.NETWORK_POLICY:
            origin = tier.policies[0]
            message = (
                f"{origin.place()}: {origin}: the nftables backend has no {tier.tier.name} tier yet"
            )
            raise UnsupportedError(message)
    return combination.tiers[0]
