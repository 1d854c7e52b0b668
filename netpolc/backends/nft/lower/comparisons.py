"""The rules that compare a packet's peer: with sets of pods, and with blocks.

Comes in: `Peers`, and the ports that stand before them in the same rules. Goes out: rules, and in
`used` the sets that they look peers up in. Nothing is refused.

- pods are looked up in a set, be they many or one or none, in the families that the chain's own
  pods have; only what policies say in numbers (blocks, ports) stands in rules;
- up to `FEW_SETS` sets of a class stay apart, shared with other chains; of more only the
  `LARGE_SETS` largest do, if they have `LARGE_SET` pods, and the others become their union;
- blocks are compared in these families, too: no packet of another one comes to the chain;
- IPv4 comes first: what it admits never meets the rules of IPv6.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower import cost
from netpolc.backends.nft.lower.facts import Families, NodeFacts
from netpolc.backends.nft.lower.peers import Peers
from netpolc.backends.nft.lower.questions import PodQuestion
from netpolc.backends.nft.lower.sets import Sets
from netpolc.backends.nft.names import naming
from netpolc.core.ir import Direction, Origin
from netpolc.core.nets import FAMILIES, Family, Ranges, Span, split_ports

FEW_SETS = 3
LARGE_SETS = 12
LARGE_SET = 32


def selections(
    asked: dict[PodQuestion, list[Origin]], facts: NodeFacts
) -> tuple[dict[PodQuestion, list[Origin]], tuple[PodQuestion, ...]]:
    """The questions that have a set of their own, a few or the large ones, and the small ones,
    which share one.

    A question that only narrows another that is looked up adds nothing.
    """
    apart: dict[PodQuestion, list[Origin]] = {}
    small: list[PodQuestion] = []
    if len(asked) == 1:
        return asked, ()
    few = len(asked) <= FEW_SETS

    def order(own: PodQuestion) -> tuple[int, int]:
        wider = sum(own.within(other) for other in asked) if few else 0
        return -facts.size((own,)), wider

    for own in sorted(asked, key=order):
        around = next((other for other in apart if own.within(other)), None)
        if around is not None:
            apart[around] = apart[around] + asked[own]
        elif few or (len(apart) < LARGE_SETS and _is_large(own, facts)):
            apart[own] = asked[own]
        else:
            small.append(own)
    return apart, tuple(small)


def _is_large(asked: PodQuestion, facts: NodeFacts) -> bool:
    return facts.size((asked,)) >= LARGE_SET


class Comparisons:
    """Writes the comparisons with peers of one combination, whose own pods have addresses of these
    families.
    """

    def __init__(
        self,
        sets: Sets,
        facts: NodeFacts,
        direction: Direction,
        families: Families,
        admitted: nft.Verdict,
    ) -> None:
        self._sets, self._facts = sets, facts
        self.admitted = admitted
        self.families = tuple(version for version in FAMILIES if version in families)
        self._field: nft.Field = "saddr" if direction is Direction.INGRESS else "daddr"
        self.used: dict[str, nft.NamedSet] = {}

    def count(self, peers: Peers) -> int:
        """About how many rules some peers need in one family."""
        if peers.anybody:
            return 1
        sets = len(peers.asked)
        if sets > FEW_SETS:
            large = sum(_is_large(asked, self._facts) for asked in peers.asked)
            sets = min(LARGE_SETS, large) + (min(LARGE_SETS, large) < sets)
        return sets + self._has_blocks(peers)

    def admits(self, peers: Peers) -> bool:
        """Whether there is any rule for some peers: blocks of other families alone need none."""
        return bool(peers.anybody or peers.asked) or self._has_blocks(peers)

    def _has_blocks(self, peers: Peers) -> bool:
        several = peers.several_networks
        return any(own.of_family(version) for own in several for version in self.families)

    def on_ports(self, ports: Ranges, peers: Peers) -> Iterator[nft.Rule]:
        """Rules that admit peers on some ports, each span of which is compared beside them."""
        admit, compared = (self.admitted,), self._compared(peers, len(ports.spans))
        for span in ports:
            match = nft.PortMatch(*split_ports(span))
            for own, told in compared:
                yield nft.Rule((match, *own), admit, told)

    def rules(self, peers: Peers) -> Iterator[nft.Rule]:
        """Rules that admit peers, on whatever ports."""
        for own, told in self._compared(peers, copies=1):
            yield nft.Rule(own, (self.admitted,), told)

    def _compared(self, peers: Peers, copies: int) -> list[tuple[tuple[nft.Match, ...], str]]:
        """What is compared to find some peers, each with the rules that admit them in words;
        `copies` is how often it will stand in rules.
        """
        if peers.anybody:
            return [((), naming(peers.anybody))]
        found: list[tuple[tuple[nft.Match, ...], str]] = []
        looked_up = self._looked_up(peers.asked) if peers.asked else {}
        networks = peers.networks()
        told = naming(peers.network_origins) if networks else ""
        for version in self.families:
            for own, origins in looked_up.get(version, ()):
                self.used[own.name] = own
                match = nft.SetMatch(self._field, version, own.name, interval=False)
                found.append(((match,), origins))
            if networks:
                blocks = self._blocks(networks.of_family(version).spans, version, copies)
                found += (((block,), told) for block in blocks)
        return found

    def asked(self, peers: Peers) -> Iterator[str]:
        """What a chain with the rules for some peers is named from."""
        families = [version.name for version in self.families]
        yield f"{self._field} {families} {self.admitted.action} {self.admitted.chain}"
        yield from map(str, peers.anybody)
        if not peers.anybody:
            for own, origins in peers.asked.items():
                yield own.text
                yield from map(str, origins)
            yield str(peers.networks().spans)
            yield from map(str, peers.network_origins)

    def _looked_up(
        self, asked: dict[PodQuestion, list[Origin]]
    ) -> dict[Family, list[tuple[nft.AddressSet, str]]]:
        """The sets to look up by their family, each with the rules that ask for it in words."""
        found: dict[Family, list[tuple[nft.AddressSet, str]]] = {own: [] for own in self.families}
        apart, rest = selections(asked, self._facts)
        for own, origins in apart.items():
            told = naming(origins)
            for version in self.families:
                if version in own.families:
                    found[version].append((self._sets.of(own, version), told))
        if rest:
            told = naming(origin for own in rest for origin in asked[own])
            for version in self.families:
                if any(version in own.families for own in rest):
                    found[version].append((self._sets.rest(tuple(asked), rest, version), told))
        return found

    def _blocks(self, spans: tuple[Span, ...], version: Family, copies: int) -> Iterator[nft.Match]:
        if len(spans) == 1 or cost.inline_blocks(len(spans) * copies):
            for span in spans:
                yield nft.SpanMatch(self._field, span)
        else:
            found = self._sets.blocks(spans, version)
            self.used[found.name] = found
            yield nft.SetMatch(self._field, version, found.name, interval=True)

    def by_peer(self, version: Family, name: str) -> nft.Rule:
        """A lookup of the peer in a verdict map."""
        return nft.Rule((), (nft.AddressLookup(self._field, version, name),), "by peer")
