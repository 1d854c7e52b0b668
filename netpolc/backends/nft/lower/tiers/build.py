"""Builds the chain of one ordered tier, in one of its two layouts.

Comes in: a `Stage`, and a `Way`: what becomes of packets that it accepts or denies. Goes out: a
`TierChains`, the chain and all it refers to. Nothing is refused.

- linear: rule by rule, each port and peer compared;
- merged: maps from pods and from blocks to what awaits them, at one lookup each whatever the
  number of rules (`decisions.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Struct

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower import cost
from netpolc.backends.nft.lower.comparisons import Comparisons
from netpolc.backends.nft.lower.denials import tail
from netpolc.backends.nft.lower.facts import NodeFacts
from netpolc.backends.nft.lower.peers import Peers
from netpolc.backends.nft.lower.questions import Questions
from netpolc.backends.nft.lower.sets import Sets
from netpolc.backends.nft.lower.tiers.decisions import Decided, Decisions, Hits
from netpolc.backends.nft.names import RULE_END, counter_name, digest, naming, said
from netpolc.backends.nft.options import Options
from netpolc.core.ir import ANY, Action, Direction, Origin
from netpolc.core.nets import Family, Span, family, numbers, split_ports
from netpolc.core.program import InvariantError, Program, ResolvedRule, Stage


class Way(Struct, frozen=True):
    """How a tier is asked: what it accepts goes to `accepted`; what it denies is, if `audited`,
    only counted and goes to `admitted`.
    """

    direction: Direction
    accepted: nft.Verdict
    admitted: nft.Verdict
    audited: bool


@dataclass(frozen=True, slots=True, eq=False)
class TierChains:
    """The chain `name` of a tier with all it refers to."""

    name: str
    chains: tuple[nft.Chain, ...]
    sets: tuple[nft.NamedSet, ...]
    maps: tuple[nft.NamedMap, ...]
    counters: tuple[nft.Counter, ...]


Met = Mapping[Family, Collection[Hits]]
"""Which rules speak of pods, for each family that they have addresses of."""
PodHits = tuple[str, Hits]
"""An address of a pod, and the rules that speak of it."""


class Merged(NamedTuple):
    """What the pods in the maps of a tier meet."""

    names: Mapping[Family, str]
    decisions: Decisions
    met: Met
    verdicts: Mapping[Hits, nft.Verdict]


class Builder:
    """Builds one tier; `peers` puts the peers of a rule into words."""

    def __init__(
        self,
        program: Program,
        options: Options,
        sets: Sets,
        questions: Questions,
        peers: Callable[[ResolvedRule], str],
        way: Way,
        facts: NodeFacts,
    ) -> None:
        self._program, self._options, self._way = program, options, way
        self._sets, self._questions, self._facts = sets, questions, facts
        self._peers_of = peers
        self._rules: Sequence[ResolvedRule] = ()
        self._verdicts: list[nft.Verdict] = []
        self._chains: dict[str, nft.Chain] = {}
        self._used: dict[str, nft.NamedSet] = {}
        self._maps: list[nft.NamedMap] = []
        self._counters: dict[str, nft.Counter] = {}
        self._field: nft.Field = "saddr" if way.direction is Direction.INGRESS else "daddr"
        self.merged: Merged | None = None
        """What pods meet, where those that rules speak of are in maps."""

    def tier(self, name: str, stage: Stage) -> TierChains:
        """The tier with its chain called so."""
        self._begin(stage)
        rules = self._linear()
        if rules is None:
            alike = [None if own == nft.RETURN else own for own in self._verdicts]
            decisions = Decisions(self._rules, alike)
            pods = {own: list(decisions.pods(some)) for own, some in self._sets.pods.items()}
            met = {own: Counter([hits for _, hits in some]) for own, some in pods.items()}
            rules = self._merged(name, decisions, met, pods)
        return self._found(name, rules)

    def remade(self, name: str, stage: Stage, decisions: Decisions, met: Met) -> TierChains:
        """The merged tier for pods that meet just this, with maps that have none."""
        self._begin(stage)
        return self._found(name, self._merged(name, decisions, met, {}))

    def _begin(self, stage: Stage) -> None:
        self._rules = stage.rules
        self._verdicts = [self._verdict(rule) for rule in stage.rules]

    def _found(self, name: str, rules: tuple[nft.Rule, ...]) -> TierChains:
        self._chains[name] = nft.Chain(name, rules)
        own = (*self._chains.values(), *self._denials())
        counters = tuple(self._counters.values())
        return TierChains(name, own, tuple(self._used.values()), tuple(self._maps), counters)

    def _verdict(self, rule: ResolvedRule) -> nft.Verdict:
        if rule.action is Action.ACCEPT:
            return self._way.accepted
        if rule.action is Action.PASS:
            return nft.RETURN
        return nft.Verdict(nft.Action.GOTO, _denying(rule.origin, self._way))

    def _denials(self) -> Iterator[nft.Chain]:
        """The chains that the tier's rules deny in, with a counter each."""
        used = {own.chain for chain in self._chains.values() for own in _leads(chain.rules)}
        used |= {v.chain for entry in self._maps for _, v in entry.elements}
        if self.merged is not None:
            used |= {own.chain for own in self.merged.verdicts.values()}
        for verdict, rule in zip(self._verdicts, self._rules, strict=True):
            name = verdict.chain
            if rule.action is not Action.DENY or name not in used:
                continue
            used.discard(name)
            way, told = self._way, naming((rule.origin,))
            self._counters[name] = nft.Counter(counter_name(name, way.audited), told)
            end = tail(
                self._options,
                way.direction,
                name,
                told,
                way.audited,
                way.admitted,
                end=RULE_END[way.direction],
                told=said(rule.origin),
            )
            yield nft.Chain(name, end)

    # Rule by rule

    def _linear(self) -> tuple[nft.Rule, ...] | None:
        """A row of comparisons, unless that costs a packet more than maps do, which are not too
        large.
        """
        few = sum(self._count(rule) for rule in self._rules) <= cost.FEW_RULES
        if not few and _mappable(self._rules, self._questions, self._facts):
            return None
        rules: list[nft.Rule] = []
        used: dict[str, nft.NamedSet] = {}
        for rule, verdict in zip(self._rules, self._verdicts, strict=True):
            facts, direction = self._facts, self._way.direction
            comparisons = Comparisons(self._sets, facts, direction, facts.families, verdict)
            peers = Peers()
            peers.add(rule, self._questions.of(rule))
            if rule.match.ports is ANY:
                rules += comparisons.rules(peers)
            else:
                rules += comparisons.on_ports(rule.match.ports, peers)
            used |= comparisons.used
        asked = max(sum(_cost(rule, version) for rule in rules) for version in Family)
        blocks = any(rule.match.networks for rule in self._rules)
        if (
            few
            and not cost.linear(asked, blocks)
            and _mappable(self._rules, self._questions, self._facts)
        ):
            return None
        self._used |= used
        return tuple(rules)

    def _count(self, rule: ResolvedRule) -> int:
        """About how many comparisons a rule is."""
        match = rule.match
        spans = 1 if match.ports is ANY else len(match.ports.spans)
        if match.identities is ANY or match.networks is ANY:
            return spans
        return spans * (bool(match.identities) + bool(match.networks))

    # By maps

    def _merged(
        self, name: str, decisions: Decisions, met: Met, pods: Mapping[Family, list[PodHits]]
    ) -> tuple[nft.Rule, ...]:
        """Lookups of the peer, then what everybody meets."""
        blocks = list(decisions.blocks())
        several = {hits for own in met.values() for hits in own} | {own for _, own in blocks}
        meets = _Meets(self, decisions, name, several).verdicts
        rules: list[nft.Rule] = []
        suffix = digest((name,))
        names = {version: f"m{version.value}_{suffix}" for version in Family}
        self.merged = Merged(names, decisions, met, meets)
        for version in Family:
            if met[version]:
                entries = tuple((text, meets[hits]) for text, hits in pods.get(version, ()))
                pod_map = nft.AddressMap(names[version], version, entries)
                self._maps.append(pod_map)
                lookup = nft.AddressLookup(self._field, version, pod_map.name)
                rules.append(nft.Rule((), (lookup,), "by peer"))
        for version in Family:
            spans = [(span, hits) for span, hits in blocks if family(span[0]) is version]
            if spans:
                parts = tuple(_joined((span, meets[hits]) for span, hits in spans))
                block_map = nft.NetworkMap(f"n{version.value}_{suffix}", version, parts)
                self._maps.append(block_map)
                by_block = nft.NetworkLookup(self._field, version, block_map.name)
                rules.append(nft.Rule((), (by_block,), "by block"))
        rules += self.on_ports(decisions.decided(decisions.everybody), name)
        return tuple(rules)

    def on_ports(self, decided: Decided, chain: str) -> list[nft.Rule]:
        """The rules of a chain that does what is decided, and at its end returns."""
        rules: list[nft.Rule] = []
        singles = [own for own in decided.spans if own[0][0] == own[0][1]]
        ranges = [own for own in decided.spans if own[0][0] != own[0][1]]
        count = len(decided.spans)
        if count and not cost.inline_ports(count, count):
            layout = cost.port_layout(count, len(singles), len(ranges))
            if layout is not cost.PortLayout.JUMPS:
                whole = layout is cost.PortLayout.RANGE_MAP
                found = decided.spans if whole else singles
                entries = tuple((span, self._verdicts[place]) for span, place in found)
                ports = nft.PortMap(f"v_{digest((chain,))}", whole and bool(ranges), entries)
                self._maps.append(ports)
                rules.append(nft.Rule((), (nft.PortLookup(ports.name, ports.interval),), "by port"))
                singles, ranges = [], [] if whole else ranges
        for span, place in sorted((*singles, *ranges)):
            match = nft.PortMatch(*split_ports(span))
            rules.append(nft.Rule((match,), (self._verdicts[place],), self.told(place)))
        if decided.rest is not None and self._verdicts[decided.rest] != nft.RETURN:
            rules.append(nft.Rule((), (self._verdicts[decided.rest],), self.told(decided.rest)))
        return rules

    def told(self, place: int) -> str:
        """The comment of a rule."""
        return naming((self._rules[place].origin,))

    def at_once(self, decided: Decided) -> nft.Verdict | None:
        """What is decided, if it is one thing for all ports."""
        if decided.spans:
            return None
        return nft.RETURN if decided.rest is None else self._verdicts[decided.rest]

    def put(self, chain: nft.Chain) -> None:
        """Add a chain."""
        self._chains[chain.name] = chain

    def peers(self, hits: Hits) -> str:
        """Words for the peers that some rules have in common."""
        return " & ".join(sorted({self._peers_of(self._rules[place]) for place in numbers(hits)}))


class _Meets:
    """What awaits the peers of a tier, by the rules that hit them.

    A chain is named by the peers that meet it, not by its rules; of several peers that meet the
    same the first in order of text names it.
    """

    def __init__(
        self, builder: Builder, decisions: Decisions, name: str, several: set[Hits]
    ) -> None:
        texts: dict[Decided, str] = {}
        for hits in several:
            decided = decisions.decided(hits)
            if builder.at_once(decided) is None:
                text = builder.peers(hits)
                texts[decided] = min(text, texts.get(decided, text))
        known: dict[Decided, nft.Verdict] = {}
        for decided, text in sorted(texts.items(), key=lambda own: own[1]):
            chain = f"k_{digest((name, text))}"
            builder.put(nft.Chain(chain, tuple(builder.on_ports(decided, chain))))
            known[decided] = nft.Verdict(nft.Action.GOTO, chain)
        self.verdicts: dict[Hits, nft.Verdict] = {}
        """Where packets go whose peer some rules hit."""
        for hits in several:
            decided = decisions.decided(hits)
            self.verdicts[hits] = builder.at_once(decided) or known[decided]


def _joined(
    spans: Iterable[tuple[Span, nft.Verdict]],
) -> Iterator[tuple[Span, nft.Verdict]]:
    """Neighbouring blocks that lead to the same, as one."""
    last: tuple[Span, nft.Verdict] | None = None
    for span, verdict in spans:
        if last is not None and last[0][1] + 1 == span[0] and last[1] == verdict:
            last = (last[0][0], span[1]), verdict
            continue
        if last is not None:
            yield last
        last = span, verdict
    if last is not None:
        yield last


def _mappable(rules: Iterable[ResolvedRule], questions: Questions, facts: NodeFacts) -> bool:
    """Whether the pods that the rules of a list name are few enough for maps of its own."""
    asked = dict.fromkeys(map(questions.of, rules))
    several = tuple([own for own in asked if own is not None])
    if not several:
        return True
    room = 2 * facts.size(several) or nft.room(0)  # no count of its class is larger
    return cost.mappable(room * len(facts.families), facts.lists)


def _denying(origin: Origin, way: Way) -> str:
    """The chain that denies by a rule, named by the policy and the rule's place in it."""
    mode = "audited" if way.audited else ""
    return f"{way.direction.name[0].lower()}_rule_{digest((*origin.key, origin.rule, mode))}"


def _leads(rules: Sequence[nft.Rule]) -> Iterator[nft.Verdict]:
    for rule in rules:
        for statement in rule.statements:
            if isinstance(statement, nft.Verdict):
                yield statement


def _cost(rule: nft.Rule, version: Family) -> float:
    """What a rule costs a packet of a family that it does not match."""
    if not rule.matches:
        return 0.0
    of = rule.matches[-1]
    if isinstance(of, nft.SetMatch) and of.family is not version:
        return cost.COMPARISON
    match rule.matches[0]:
        case nft.PortMatch(_, first, last):
            return cost.COMPARISON if first == last else cost.RANGE
        case nft.SetMatch(interval=True):
            return cost.NETWORK_SET
        case nft.SetMatch():
            return cost.ADDRESS_SET
        case nft.SpanMatch(_, (low, high)):
            single = low == high or family(low) is not version
            return cost.COMPARISON if single else cost.BLOCK
    raise InvariantError(f"no rule of a tier begins so: {rule.matches[0]}")
