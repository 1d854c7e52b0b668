"""What the policies say of all packets at once, as boxes: what `core.semantics` says of one.

Comes in: a Program and the axes of a family. Goes out: for each direction, boxes of what it denies
or would deny; everything else it lets pass. It is told anew here, in another way than in
`core.semantics`; where the two differ on a packet, `prover.py` stops with an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

from netpolc.backends.nft.readback.proof.universes import Axes, Ends, Single
from netpolc.backends.nft.readback.proof.walk import DESTINATION, SOURCE, Box
from netpolc.core.ir import ANY, Action, Direction, Tier
from netpolc.core.nets import GROUPS, LINK_LOCAL, Ranges, numbers
from netpolc.core.program import Combination, Match, Program, Stage


class Judgement(IntEnum):
    """What one direction says of a packet; `UNKNOWN` ones are not counted for a pod."""

    PASS = 0
    DENY = 1
    DENY_UNKNOWN = 2
    WOULD_DENY = 3
    WOULD_DENY_UNKNOWN = 4

    @property
    def denies(self) -> bool:
        """Whether the packet is dropped."""
        return self in (Judgement.DENY, Judgement.DENY_UNKNOWN)

    @property
    def of_pod(self) -> bool:
        """Whether it is counted for a pod."""
        return self in (Judgement.DENY, Judgement.WOULD_DENY)


@dataclass(frozen=True, slots=True)
class Part:
    """Kinds, variants and classes at the other end of which a judgement is given."""

    kind: int
    variant: int
    other: int
    judgement: Judgement


Parts = tuple[Part, ...]
_Undecided = tuple[int, int, int]
Piece = tuple[Box, Judgement]


class Regions:
    """One direction: for each bit of the axis of its own end, what is denied there, in parts of
    which the first that holds a packet counts. `values` are all judgements that there are.
    """

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self._parts: dict[object, Parts] = {}
        self._bits: dict[object, int] = {}
        self._key_of: dict[int, object] = {}
        self._judged = 0
        self.values = {Judgement.PASS}

    def put(self, number: int, key: object, parts: Parts) -> None:
        """Say what is denied at a bit; equal keys have equal parts."""
        if parts:
            self._parts[key] = parts
            self._bits[key] = self._bits.get(key, 0) | 1 << number
            self._key_of[number] = key
            self._judged |= 1 << number
            self.values.update(part.judgement for part in parts)

    def pieces(self, box: Box) -> Iterator[Piece]:
        """A box in disjoint pieces, each with what is said of it."""
        own = box[self._axis]
        assert isinstance(own, int)
        free = own & ~self._judged
        if free:
            yield _at(box, self._axis, free), Judgement.PASS
        own &= self._judged
        while own:
            key = self._key_of[(own & -own).bit_length() - 1]
            yield from self._split(_at(box, self._axis, own & self._bits[key]), self._parts[key])
            own &= ~self._bits[key]

    def _split(self, box: Box, parts: Parts) -> Iterator[Piece]:
        other = DESTINATION if self._axis == SOURCE else SOURCE
        waiting = [box]
        for part in parts:
            left: list[Box] = []
            for own in waiting:
                end = own[other]
                assert isinstance(end, int)
                kind, variant = own.kind & part.kind, own.variant & part.variant
                if not (kind and variant and end & part.other):
                    left.append(own)
                    continue
                if kind != own.kind:
                    left.append(own._replace(kind=own.kind & ~part.kind))
                own = own._replace(kind=kind)
                if variant != own.variant:
                    left.append(own._replace(variant=own.variant & ~part.variant))
                own = own._replace(variant=variant)
                if end & ~part.other:
                    left.append(_at(own, other, end & ~part.other))
                yield _at(own, other, end & part.other), part.judgement
            waiting = left
            if not waiting:
                return
        for own in waiting:
            yield own, Judgement.PASS


def _at(box: Box, axis: int, bits: int) -> Box:
    return box._replace(source=bits) if axis == SOURCE else box._replace(destination=bits)


class Meaning:
    """The policies on packets of one family.

    `local` are the classes of the pods that are judged, `identities` all of these pods' (also those
    without an address of this family); `bridged` are the variants that leave by a bridge,
    `between_ports` those of them that go between ports of pod bridges. `of_node` says
    whether what the node itself sends is on no bridge yet (postrouting). Nothing passes from or to
    an address in `pending` that no local pod has, nor the node.
    """

    def __init__(
        self,
        program: Program,
        axes: Axes,
        local: int,
        identities: Iterable[int],
        *,
        bridged: int,
        between_ports: int,
        of_node: bool,
        pending: Ranges,
    ) -> None:
        self._program, self._axes, self._local = program, axes, local
        self._bridged, self._ports, self._of_node = bridged, between_ports, of_node
        self._pods: dict[tuple[tuple[Direction, int], bool], Parts] = {}
        self._denied: dict[tuple[int, bool], tuple[tuple[int, int], ...]] = {}
        self._peers: dict[tuple[int, int], int] = {}
        self._ports_of: dict[int, int] = {}
        self._identities = frozenset(identities)
        addresses = axes.addresses
        self._link_local = addresses.inside(LINK_LOCAL)
        self._groups = addresses.inside(GROUPS[addresses.version])
        blocks = either(map(addresses.inside, pending.of_family(addresses.version)))
        self._pending = blocks & ~local & ~axes.own_node

    def cross(self, direction: Direction) -> Regions:
        """What is said of packets between different addresses."""
        found = Regions(SOURCE if direction is Direction.EGRESS else DESTINATION)
        of_node = self._axes.own_node if self._of_node else 0
        for number, pod in enumerate(self._axes.addresses.pods):
            if pod is not None and self._local >> number & 1:
                key = direction, self._program.identity_of[pod.key]
                found.put(number, key, self._of_pod(key))
            elif self._pending >> number & 1:
                others = ~of_node if direction is Direction.INGRESS else -1
                found.put(number, "pending", (Part(-1, -1, others, Judgement.DENY_UNKNOWN),))
            elif direction is Direction.INGRESS:
                near, group = self._is_near(number), bool(self._groups >> number & 1)
                senders = self._local | self._link_local if group else 0
                parts = self._of_unknown(direction, near, ~of_node, senders & ~of_node)
                found.put(number, ("unknown", near, group), parts)
            elif not of_node >> number & 1:
                near = self._is_near(number)
                parts = self._of_unknown(direction, near, -1, 0)
                found.put(number, ("unknown", near, False), parts)
        return found

    def single(self, direction: Direction, pairs: Single) -> Regions:
        """What is said of single pairs. Between a pod and its node nothing is denied, between
        addresses of one pod nothing by NetworkPolicies.
        """
        found = Regions(SOURCE)
        for number in numbers(pairs.everything):
            ends = pairs.ends(number)
            key, parts = self._of_pair(direction, ends)
            found.put(number, key, parts)
        return found

    def _of_pair(self, direction: Direction, ends: Ends) -> tuple[object, Parts]:
        own, other, peer = ends.source_class, ends.destination_class, ends.destination
        address = ends.source
        if direction is Direction.INGRESS:
            own, other, peer, address = other, own, ends.source, ends.destination
        pod = self._program.pods_by_address.get(address)
        if pod is not None and self._local >> own & 1:
            itself = pod is self._program.pods_by_address.get(peer)
            if peer in self._program.cluster.node_addresses(pod):
                return None, ()
            key = direction, self._program.identity_of[pod.key]
            parts = (own for own in self._of_pod(key, itself) if own.other >> other & 1)
            return (key, itself, other), tuple(replace(own, other=-1) for own in parts)
        if self._of_node and ends.local:
            return None, ()
        if self._pending >> own & 1:
            return "pending", (Part(-1, -1, -1, Judgement.DENY_UNKNOWN),)
        sender = (self._local | self._link_local) >> ends.source_class & 1
        group = sender and self._groups >> ends.destination_class & 1
        group = group and direction is Direction.INGRESS
        near = self._is_near(own)
        return ("unknown", near, group), self._of_unknown(direction, near, -1, -1 if group else 0)

    def _is_near(self, number: int) -> bool:
        return bool(self._link_local >> number & 1)

    def _of_pod(self, key: tuple[Direction, int], itself: bool = False) -> Parts:
        """What is denied to and from a pod by its policies, then by those that are only tried;
        `itself` if it comes from the pod itself.
        """
        if (key, itself) not in self._pods:
            found: list[Part] = []
            for judging, judgement in (
                (self._program.combination_of, Judgement.DENY),
                (self._program.tried_of, Judgement.WOULD_DENY),
            ):
                if key in judging:
                    denied = self._denied_by(judging[key], itself)
                    found += [Part(kind, -1, peers, judgement) for kind, peers in denied]
            self._pods[key, itself] = tuple(found)
        return self._pods[key, itself]

    def _of_unknown(self, direction: Direction, near: bool, others: int, senders: int) -> Parts:
        """What is denied at an end that could be any pod of the node: a link-local address
        (`near`), one between ports of pod bridges, a group if one of `senders` sends to it.
        """
        kinds, judgement = self._unknown[direction]
        parts = [Part(kinds, self._bridged if near else self._ports, others, judgement)]
        if senders and not near:
            parts.append(Part(kinds, self._bridged, senders, judgement))
        return tuple(own for own in parts if own.kind and own.other)

    @cached_property
    def _unknown(self) -> dict[Direction, tuple[int, Judgement]]:
        return {own: self._unknown_kinds(own) for own in Direction}

    def _unknown_kinds(self, direction: Direction) -> tuple[int, Judgement]:
        """The kinds that some isolated pod does not admit from anybody, enforced policies first."""
        program = self._program
        keys = {(direction, number) for number in self._identities}
        for judging, judgement in (
            (program.combination_of, Judgement.DENY_UNKNOWN),
            (program.tried_of, Judgement.WOULD_DENY_UNKNOWN),
        ):
            isolating = {id(judging[key]): judging[key] for key in keys if key in judging}
            everything = self._axes.kinds.everything
            said = [self._of_anybody(own.tiers) for own in isolating.values()]
            admitted = [kinds for kinds, whole in said if not whole]
            if admitted:
                denied = 0
                for kinds in admitted:
                    denied |= everything & ~kinds
                return denied, judgement
        return 0, Judgement.PASS

    def _of_anybody(self, stages: Sequence[Stage]) -> tuple[int, bool]:
        """The kinds that some stages accept whoever the peer is, and whether that is everything,
        each rule seen by itself. What a rule says of some peers may be said of this one or not.
        """
        everything = self._axes.kinds.everything
        kinds, whole = everything, True
        for stage in reversed(stages):  # what the stages after it say is known
            after, later = kinds, whole
            open_ = stage.default is not Action.DENY
            kinds, whole = (after, later) if open_ else (0, False)
            for rule in reversed(stage.rules):  # and what is said where the rule does not match
                own = self._kinds(rule.match)
                said = {Action.ACCEPT: everything, Action.DENY: 0, Action.PASS: after}[rule.action]
                is_open = {Action.ACCEPT: True, Action.DENY: False, Action.PASS: later}[rule.action]
                if rule.match.identities is ANY:
                    kinds = kinds & ~own | said & own
                    if own == everything:
                        whole = is_open
                        continue
                else:
                    kinds &= said | ~own
                whole &= is_open
        return kinds, whole

    def _denied_by(self, combination: Combination, itself: bool) -> tuple[tuple[int, int], ...]:
        """Disjoint kinds, each with the peers whose packets of it are denied."""
        known = self._denied.get((id(combination), itself))
        if known is None:
            parts = [(self._axes.kinds.everything, self._axes.addresses.everything, 0)]
            for stage in combination.tiers:
                if itself and stage.tier is Tier.NETWORK_POLICY:
                    parts = [(kind, 0, denied) for kind, _, denied in parts]
                else:
                    parts = self._stage(stage, parts)
            by_peers: dict[int, int] = {}
            for kind, _, denied in parts:
                if denied:
                    by_peers[denied] = by_peers.get(denied, 0) | kind
            known = tuple((kind, denied) for denied, kind in by_peers.items())
            self._denied[id(combination), itself] = known
        return known

    def _stage(self, stage: Stage, parts: list[_Undecided]) -> list[_Undecided]:
        """The parts after one stage: kinds, the peers left to the next, and those denied."""
        waiting = [(kind, asked, 0, denied) for kind, asked, denied in parts]
        for action, kinds, peers in self._asked(stage):
            split: list[tuple[int, int, int, int]] = []
            for kind, asked, passed, denied in waiting:
                hit = kind & kinds
                found = asked & peers
                if not hit or not found:
                    split.append((kind, asked, passed, denied))
                    continue
                if hit != kind:
                    split.append((kind & ~hit, asked, passed, denied))
                passed |= found if action is Action.PASS else 0
                denied |= found if action is Action.DENY else 0
                split.append((hit, asked & ~found, passed, denied))
            waiting = split
        if stage.default is Action.DENY:
            return [(kind, passed, denied | asked) for kind, asked, passed, denied in waiting]
        if stage.default is Action.PASS:
            return [(kind, passed | asked, denied) for kind, asked, passed, denied in waiting]
        return [(kind, passed, denied) for kind, _, passed, denied in waiting]

    def _asked(self, stage: Stage) -> list[tuple[Action, int, int]]:
        """Its rules as bits; of a run, those with equal kinds are one."""
        found: list[tuple[Action, int, int]] = []
        for run in stage.runs:
            by_kinds: dict[int, int] = {}
            for rule in run.rules:
                kinds = self._kinds(rule.match)
                by_kinds[kinds] = by_kinds.get(kinds, 0) | self._peers_of(rule.match)
            found += [(run.action, kinds, peers) for kinds, peers in by_kinds.items()]
        return found

    def _kinds(self, match: Match) -> int:
        ports = match.ports
        if ports is ANY:
            return self._axes.kinds.everything
        if id(ports) not in self._ports_of:
            self._ports_of[id(ports)] = self._axes.kinds.ports(ports)
        return self._ports_of[id(ports)]

    def _peers_of(self, match: Match) -> int:
        addresses = self._axes.addresses
        if match.identities is ANY or match.networks is ANY:
            return addresses.everything
        key = id(match.identities), id(match.networks)
        if key not in self._peers:
            own = addresses.of_identity
            found = either(own.get(number, 0) for number in match.identities)
            self._peers[key] = found | addresses.networks(match.networks)
        return self._peers[key]


def either(several: Iterable[int]) -> int:
    """All the bits of some."""
    found = 0
    for bits in several:
        found |= bits
    return found
