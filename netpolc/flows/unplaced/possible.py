"""Flows of pods that the snapshot knows by name and has no address of, as of manifests.

Comes in: ends, each by its addresses or by the name of such a pod. Goes out: every flow that rules
may tell apart, with each kind of address that the pod can have; and what policies say, if that is
the same of all of them. Where it is not, nobody knows the answer, and none is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from itertools import islice, product
from typing import NamedTuple

from netpolc.core.cluster import Cluster, Pod
from netpolc.core.ir import ANY, Action, Direction
from netpolc.core.nets import (
    EVERYWHERE,
    Family,
    Ranges,
    Span,
    family,
    format_address,
    parse_address,
    split,
)
from netpolc.core.program import Combination, Program, ResolvedRule
from netpolc.core.semantics import Flow, evaluate
from netpolc.flows.values import WITH_PORTS

_MOST = 100_000
"""Answers that are remembered."""


class MeantEnd(NamedTuple):
    """Addresses, or the `namespace/name` of a pod that has none."""

    addresses: tuple[str, ...]
    pod: str = ""


def _combinations(
    program: Program, direction: Direction, subject: Pod | None
) -> Iterator[Combination]:
    """What judges a pod, and what would if audited policies were enforced."""
    if subject is None:
        return
    key = direction, program.identity_of[subject.key]
    for combinations in (program.combination_of, program.tried_of):
        if key in combinations:
            yield combinations[key]


def _node_addresses(cluster: Cluster) -> frozenset[int]:
    """Addresses of nodes, also of those that only pods tell of."""
    found = frozenset(own for node in cluster.nodes.values() for own in node.addresses)
    return found.union(*(pod.host_addresses for pod in cluster.pods))


class _FreePlaces:
    """Addresses that a pod without any may have, as rules tell them apart."""

    def __init__(self, program: Program, taken: set[int]) -> None:
        self._program, self._taken = program, taken
        self._free: dict[tuple[Direction, int | None, Family], list[tuple[int, int]]] = {}

    def of(
        self, direction: Direction, subject: Pod | None, version: Family
    ) -> list[tuple[int, int]]:
        """Two addresses (or twice the only one) for each set of blocks that a rule tells apart."""
        identity = None if subject is None else self._program.identity_of[subject.key]
        key = direction, identity, version
        if key not in self._free:
            networks = {
                id(rule.match.networks): rule.match.networks
                for combination in _combinations(self._program, direction, subject)
                for stage in combination.tiers
                for rule in stage.rules
                if rule.match.networks is not ANY and rule.match.networks
            }
            self._free[key] = self._of_each_class(list(networks.values()), version)
        return self._free[key]

    def _of_each_class(self, networks: list[Ranges], version: Family) -> list[tuple[int, int]]:
        """Two addresses that nobody has (or twice the only one) of each set of networks, the
        largest first.
        """
        classes: dict[int, list[Span]] = {}
        for span, held in split([EVERYWHERE.of_family(version), *networks]):
            if family(span[0]) is version:
                classes.setdefault(held, []).append(span)
        found = []
        for spans in sorted(classes.values(), key=lambda own: -sum(b - a for a, b in own)):
            free = (own for span in spans for own in _numbers(span) if own not in self._taken)
            two = list(islice(free, 2))
            if two:
                found.append((two[0], two[-1]))
        return found


class UnplacedFlows:
    """Flows in one program of which an end is a pod without an address."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._nodes = _node_addresses(program.cluster)
        self._free = _FreePlaces(program, program.cluster.owned_addresses() | self._nodes)
        self._answers: dict[tuple[MeantEnd, MeantEnd, int, int | None], bool | None] = {}

    def answer(
        self, source: MeantEnd, destination: MeantEnd, protocol: int, port: int | None
    ) -> bool | None:
        """Whether policies allow it; None where that depends on what the snapshot does not hold:
        the address of a pod, its node, whether two replicas are one, or the pod itself.

        `ValueError` for what no packet could be.
        """
        asked = *self._alike(source, destination), protocol, port
        if asked not in self._answers:
            if len(self._answers) >= _MOST:
                self._answers.clear()
            self._answers[asked] = self._found(*asked)
        return self._answers[asked]

    @cached_property
    def port_edges(self) -> list[int]:
        """Where on the port line it begins to matter which port it is, in order: policies do not
        tell apart what lies between two of them.
        """
        combinations = (*self._program.combinations, *self._program.tried)
        rules = (rule for own in combinations for stage in own.tiers for rule in stage.rules)
        ranges = {id(rule.match.ports): rule.match.ports for rule in rules}
        found = {protocol << 16 for protocol in WITH_PORTS}
        for ports in ranges.values():
            if ports is not ANY:
                found.update(edge for first, last in ports for edge in (first, last + 1))
        for named in {pod.ports for pod in self._program.cluster.pods}:
            lines = [protocol << 16 | number for _, protocol, number in named]
            found.update(edge for line in lines for edge in (line, line + 1))
        return sorted(found)

    @cached_property
    def _twins(self) -> dict[str, tuple[str, str]]:
        """Of each pod without an address two (or twice the only one) that nothing tells from it."""
        kinds: dict[tuple[object, ...], list[str]] = {}
        for key, pod in self._program.pods_by_key.items():
            if not pod.addresses and key in self._program.identity_of:
                place = pod.node, pod.host_addresses
                kind = self._program.identity_of[key], pod.ports, pod.closed, place
                kinds.setdefault(kind, []).append(key)
        return {key: (own[0], own[-1]) for own in kinds.values() for key in own}

    def _alike(self, source: MeantEnd, destination: MeantEnd) -> tuple[MeantEnd, MeantEnd]:
        """The same question of the first pods that it may be asked of; two stay two."""
        start, end = (self._twins.get(own.pod, (own.pod,) * 2) for own in (source, destination))
        are_two = source.pod != destination.pod
        return source._replace(pod=start[0]), destination._replace(
            pod=end[are_two and start == end]
        )

    def _found(
        self, source: MeantEnd, destination: MeantEnd, protocol: int, port: int | None
    ) -> bool | None:
        if not (self._is_known(source) and self._is_known(destination)):
            return None
        sides: dict[Family, tuple[set[bool], set[bool]]] = {}
        for flow in self.flows(source, destination, protocol, port):
            verdict = evaluate(self._program, flow)
            egress, ingress = sides.setdefault(family(flow.source), (set(), set()))
            egress.add(verdict.egress.allowed)
            ingress.add(verdict.ingress.allowed)
            for rule in self.doubtful(flow):
                accepts = {Action.ACCEPT: {True}, Action.DENY: {False}}
                egress |= accepts.get(rule.action, {True, False})
        answers = {
            one and other
            for egress, ingress in sides.values()
            for one, other in product(egress, ingress)
        }
        if self._may_be_own_node(source, destination):
            answers.add(True)
        return answers.pop() if len(answers) == 1 else None

    def flows(
        self, source: MeantEnd, destination: MeantEnd, protocol: int, port: int | None
    ) -> Iterator[Flow]:
        """One for each thing that rules of either side may see; nothing where the two have no
        family in common. `ValueError` for what no packet could be.
        """
        source, destination = self._placed(source), self._placed(destination)
        for version in self._families(source, destination):
            starts = self._places(Direction.INGRESS, source, destination, version)
            ends = self._places(Direction.EGRESS, destination, source, version)
            pairs = list(product([own[0] for own in starts], [own[1] for own in ends]))
            if source.pod and destination.pod:
                # What egress sees is the destination's address, what ingress sees the source's.
                width = len(ends)
                pairs = [pair for at, pair in enumerate(pairs) if at < width or not at % width]
                if source.pod == destination.pod:
                    pairs.append((starts[0][0], starts[0][0]))  # itself, and no other replica
            for start, end in pairs:
                addresses = format_address(start), format_address(end)
                yield Flow(*addresses, protocol, port, source.pod, destination.pod)

    def doubtful(self, flow: Flow) -> Iterator[ResolvedRule]:
        """Rules for egress to blocks, by the name of a port: they mean the pods that the program
        knows in the block, so one without an address may be meant and is not among them.
        """
        pod = self._program.pods_by_key.get(flow.destination_pod)
        subject = self._pod(flow.source, flow.source_pod)
        if pod is None or subject is None:
            return
        names = {name for name, *own in pod.ports if own == [flow.protocol, flow.port]}
        identity = self._program.identity_of[pod.key]
        for combination in _combinations(self._program, Direction.EGRESS, subject):
            for stage in combination.tiers:
                for rule in stage.questions:
                    question = rule.question
                    if question is None or not question.networks:
                        continue
                    wanted = {(own.name, int(own.protocol)) for own in question.named}
                    is_sure = rule.match.identities is ANY or identity in rule.match.identities
                    if not is_sure and any((name, flow.protocol) in wanted for name in names):
                        yield rule

    def _is_known(self, end: MeantEnd) -> bool:
        return not end.pod or end.pod in self._program.pods_by_key

    def _placed(self, end: MeantEnd) -> MeantEnd:
        """By its addresses, if this program has some of it."""
        if not end.pod:
            return end
        own = self._program.pods_by_key[end.pod].addresses
        return MeantEnd(tuple(map(format_address, own))) if own else end

    def _families(self, *ends: MeantEnd) -> list[Family]:
        """Those in common; between two pods without address those that pods have."""
        known = [{family(parse_address(own)) for own in end.addresses} for end in ends
                 if not end.pod]  # fmt: skip
        shared = set.intersection(*known) if known else self._inside
        return [version for version in Family if version in shared]

    @cached_property
    def _inside(self) -> set[Family]:
        return {family(own) for own in self._program.pods_by_address} or set(Family)

    def _places(
        self, direction: Direction, end: MeantEnd, other: MeantEnd, version: Family
    ) -> list[tuple[int, int]]:
        """Its addresses as a source and as a destination: of a pod without any one for each set of
        blocks that it may be in, of all that rules of the other end's `direction` ask for.
        """
        if not end.pod:
            numbers = map(parse_address, end.addresses)
            return [(own, own) for own in numbers if family(own) is version]
        subjects = [self._pod(0, other.pod)] if other.pod else [
            self._pod(parse_address(own)) for own in other.addresses
        ]  # fmt: skip
        found = [
            place
            for subject in dict.fromkeys(subjects)
            for place in self._free.of(direction, subject, version)
        ]
        return list(dict.fromkeys(found))

    def _pod(self, address: int, name: str = "") -> Pod | None:
        if name:
            return self._program.pods_by_key[name]
        return self._program.pods_by_address.get(address)

    def _may_be_own_node(self, *ends: MeantEnd) -> bool:
        """Whether one is a pod of which nobody knows the node, and the other one is a node."""
        for end, other in (ends, ends[::-1]):
            if not end.pod:
                continue
            pod = self._program.pods_by_key[end.pod]
            if pod.addresses or pod.node in self._program.cluster.nodes:
                continue
            if any(parse_address(own) in self._nodes for own in other.addresses):
                return True
        return False


def _numbers(span: Span) -> Iterable[int]:
    return range(span[0], span[1] + 1)


@lru_cache(maxsize=2)
def unplaced_flows(program: Program) -> UnplacedFlows:
    """Those of a program; of the ones that were asked last it is known already."""
    return UnplacedFlows(program)


def example_flow(
    program: Program, source: str, destination: str, protocol: int, port: int | None
) -> Flow:
    """A flow between two ends that are addresses or names of pods without any."""
    start, end = (
        MeantEnd((), own) if "/" in own else MeantEnd((own,)) for own in (source, destination)
    )
    return next(unplaced_flows(program).flows(start, end, protocol, port))
