"""What a ruleset admits, as sets: of a local address and a direction, which peers on which ports.

Comes in: a `Listing`. Goes out: `Area`s. It walks chains as `tracer.py` does, but with sets of
packets: the first packets of routed connections. A pod with itself is not looked at. Refused
(`RulesetError`): a chain of a pod that tells apart whose chain it is.

Each direction is asked alone: what the egress of a source admits, the ingress of its destination
may still deny.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netpolc.backends.nft.readback.fields import Field
from netpolc.backends.nft.readback.listing import Action, Box, Listing, Rule, Test, Verdict
from netpolc.backends.nft.readback.tracer import packet
from netpolc.core.errors import RulesetError
from netpolc.core.ir import Direction
from netpolc.core.nets import EVERY_PORT, EVERYWHERE, Family, Protocol, Ranges, Span, family, ports

_SUBJECTS = {Direction.INGRESS: Field.DESTINATION, Direction.EGRESS: Field.SOURCE}
_PEERS = {Direction.INGRESS: Field.SOURCE, Direction.EGRESS: Field.DESTINATION}


@dataclass(frozen=True, slots=True)
class Area:
    """Every one of some peers, on every one of some ports (of the port line)."""

    peers: Ranges
    ports: Ranges

    def __bool__(self) -> bool:
        return bool(self.peers and self.ports)

    def __and__(self, other: Area) -> Area:
        return Area(self.peers & other.peers, self.ports & other.ports)

    def minus(self, other: Area) -> Iterator[Area]:
        """What is left without another: at most two, disjoint."""
        if not self & other:
            yield self
            return
        without = Area(self.peers - other.peers, self.ports)
        beside = Area(self.peers & other.peers, self.ports - other.ports)
        yield from filter(None, (without, beside))


Areas = tuple[Area, ...]
"""Disjoint areas."""


def everything(version: Family) -> Areas:
    """What is admitted where nothing isolates."""
    return (Area(EVERYWHERE.of_family(version), EVERY_PORT),)


class Admissions:
    """What a ruleset admits in one direction (without one: everything); what was walked is
    remembered.

    `chains` has the chain of every address that is judged.
    """

    def __init__(self, listing: Listing | None, direction: Direction) -> None:
        self._rules = listing.without(_PEERS[direction]).chains if listing is not None else {}
        self._subject, self._peer = _SUBJECTS[direction], _PEERS[direction]
        self._admitted: dict[tuple[str, Family], Areas] = {}
        self._tested: dict[tuple[int, Family], tuple[tuple[Verdict | None, Areas], ...]] = {}
        self._said: dict[str, list[object]] = {}
        self._alike: dict[tuple[str | None, str | None], bool] = {}
        self.chains = dict(self._dispatched())

    def _dispatched(self) -> Iterator[tuple[int, str]]:
        for rules in self._rules.values():
            for rule in rules:
                outcome = rule.outcome
                if isinstance(outcome, Test) and outcome.fields == (self._subject,):
                    for (span,), verdict in outcome.elements.entries:
                        if verdict is not None and verdict.chain:
                            yield span[0], verdict.chain

    def of(self, subject: int) -> Areas:
        """What is admitted from or to an address; everything, if no chain judges it."""
        chain, version = self.chains.get(subject), family(subject)
        if chain is None:
            return everything(version)
        key = chain, version
        if key not in self._admitted:
            admitted, ended = self._walk(chain, everything(version), version)
            self._admitted[key] = (*admitted, *ended)  # at the end of egress comes ingress
        return self._admitted[key]

    def alike(self, other: Admissions, subject: int) -> bool:
        """Whether an address has a chain in both rulesets, and the two say the same: a quick look,
        which may miss it.
        """
        chains = self.chains.get(subject), other.chains.get(subject)
        if chains not in self._alike:
            here, there = (
                None if chain is None else side.said(chain)
                for side, chain in zip((self, other), chains, strict=True)
            )
            self._alike[chains] = here is not None and here == there
        return self._alike[chains]

    def said(self, chain: str) -> list[object]:
        """All that a chain and those it leads to say, as values."""
        if chain not in self._said:
            rules = [rule for rule in self._rules[chain] if rule.outcome is not None]
            self._said[chain] = [
                *(rule.content() for rule in rules),
                *(self.said(next_) for rule in rules for next_ in rule.targets()),
            ]
        return self._said[chain]

    def _walk(self, chain: str, areas: Areas, version: Family) -> tuple[Areas, Areas]:
        """What a chain admits, and what comes to its end."""
        admitted: list[Area] = []
        ended: list[Area] = []
        for rule in self._rules[chain]:
            if rule.outcome is None:
                continue  # it counts
            for verdict, met in self._outcomes(rule, version):
                inside, areas = _cut(areas, met)
                if not inside or verdict is None:
                    areas = (*areas, *inside)
                elif verdict.action is Action.ACCEPT:
                    admitted += inside
                elif verdict.action is Action.RETURN:
                    ended += inside
                elif verdict.action in (Action.GOTO, Action.JUMP):
                    more, rest = self._walk(verdict.chain, inside, version)
                    admitted += more
                    if verdict.action is Action.GOTO:
                        ended += rest
                    else:
                        areas = (*areas, *rest)
        return tuple(admitted), (*ended, *areas)

    def _outcomes(self, rule: Rule, version: Family) -> Iterator[tuple[Verdict | None, Areas]]:
        """What becomes of the packets that a rule matches: verdicts, each with its packets."""
        matched = everything(version)
        for test in rule.tests:
            every = [area for _, areas in self._by_verdict(test, version) for area in areas]
            matched = _cut(matched, every)[0]
        if not isinstance(rule.outcome, Test):
            yield rule.outcome, matched
            return
        for verdict, areas in self._by_verdict(rule.outcome, version):
            yield verdict, _cut(matched, areas)[0]

    def _by_verdict(self, test: Test, version: Family) -> tuple[tuple[Verdict | None, Areas], ...]:
        """The packets that a test matches, by the verdict that its elements have."""
        if self._subject in test.fields:
            if self._peer in test.fields:
                return ()  # a pod with itself
            raise RulesetError(f"{test.elements.name}: the chain of a pod asks for its address")
        key = id(test), version
        if key not in self._tested:
            found: dict[Verdict | None, dict[Ranges, list[Span]]] = {}
            for box, verdict in test.elements.entries:
                for peers, numbers in self._area(test.fields, box, version):
                    found.setdefault(verdict, {}).setdefault(numbers, []).append(peers)
            self._tested[key] = tuple(
                (verdict, tuple(Area(Ranges.of(peers), own) for own, peers in groups.items()))
                for verdict, groups in found.items()
            )
        return self._tested[key]

    def _area(
        self, fields: Sequence[Field], box: Box, version: Family
    ) -> Iterator[tuple[Span, Ranges]]:
        """The peers and the ports of one element; none where no first packet has its values."""
        spans = dict(zip(fields, box, strict=True))
        (every,) = EVERYWHERE.of_family(version)
        peers = spans.pop(self._peer, every)
        protocol, port = spans.pop(Field.PROTOCOL, None), spans.pop(Field.PORT, None)
        plain = _PLAIN[version]
        if peers[0] > every[1] or peers[1] < every[0]:
            return
        if any(not _within(plain[field], span) for field, span in spans.items()):
            return
        yield peers, _on_the_line(protocol, port)


_PLAIN = {
    version: packet(address, address, int(Protocol.TCP)).values
    for version, ((address, _),) in ((own, EVERYWHERE.of_family(own)) for own in Family)
}
"""The fields of the first packet of a routed connection, by `Field`."""


def _within(value: int | None, span: Span) -> bool:
    return value is not None and span[0] <= value <= span[1]


def _on_the_line(protocol: Span | None, port: Span | None) -> Ranges:
    """Protocols and ports on the port line; only some protocols have ports."""
    first, last = protocol or (0, 255)
    if port is None:
        return Ranges(((ports(first)[0], ports(last)[1]),))
    return Ranges.of(ports(own, *port) for own in Protocol if first <= own <= last)


def _cut(areas: Iterable[Area], by: Iterable[Area]) -> tuple[Areas, Areas]:
    """The parts inside some disjoint areas, and those outside."""
    inside: list[Area] = []
    outside = list(areas)
    for other in by:
        inside += filter(None, (area & other for area in outside))
        outside = [part for area in outside for part in area.minus(other)]
    return tuple(inside), tuple(outside)
