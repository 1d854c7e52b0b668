"""The rules that compare a packet's peer: with sets of pods, and with blocks.

Comes in: `Peers`, and the ports that stand before them in the same rules. Goes out: rules, and in
`used` the sets that they look peers up in. Nothing is refused.

- pods are looked up in a set, be they many or one or none, in the families that the chain's own
  pods have; only what policies say in numbers (blocks, ports) stands in rules;
- up to `FEW_SETS` sets of a class stay apart, shared with other chains; of more only the
  `LARGE_SETS` largest do, if they have `LARGE_SET` pods, and the others become their union;
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
from netpolc.core.nets import Family, Ranges, Span, split_ports

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
        self.families = tuple(version for version in Family if version in families)
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
        return sets + bool(peers.several_networks)

    def on_ports(self, ports: Ranges, peers: Peers) -> Iterator[nft.Rule]:
        """Rules that admit peers on some ports, each span of which is compared beside them."""
        copies = len(ports.spans)
        for span in ports:
            yield from self.rules(peers, (nft.PortMatch(*split_ports(span)),), copies)

    def rules(
        self, peers: Peers, ports: tuple[nft.Match, ...] = (), copies: int = 1
    ) -> Iterator[nft.Rule]:
        """Rules that admit peers behind a comparison of ports; `copies` is how often they occur."""
        admit = (self.admitted,)
        if peers.anybody:
            yield nft.Rule(ports, admit, naming(peers.anybody))
            return
        networks = peers.networks()
        for version in Family:
            own = self._lookups(peers.asked, version) if version in self.families else ()
            for found, origins in own:
                self.used[found.name] = found
                match = nft.SetMatch(self._field, version, found.name, interval=False)
                yield nft.Rule((*ports, match), admit, naming(origins))
            for block in self._blocks(networks.of_family(version).spans, version, copies):
                yield nft.Rule((*ports, block), admit, naming(peers.network_origins))

    def asked(self, peers: Peers) -> Iterator[str]:
        """What a chain with the rules for some peers is named from."""
        families = [version.name for version in self.families]
        yield f"{self._field} {families} {self.admitted.action.value} {self.admitted.chain}"
        yield from map(str, peers.anybody)
        if not peers.anybody:
            for own, origins in peers.asked.items():
                yield own.text
                yield from map(str, origins)
            yield str(peers.networks().spans)
            yield from map(str, peers.network_origins)

    def _lookups(
        self, asked: dict[PodQuestion, list[Origin]], version: Family
    ) -> Iterator[tuple[nft.AddressSet, list[Origin]]]:
        """The sets of a family to look up, and the rules that ask for each."""
        apart, rest = selections(asked, self._facts)
        for own, origins in apart.items():
            if version in own.families:
                yield self._sets.of(own, version), origins
        if any(version in own.families for own in rest):
            origins = [origin for own in rest for origin in asked[own]]
            yield self._sets.rest(tuple(asked), rest, version), origins

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
