"""Builds the chain that judges one combination: its rules, sets, port maps and counter.

Comes in: a `Combination`. Goes out: a `Judge`, or None when it admits everything. How rules are
laid out follows counts; ARCHITECTURE.md says what was measured:

- how a packet finds the peers of its port, and whether blocks are compared inline or looked up,
  is what `cost` says is cheapest;
- up to `FEW_SETS` selector sets of a class stay apart, shared with other chains; of more only the
  `LARGE_SETS` largest do, if they have `LARGE_SET` pods, and the others become their union;
- IPv4 comes first: what it admits never meets the rules of IPv6.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256

from netpolc.backends.nft import cost
from netpolc.backends.nft import model as nft
from netpolc.backends.nft.cost import PortLayout
from netpolc.backends.nft.logs import log_prefix
from netpolc.backends.nft.names import Questions
from netpolc.backends.nft.options import Options
from netpolc.backends.nft.peers import Atom, Group, Peers, Ports, atoms, by_ports, groups
from netpolc.errors import UnsupportedError
from netpolc.ir import ANY, Direction, Origin, Tier
from netpolc.labels import NONE, Members
from netpolc.nets import (
    IPV6,
    PORTS,
    Family,
    Protocol,
    Ranges,
    Span,
    format_address,
    parse_address,
    split_ports,
)
from netpolc.program import Combination, InvariantError, Program, TierRules

FEW_SETS = 3
LARGE_SETS = 12
LARGE_SET = 32
GROUP_PORTS = 16
"""A map for the ports of each group would be a set for each, and sets cost their number squared."""
SHORT = {Direction.INGRESS: "in", Direction.EGRESS: "eg"}
"""Directions in the names of maps and sets."""
END = {Direction.INGRESS: "end_ingress", Direction.EGRESS: "end_egress"}
"""The chain that every judging chain of a direction jumps to before it denies."""
MAX_COMMENT = 127
"""nft takes comments of up to 128 bytes with their end (`NFTNL_UDATA_COMMENT_MAXLEN`)."""

_PortElement = tuple[Span, str]
"""A span of ports, and the chain of the peers admitted there."""


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """The chain of a combination with all it refers to; `name` is the chain to send packets to."""

    name: str
    chains: tuple[nft.Chain, ...]
    sets: tuple[nft.NamedSet, ...]
    maps: tuple[nft.NamedMap, ...]
    counter: nft.Counter

    @property
    def rules(self) -> list[tuple[nft.Rule, ...]]:
        """The rules of its chains."""
        return [chain.rules for chain in self.chains]


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

    @cached_property
    def uses(self) -> Counter[Members]:
        """How many combinations ask for some identities; a union of theirs is not counted."""
        return Counter(
            members
            for combination in self._program.combinations
            for members in {rule.match.identities for rule in combination.tiers[0].rules}
            if members is not ANY
        )

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
        self._maps: list[nft.NamedMap] = []
        self._name = builder.chain_name(self._direction, self._tier, audited)

    def judge(self) -> Judge | None:
        """The judge, or None when one rule admits everybody on everything."""
        classes = by_ports(self._tier.rules)
        if classes[ANY].anybody:
            return None
        rules: list[nft.Rule] = []
        if grouped := self._groups(classes):
            rules += self._by_source(grouped)
            classes = {ports: peers.without_pods() for ports, peers in classes.items()}
        rules += self._by_port([(own, peers) for own, peers in classes.items() if own is not ANY])
        rules += self._admit_peers(classes[ANY], (), 1)
        policies = naming(self._tier.policies)
        rules += self._builder.tail(self._direction, self._name, policies, self._audited)
        chains = (*self._chains.values(), nft.Chain(self._name, tuple(rules)))
        counter = nft.Counter(counter_name(self._name, self._audited), policies)
        return Judge(self._name, chains, tuple(self._sets.values()), tuple(self._maps), counter)

    def _groups(self, classes: dict[Ports, Peers]) -> list[Group]:
        """The pods by their ports if one map of them is cheaper than the sets of all classes."""
        size = self._builder.size
        sizes = [size(members) for peers in classes.values() for members in peers.identities]
        if not cost.source_map(max(sizes, default=0), sum(sizes), rules=0):
            return []  # already at the least that a map can hold and the most that sets can
        asked = {
            several
            for peers in classes.values()
            for several, _ in self._selections(peers.identities)
        }
        sets = {NONE.union(*several) for several in asked}
        everybody = size(NONE.union(*sets))
        if not cost.source_map(everybody, sum(map(size, sets)), rules=0):
            return []  # not even if no other chain used the sets
        looked_up = sum(size(members) / max(1, self._builder.uses[members]) for members in sets)
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
                if (found := self._builder.address_set(frozenset((members,)), version))
                for address in found.elements
            )
            if entries:
                name = f"a{version.value}_{self._name.partition('_')[2]}"
                self._maps.append(nft.AddressMap(name, version, entries))
                lookup = nft.AddressLookup(self._peer_field, version, name)
                yield nft.Rule((), (lookup,), "by peer")

    def _on_ports(self, group: Group) -> nft.Verdict:
        """What awaits the packets of a group."""
        if group.ports is ANY:
            return self._builder.admit(self._direction)
        rules = self._inline(group.ports, Peers(anybody=group.origins))
        return nft.Verdict(nft.Action.JUMP, self._chain(rules))

    def _by_port(self, classes: Sequence[tuple[Ranges, Peers]]) -> list[nft.Rule]:
        """Rules that find the peers admitted on a packet's port, in the cheapest layout."""
        spans = sum(len(ports.spans) for ports, _ in classes)
        rules = sum(len(ports.spans) * self._count(peers) for ports, peers in classes)
        if cost.inline_ports(rules, spans):
            return [rule for ports, peers in classes for rule in self._inline(ports, peers)]
        disjoint = list(atoms([ports for ports, _ in classes]))
        ranges = sum(first != last for (first, last), _ in disjoint)
        match cost.port_layout(spans, len(disjoint) - ranges, ranges):
            case PortLayout.JUMPS:
                chains = [(ports, self._peer_chain([peers])) for ports, peers in classes]
                return _jumps((span, chain) for ports, chain in chains for span in ports)
            case PortLayout.MAP:
                elements = self._port_elements(classes, disjoint)
                single = [element for element in elements if element[0][0] == element[0][1]]
                rest = [element for element in elements if element[0][0] != element[0][1]]
                return [self._port_map(single), *_jumps(rest)]
            case PortLayout.RANGE_MAP:
                return [self._port_map(self._port_elements(classes, disjoint))]

    def _count(self, peers: Peers) -> int:
        """About how many rules some peers need in one family."""
        if peers.anybody:
            return 1
        sets = len(peers.identities)
        if sets > FEW_SETS:
            size = self._builder.size
            large = sum(size(members) >= LARGE_SET for members in peers.identities)
            sets = min(LARGE_SETS, large) + (min(LARGE_SETS, large) < sets)
        return sets + bool(peers.networks)

    def _inline(self, ports: Ranges, peers: Peers) -> Iterator[nft.Rule]:
        for span in ports:
            yield from self._admit_peers(
                peers, (nft.PortMatch(*split_ports(span)),), len(ports.spans)
            )

    def _admit_peers(
        self, peers: Peers, ports: tuple[nft.Match, ...], copies: int
    ) -> Iterator[nft.Rule]:
        """Rules that admit peers behind a comparison of ports; `copies` is how often they occur."""
        admit = (self._builder.admit(self._direction),)
        if peers.anybody:
            yield nft.Rule(ports, admit, naming(peers.anybody))
            return
        selections = list(self._selections(peers.identities))
        for version in Family:
            for several, origins in selections:
                if match := self._members(several, version):
                    yield nft.Rule((*ports, match), admit, naming(origins))
            for block in self._blocks(peers.networks.of_family(version).spans, version, copies):
                yield nft.Rule((*ports, block), admit, naming(peers.network_origins))

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

    def _members(self, several: frozenset[Members], version: Family) -> nft.Match | None:
        """A comparison with the addresses of some identities; None when they have none."""
        found = self._builder.address_set(several, version)
        if found is None:
            return None
        if len(found.elements) == 1:  # the kernel's cost of sets grows with their number squared
            address = parse_address(found.elements[0])
            return nft.SpanMatch(self._peer_field, (address, address))
        self._sets[found.name] = found
        return nft.SetMatch(self._peer_field, version, found.name, interval=False)

    def _blocks(self, spans: tuple[Span, ...], version: Family, copies: int) -> Iterator[nft.Match]:
        if len(spans) == 1 or cost.inline_blocks(len(spans) * copies):
            for span in spans:
                yield nft.SpanMatch(self._peer_field, span)
        else:
            found = self._builder.network_set(spans, version)
            self._sets[found.name] = found
            yield nft.SetMatch(self._peer_field, version, found.name, interval=True)

    def _port_elements(
        self, classes: Sequence[tuple[Ranges, Peers]], disjoint: Sequence[Atom]
    ) -> list[_PortElement]:
        """Disjoint port spans, each with the chain of the peers admitted there."""
        elements: list[_PortElement] = []
        chains: dict[tuple[int, ...], str] = {}
        for span, numbers in disjoint:
            if numbers not in chains:
                chains[numbers] = self._peer_chain(classes[number][1] for number in numbers)
            elements.append((span, chains[numbers]))
        return elements

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
        return self._chain(self._admit_peers(merged, (), 1))

    def _chain(self, rules: Iterable[nft.Rule]) -> str:
        """A chain of some rules, named by its content."""
        own = tuple(rules)
        name = f"p_{digest((repr(own),))}"
        self._chains[name] = nft.Chain(name, own)
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


def _jumps(elements: Iterable[_PortElement]) -> list[nft.Rule]:
    """A comparison for each span of ports, which jumps to a chain."""
    return [
        nft.Rule(
            (nft.PortMatch(*split_ports(span)),), (nft.Verdict(nft.Action.JUMP, chain),), "by port"
        )
        for span, chain in elements
    ]


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
