"""Builds the chain that judges one combination: its rules, sets, port maps and counter.

Comes in: a `Combination`. Goes out: a `Judge`, or None when it admits everything. How rules are
laid out follows the counts below; ARCHITECTURE.md says what was measured:

- up to `INLINE_PORTS` port ranges are compared inline, more go through a port map to a chain for
  each class of ports;
- up to `FEW_SETS` selector sets of a class stay apart, shared with other chains; of more only the
  `LARGE_SETS` largest do, if they have `LARGE_SET` pods, and the others become their union;
- up to `INLINE_NETWORKS` comparisons with blocks stay inline, more become one interval set.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.logs import log_prefix
from netpolc.backends.nft.names import Questions
from netpolc.backends.nft.options import Options
from netpolc.errors import UnsupportedError
from netpolc.ir import ANY, Any_, Direction, Origin, Tier
from netpolc.labels import NONE, Members
from netpolc.nets import (
    IPV6,
    NOTHING,
    PORTS,
    Family,
    Protocol,
    Ranges,
    Span,
    format_address,
    parse_address,
    split_ports,
)
from netpolc.program import Combination, InvariantError, Program, ResolvedRule, TierRules

INLINE_PORTS = 4
FEW_SETS = 3
LARGE_SETS = 12
LARGE_SET = 32
INLINE_NETWORKS = 4
SHORT = {Direction.INGRESS: "in", Direction.EGRESS: "eg"}
"""Directions in the names of maps and sets."""
END = {Direction.INGRESS: "end_ingress", Direction.EGRESS: "end_egress"}
"""The chain that every judging chain of a direction jumps to before it denies."""
MAX_COMMENT = 127
"""nft takes comments of up to 128 bytes with their end (`NFTNL_UDATA_COMMENT_MAXLEN`)."""


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """The chain of a combination with all it refers to; `name` is the chain to send packets to."""

    name: str
    chains: tuple[nft.Chain, ...]
    sets: tuple[nft.NamedSet, ...]
    maps: tuple[nft.PortMap, ...]
    counter: nft.Counter

    @property
    def rules(self) -> list[tuple[nft.Rule, ...]]:
        """The rules of its chains."""
        return [chain.rules for chain in self.chains]


@dataclass(slots=True)
class _Peers:
    """The peers admitted on one set of ports, and the rules that admit them."""

    identities: dict[Members, list[Origin]] = field(default_factory=dict)
    networks: Ranges = NOTHING
    network_origins: list[Origin] = field(default_factory=list)
    anybody: list[Origin] = field(default_factory=list)

    def add(self, rule: ResolvedRule) -> None:
        """Admit the peers of a rule."""
        match = rule.match
        if match.identities is ANY or match.networks is ANY:
            self.anybody.append(rule.origin)
            return
        if match.identities:
            self.identities.setdefault(match.identities, []).append(rule.origin)
        if match.networks:
            self.networks |= match.networks
            self.network_origins.append(rule.origin)

    def merge(self, other: _Peers) -> None:
        """Admit the peers of another set of ports as well."""
        for members, origins in other.identities.items():
            self.identities.setdefault(members, []).extend(origins)
        self.networks |= other.networks
        self.network_origins += other.network_origins
        self.anybody += other.anybody


class JudgeBuilder:
    """Builds judges for one Program and one set of options; equal questions get the same object."""

    def __init__(
        self, program: Program, options: Options, ingress: str, admitted: nft.Verdict
    ) -> None:
        self._program = program
        self._options = options
        self._admit = {
            Direction.INGRESS: admitted,
            Direction.EGRESS: nft.Verdict(nft.Action.GOTO, ingress),
        }
        self._judges: dict[int, Judge | None] = {}
        self._named: dict[str, Judge] = {}
        self._sizes: dict[Members, int] = {}
        self._questions = Questions(program)
        self._address_sets: dict[frozenset[Members], dict[Family, nft.AddressSet]] = {}
        self._network_sets: dict[tuple[Span, ...], nft.NetworkSet] = {}

    def judge(self, combination: Combination, tried: bool) -> Judge | None:
        """The judge of a combination; None when everything is admitted. A `tried` one lets pass
        what it would deny.
        """
        key = id(combination)
        if key not in self._judges:
            audited = tried or self._options.audit
            judge = self._judges[key] = _Layout(self, combination, audited).judge()
            if judge is not None and self._named.setdefault(judge.name, judge).rules != judge.rules:
                raise InvariantError(f"chain {judge.name} is named once and means two things")
        return self._judges[key]

    def size(self, members: Members) -> int:
        """How many pods some identities are."""
        known = self._sizes.get(members)
        if known is None:
            identities = self._program.identities
            known = sum(len(identities[number].pods) for number in members)
            self._sizes[members] = known
        return known

    def address_set(self, several: frozenset[Members], version: Family) -> nft.AddressSet | None:
        """The addresses of some identities; None when they have none of this family.

        `several` are those that were asked for: their questions name the set.
        """
        known = self._address_sets.get(several)
        if known is None:
            known = self._address_sets[several] = dict(self._make_sets(several))
        return known.get(version)

    def _make_sets(self, several: frozenset[Members]) -> Iterator[tuple[Family, nft.AddressSet]]:
        identities = self._program.identities
        addresses = sorted(
            address
            for number in NONE.union(*several)
            for pod in identities[number].pods
            for address in pod.addresses
        )
        split = bisect_left(addresses, IPV6)
        own_name = digest((self._questions.of(several),))
        for version, own in (Family.IPV4, addresses[:split]), (Family.IPV6, addresses[split:]):
            if own:
                elements = tuple(map(_written, own))
                yield version, nft.AddressSet(f"s{version.value}_{own_name}", version, elements)

    def chain_name(self, direction: Direction, tier: TierRules, audited: bool) -> str:
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

    def network_set(self, spans: tuple[Span, ...], version: Family) -> nft.NetworkSet:
        """An interval set of disjoint, sorted blocks."""
        known = self._network_sets.get(spans)
        if known is None:
            name = f"c{version.value}_{digest(map(str, spans))}"
            known = self._network_sets[spans] = nft.NetworkSet(name, version, spans)
        return known

    def tail(
        self, direction: Direction, chain: str, policies: str, audited: bool
    ) -> tuple[nft.Rule, ...]:
        """The end of a judging chain: exemptions, log, and the counted denial (or, if audited,
        what admission does).
        """
        jump = nft.Verdict(nft.Action.JUMP, END[direction])
        rules = [nft.Rule((), (jump,), "exemptions, then the counter of the pod")]
        rate = self._options.audit_rate if audited else self._options.log
        if rate is not None:
            prefix = log_prefix(direction, chain, audited)
            rules.append(nft.Rule((), (nft.Log(prefix, rate),), policies))
        count = nft.Count(counter_name(chain, audited))
        if audited:
            rules.append(nft.Rule((), (count, self.admit(direction)), policies))
        elif self._options.deny == "drop":
            rules.append(nft.Rule((), (count, nft.DROP), policies))
        else:
            reset = (nft.PortMatch(Protocol.TCP, 0, PORTS - 1),)
            rules.append(nft.Rule(reset, (count, nft.Reject(tcp_reset=True)), policies))
            rules.append(nft.Rule((), (count, nft.Reject(tcp_reset=False)), policies))
        return tuple(rules)

    def admit(self, direction: Direction) -> nft.Verdict:
        """What an admitted packet meets next."""
        return self._admit[direction]


class _Layout:
    """Lays out one combination."""

    def __init__(self, builder: JudgeBuilder, combination: Combination, audited: bool) -> None:
        self._builder = builder
        self._audited = audited
        self._direction = combination.direction
        self._tier = _network_policy_tier(combination)
        self._peer_field: nft.Field = "saddr" if self._direction is Direction.INGRESS else "daddr"
        self._sets: dict[str, nft.NamedSet] = {}
        self._chains: dict[str, nft.Chain] = {}

    def judge(self) -> Judge | None:
        """The judge, or None when one rule admits everybody on everything."""
        classes: dict[Ranges | Any_, _Peers] = {}
        for rule in self._tier.rules:
            classes.setdefault(rule.match.ports, _Peers()).add(rule)
        on_any_port = classes.pop(ANY, _Peers())
        if on_any_port.anybody:
            return None
        by_ports = [(ports, peers) for ports, peers in classes.items() if ports is not ANY]
        maps: tuple[nft.PortMap, ...] = ()
        if sum(len(ports.spans) for ports, _ in by_ports) <= INLINE_PORTS:
            rules = [rule for ports, peers in by_ports for rule in self._inline(ports, peers)]
        else:
            port_map = self._port_map(by_ports)
            maps = (port_map,)
            lookup = nft.PortLookup(port_map.name, port_map.interval)
            rules = [nft.Rule((), (lookup,), "by port")]
        rules += self._admit_peers(on_any_port, (), 1)
        policies = naming(self._tier.policies)
        name = self._builder.chain_name(self._direction, self._tier, self._audited)
        rules += self._builder.tail(self._direction, name, policies, self._audited)
        chains = (*self._chains.values(), nft.Chain(name, tuple(rules)))
        counter = nft.Counter(counter_name(name, self._audited), policies)
        return Judge(name, chains, tuple(self._sets.values()), maps, counter)

    def _inline(self, ports: Ranges, peers: _Peers) -> Iterator[nft.Rule]:
        for span in ports:
            yield from self._admit_peers(
                peers, (nft.PortMatch(*split_ports(span)),), len(ports.spans)
            )

    def _admit_peers(
        self, peers: _Peers, ports: tuple[nft.Match, ...], copies: int
    ) -> Iterator[nft.Rule]:
        """Rules that admit peers behind a comparison of ports; `copies` is how often they occur."""
        admit = (self._builder.admit(self._direction),)
        if peers.anybody:
            yield nft.Rule(ports, admit, naming(peers.anybody))
            return
        for several, origins in self._selections(peers.identities):
            for match in self._members(several):
                yield nft.Rule((*ports, match), admit, naming(origins))
        for match in self._blocks(peers.networks, copies):
            yield nft.Rule((*ports, match), admit, naming(peers.network_origins))

    def _selections(
        self, identities: dict[Members, list[Origin]]
    ) -> Iterator[tuple[frozenset[Members], list[Origin]]]:
        """The sets to look up, each with those it unites: a few, or the large ones as selected and
        the small ones as one.

        A set inside another that is looked up adds nothing.
        """
        size = self._builder.size
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

    def _members(self, several: frozenset[Members]) -> Iterator[nft.Match]:
        for version in Family:
            found = self._builder.address_set(several, version)
            if found is None:
                continue
            if (
                len(found.elements) == 1
            ):  # the kernel's cost of sets grows with their number squared
                address = parse_address(found.elements[0])
                yield nft.SpanMatch(self._peer_field, (address, address))
            else:
                self._sets[found.name] = found
                yield nft.SetMatch(self._peer_field, version, found.name, interval=False)

    def _blocks(self, networks: Ranges, copies: int) -> Iterator[nft.Match]:
        for version in Family if networks else ():
            spans = networks.of_family(version).spans
            if len(spans) == 1 or len(spans) * copies <= INLINE_NETWORKS:
                for span in spans:
                    yield nft.SpanMatch(self._peer_field, span)
            elif spans:
                found = self._builder.network_set(spans, version)
                self._sets[found.name] = found
                yield nft.SetMatch(self._peer_field, version, found.name, interval=True)

    def _port_map(self, by_ports: Sequence[tuple[Ranges, _Peers]]) -> nft.PortMap:
        """A verdict map from disjoint port spans to the chain of the peers admitted there."""
        elements: list[tuple[Span, nft.Verdict]] = []
        chains: dict[tuple[int, ...], nft.Verdict] = {}
        for span, numbers in _atoms([ports for ports, _ in by_ports]):
            if numbers not in chains:
                name = self._peer_chain(by_ports[number][1] for number in numbers)
                chains[numbers] = nft.Verdict(nft.Action.JUMP, name)
            verdict = chains[numbers]
            if elements and elements[-1][1] == verdict and elements[-1][0][1] + 1 == span[0]:
                elements[-1] = (elements[-1][0][0], span[1]), verdict
            else:
                elements.append((span, verdict))
        interval = any(first != last for (first, last), _ in elements)
        name = f"v_{digest(map(repr, elements))}"
        return nft.PortMap(name, interval, tuple(elements))

    def _peer_chain(self, several: Iterable[_Peers]) -> str:
        merged = _Peers()
        for peers in several:
            merged.merge(peers)
        rules = tuple(self._admit_peers(merged, (), 1))
        name = f"p_{digest((repr(rules),))}"
        self._chains[name] = nft.Chain(name, rules)
        return name


def _network_policy_tier(combination: Combination) -> TierRules:
    for tier in combination.tiers:
        if tier.tier is not Tier.NETWORK_POLICY:
            origin = tier.policies[0]
            message = (
                f"{origin.place()}: {origin}: the nftables backend has no {tier.tier.name} tier yet"
            )
            raise UnsupportedError(message)
    return combination.tiers[0]


def _atoms(sets: Sequence[Ranges]) -> Iterator[tuple[Span, tuple[int, ...]]]:
    """Disjoint spans, each with the numbers of the sets that cover it."""
    edges: dict[int, list[tuple[bool, int]]] = {}
    for number, ranges in enumerate(sets):
        for first, last in ranges:
            edges.setdefault(first, []).append((True, number))
            edges.setdefault(last + 1, []).append((False, number))
    covering: set[int] = set()
    start = 0
    for edge in sorted(edges):
        if covering:
            yield (start, edge - 1), tuple(sorted(covering))
        for opens, number in edges[edge]:
            (covering.add if opens else covering.discard)(number)
        start = edge


@lru_cache(1 << 17)
def _written(address: int) -> str:
    """An address as text; most are in many sets, and a set of the next snapshot that holds the same
    objects is compared with this one in no time.
    """
    return format_address(address)


def digest(parts: Iterable[str]) -> str:
    """16 hexadecimal digits that name some content."""
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def denied_set(direction: Direction, version: Family) -> str:
    """The set that counts by pod what is denied in a direction, or if audited would be."""
    return f"deny_{SHORT[direction]}{version.value}"


DROP, AUDIT = "drop_", "audit_"
"""How the names of counters begin: of what a chain denies, of what it would deny."""


def counter_name(chain: str, audited: bool) -> str:
    """The counter of what a chain denies, or if audited would deny."""
    return f"{AUDIT if audited else DROP}{chain}"


def naming(origins: Iterable[Origin]) -> str:
    """A comment that names where a rule comes from, as many as fit."""
    names = list(dict.fromkeys(map(str, origins)))
    text = ", ".join(names)
    if len(text) <= MAX_COMMENT:
        return text
    kept: list[str] = []
    for name in names:
        more = f" +{len(names) - len(kept) - 1} more"
        if len(", ".join([*kept, name])) + len(more) > MAX_COMMENT:
            break
        kept.append(name)
    if not kept:
        return names[0][: MAX_COMMENT - 14] + (
            f"... +{len(names) - 1} more" if len(names) > 1 else "..."
        )
    return f"{', '.join(kept)} +{len(names) - len(kept)} more"
