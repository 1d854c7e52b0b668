"""How a packet finds the rules for its port and its peer: the layout of one combination.

Comes in: the rules of a tier, all of which accept. Goes out: `Laid`, the rules of a chain that
admits what they admit, with the chains, sets and maps these refer to; what becomes of everything
else is for whoever asked (`judge.py`). Nothing is refused. Whether a packet's port is compared,
looked up or asked after its peer, and whether blocks are inline, is what `cost` says is cheapest
for the counts at hand; `comparisons.py` writes the comparisons with peers. What was measured, and
what was tried instead, is in docs/internals/ruleset.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower import cost
from netpolc.backends.nft.lower.comparisons import Comparisons
from netpolc.backends.nft.lower.cost import PortLayout
from netpolc.backends.nft.lower.peers import Atoms, Group, Peers, Ports, atoms, by_ports, groups
from netpolc.backends.nft.lower.sets import Sets
from netpolc.backends.nft.names import digest
from netpolc.core.ir import ANY, Direction
from netpolc.core.labels import NONE
from netpolc.core.nets import Family, Ranges, Span, split_ports
from netpolc.core.program import ResolvedRule

GROUP_PORTS = 16
"""A map for the ports of each group would be a set for each, and sets cost their number squared."""

_PortElement = tuple[Span, str]
"""A span of ports, and the chain of the peers admitted there."""


@dataclass(frozen=True, slots=True)
class Laid:
    """Rules that admit what a tier admits, and what they refer to; `anybody` are the ports that
    are admitted from (or to) anybody.
    """

    rules: tuple[nft.Rule, ...]
    chains: tuple[nft.Chain, ...]
    sets: tuple[nft.NamedSet, ...]
    maps: tuple[nft.NamedMap, ...]
    anybody: Ranges


class Layout:
    """Lays out the rules of one combination for the chain `name`; what they admit goes to
    `admitted`.
    """

    def __init__(self, sets: Sets, direction: Direction, admitted: nft.Verdict, name: str) -> None:
        self._available, self._admitted, self._name = sets, admitted, name
        self._comparisons = Comparisons(sets, direction, admitted)
        self._chains: dict[str, nft.Chain] = {}
        self._maps: list[nft.NamedMap] = []

    def lay_out(self, tier_rules: Iterable[ResolvedRule]) -> Laid | None:
        """The layout; None when one rule admits everybody on everything."""
        classes = by_ports(tier_rules)
        if classes[ANY].anybody:
            return None
        rules: list[nft.Rule] = []
        if grouped := self._groups(classes):
            rules += self._by_source(grouped)
            classes = {ports: peers.without_pods() for ports, peers in classes.items()}
        rules += self._by_port([(own, peers) for own, peers in classes.items() if own is not ANY])
        rules += self._comparisons.rules(classes[ANY])
        open_ports = [own for own, peers in classes.items() if own is not ANY and peers.anybody]
        return Laid(
            tuple(rules),
            tuple(self._chains.values()),
            tuple(self._comparisons.used.values()),
            tuple(self._maps),
            Ranges.of(span for own in open_ports for span in own),
        )

    def _groups(self, classes: dict[Ports, Peers]) -> list[Group]:
        """The pods by their ports if one map of them is cheaper than the sets of all classes."""
        size, uses = self._available.size, self._available.uses
        sizes = [size(members) for peers in classes.values() for members in peers.identities]
        if not cost.source_map(max(sizes, default=0), sum(sizes), rules=0):
            return []  # already at the least that a map can hold and the most that sets can
        asked = {
            several
            for peers in classes.values()
            for several, _ in self._comparisons.selections(peers.identities)
        }
        sets = {NONE.union(*several) for several in asked}
        everybody = size(NONE.union(*sets))
        if not cost.source_map(everybody, sum(map(size, sets)), rules=0):
            return []  # not even if no other chain used the sets
        looked_up = sum(size(members) / max(1, uses[members]) for members in sets)
        found = groups(classes)
        rules = [0 if own.ports is ANY else len(own.ports.spans) for own in found]
        pays = max(rules) <= GROUP_PORTS and cost.source_map(everybody, looked_up, sum(rules))
        return found if pays else []

    def _by_source(self, grouped: Sequence[Group]) -> Iterator[nft.Rule]:
        """Rules that find the ports a packet's peer is admitted on."""
        verdicts = [(group.members, self._on_ports(group)) for group in grouped]
        for version in Family:
            entries = tuple(
                (address, verdict)
                for members, verdict in verdicts
                if (found := self._available.addresses(frozenset((members,)), version))
                for address in found.elements
            )
            if entries:
                name = f"a{version.value}_{self._name.partition('_')[2]}"
                self._maps.append(nft.AddressMap(name, version, entries))
                yield self._comparisons.by_peer(version, name)

    def _on_ports(self, group: Group) -> nft.Verdict:
        """What awaits the packets of a group."""
        if group.ports is ANY:
            return self._admitted
        rules = self._comparisons.on_ports(group.ports, Peers(anybody=group.origins))
        return nft.Verdict(nft.Action.JUMP, self._chain(rules))

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
        name = f"v_{digest(map(repr, entries))}"
        self._maps.append(nft.PortMap(name, interval, entries))
        return nft.Rule((), (nft.PortLookup(name, interval),), "by port")

    def _peer_chain(self, several: Iterable[Peers]) -> str:
        merged = Peers()
        for peers in several:
            merged.merge(peers)
        return self._chain(self._comparisons.rules(merged))

    def _chain(self, rules: Iterable[nft.Rule]) -> str:
        """A chain of some rules, named by its content."""
        own = tuple(rules)
        name = f"p_{digest((repr(own),))}"
        self._chains[name] = nft.Chain(name, own)
        return name


def _jumps(elements: Iterable[_PortElement]) -> list[nft.Rule]:
    """A comparison for each span of ports, which jumps to a chain."""
    return [
        nft.Rule(
            (nft.PortMatch(*split_ports(span)),), (nft.Verdict(nft.Action.JUMP, chain),), "by port"
        )
        for span, chain in elements
    ]
