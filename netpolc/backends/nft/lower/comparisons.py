"""The rules that compare a packet's peer: with sets of pods, with blocks, with one address.

Comes in: `Peers`, and the ports that stand before them in the same rules. Goes out: rules, and in
`used` the sets that they look peers up in. Nothing is refused.

- up to `FEW_SETS` selector sets of a class stay apart, shared with other chains; of more only the
  `LARGE_SETS` largest do, if they have `LARGE_SET` pods, and the others become their union;
- IPv4 comes first: what it admits never meets the rules of IPv6.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower import cost
from netpolc.backends.nft.lower.peers import Peers
from netpolc.backends.nft.lower.sets import Sets
from netpolc.backends.nft.names import naming
from netpolc.core.ir import Direction, Origin
from netpolc.core.labels import Members
from netpolc.core.nets import Family, Ranges, Span, parse_address, split_ports

FEW_SETS = 3
LARGE_SETS = 12
LARGE_SET = 32


class Comparisons:
    """Writes the comparisons with peers of one combination."""

    def __init__(self, sets: Sets, direction: Direction, admitted: nft.Verdict) -> None:
        self._sets, self._admitted = sets, admitted
        self._field: nft.Field = "saddr" if direction is Direction.INGRESS else "daddr"
        self.used: dict[str, nft.NamedSet] = {}

    def count(self, peers: Peers) -> int:
        """About how many rules some peers need in one family."""
        if peers.anybody:
            return 1
        sets = len(peers.identities)
        if sets > FEW_SETS:
            size = self._sets.size
            large = sum(size(members) >= LARGE_SET for members in peers.identities)
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
        admit = (self._admitted,)
        if peers.anybody:
            yield nft.Rule(ports, admit, naming(peers.anybody))
            return
        selections = list(self.selections(peers.identities))
        networks = peers.networks()
        for version in Family:
            for several, origins in selections:
                if match := self._members(several, version):
                    yield nft.Rule((*ports, match), admit, naming(origins))
            for block in self._blocks(networks.of_family(version).spans, version, copies):
                yield nft.Rule((*ports, block), admit, naming(peers.network_origins))

    def selections(
        self, identities: dict[Members, list[Origin]]
    ) -> Iterator[tuple[frozenset[Members], list[Origin]]]:
        """The sets to look up, each with those it unites: a few, or the large ones as selected and
        the small ones as one.

        A set inside another that is looked up adds nothing.
        """
        size = self._sets.size
        kept: dict[Members, list[Origin]] = {}
        small: dict[Members, list[Origin]] = {}
        few = len(identities) <= FEW_SETS
        for members in sorted(identities, key=size, reverse=True):
            around = next((other for other in kept if members <= other), None)
            if around is not None:
                kept[around] = kept[around] + identities[members]
            elif few or (len(kept) < LARGE_SETS and size(members) >= LARGE_SET):
                kept[members] = identities[members]
            else:
                small[members] = identities[members]
        for members, origins in kept.items():
            yield frozenset((members,)), origins
        if small:
            yield frozenset(small), [origin for own in small.values() for origin in own]

    def _members(self, several: frozenset[Members], version: Family) -> nft.Match | None:
        """A comparison with the addresses of some identities; None when they have none."""
        found = self._sets.addresses(several, version)
        if found is None:
            return None
        if len(found.elements) == 1:  # the kernel's cost of sets grows with their number squared
            address = parse_address(found.elements[0])
            return nft.SpanMatch(self._field, (address, address))
        self.used[found.name] = found
        return nft.SetMatch(self._field, version, found.name, interval=False)

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
