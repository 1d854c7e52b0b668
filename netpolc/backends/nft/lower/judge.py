"""Builds the chain that judges one combination: what admits, what denies, and what counts it.

Comes in: a `Combination`, and another that is only tried. Goes out: a `Matter`, which knows its
name and what it asks, or None when everything is admitted; with the facts of a node, its `Judge`.
Refused (`InvariantError`): a stage whose default is not that of its tier, and a name with two
meanings. `layout.py` lays out what NetworkPolicies admit, `tiers/` what ordered tiers say,
`denials.py` is the end of the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.comparisons import Comparisons
from netpolc.backends.nft.lower.denials import tail
from netpolc.backends.nft.lower.facts import Dependencies, Families, NodeFacts, PodMap, Sizes
from netpolc.backends.nft.lower.layout import AdmittedPeers, Kept, Laid, Layout, SourceMap
from netpolc.backends.nft.lower.peers import by_ports
from netpolc.backends.nft.lower.questions import PodQuestion, Questions
from netpolc.backends.nft.lower.sets import Addresses, Sets
from netpolc.backends.nft.lower.tiers.build import TierChains, Way
from netpolc.backends.nft.lower.tiers.chains import Tiers
from netpolc.backends.nft.lower.tiers.decisions import admitted_from_anybody, is_open
from netpolc.backends.nft.names import counter_name, digest, naming, self_set
from netpolc.backends.nft.options import Options
from netpolc.core.ir import ANY, Action, Direction, Tier
from netpolc.core.nets import Family, Ranges
from netpolc.core.program import Combination, InvariantError, Program, Question, Stage


class Matter(Struct, frozen=True, eq=False):
    """A combination that is judged: `name` is the chain to send packets to.

    `tiers` are the ordered tiers that it asks, each with its chain; `admitted` is what
    NetworkPolicies admit, None where they do not isolate or admit everything. `tried` says that
    only audited policies deny anything. What is accepted goes on to `then`, which only counts.
    """

    name: str
    way: Way
    policies: str
    tiers: tuple[tuple[Stage, str], ...]
    admitted: AdmittedPeers | None
    anybody: Ranges
    tried: bool
    then: Matter | None

    @property
    def meaning(self) -> object:
        """What is asked and admitted, but for what tiers say."""
        own = self.admitted.meaning if self.admitted is not None else None
        return self.way, [name for _, name in self.tiers], own


class Judge(Struct, frozen=True, eq=False):
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


class JudgeBuilder:
    """Builds judges for one Program and one set of options; equal questions get the same object.

    `admit` is what an admitted packet meets next, by direction.
    """

    def __init__(
        self, program: Program, options: Options, admit: Mapping[Direction, nft.Verdict]
    ) -> None:
        self.options, self._admit = options, admit
        self._cases: dict[tuple[int, int], Matter | None] = {}
        self._named: dict[str, Matter] = {}
        self._judges: dict[tuple[object, ...], Judge] = {}
        self._mappable: dict[str, tuple[tuple[PodQuestion, ...], ...]] = {}
        self._sources: list[SourceMap] = []
        self._questions = Questions(program)
        addresses = Addresses(program)
        self._sizes = Sizes(addresses)
        self._sets = Sets(program, addresses)
        self._kept = Kept()
        self._tiers = Tiers(program, options, self._sets, self._questions)

    def case(self, enforced: Combination | None, tried: Combination | None = None) -> Matter | None:
        """What is judged; None when everything is admitted. What a `tried` combination denies is
        let pass.
        """
        key = id(enforced), id(tried)
        if key not in self._cases:
            then = self._known(tried, True, None) if tried is not None else None
            own = self._known(enforced, False, then) if enforced is not None else None
            self._cases[key] = own or then
        return self._cases[key]

    def _known(self, combination: Combination, tried: bool, then: Matter | None) -> Matter | None:
        case = self._case(combination, tried, then)
        if case is None:
            return None
        same = self._named.setdefault(case.name, case)
        if same is not case and same.meaning != case.meaning:
            raise InvariantError(f"chain {case.name} is named once and means two things")
        return same

    def _case(self, combination: Combination, tried: bool, then: Matter | None) -> Matter | None:
        direction, audited = combination.direction, tried or self.options.audit
        admit = self._admit[direction]
        accepted = nft.Verdict(nft.Action.GOTO, then.name) if then is not None else admit
        stages = {stage.tier: _checked(stage) for stage in combination.tiers}
        policies = stages.pop(Tier.NETWORK_POLICY, None)
        if policies is not None:
            stages.pop(Tier.BASELINE, None)  # what NetworkPolicies isolate, they decide
        if stages and is_open(combination.tiers):
            return None
        asked = policies.questions if policies is not None else ()
        found = AdmittedPeers(by_ports(asked, self._questions.of))
        judges = policies is not None and not found.classes[ANY].anybody
        if not judges and not stages:
            return None
        way = Way(direction, accepted, admit, audited)
        tiers = tuple((stage, self._tiers.name(stage, way)) for stage in stages.values())
        name = self._chain_name(way, policies, [own for _, own in tiers], then)
        told = naming(policies.policies) if policies is not None else ""
        anybody = admitted_from_anybody(combination.tiers) if stages else found.anybody
        return Matter(name, way, told, tiers, found if judges else None, anybody, tried, then)

    def _chain_name(
        self, way: Way, policies: Stage | None, tiers: list[str], then: Matter | None
    ) -> str:
        """The chain of a combination, named from what its rules say: not from their layout, which
        follows facts, nor from who answers. One that lets pass never has the name of one that
        denies.
        """
        words = [*map(str, policies.policies if policies is not None else ())]
        words.append("audited" if way.audited else "")
        if policies is not None:
            words += dict.fromkeys(map(self._questions.line, policies.questions))
        words += tiers
        if then is not None:
            words.append(then.name)
        return f"{way.direction.name[0].lower()}_{digest(words)}"

    def facts(self, cases: Iterable[Matter], families: Families) -> NodeFacts:
        """The facts of a node that judges some cases, each of them once, for pods of its own with
        addresses of some families.
        """
        judged = list(cases)
        several = [own.admitted for own in judged if own.admitted is not None]
        lists = {name for own in judged for _, name in own.tiers}
        return NodeFacts(self._sizes, several, families, len(lists))

    def judge(
        self, case: Matter, families: Families, facts: NodeFacts, then: Judge | None
    ) -> Judge:
        """The judge of a case, of which pods with addresses of some families are local; `then` is
        that of what is tried next.
        """
        by_source = case.admitted is not None and self._by_source(case.name, case.admitted, facts)
        of_tiers = (facts.families, facts.lists) if case.tiers else None
        key = case.name, families, by_source, of_tiers, id(then)
        if key not in self._judges:
            self._judges[key] = self._made(case, families, facts, by_source, then)
        return self._judges[key]

    def _by_source(self, name: str, admitted: AdmittedPeers, facts: NodeFacts) -> bool:
        sets = self._mappable.get(name)
        if sets is None:
            sets = self._mappable[name] = tuple(admitted.sets(facts))
        return bool(sets) and admitted.by_source(sets, facts)

    def _made(
        self,
        case: Matter,
        families: Families,
        facts: NodeFacts,
        by_source: bool,
        then: Judge | None,
    ) -> Judge:
        name, way, counter, laid = case.name, case.way, None, Laid((), (), (), ())
        rules = [_jump(*own) for own in case.tiers]
        if case.admitted is not None:
            comparisons = Comparisons(self._sets, facts, way.direction, families, way.accepted)
            layout = Layout(self._sets, comparisons, self._kept, name)
            laid = layout.lay_out(case.admitted, by_source)
            self._sources += [laid.source] if laid.source is not None else []
            itself = _itself(way.accepted) if then is not None else ()
            rules += (*laid.rules, *itself)
            told, audited = case.policies, way.audited
            rules += tail(self.options, way.direction, name, told, audited, way.admitted)
            counter = nft.Counter(counter_name(name, audited), told)
        else:
            rules.append(nft.Rule((), (way.accepted,), "denied by no tier"))
        return Judge(
            name,
            (*laid.chains, nft.Chain(name, tuple(rules))),
            laid.sets,
            laid.maps,
            counter,
            case.anybody,
            case.tried,
            tuple(self._tiers.tier(stage, way, facts) for stage, _ in case.tiers),
            then,
        )

    def dependencies(self) -> Dependencies:
        """What of the answers is in what was built so far."""
        asked = self._questions.asked
        made = len(self._judges) + self._tiers.made
        mappable = (self._named[name].admitted for name, sets in self._mappable.items() if sets)
        grouped = [
            tuple(tuple(own.asked) for own in admitted.classes.values())
            for admitted in mappable
            if admitted is not None
        ]
        # Who is in a map has rules that say why: each question counts for itself.
        rows = [[own for some in source.classes for own in some] for source in self._sources]
        grouped += [tuple([(own,) for own in row]) for row in rows]
        maps = [_pod_map(own, asked) for own in self._sources] + self._tiers.maps
        return Dependencies(asked, self._sets.asked, self._sizes.counted, maps, grouped, made)

    def tiers(self, judges: Iterable[Judge]) -> list[TierChains]:
        """The ordered tiers that some judges ask, each once, in order of their names."""
        found = {tier.name: tier for judge in judges for tier in judge.tiers}
        return [self._tiers.now(found[name]) for name in sorted(found)]

    def admit(self, direction: Direction) -> nft.Verdict:
        """What an admitted packet meets next."""
        return self._admit[direction]


def _pod_map(source: SourceMap, asked: Mapping[PodQuestion, Question]) -> PodMap:
    """A map of sources as whoever follows pods needs it."""
    rows = tuple([tuple([asked[own] for own in some]) for some in source.classes])
    return PodMap(source.names, rows, _answered, source.verdicts)


def _answered(answered: int, _address: int) -> int | None:
    return answered or None


def _checked(stage: Stage) -> Stage:
    isolates = stage.tier is Tier.NETWORK_POLICY
    if stage.default is not (Action.DENY if isolates else Action.PASS):
        raise InvariantError(f"tier {stage.tier.name} ends in {stage.default}")
    return stage


def _jump(stage: Stage, chain: str) -> nft.Rule:
    policies = sorted(stage.policies, key=lambda own: own.key)  # another priority changes nothing
    return nft.Rule((), (nft.Verdict(nft.Action.JUMP, chain),), naming(policies))


def _itself(accepted: nft.Verdict) -> Iterator[nft.Rule]:
    """A pod with itself, where what is accepted is tried next."""
    for version in Family:
        pair = nft.PairMatch(version, self_set(version))
        yield nft.Rule((pair,), (accepted,), "a pod with itself")
