"""Resolves symbols to sets: peers to identities and networks, ports to spans of the port line.

Comes in: a policy and the identification. Goes out: `ResolvedRule` values. A named port is a port
of the destination: for ingress that is the subject, so the result depends on the subject's ports;
for egress it is the peer, so one rule becomes one for each set of numbers behind the name. A rule
that can match nothing gives no tuple (its pod stays isolated).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import assert_never

from netpolc.cluster import ContainerPorts
from netpolc.ir import ANY, Any_, Direction, NamedPort, NetworkPeer, PodPeer, Port, PortRange, Rule
from netpolc.labels import Members
from netpolc.nets import NOTHING, Ranges, ports
from netpolc.passes.identify import Identification
from netpolc.program import Match, Question, ResolvedRule


class Resolver:
    """Resolves rules against one identification; equal answers share one object."""

    def __init__(self, identification: Identification) -> None:
        self._identities = identification.identities
        self._members = identification.members
        self._everyone: Members = frozenset(range(len(identification.identities)))
        self._unions: dict[frozenset[Members], Members] = {}
        self._port_ranges: dict[tuple[tuple[Port, ...], ContainerPorts], Ranges] = {}

    def subjects(self, peer: PodPeer) -> Members:
        """The identities a policy selects."""
        return self._members[peer]

    def rule(self, rule: Rule, subject_ports: ContainerPorts) -> Iterator[ResolvedRule]:
        """The tuples of a rule for subjects with these named ports."""
        for match, question in self._matches(rule, subject_ports):
            empty_peers = match.networks is not ANY and not match.identities and not match.networks
            if not empty_peers and (match.ports is ANY or match.ports):
                yield ResolvedRule(match, rule.action, rule.origin, question)

    def _matches(
        self, rule: Rule, subject_ports: ContainerPorts
    ) -> Iterator[tuple[Match, Question]]:
        identities, networks = self._peers(rule)
        question = Question(_pod_peers(rule))
        if rule.ports is ANY:
            yield Match(identities, networks, ANY), question
        elif rule.direction is Direction.INGRESS:
            yield Match(identities, networks, self._ports(rule.ports, subject_ports)), question
        else:
            numbered = tuple(port for port in rule.ports if isinstance(port, PortRange))
            yield Match(identities, networks, self._ports(numbered, ())), question
            named = tuple(port for port in rule.ports if isinstance(port, NamedPort))
            if named:
                # Only pods have names to look in: networks, also those around pods, match nothing.
                pods = self._everyone if identities is ANY else identities
                for ranges, members in self._by_peer_ports(named, pods):
                    own = replace(question, named=named, numbers=ranges)
                    yield Match(members, NOTHING, ranges), own

    def _peers(self, rule: Rule) -> tuple[Members | Any_, Ranges | Any_]:
        if rule.peers is ANY:
            return ANY, ANY
        found: list[Members] = []
        networks = NOTHING
        for peer in rule.peers:
            match peer:
                case PodPeer():
                    found.append(self._members[peer])
                case NetworkPeer(cidr, excepts):
                    # An exception holds for its own block only; another peer may admit the address.
                    networks |= Ranges((cidr,)) - Ranges.of(excepts)
                case _:
                    assert_never(peer)
        return self._union(found), networks

    def _union(self, found: list[Members]) -> Members:
        if len(found) == 1:
            return found[0]
        return self._unions.setdefault(frozenset(found), frozenset[int]().union(*found))

    def _ports(self, wanted: tuple[Port, ...], own: ContainerPorts) -> Ranges:
        if not any(isinstance(port, NamedPort) for port in wanted):
            own = ()
        key = (wanted, own)
        known = self._port_ranges.get(key)
        if known is None:
            known = self._port_ranges[key] = Ranges.of(_spans(wanted, own))
        return known

    def _by_peer_ports(
        self, named: tuple[NamedPort, ...], pods: Members
    ) -> Iterator[tuple[Ranges, Members]]:
        """The peers, grouped by the numbers they have behind the names."""
        groups: dict[Ranges, set[int]] = {}
        for number in pods:
            own = self._identities[number].ports
            if own:
                groups.setdefault(self._ports(named, own), set()).add(number)
        for ranges in sorted(groups, key=lambda ranges: ranges.spans):
            if ranges:
                yield ranges, self._union([frozenset(groups[ranges])])


def _pod_peers(rule: Rule) -> tuple[PodPeer, ...] | Any_:
    if rule.peers is ANY:
        return ANY
    return tuple(peer for peer in rule.peers if isinstance(peer, PodPeer))


def _spans(wanted: Iterable[Port], own: ContainerPorts) -> Iterator[tuple[int, int]]:
    for port in wanted:
        match port:
            case PortRange(protocol, first, last):
                yield ports(protocol, first, last)
            case NamedPort(protocol, name):
                for own_name, own_protocol, number in own:
                    if own_name == name and own_protocol == protocol:
                        yield ports(protocol, number, number)
            case _:
                assert_never(port)


def has_named_ports(rules: Iterable[Rule]) -> bool:
    """Whether the rules mean other numbers on other subjects: named ports in ingress."""
    return any(
        isinstance(port, NamedPort)
        for rule in rules
        if rule.direction is Direction.INGRESS and rule.ports is not ANY
        for port in rule.ports
    )
