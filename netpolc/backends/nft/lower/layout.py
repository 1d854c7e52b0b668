"""How a packet finds the rules for its port and its peer: the layout of one combination.

Comes in: the peers that are admitted, by their ports, and facts. Goes out: `Laid`, the rules of a
chain that admits them, with the chains, sets and maps these refer to; what becomes of everything
else is for whoever asked (`judge.py`). Refused: a name with two meanings (`InvariantError`).

Whether a packet's port is compared, looked up or asked after its peer, and whether blocks are
inline, is what `cost` says is cheapest for what is asked and the facts at hand. Names come from
what is asked alone: a layout that changes changes its chain, and not those that lead there.
`comparisons.py` writes the comparisons with peers. What was measured, and what was tried instead,
is in docs/internals/ruleset.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower import cost
from netpolc.backends.nft.lower.comparisons import Comparisons, selections
from netpolc.backends.nft.lower.cost import PortLayout
from netpolc.backends.nft.lower.facts import NodeFacts
from netpolc.backends.nft.lower.peers import Atoms, Group, Peers, Ports, atoms, groups
from netpolc.backends.nft.lower.questions import PodQuestion
from netpolc.backends.nft.lower.sets import Sets
from netpolc.backends.nft.names import digest
from netpolc.core.ir import ANY
from netpolc.core.nets import Family, Ranges, Span, parse_address, split_ports
from netpolc.core.program import InvariantError

GROUP_PORTS = 16
"""A map for the ports of each group would be a set for each, and sets cost their number squared."""

_PortElement = tuple[Span, str]
"""A span of ports, and the chain of the peers admitted there."""


@dataclass(frozen=True, slots=True)
class Laid:
    """Rules that admit what a tier admits, and what they refer to."""

    rules: tuple[nft.Rule, ...]
    chains: tuple[nft.Chain, ...]
    sets: tuple[nft.NamedSet, ...]
    maps: tuple[nft.NamedMap, ...]
    source: SourceMap | None = None


class SourceMap(NamedTuple):
    """The maps from the peers of one chain to the ports that they are admitted on."""

    names: dict[Family, str]
    classes: tuple[tuple[PodQuestion, ...], ...]
    """What is asked for each set of ports."""
    verdicts: dict[int, nft.Verdict]
    """Where packets go, by the sets of ports whose questions their peer answers."""


class Kept:
    """The chains of peers of one Program, shared by all chains that lead there."""

    def __init__(self) -> None:
        self._chains: dict[str, nft.Chain] = {}

    def chain(self, name: str, rules: tuple[nft.Rule, ...]) -> nft.Chain:
        """The chain of this name; `InvariantError` where it has other rules."""
        known = self._chains.setdefault(name, nft.Chain(name, rules))
        if known.rules != rules:
            raise InvariantError(f"chain {name} is named once and means two things")
        return known


@dataclass(frozen=True, eq=False)
class AdmittedPeers:
    """What a combination admits: peers by ports."""

    classes: dict[Ports, Peers]

    @cached_property
    def asked(self) -> tuple[PodQuestion, ...]:
        """Everything it asks."""
        return tuple({own: None for peers in self.classes.values() for own in peers.asked})

    @cached_property
    def groups(self) -> list[Group]:
        """Identities by all the ports they are admitted on."""
        return groups(self.classes)

    @property
    def anybody(self) -> Ranges:
        """The ports that are admitted from (or to) anybody."""
        several = [own for own, peers in self.classes.items() if peers.anybody and own is not ANY]
        return Ranges.of(span for own in several for span in own)

    def sets(self, facts: NodeFacts) -> dict[tuple[PodQuestion, ...], None]:
        """The sets of pods that are looked up where there is no map of them, by what they answer;
        none if a map could not be cheaper, whoever else asks.
        """
        if any(own.blocks for own in self.asked):
            return {}  # peers by address are in no group of identities
        sizes = [facts.size((own,)) for peers in self.classes.values() for own in peers.asked]
        if not cost.source_map(max(sizes, default=0), sum(sizes), rules=0):
            return {}  # already at the least that a map can hold and the most that sets can
        found: dict[tuple[PodQuestion, ...], None] = {}
        for peers in self.classes.values():
            apart, rest = selections(peers.asked, facts)
            found.update(dict.fromkeys([*((own,) for own in apart), *([rest] if rest else [])]))
        pays = cost.source_map(facts.size(self.asked), sum(map(facts.size, found)), rules=0)
        return found if pays else {}

    def by_source(self, sets: Iterable[tuple[PodQuestion, ...]], facts: NodeFacts) -> bool:
        """Whether one map of all pods that answer is cheaper than these sets of them."""
        looked_up = sum(facts.size(own) / facts.uses(own) for own in sets)
        rules = [0 if own.ports is ANY else len(own.ports.spans) for own in self.groups]
        few = max(rules, default=0) <= GROUP_PORTS
        return few and cost.source_map(facts.size(self.asked), looked_up, sum(rules))

    @property
    def meaning(self) -> object:
        """What is admitted, to be compared."""
        return [
            (ports, list(peers.asked), peers.networks().spans, bool(peers.anybody))
            for ports, peers in self.classes.items()
        ]


class Layout:
    """Lays out what a combination admits for the chain `name`."""

    def __init__(self, sets: Sets, comparisons: Comparisons, kept: Kept, name: str) -> None:
        self._sets, self._comparisons, self._kept, self._name = sets, comparisons, kept, name
        self._chains: dict[str, nft.Chain] = {}
        self._maps: list[nft.NamedMap] = []
        self._source: SourceMap | None = None

    def lay_out(self, admitted: AdmittedPeers, by_source: bool) -> Laid:
        """The layout, with sets of pods or with one map of them."""
        rules: list[nft.Rule] = []
        classes = admitted.classes
        if by_source:
            rules += self._by_source(admitted)
            classes = {ports: peers.without_pods() for ports, peers in classes.items()}
        admits = self._comparisons.admits
        rules += self._by_port(
            [(own, peers) for own, peers in classes.items() if own is not ANY and admits(peers)]
        )
        rules += self._comparisons.rules(classes[ANY])
        return Laid(
            tuple(rules),
            tuple(self._chains.values()),
            tuple(self._comparisons.used.values()),
            tuple(self._maps),
            self._source,
        )

    def _by_source(self, admitted: AdmittedPeers) -> Iterator[nft.Rule]:
        """Rules that find the ports a packet's peer is admitted on."""
        verdicts = {group.mask: self._on_ports(group) for group in admitted.groups}
        classes = tuple([tuple(peers.asked) for peers in admitted.classes.values()])
        names = {own: f"a{own.value}_{self._own}" for own in self._comparisons.families}
        self._source = SourceMap(names, classes, verdicts)
        for version, name in names.items():
            entries = [
                (address, verdicts[group.mask])
                for group in admitted.groups
                for address in self._sets.of_identities(group.members)[version]
            ]
            entries.sort(key=lambda own: parse_address(own[0]))
            self._maps.append(nft.AddressMap(name, version, tuple(entries)))
            yield self._comparisons.by_peer(version, name)

    @property
    def _own(self) -> str:
        """The part of the chain's name that its maps are named by."""
        return self._name.partition("_")[2]

    def _on_ports(self, group: Group) -> nft.Verdict:
        """What awaits the packets of a group."""
        if group.ports is ANY:
            return self._comparisons.admitted
        rules = self._comparisons.on_ports(group.ports, Peers(anybody=group.origins))
        return nft.Verdict(nft.Action.JUMP, self._chain([self._name, *group.several], rules))

    def _by_port(self, classes: Sequence[tuple[Ranges, Peers]]) -> list[nft.Rule]:
        """Rules that find the peers admitted on a packet's port, in the cheapest layout."""
        count, inline = self._comparisons.count, self._comparisons.on_ports
        spans = sum(len(ports.spans) for ports, _ in classes)
        rules = sum(len(ports.spans) * count(peers) for ports, peers in classes)
        if cost.inline_ports(rules, spans):
            return [rule for ports, peers in classes for rule in inline(ports, peers)]
        weights = [count(peers) for _, peers in classes]
        parts = atoms([ports for ports, _ in classes], weights, cost.most_copies(rules))
        if parts is None:
            return self._as_written(classes, inline=True)
        ranges = sum(first != last for (first, last), _ in parts.spans)
        match cost.port_layout(spans, len(parts.spans) - ranges, ranges):
            case PortLayout.JUMPS:
                return self._as_written(classes)
            case PortLayout.MAP:
                elements = self._port_elements(classes, parts)
                single = [element for element in elements if element[0][0] == element[0][1]]
                rest = [element for element in elements if element[0][0] != element[0][1]]
                return [self._port_map(single), *_jumps(rest)]
            case PortLayout.RANGE_MAP:
                return [self._port_map(self._port_elements(classes, parts))]

    def _as_written(
        self, classes: Sequence[tuple[Ranges, Peers]], inline: bool = False
    ) -> list[nft.Rule]:
        """A comparison for each range of ports, overlapping or not, which jumps to its peers; with
        `inline` those that are one comparison stand beside it.
        """
        rules: list[nft.Rule] = []
        for ports, peers in classes:
            if inline and self._comparisons.count(peers) == 1:
                rules += self._comparisons.on_ports(ports, peers)
            else:
                chain = self._peer_chain([peers])
                rules += _jumps((span, chain) for span in ports)
        return rules

    def _port_elements(
        self, classes: Sequence[tuple[Ranges, Peers]], parts: Atoms
    ) -> list[_PortElement]:
        """Disjoint port spans, each with the chain of the peers admitted there."""
        chains = [
            self._peer_chain(classes[number][1] for number in covering)
            for covering in parts.coverings
        ]
        return [(span, chains[number]) for span, number in parts.spans]

    def _port_map(self, elements: Sequence[_PortElement]) -> nft.Rule:
        """A lookup in a verdict map from port spans to chains."""
        interval = any(first != last for (first, last), _ in elements)
        entries = tuple((span, nft.Verdict(nft.Action.JUMP, chain)) for span, chain in elements)
        name = f"v_{self._own}"
        self._maps.append(nft.PortMap(name, interval, entries))
        return nft.Rule((), (nft.PortLookup(name, interval),), "by port")

    def _peer_chain(self, several: Iterable[Peers]) -> str:
        merged = Peers()
        for peers in several:
            merged.merge(peers)
        return self._chain(self._comparisons.asked(merged), self._comparisons.rules(merged))

    def _chain(self, asked: Iterable[object], rules: Iterable[nft.Rule]) -> str:
        """A chain of some rules, named by what they ask."""
        name = f"p_{digest(map(str, asked))}"
        self._chains[name] = self._kept.chain(name, tuple(rules))
        return name


def _jumps(elements: Iterable[_PortElement]) -> list[nft.Rule]:
    """A comparison for each span of ports, which jumps to a chain."""
    return [
        nft.Rule(
            (nft.PortMatch(*split_ports(span)),), (nft.Verdict(nft.Action.JUMP, chain),), "by port"
        )
        for span, chain in elements
    ]
