"""What lists of peers and of ports come to, each list looked at once: many rules share one.

Comes in: the identification, and rules. Goes out: identities, addresses, spans of ports and names
of them. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from msgspec import Struct

from netpolc.core.cluster import ContainerPorts
from netpolc.core.ir import (
    ANY,
    Action,
    Any_,
    Direction,
    NamedPort,
    NamePeer,
    NetworkPeer,
    NodePeer,
    Peer,
    PodPeer,
    Policy,
    Port,
    Rule,
)
from netpolc.core.labels import NONE, Members
from netpolc.core.nets import NOTHING, Ranges, Span
from netpolc.core.program import Question
from netpolc.passes.identify import Identification
from netpolc.passes.ports import Names, PortList, asked_names


class Who(Struct, frozen=True, gc=False):
    """Whom a list of peers means; the question is None if it can be nobody.

    Many rules have one list, which is kept so that its id stays its own; so in `AskedPorts`.
    """

    given: tuple[Peer, ...] | Any_
    pods: Members | Any_
    networks: Ranges | Any_
    question: Question | None


class AskedPorts(Struct, frozen=True, gc=False):
    """What a list of ports asks for: names, and the numbers without those behind them."""

    given: tuple[Port, ...] | Any_
    names: Names
    ranges: Ranges | Any_


_ANY_PORT = AskedPorts(ANY, (), ANY)


class Lists:
    """The lists of rules against one identification; equal answers share one object."""

    def __init__(self, identification: Identification) -> None:
        self._members, self._nodes = identification.members, identification.nodes
        self.peers: dict[int, Who] = {}
        """By the id of a list, which `Who` keeps; so with ports."""
        self.asked: dict[int, AskedPorts] = {}
        self._ruled: dict[int, tuple[Policy, Sequence[Rule], Sequence[Rule]]] = {}
        self._named: dict[int, frozenset[tuple[str, int]]] = {}
        self._unions: dict[frozenset[PodPeer], Members] = {}
        self._of_lists: dict[int, PortList] = {}

    def ruled(self, policy: Policy, direction: Direction) -> Sequence[Rule]:
        """The rules of a policy for a direction."""
        known = self._ruled.get(id(policy))
        if known is None:
            ingress, rules = Direction.INGRESS, policy.rules
            own = [rule for rule in rules if rule.direction is ingress]
            others = [rule for rule in rules if rule.direction is not ingress]
            known = self._ruled[id(policy)] = policy, own, others
        return known[1] if direction is Direction.INGRESS else known[2]

    def who(self, rule: Rule) -> Who:
        """Who a rule speaks of, in nearly all of them pods alone."""
        peers = rule.peers
        known = self.peers.get(id(peers))
        if known is not None:
            return known
        if peers is ANY:
            who = Who(ANY, ANY, ANY, Question(ANY))
        else:
            selectors, networks = self._parts(rule, peers)
            pods = self._members[selectors[0]] if len(selectors) == 1 else self._union(selectors)
            who = Who(peers, pods, networks, _question(selectors, networks))
            others = len(selectors) < len(peers)
            if others and any(isinstance(peer, NodePeer) for peer in peers):
                return who  # it depends on what the rule does
        self.peers[id(peers)] = who
        return who

    def without_pods(self, rule: Rule) -> Who:
        """The same without the pods, whose set costs as much as it holds."""
        peers = rule.peers
        if peers is ANY:
            return self.who(rule)
        selectors, networks = self._parts(rule, peers)
        return Who(peers, NONE, networks, _question(selectors, networks))

    def _parts(self, rule: Rule, peers: tuple[Peer, ...]) -> tuple[tuple[PodPeer, ...], Ranges]:
        """What selects pods, and the addresses of all else."""
        selectors = tuple([peer for peer in peers if isinstance(peer, PodPeer)])
        return selectors, self._networks(rule, peers) if len(selectors) < len(peers) else NOTHING

    def _union(self, peers: Iterable[PodPeer]) -> Members:
        several = frozenset(peers)
        if several not in self._unions:
            self._unions[several] = NONE.union(*[self._members[peer] for peer in several])
        return self._unions[several]

    def wanted(self, ports: tuple[Port, ...] | Any_) -> AskedPorts:
        """What a list of ports asks for."""
        known = self.asked.get(id(ports))
        if known is None:
            known = _ANY_PORT
            if ports is not ANY:
                known = AskedPorts(ports, asked_names(ports), self.ports(ports, ()))
            self.asked[id(ports)] = known
        return known

    def _networks(self, rule: Rule, peers: Iterable[Peer]) -> Ranges:
        found: list[Span] = []
        for peer in peers:
            match peer:
                case PodPeer() | NamePeer():
                    pass
                case NetworkPeer():
                    # An exception holds for its own block only; another peer may admit the address.
                    found.extend(peer.addresses if peer.excepts else (peer.cidr,))
                case NodePeer():
                    sure, doubtful = self._nodes[peer]
                    found.extend(sure)
                    found.extend(doubtful if rule.action is Action.DENY else ())
                case _:
                    assert_never(peer)
        return Ranges.of(found) if found else NOTHING

    def names(self, policy: Policy) -> frozenset[tuple[str, int]]:
        """The names (with protocols) by which the rules of a policy mean other ports on other
        subjects: those in ingress.
        """
        known = self._named.get(id(policy))
        if known is None:
            asked, wanted = self.asked.get, self.wanted
            names = [
                (name.name, name.protocol)
                for rule in self.ruled(policy, Direction.INGRESS)
                for name in (asked(id(rule.ports)) or wanted(rule.ports)).names
            ]
            known = self._named[id(policy)] = frozenset(names)
        return known

    def ports(self, wanted: tuple[Port, ...], own: ContainerPorts) -> Ranges:
        """The numbers among some ports, and those behind their names on pods with these."""
        if own and not any(isinstance(port, NamedPort) for port in wanted):
            own = ()
        known = self._of_lists.get(id(own))  # to hash a long list for each rule would cost more
        if known is None:
            known = self._of_lists[id(own)] = PortList(own)
        return known.ranges(wanted)


def _question(selectors: tuple[PodPeer, ...], networks: Ranges) -> Question | None:
    """What a list of peers asks; None if it can be nobody."""
    return Question(selectors) if selectors or networks.spans else None
