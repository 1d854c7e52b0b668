"""Proves a ruleset equal to the policies packet by packet, slowly: the oracle of `prover.py`.

Comes in: a Program, a `Listing`, the node it is for (None: every pod is local). Goes out: how many
packets were judged, and the differences.

One packet stands for each pair of address classes (`classes.py`), and so for connection states,
hop limits, ICMPv6 types and protocols without ports. Ports are walked from one edge to the next, of
the elements a packet met and of the policies that judge it. No packet is left that either side
could treat differently from one that was judged. The work grows with the square of the classes.

Beside the verdict it is compared what is counted: as a denial of which pod, as an audit's.

Not judged: what never meets the base chain, which is traffic of a pod with its own node (in
postrouting: to it).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product

from netpolc.backends.nft.names import UNKNOWN, twin
from netpolc.backends.nft.options import POD_BRIDGES
from netpolc.backends.nft.readback.classes import AddressClass, Classes, Variant
from netpolc.backends.nft.readback.fields import Field, number
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof.outcomes import (
    PASSES,
    Difference,
    Outcome,
    Pair,
    Question,
    outcome_of,
)
from netpolc.backends.nft.readback.tracer import ICMPV6, ROUTED, Link, Packet, Trace, Tracer, packet
from netpolc.core.cluster import Pod
from netpolc.core.errors import RulesetError, UsageError
from netpolc.core.ir import ANY, Direction
from netpolc.core.nets import (
    GROUPS,
    LINK_LOCAL,
    PORTS,
    Family,
    Protocol,
    Span,
    family,
    format_address,
)
from netpolc.core.program import Combination, Program
from netpolc.core.semantics import Decision, Flow, decide_unknown, evaluate

Progress = Callable[[int, int], None]
SCOPES = ("", "egress alone", "ingress alone")
"""The directions that are judged: both, or one as if the other let everything pass."""
_BY_LINK = sum(
    1 << field
    for field in (
        Field.SOURCE,
        Field.DESTINATION,
        Field.OUT_KIND,
        Field.IN_NAME,
        Field.OUT_NAME,
        Field.IN_INDEX,
    )
)
"""What tells whether a packet goes by the chains that ask for its link."""
_NEVER_JUDGED = "known connections and neighbour discovery pass"
_NOT_TO_REMEMBER = "its flow must not be marked as judged"


class PairProof:
    """One ruleset against one Program; `cases` counts the packets judged so far.

    With `audit` the ruleset is to let everything pass and to count what the policies would deny.
    Raises `UsageError` when the node is unknown.
    """

    def __init__(
        self,
        program: Program,
        listing: Listing,
        node: str | None = None,
        *,
        audit: bool = False,
        pod_bridges: Iterable[str] = POD_BRIDGES,
    ) -> None:
        nodes = program.cluster.nodes
        if node is not None and node not in nodes:
            raise UsageError(f"unknown node {node!r}")
        self.cases = 0
        self._program, self.hook, self.audit = program, listing.base.hook, audit
        sent, to = UNKNOWN[Direction.EGRESS], UNKNOWN[Direction.INGRESS]
        egress = listing.without(Field.DESTINATION, (to, twin(sent)))
        ingress = listing.without(Field.SOURCE, (sent, twin(to)))
        # A reply has its flow's source as its destination.
        self._listings = {
            False: dict(zip(SCOPES, (listing, egress, ingress), strict=True)),
            True: dict(zip(SCOPES, (listing, ingress, egress), strict=True)),
        }
        self._tracers = {
            answers: {scope: Tracer(listing) for scope, listing in own.items()}
            for answers, own in self._listings.items()
        }
        self._bridges = frozenset(number("ifname", name) for name in pod_bridges)
        self.classes = Classes(program, listing, node, self._bridges)
        self.local = [pod for own in program.identities for pod in own.pods if pod.addresses]
        self.local = [pod for pod in self.local if self.classes.is_local(pod)]
        self._unknown: dict[tuple[Direction, int, int | None], Decision] = {}
        self._edges_of: dict[int, tuple[int, ...]] = {}
        self.own_node = frozenset[int]()
        if node is not None:
            local = (pod for pod in program.cluster.pods if pod.node == node)
            hosts = (address for pod in local for address in pod.host_addresses)
            self.own_node = nodes[node].addresses.union(hosts)

    def differences(self, progress: Progress = lambda done, total: None) -> Iterator[Difference]:
        """Every packet that stands for a class of packets and is judged differently.

        `progress` is told how many classes of sources are done, of how many.
        """
        all_classes = [self.classes.addresses(version) for version in Family]
        total, done = sum(map(len, all_classes)), 0
        for classes in all_classes:
            for source in classes:
                for destination in classes:
                    yield from self.of_classes(source, destination)
                done += 1
                progress(done, total)

    def of_classes(self, source: AddressClass, destination: AddressClass) -> Iterator[Difference]:
        """The differences between two classes of addresses."""
        for pair in self.class_pairs(source, destination):
            yield from self._between(*pair)

    def class_pairs(
        self, source: AddressClass, destination: AddressClass
    ) -> Iterator[tuple[int, int]]:
        """Strangers, an address with itself, a pod and its node: a pair for each there is."""
        starts = source.members if destination.of_node else source.members[:2]
        ends = destination.members if source.of_node else destination.members[:2]
        found: dict[object, tuple[int, int]] = {}
        for start, end in product(starts, ends):
            found.setdefault((start == end, self._with_own_node(start, end)), (start, end))
        return iter(found.values())

    def difference(
        self,
        pair: tuple[int, int],
        protocol: int,
        port: int | None,
        variant: Variant,
        scope: str,
    ) -> Difference | None:
        """How the two sides differ on one packet, if they do; with a scope, in one direction."""
        source, destination = pair
        if not self.is_judged(source, destination):
            return None
        ends = Pair(source, destination, self.is_local(source, destination))
        asked = self._question(ends, protocol, port)
        if scope:
            place = SCOPES.index(scope) - 1
            one = {link: (decisions[place],) for link, decisions in asked.decisions.items()}
            asked = replace(asked, scope=scope, decisions=one)
        expected, judgement = self._expected(asked, variant)
        return self._compared(asked, variant, self._trace(asked, variant), expected, judgement)

    def listing(self, scope: str, answers: bool) -> Listing:
        """The ruleset as a direction meets it alone; `answers` meet the other ends of it."""
        return self._listings[answers][scope]

    def nodes_of(self, address: int) -> frozenset[int]:
        """The addresses that are the node of a local pod, as far as anybody knows."""
        pod = self._local_pod(address)
        if pod is None:
            return frozenset()
        own = self._program.cluster.node_addresses(pod)
        return own if pod.node else own | self.own_node

    def is_judged(self, source: int, destination: int) -> bool:
        """Whether packets between two addresses come by the base chain and are to be judged."""
        own_node = self._with_own_node(source, destination)
        return not own_node or (own_node == "from" and self.hook == "postrouting")

    def is_local(self, source: int, destination: int) -> bool:
        """Whether the node itself sends what one address sends to the other."""
        from_node = self._with_own_node(source, destination) == "from"
        return from_node or source in self.own_node

    def between_ports(self, link: Link) -> bool:
        """Whether packets go from a port of a pod bridge to one of it."""
        came = link.iifname in self._bridges or not link.iifname
        return link.bridge and came and link.oifname in self._bridges

    def _local_pod(self, address: int) -> Pod | None:
        pod = self._program.pods_by_address.get(address)
        return pod if pod is not None and self.classes.is_local(pod) else None

    def _with_own_node(self, source: int, destination: int) -> str:
        """`from` or `to`, when one end is a local pod and the other the node it is on.

        `perhaps`, when nobody knows whether the pod is on this node: then the node cannot tell
        either, and lets its own packets pass.
        """
        for way, end, other in ("from", destination, source), ("to", source, destination):
            pod = self._local_pod(end)
            if pod is not None and other in self._program.cluster.node_addresses(pod):
                return way
            if pod is not None and not pod.node and other in self.own_node:
                return "perhaps"
        return ""

    def _between(self, source: int, destination: int) -> Iterator[Difference]:
        """Every port and protocol between two addresses."""
        if not self.is_judged(source, destination):
            return
        self._by_link: dict[tuple[str, Pair, Link], bool] = {}
        ends = Pair(source, destination, self.is_local(source, destination))
        edges = self._edges(source, destination)
        for protocol in Protocol:
            port = 0
            while port < PORTS:
                at = protocol << 16 | port
                following = bisect_right(edges, at)
                until = edges[following] - at + port if following < len(edges) else PORTS
                met = yield from self._judge(ends, protocol, port)
                port = min(until, met + 1)
        for portless in self.classes.portless:
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
        return sorted(found.union(self._open_edges))

    @cached_property
    def _open_edges(self) -> frozenset[int]:
        """Where ports begin, or have just ended, on which some local pod admits anybody."""
        found: set[int] = set()
        judging = self._program.combination_of, self._program.tried_of
        keys = {
            (way, self._program.identity_of[own.key]) for way in Direction for own in self.local
        }
        rules = (
            rule
            for known, key in product(judging, keys)
            if key in known
            for tier in known[key].tiers
            for rule in tier.rules
        )
        for rule in rules:
            if rule.match.identities is ANY and rule.match.ports is not ANY:
                found.update(edge for first, last in rule.match.ports for edge in (first, last + 1))
        return frozenset(found)

    def _port_edges(self, combination: Combination) -> tuple[int, ...]:
        key = id(combination)
        if key not in self._edges_of:
            ports = (rule.match.ports for tier in combination.tiers for rule in tier.rules)
            spans = {span for own in ports if own is not ANY for span in own}
            edges = {edge for first, last in spans for edge in (first, last + 1)}
            self._edges_of[key] = tuple(sorted(edges))
        return self._edges_of[key]

    def _judge(
        self, ends: Pair, protocol: int, port: int | None
    ) -> Generator[Difference, None, int]:
        """Every variant of a flow; gives the last port at which the ruleset would say the same.

        Of a flow that is rightly denied each direction is judged alone, too: what one lets through
        by mistake must not hide behind the other. That is told rather than what was not counted.
        """
        asked = self._question(ends, protocol, port)
        both, flow = asked.decisions, asked.flow
        found, until = self._variants(asked)
        denied = not all(asked.outcome(own, False).passed for own in both)
        denied = denied or not evaluate(self._program, flow).allowed
        if denied and all(own.expected.passed is own.trace.passed for own in found):
            alone: list[Difference] = []
            for place, scope in enumerate(("egress alone", "ingress alone")):
                one = {link: (decisions[place],) for link, decisions in both.items()}
                some, end = self._variants(Question(ends, flow, scope, one))
                alone += some
                until = min(until, end)
            found = alone or found
        yield from found
        return until

    def _question(self, ends: Pair, protocol: int, port: int | None) -> Question:
        """What the policies say of a flow, by link."""
        flow = Flow(format_address(ends.source), format_address(ends.destination), protocol, port)
        verdict = evaluate(self._program, flow)
        both = {
            link: (
                self._decision(verdict.egress, flow, ends, link),
                self._decision(verdict.ingress, flow, ends, link),
            )
            for link in self.classes.links
        }
        return Question(ends, flow, "", both)

    def _decision(self, decision: Decision, flow: Flow, ends: Pair, link: Link) -> Decision | None:
        """The decision that counts at one end; None where no local pod can be."""
        end = ends.source if decision.direction is Direction.EGRESS else ends.destination
        if self._local_pod(end) is not None:
            return decision
        if not link.bridge or (ends.local and self.hook == "postrouting"):
            return None
        sender = self._local_pod(ends.source) is not None or _inside(ends.source, LINK_LOCAL)
        to_group = sender and _inside(ends.destination, GROUPS[family(end)])
        ports = self.between_ports(link)
        to_group = to_group and decision.direction is Direction.INGRESS
        if not (ports or to_group or _inside(end, LINK_LOCAL)):
            return None
        key = decision.direction, flow.protocol, flow.port
        if key not in self._unknown:
            self._unknown[key] = decide_unknown(self._program, decision.direction, self.local, flow)
        return self._unknown[key]

    def _variants(self, question: Question) -> tuple[list[Difference], int]:
        """A variant is left out when it differs, from one that was judged, in nothing asked."""
        flow, until = question.flow, PORTS - 1
        judgements = {link: question.outcome(link, self.audit) for link in question.decisions}
        found: list[Difference] = []
        judged: list[tuple[Variant, Trace, Outcome]] = []
        for variant in self.classes.variants[family(question.ends.source), flow.protocol == ICMPV6]:
            if variant.answers and question.ends.local:
                continue  # what answers the node itself goes up to it and passes neither hook
            if variant.answers and variant.link != ROUTED and self._from_node(question.ends):
                continue  # what the node itself answers is on no bridge before it leaves
            expected, judgement = self._expected(question, variant)
            if self._as_if_routed(question, variant, judgements):
                continue
            if any(
                expected == before and not met.asked & variant.differs(other, met.states)
                for other, met, before in judged
            ):
                continue
            trace = self._trace(question, variant)
            self.cases += 1
            judged.append((variant, trace, expected))
            until = min(until, trace.until)
            told = any(own.expected.passed is expected.passed for own in found)
            if variant.invalid and told and trace.passed is not expected.passed:
                continue  # the same once more
            compared = self._compared(question, variant, trace, expected, judgement)
            if compared is not None:
                found.append(compared)
        return found, until

    def _expected(self, question: Question, variant: Variant) -> tuple[Outcome, Outcome]:
        """What is to become of a packet, and what the policies say of its flow."""
        judgement = question.outcome(variant.link, self.audit)
        if variant.invalid:
            lost = not judgement.passed or judgement.audits > 0
            judgement = Outcome(judgement.passed, lost=lost)
        return PASSES if variant.passes_anyway else judgement, judgement

    def _compared(
        self,
        question: Question,
        variant: Variant,
        trace: Trace,
        expected: Outcome,
        judgement: Outcome,
    ) -> Difference | None:
        details = ", ".join(filter(None, (question.scope, str(variant))))
        if outcome_of(trace) != expected:
            why = question.why(variant.link) if expected == judgement else _NEVER_JUDGED
            return Difference(question.flow, details, expected, why, trace)
        if trace.remembered and not (judgement.passed and variant.may_be_remembered):
            return Difference(question.flow, details, expected, _NOT_TO_REMEMBER, trace)
        return None

    def _from_node(self, ends: Pair) -> bool:
        """Whether the node itself answers, which only postrouting sees."""
        return self.hook == "postrouting" and ends.destination in self.own_node

    def _as_if_routed(
        self, question: Question, variant: Variant, judgements: Mapping[Link, Outcome]
    ) -> bool:
        """Whether neither side looks at the link of a packet, whose routed twin is judged, too."""
        link = variant.link
        if link == ROUTED or variant.answers or judgements[link] != judgements[ROUTED]:
            return False
        ends = question.ends
        key = question.scope, ends, link
        if key not in self._by_link:
            by, asked = self._tracers[False][question.scope].passed_by(
                self._packet(question, variant)
            )
            self._by_link[key] = by and not asked & ~_BY_LINK
        return self._by_link[key]

    def _packet(self, question: Question, variant: Variant) -> Packet:
        """The packet of a flow, or one that answers it."""
        flow, ends = question.flow, question.ends
        source, destination, local = ends.source, ends.destination, ends.local
        port, source_port = flow.port, None
        if variant.answers:
            source, destination, local = destination, source, destination in self.own_node
            port, source_port = source_port, port
        return packet(
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
            link=variant.link,
            acknowledges=variant.acknowledges,
        )

    def _trace(self, question: Question, variant: Variant) -> Trace:
        """One packet through the ruleset: of the flow, or of those that answer it."""
        wrong = Field.PORT if variant.answers else Field.SOURCE_PORT
        tracer = self._tracers[variant.answers][question.scope]
        trace = tracer.trace(self._packet(question, variant))
        if trace.asked >> wrong & 1:
            raise RulesetError(f"{trace} is reached by a look at the port of the other end")
        return trace


def _inside(number: int, span: Span) -> bool:
    return span[0] <= number <= span[1]
