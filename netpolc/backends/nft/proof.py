"""Proves a ruleset equal to what the policies mean, or shows packets on which the two differ.

Comes in: a Program, a `Listing`, the node it is for (None: every pod is local). Goes out: how many
packets were judged, and the differences. Nothing a ruleset says about itself is believed.

What makes it a proof and not a sample: one packet stands for each pair of address classes
(`classes.py`), and so for connection states, hop limits, ICMPv6 types and protocols without ports.
Ports are walked from one edge to the next, of the elements a packet met and of the policies that
judge it. No packet is left that either side could treat differently from one that was judged.

Beside the verdict it is compared what is counted: as a denial of which pod, as an audit's.

Not judged: what never meets the base chain, which is traffic of a pod with its own node (in
postrouting: to it).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from netpolc.backends.nft.classes import AddressClass, Classes, Variant
from netpolc.backends.nft.judge import denied_set
from netpolc.backends.nft.listing import Field, Listing
from netpolc.backends.nft.tracer import ICMPV6, Trace, Tracer, packet
from netpolc.cluster import Pod
from netpolc.errors import RulesetError, UsageError
from netpolc.ir import ANY, Direction
from netpolc.nets import PORTS, Family, Protocol, family, format_address
from netpolc.program import Combination, Program
from netpolc.semantics import Decision, Flow, evaluate

_NEVER_JUDGED = "known connections and neighbour discovery pass"
_NOT_TO_REMEMBER = "its flow must not be marked as judged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a packet: whether it passes, and how it is counted (see `Trace`)."""

    passed: bool
    audits: int = 0
    counted: frozenset[str] = frozenset()

    @property
    def verdict(self) -> str:
        """`allow` or `deny`."""
        return "allow" if self.passed else "deny"

    def __str__(self) -> str:
        counted = ", ".join(sorted(self.counted)) or "no pod"
        return f"{self.verdict} (audits: {self.audits}, counted by: {counted})"


PASSES = Outcome(True)


@dataclass(frozen=True, slots=True)
class Difference:
    """A packet that the two sides treat differently; `why` is what the policies' answer rests on.

    `details` tells connection state, hop limit and ICMPv6 type where they are not a new flow's.
    """

    flow: Flow
    details: str
    expected: Outcome
    why: str
    trace: Trace

    def __str__(self) -> str:
        details = f" ({self.details})" if self.details else ""
        expected, found = str(self.expected), str(_outcome(self.trace))
        if self.expected.passed is not self.trace.passed:
            expected, found = self.expected.verdict, _outcome(self.trace).verdict
        return (
            f"{self.flow}{details}\n"
            f"  policies  {expected:<5}  {self.why}\n"
            f"  ruleset   {found:<5}  {self.trace}"
        )


class Proof:
    """One ruleset against one Program; `cases` counts the packets judged so far.

    With `audit` the ruleset is to let everything pass and to count what the policies would deny.
    Raises `UsageError` when the node is unknown.
    """

    def __init__(
        self, program: Program, listing: Listing, node: str | None = None, *, audit: bool = False
    ) -> None:
        nodes = program.cluster.nodes
        if node is not None and node not in nodes:
            raise UsageError(f"unknown node {node!r}")
        self.cases = 0
        self._program, self._hook, self._audit = program, listing.base.hook, audit
        self._tracers = {
            "": Tracer(listing),
            "egress alone": Tracer(listing.without(Field.DESTINATION)),
            "ingress alone": Tracer(listing.without(Field.SOURCE)),
        }
        # A reply has its flow's source as its destination.
        self._reply_tracers = {
            "": self._tracers[""],
            "egress alone": self._tracers["ingress alone"],
            "ingress alone": self._tracers["egress alone"],
        }
        self._classes = Classes(program, listing, node)
        self._edges_of: dict[int, tuple[int, ...]] = {}
        self._own_node = frozenset[int]()
        if node is not None:
            local = (pod for pod in program.cluster.pods if pod.node == node)
            hosts = (address for pod in local for address in pod.host_addresses)
            self._own_node = nodes[node].addresses.union(hosts)

    def differences(self) -> Iterator[Difference]:
        """Every packet that stands for a class of packets and is judged differently."""
        for version in Family:
            classes = self._classes.addresses(version)
            for source, destination in product(classes, classes):
                for pair in self._pairs(source, destination):
                    yield from self._between(*pair)

    def _pairs(self, source: AddressClass, destination: AddressClass) -> Iterator[tuple[int, int]]:
        """Strangers, an address with itself, a pod and its node: a pair for each there is."""
        starts = source.members if destination.of_node else source.members[:2]
        ends = destination.members if source.of_node else destination.members[:2]
        found: dict[object, tuple[int, int]] = {}
        for start, end in product(starts, ends):
            found.setdefault((start == end, self._with_own_node(start, end)), (start, end))
        return iter(found.values())

    def _local_pod(self, address: int) -> Pod | None:
        pod = self._program.pods_by_address.get(address)
        return pod if pod is not None and self._classes.is_local(pod) else None

    def _with_own_node(self, source: int, destination: int) -> str:
        """`from` or `to`, when one end is a local pod and the other the node it is on."""
        pod = self._local_pod(destination)
        if pod is not None and source in self._program.cluster.node_addresses(pod):
            return "from"
        pod = self._local_pod(source)
        own = pod is not None and destination in self._program.cluster.node_addresses(pod)
        return "to" if own else ""

    def _between(self, source: int, destination: int) -> Iterator[Difference]:
        """Every port and protocol between two addresses."""
        own_node = self._with_own_node(source, destination)
        if own_node == "to" or (own_node and self._hook == "forward"):
            return
        ends = _Ends(source, destination, own_node == "from" or source in self._own_node)
        edges = self._edges(source, destination)
        for protocol in Protocol:
            port = 0
            while port < PORTS:
                at = protocol << 16 | port
                following = bisect_right(edges, at)
                until = edges[following] - at + port if following < len(edges) else PORTS
                met = yield from self._judge(ends, protocol, port)
                port = min(until, met + 1)
        for portless in self._classes.portless:
            yield from self._judge(ends, portless, None)

    def _edges(self, source: int, destination: int) -> Sequence[int]:
        """Where ports begin, or have just ended, in the policies that judge two addresses."""
        found: set[int] = set()
        for direction, end in (Direction.EGRESS, source), (Direction.INGRESS, destination):
            pod = self._local_pod(end)
            if pod is not None:
                key = direction, self._program.identity_of[pod.key]
                for judging in self._program.combination_of, self._program.tried_of:
                    found.update(self._port_edges(judging[key]) if key in judging else ())
        return sorted(found)

    def _port_edges(self, combination: Combination) -> tuple[int, ...]:
        key = id(combination)
        if key not in self._edges_of:
            ports = (rule.match.ports for tier in combination.tiers for rule in tier.rules)
            spans = {span for own in ports if own is not ANY for span in own}
            edges = {edge for first, last in spans for edge in (first, last + 1)}
            self._edges_of[key] = tuple(sorted(edges))
        return self._edges_of[key]

    def _judge(
        self, ends: _Ends, protocol: int, port: int | None
    ) -> Generator[Difference, None, int]:
        """Every variant of a flow; gives the last port at which the ruleset would say the same.

        Of a flow that is rightly denied each direction is judged alone, too: what one lets through
        by mistake must not hide behind the other. That is told rather than what was not counted.
        """
        flow = Flow(format_address(ends.source), format_address(ends.destination), protocol, port)
        verdict = evaluate(self._program, flow)
        egress = verdict.egress if self._local_pod(ends.source) is not None else None
        ingress = verdict.ingress if self._local_pod(ends.destination) is not None else None
        found, until = self._variants(_Question(ends, flow, "", (egress, ingress)))
        if not verdict.allowed and all(own.expected.passed is own.trace.passed for own in found):
            alone: list[Difference] = []
            for scope, decision in ("egress alone", egress), ("ingress alone", ingress):
                some, end = self._variants(_Question(ends, flow, scope, (decision,)))
                alone += some
                until = min(until, end)
            found = alone or found
        yield from found
        return until

    def _variants(self, question: _Question) -> tuple[list[Difference], int]:
        """A variant is left out when it differs, from one that was judged, in nothing asked."""
        flow, until = question.flow, PORTS - 1
        judgement = question.outcome(self._audit)
        found: list[Difference] = []
        judged: list[tuple[Variant, int, Outcome]] = []
        for variant in self._classes.variants[
            family(question.ends.source), flow.protocol == ICMPV6
        ]:
            if variant.answers and question.ends.local:
                continue  # what answers the node itself goes up to it and passes neither hook
            expected = PASSES if variant.passes_anyway else judgement
            if any(
                expected == before and not asked & variant.differs(other)
                for other, asked, before in judged
            ):
                continue
            trace = self._trace(question, variant)
            self.cases += 1
            judged.append((variant, trace.asked, expected))
            until = min(until, trace.until)
            if _outcome(trace) != expected:
                details = ", ".join(filter(None, (question.scope, str(variant))))
                why = question.why() if expected == judgement else _NEVER_JUDGED
                found.append(Difference(flow, details, expected, why, trace))
            elif trace.remembered and not (judgement.passed and variant.may_be_remembered):
                details = ", ".join(filter(None, (question.scope, str(variant))))
                found.append(Difference(flow, details, expected, _NOT_TO_REMEMBER, trace))
        return found, until

    def _trace(self, question: _Question, variant: Variant) -> Trace:
        """One packet through the ruleset: of the flow, or of those that answer it."""
        flow, ends = question.flow, question.ends
        tracers, wrong = self._tracers, Field.SOURCE_PORT
        source, destination, local = ends.source, ends.destination, ends.local
        port, source_port = flow.port, None
        if variant.answers:
            tracers, wrong = self._reply_tracers, Field.PORT
            source, destination, local = destination, source, destination in self._own_node
            port, source_port = source_port, port
        trace = tracers[question.scope].trace(
            packet(
                source,
                destination,
                flow.protocol,
                port,
                source_port=source_port,
                state=variant.state,
                direction=variant.direction,
                judged=bool(variant.judged),
                hop_limit=variant.hop_limit,
                icmpv6_type=variant.icmpv6_type,
                local=local,
            )
        )
        if trace.asked >> wrong & 1:
            raise RulesetError(f"{trace} is reached by a look at the port of the other end")
        return trace


@dataclass(frozen=True, slots=True)
class _Ends:
    """Two addresses; `local` when the node itself sends."""

    source: int
    destination: int
    local: bool


@dataclass(frozen=True, slots=True)
class _Question:
    """A flow, and the decisions on it that count (None: no local pod is at that end)."""

    ends: _Ends
    flow: Flow
    scope: str
    decisions: tuple[Decision | None, ...]

    def outcome(self, audit: bool) -> Outcome:
        """What the policies say; with `audit` nothing is denied, and every denial counted."""
        audits, counted = 0, frozenset[str]()
        version = family(self.flow.source)
        for own in self.decisions:
            if own is None or (own.allowed and not own.would_deny):
                continue
            counted |= {denied_set(own.direction, version)}
            if not own.allowed and not audit:
                return Outcome(False, audits, counted)
            audits += 1
        return Outcome(True, audits, counted)

    def why(self) -> str:
        """What their answer rests on."""
        words = [_reason(own) for own in self.decisions if own is not None]
        return "; ".join(words) or "no local pod"


def _reason(decision: Decision) -> str:
    by = f" {decision.rule.origin}" if decision.rule is not None else ""
    isolating = ""
    if decision.rule is None and decision.tier is not None:
        isolating = f" ({', '.join(map(str, decision.tier.policies))})"
    tried = f", with audited policies {_reason(decision.tried)}" if decision.tried else ""
    return f"{decision.direction}: {decision.reason.value}{by}{isolating}{tried}"


def _outcome(trace: Trace) -> Outcome:
    return Outcome(trace.passed, trace.audits, trace.counted)
