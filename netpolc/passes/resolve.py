"""Resolves symbols to sets: peers to identities and networks, ports to spans of the port line.

Comes in: a policy and the identification. Goes out: `ResolvedRule` values. A named port is a port
of the destination: for ingress that is the subject, so the result depends on the subject's ports;
for egress it is the peer, so one rule becomes one for each set of numbers behind the name. Pods in
an `ipBlock` are peers by address: identities that lie in it with every address stay identities, of
which there are few, and the others are single addresses. Nodes are their addresses. A rule that
nobody answers gives an empty tuple, which whoever arranges them keeps apart; one that cannot match
anything gives none (its pod stays isolated).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from msgspec import structs

from netpolc.core.cluster import ContainerPorts
from netpolc.core.ir import (
    ANY,
    Action,
    Any_,
    Direction,
    NodePeer,
    PodPeer,
    Policy,
    PortRange,
    Rule,
    Tier,
)
from netpolc.core.labels import NONE, Members
from netpolc.core.nets import NOTHING, Ranges, Span
from netpolc.core.program import Match, Question, ResolvedRule
from netpolc.passes.identify import Identification
from netpolc.passes.lists import Lists
from netpolc.passes.ports import Names

_Inside = dict[Ranges, tuple[Members, Ranges]]
"""By numbers behind some names: identities in some blocks, and single addresses there."""
_Group = tuple[Ranges, Members, Match]
"""Numbers behind some names, the identities that have just these, and both as a match."""


@dataclass(slots=True)
class _Missing:
    """What the rules of a policy have left by some names of ports: the identities that have one
    and that no selector has selected so far; and the addresses that were in a block.
    """

    pods: set[int]
    seen: set[int] = field(default_factory=set)


_NOBODY = Match(NONE, NOTHING, NOTHING)
MOST_PAIRS = 2_000
"""Pairs of a rule and the numbers of pods that it asks for by name, up to which every rule of a
policy has tuples of its own for all of its peers."""


class Resolver:
    """Resolves rules against one identification; equal answers share one object."""

    def __init__(self, identification: Identification) -> None:
        self.lists = Lists(identification)
        self._identities = identification.identities
        self.members = identification.members
        """The identities that subjects and peers select; more may be added."""
        self.judged: dict[PodPeer, Members] = {}
        """Identities that subjects select and that are nobody's peers, as they have no pods yet."""
        self.nodes = identification.nodes
        """The addresses of nodes that are peers."""
        self._everyone: Members = frozenset(range(len(identification.identities)))
        self._same: dict[Members, Members] = {}
        self._by_list: dict[ContainerPorts, list[int]] = {}
        for identity in identification.identities:
            if identity.ports:
                self._by_list.setdefault(identity.ports, []).append(identity.number)
        self._serving: dict[Names, list[tuple[int, int]]] = {}
        self._grouped: dict[Names, tuple[list[_Group], dict[int, int]]] = {}
        self._in_networks: dict[tuple[Names, Ranges], _Inside] = {}

    def subjects(self, peer: PodPeer) -> Members:
        """The identities a policy selects."""
        more = self.judged.get(peer)
        return self.members[peer] if more is None else self.members[peer] | more

    def asked(
        self, policy: Policy, direction: Direction, subject_ports: ContainerPorts
    ) -> Iterable[ResolvedRule]:
        """The tuples of a policy's rules for subjects with these named ports, also those that match
        nothing now because nobody answers what they ask (`Match.is_empty`).

        Where port names make more than `MOST_PAIRS` of a rule and the numbers of some pods, a pod
        that one rule admits by a name is not repeated by the rules after it: `n` rules over `n`
        pods would be `n` times `n` tuples, and whatever any of them admits is admitted.
        """
        own = self.lists.ruled(policy, direction)
        # Of ingress the names are the subject's; of egress each peer has its own numbers.
        named: list[Names] = []
        if direction is Direction.EGRESS:
            asked, wanted = self.lists.asked.get, self.lists.wanted
            named = [(asked(id(rule.ports)) or wanted(rule.ports)).names for rule in own]
        if not self.nodes and not any(named):
            return self._numbered(own, subject_ports)
        return self._one_by_one(policy, own, named or [()] * len(own), subject_ports)

    def _one_by_one(
        self,
        policy: Policy,
        own: Sequence[Rule],
        named: Sequence[Names],
        subject_ports: ContainerPorts,
    ) -> Iterator[ResolvedRule]:
        """The tuples of rules of which some ask for ports of their peers by name, or that may speak
        of nodes.
        """
        missing: dict[Names, _Missing] | None = None
        if policy.tier is Tier.NETWORK_POLICY:
            pairs = sum(len(self._groups(names)[0]) for names in named if names)
            missing = {} if pairs > MOST_PAIRS else None
        for rule, names in zip(own, named, strict=True):
            if names:
                yield from self._by_names(rule, names, missing)
            else:
                yield from self._numbered((rule,), subject_ports)
            if rule.action is Action.PASS:
                yield from self._doubtful(rule)

    def _numbered(self, rules: Iterable[Rule], own: ContainerPorts) -> list[ResolvedRule]:
        """The tuples of rules whose peers have no say in the ports."""
        found = []
        lists, asked = self.lists.peers.get, self.lists.asked.get
        for rule in rules:
            who = lists(id(rule.peers)) or self.lists.who(rule)
            question = who.question
            if question is None:
                continue
            wanted = asked(id(rule.ports)) or self.lists.wanted(rule.ports)
            ports = wanted.ranges
            if wanted.names and wanted.given is not ANY:
                ports = self.lists.ports(wanted.given, own)
            if ports is ANY or ports.spans:
                match = Match(who.pods, who.networks, ports)
                found.append(ResolvedRule(match, rule.action, rule.origin, question))
        return found

    def _doubtful(self, rule: Rule) -> Iterator[ResolvedRule]:
        """What denies nodes that a rule may mean, as nobody knows their labels, and that it would
        pass: a later rule might accept them, or the next tier.
        """
        if rule.peers is ANY:
            return
        peers = [peer for peer in rule.peers if isinstance(peer, NodePeer)]
        if not peers:
            return
        found = Ranges.of(span for peer in peers for span in self.nodes[peer].doubtful)
        wanted = rule.ports if rule.ports is ANY else self.lists.ports(rule.ports, ())
        if found and (wanted is ANY or wanted):
            origin = structs.replace(rule.origin, field=(*rule.origin.field, "to"))
            yield ResolvedRule(Match(NONE, found, wanted), Action.DENY, origin, Question(()))

    def _by_names(
        self, rule: Rule, named: Names, missing: dict[Names, _Missing] | None
    ) -> Iterator[ResolvedRule]:
        """An egress rule that names ports: a tuple for the numbers among them, and one for each set
        of numbers that peers have behind the names.
        """
        ports = () if rule.ports is ANY else rule.ports
        numbered = tuple([port for port in ports if isinstance(port, PortRange)])
        # By names the pods that are missing are enough; a tuple for the numbers has all of them.
        needs_pods = numbered or missing is None
        who = self.lists.who(rule) if needs_pods else self.lists.without_pods(rule)
        pods, networks, asked = who.pods, who.networks, who.question
        if numbered and asked is not None:
            match = Match(pods, networks, self.lists.ports(numbered, ()))
            yield ResolvedRule(match, rule.action, rule.origin, asked)
        within = NOTHING if networks is ANY else networks
        rest_of = None if missing is None else rule.origin
        peers = () if asked is None else asked.peers
        answered = False
        for numbers, match in self._by_peer_ports(named, rule, pods, within, missing):
            question = Question(peers, named, numbers, within, rest_of)
            yield ResolvedRule(match, rule.action, rule.origin, question)
            answered = True
        if not answered and (peers or within):
            question = Question(peers, named, NOTHING, within, rest_of)
            yield ResolvedRule(_NOBODY, rule.action, rule.origin, question)

    def _pods_among(self, rule: Rule, some: AbstractSet[int]) -> Members:
        """Those of some pods that a rule speaks of, at the cost of those some."""
        if rule.peers is ANY:
            return frozenset(some)
        pods = (peer for peer in rule.peers if isinstance(peer, PodPeer))
        return NONE.union(*(self.members.among(peer, some) for peer in pods))

    def _by_peer_ports(
        self,
        named: Names,
        rule: Rule,
        chosen: Members | Any_,
        networks: Ranges,
        missing: dict[Names, _Missing] | None,
    ) -> Iterator[tuple[Ranges, Match]]:
        """The rule's peers, grouped by the numbers they have behind the names, in their order; only
        those that are `missing`, from which they are then taken.

        Many rules get the same groups: such a group is one object, so whoever reads all rules knows
        what was seen before.
        """
        groups, group_of = self._groups(named)
        pods: AbstractSet[int]
        if missing is None:
            pods = self._everyone if chosen is ANY else chosen
            inside = self._inside(named, networks)
        else:
            left = missing.get(named)
            if left is None:
                left = missing[named] = _Missing(set(group_of))
            pods, inside = self._left(named, rule, networks, left)
        places = sorted({group_of[number] for number in group_of.keys() & pods})
        if not inside:
            for ranges, members, match in map(groups.__getitem__, places):
                yield ranges, match if members <= pods else self._match(ranges, members & pods)
            return
        named_pods = {groups[at][0]: groups[at][1] & pods for at in places}
        for numbers in sorted({*named_pods, *inside}, key=lambda ranges: ranges.spans):
            whole, addresses = inside.get(numbers, (NONE, NOTHING))
            own = whole | named_pods.get(numbers, NONE)
            yield numbers, self._match(numbers, own, addresses)

    def _left(
        self, named: Names, rule: Rule, networks: Ranges, left: _Missing
    ) -> tuple[AbstractSet[int], _Inside]:
        """What is left for a rule: its pods that no selector of an earlier one selects, and of
        those in its blocks the ones that are in no earlier block.

        Blocks take away from blocks and selectors from both: whether all addresses of an identity
        are in a block depends on what else the identity holds, and so on policies of others.
        """
        pods = self._pods_among(rule, left.pods)
        inside = self._inside(named, networks, left)
        left.pods.difference_update(pods)
        return pods, inside

    def _match(self, ranges: Ranges, members: Members, addresses: Ranges = NOTHING) -> Match:
        """A match whose identities are one object with those of other rules, if they are equal."""
        return Match(self._same.setdefault(members, members), addresses, ranges)

    def _groups(self, named: Names) -> tuple[list[_Group], dict[int, int]]:
        """All pods by the numbers behind the names, and the place of each identity in the list."""
        known = self._grouped.get(named)
        if known is None:
            found: dict[Ranges, list[int]] = {}
            for ports, numbers in self._by_list.items():
                if ranges := self.lists.ports(named, ports):
                    found.setdefault(ranges, []).extend(numbers)
            ordered = sorted(found.items(), key=lambda entry: entry[0].spans)
            members = [frozenset(own) for _, own in ordered]
            groups = [
                (ranges, own, Match(own, NOTHING, ranges))
                for (ranges, _), own in zip(ordered, members, strict=True)
            ]
            places = {number: at for at, (_, own) in enumerate(ordered) for number in own}
            known = self._grouped[named] = groups, places
        return known

    def _inside(self, named: Names, networks: Ranges, left: _Missing | None = None) -> _Inside:
        """The pods in some networks, grouped likewise: identities that lie in them with every
        address of every pod, and single addresses of the others. Only what is `left`, from which
        it is then taken.
        """
        known = self._in_networks.get((named, networks)) if left is None else None
        if known is not None:
            return known
        found: dict[int, list[int]] = {}
        order = self._addresses_serving(named) if networks else []
        for first, last in networks:
            start = bisect_left(order, (first, 0))
            for address, number in order[start : bisect_left(order, (last + 1, 0))]:
                if left is None:
                    found.setdefault(number, []).append(address)
                elif number in left.pods and address not in left.seen:
                    left.seen.add(address)
                    found.setdefault(number, []).append(address)
        whole: dict[Ranges, set[int]] = {}
        single: dict[Ranges, list[Span]] = {}
        for number, addresses in found.items():
            identity = self._identities[number]
            ranges = self.lists.ports(named, identity.ports)
            whole.setdefault(ranges, set())
            if all(pod.addresses for pod in identity.pods) and len(addresses) == sum(
                len(pod.addresses) for pod in identity.pods
            ):
                whole[ranges].add(number)
            else:
                single.setdefault(ranges, []).extend((own, own) for own in addresses)
        inside = {
            ranges: (frozenset(own), Ranges.of(single.get(ranges, ())))
            for ranges, own in whole.items()
        }
        if left is None:
            self._in_networks[named, networks] = inside
        return inside

    def _addresses_serving(self, named: Names) -> list[tuple[int, int]]:
        """Addresses of pods that have one of the names, in order, with the pods' identities."""
        known = self._serving.get(named)
        if known is None:
            known = self._serving[named] = sorted(
                (address, number)
                for number in self._groups(named)[1]
                for pod in self._identities[number].pods
                for address in pod.addresses
            )
        return known
