"""The flows of a log that policies shall admit, each once, with how many records it has.

Comes in: judged batches. Goes out: `ObservedFlow`s, and how many records were left out, by the
reason. Left out are replies, what was dropped, and what policies deny today unless it is asked for.
The address of a Service stands for the pods behind it: policies are asked behind the translation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from netpolc.core.cluster import Pod, Service
from netpolc.core.nets import IPV6, Span, format_address, format_span, parse_address
from netpolc.core.program import Program
from netpolc.core.semantics import Flow, evaluate
from netpolc.flows.ends import LoggedEnd
from netpolc.flows.judging import Judged, RecordOutcome
from netpolc.flows.notes import LogError
from netpolc.flows.schema import DROPPED
from netpolc.flows.unplaced import MeantEnd, unplaced_flows
from netpolc.flows.values import WITH_PORTS

MANY_FLOWS = 100_000
"""Different flows beyond which further strangers are kept as blocks, /24 and /64."""
MOST_FLOWS = 1_000_000
DROPPED_THERE = "the log says that they were dropped"
DENIED = "policies deny them today (--denied admits them)"
MAYBE_REPLIES = "taken for replies, which the log does not tell"
NEVER_JUDGED = "of a pod with itself or its own node, which no policy judges"
CLOSED = "of a pod that is closed, whatever policies say"
NO_SERVICE = "to a Service that leads to no pod of the snapshot on that port"
_EPHEMERAL = 32_768
"""The first port that Linux gives to clients (`net.ipv4.ip_local_port_range`)."""
_ASKED = (
    RecordOutcome.ALLOW,
    RecordOutcome.DENY,
    RecordOutcome.FAR,
    RecordOutcome.UNCLEAR,
    RecordOutcome.NO_POD,
)
_KEYS = ["source", "destination", "protocol", "port", "outcome", "maybe", "dropped"]


class FlowEnd(NamedTuple):
    """A pod by its `namespace/name`, or without one addresses that are no pod's."""

    pod: str
    block: Span = (0, 0)

    def __str__(self) -> str:
        return self.pod or format_span(self.block)


class ObservedFlow(NamedTuple):
    """A flow as policies see it; `port` is None for protocols without ports."""

    source: FlowEnd
    destination: FlowEnd
    protocol: int
    port: int | None


class Observation:
    """Takes in judged batches, and has the flows."""

    def __init__(self, program: Program, *, with_denied: bool = False) -> None:
        """With `with_denied` also flows count that the policies of the program deny."""
        self._program, self._with_denied = program, with_denied
        self._services = {
            address: service
            for service in program.cluster.services.values()
            for address in service.addresses
        }
        self.flows: dict[ObservedFlow, int] = {}
        """Records of each."""
        self.left_out: Counter[str] = Counter()

    def add(self, batch: pa.RecordBatch, judged: Judged) -> None:
        """Take in the flows of a batch."""
        replies = int((judged.outcomes == RecordOutcome.REPLY).sum())
        if replies:
            self.left_out["replies, which their connections admit"] += replies
        rows = np.flatnonzero(np.isin(judged.outcomes, _ASKED))
        verdict = batch["verdict"].cast(pa.string())
        table = pa.table(
            {
                "source": judged.source.of_row,
                "destination": judged.destination.of_row,
                "protocol": batch["protocol"],
                "port": batch["port"],
                "outcome": judged.outcomes,
                "maybe": _maybe_replies(batch),
                "dropped": pc.fill_null(pc.equal(verdict, DROPPED), False),
            }
        ).take(pa.array(rows))
        found = table.group_by(_KEYS).aggregate([([], "count_all")])
        for row in found.to_pylist():
            ends = judged.source.end(row["source"]), judged.destination.end(row["destination"])
            self._add(row, *ends)

    def _add(self, row: dict[str, Any], source: LoggedEnd, destination: LoggedEnd) -> None:
        start, end = self._end(source), self._end(destination)
        flow = ObservedFlow(start, end, row["protocol"], row["port"])
        service = self._service_of(end)
        if row["outcome"] == RecordOutcome.NO_POD and service is None:
            return
        flows = [flow] if service is None else list(self._behind(service, flow))
        why = self._left_out(row, flow, flows, service)
        if why:
            self.left_out[why] += row["count_all"]
            return
        for own in flows:
            self._count(own, row["count_all"])

    def _left_out(
        self,
        row: dict[str, Any],
        flow: ObservedFlow,
        flows: list[ObservedFlow],
        service: Service | None,
    ) -> str:
        """Why a row is no flow to be admitted; empty if it is one."""
        if row["dropped"]:
            return DROPPED_THERE
        if row["outcome"] == RecordOutcome.UNCLEAR:
            return MAYBE_REPLIES
        if row["maybe"] and not self._declares(flow):
            return MAYBE_REPLIES
        if not flows:
            return NO_SERVICE
        if all(self._is_never_judged(own) for own in flows):
            return NEVER_JUDGED
        if any(self._is_closed(end) for own in flows for end in own[:2]):
            return CLOSED
        if self._with_denied:
            return ""
        denied = row["outcome"] != RecordOutcome.ALLOW
        if service is not None:
            denied = not any(self._is_allowed(own) for own in flows)
        return DENIED if denied else ""

    def _end(self, end: LoggedEnd) -> FlowEnd:
        if end.pod:
            return FlowEnd(end.pod)
        number = parse_address(end.addresses[0])
        if end.is_pod:
            return FlowEnd(self._program.pods_by_address[number].key)
        return FlowEnd("", (number, number))

    def _service_of(self, end: FlowEnd) -> Service | None:
        return None if end.pod else self._services.get(end.block[0])

    def _behind(self, service: Service, flow: ObservedFlow) -> Iterator[ObservedFlow]:
        """A flow to each pod that a Service leads to, on the port there."""
        for port in service.ports:
            if (int(port.protocol), port.number) != (flow.protocol, flow.port):
                continue
            for pod in self._program.cluster.behind(service):
                ends = [FlowEnd(pod.key)]
                if pod.host_network:
                    ends = [FlowEnd("", (own, own)) for own in pod.host_addresses]
                elif not pod.addresses:
                    continue
                for number in port.on(pod):
                    for end in ends:
                        yield flow._replace(destination=end, port=number)

    def _pod(self, end: FlowEnd) -> Pod | None:
        return self._program.pods_by_key[end.pod] if end.pod else None

    def _declares(self, flow: ObservedFlow) -> bool:
        """Whether the destination's containers say that they listen there."""
        pod = self._pod(flow.destination)
        return bool(pod and pod.declared and (flow.protocol, flow.port) in pod.declared)

    def _is_closed(self, end: FlowEnd) -> bool:
        pod = self._pod(end)
        return pod is not None and pod.closed

    def _is_never_judged(self, flow: ObservedFlow) -> bool:
        pod = self._pod(flow.source)
        if flow.source == flow.destination:  # without address it may be two replicas
            return pod is None or bool(pod.addresses)
        cluster = self._program.cluster
        for own, other in ((flow.source, flow.destination), (flow.destination, flow.source)):
            pod = self._pod(own)
            if pod is not None and not other.pod and other.block[0] in cluster.node_addresses(pod):
                return True
        return False

    def _is_allowed(self, flow: ObservedFlow) -> bool:
        return all(evaluate(self._program, own).allowed for own in flows_of(self._program, flow))

    def _count(self, flow: ObservedFlow, records: int) -> None:
        if flow not in self.flows and len(self.flows) >= MANY_FLOWS:
            flow = flow._replace(source=_wide(flow.source), destination=_wide(flow.destination))
            if len(self.flows) >= MOST_FLOWS and flow not in self.flows:
                raise LogError(
                    f"more than {MOST_FLOWS} different flows: narrow the span of time (--since)"
                )
        self.flows[flow] = self.flows.get(flow, 0) + records


def flows_of(program: Program, flow: ObservedFlow) -> Iterator[Flow]:
    """The flows between single addresses that one stands for; of blocks between first and last, of
    pods without address all that they may be.
    """
    source, destination = (_meant(program, own) for own in flow[:2])
    if source.pod or destination.pod:
        yield from unplaced_flows(program).flows(source, destination, flow.protocol, flow.port)
        return
    for start in _addresses(program, flow.source):
        for end in _addresses(program, flow.destination):
            if (":" in start) == (":" in end):
                yield Flow(start, end, flow.protocol, flow.port)


def _meant(program: Program, end: FlowEnd) -> MeantEnd:
    addresses = tuple(_addresses(program, end))
    return MeantEnd(addresses) if addresses else MeantEnd((), end.pod)


def _addresses(program: Program, end: FlowEnd) -> list[str]:
    numbers = program.pods_by_key[end.pod].addresses if end.pod else sorted({*end.block})
    return [format_address(own) for own in numbers]


def _wide(end: FlowEnd) -> FlowEnd:
    """A stranger's block."""
    if end.pod:
        return end
    bits = 64 if end.block[0] >= IPV6 else 8
    first = end.block[0] >> bits << bits
    return FlowEnd("", (first, first + (1 << bits) - 1))


def _maybe_replies(batch: pa.RecordBatch) -> pa.Array:
    """Records to a client's port from a server's, of which the log does not say what they are."""
    likely = pc.and_(
        pc.greater_equal(batch["port"], _EPHEMERAL), pc.less(batch["src_port"], _EPHEMERAL)
    )
    ported = pc.is_in(batch["protocol"], pa.array(sorted(WITH_PORTS), pa.int16()))
    return pc.and_(pc.fill_null(pc.and_(likely, ported), False), batch["is_reply"].is_null())
