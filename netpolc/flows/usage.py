"""Rules that no observed flow needed.

Comes in: judged batches. Goes out: the rules of the snapshot's policies that matched none of their
flows. A flow uses every rule that decides about it, and those that would decide the same in its
place; of replies, and of records that may be some, the flow that they answer uses its rules. A pod
without address uses what it would at any address that it can have. So a rule is called unused only
if nothing in the log can have needed it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from netpolc.core.cluster import Snapshot
from netpolc.core.ir import ANY, Origin, Rule
from netpolc.core.nets import edges
from netpolc.core.program import Program
from netpolc.core.semantics import Decision, Flow, Reason, evaluate, pod_at
from netpolc.flows.ends import UNPLACED, LoggedEnd
from netpolc.flows.judging import Judged, RecordOutcome
from netpolc.flows.unplaced import unplaced_flows
from netpolc.flows.values import WITH_PORTS

_Key = tuple[str, str, str, tuple[str | int, ...]]
_Place = tuple[int | None, int]
_REQUESTS = (RecordOutcome.ALLOW, RecordOutcome.DENY, RecordOutcome.FAR)
_REPLIES = (RecordOutcome.REPLY, RecordOutcome.UNCLEAR)
_BY_NATURE = (Reason.SELF, Reason.NODE)
"""Decisions that are about these very addresses, and not about all that rules see alike."""


class UnusedRule(NamedTuple):
    """A rule, or with an empty `rule` a policy none of whose rules was needed."""

    policy: str
    rule: str
    place: str


class Usage:
    """Marks the rules that flows use. Flows that no rule tells apart are looked at once."""

    def __init__(self, program: Program, snapshot: Snapshot) -> None:
        self._program, self._snapshot = program, snapshot
        networks = (match.networks for match in program.matches if match.networks is not ANY)
        self._edges = [edge for edge, _ in edges(networks)]
        self._seen: set[tuple[_Place, _Place, int, int | None]] = set()
        self._used: set[_Key] = set()

    def add(self, batch: pa.RecordBatch, judged: Judged) -> None:
        """Look at the flows of a batch."""
        ends = judged.source, judged.destination
        request = np.isin(judged.outcomes, _REQUESTS)
        # Whatever a pod without address may have needed, also where its name does not decide.
        unplaced = (judged.source.marks | judged.destination.marks) & UNPLACED > 0
        request |= (judged.outcomes == RecordOutcome.UNJUDGED) & unplaced
        may_reply = batch["is_reply"].is_null().to_numpy(zero_copy_only=False)
        reply = np.isin(judged.outcomes, _REPLIES) | (request & may_reply)
        for asked, port, turn in ((request, "port", 1), (reply, "src_port", -1)):
            rows = np.flatnonzero(asked)
            source, destination = ends[::turn]
            table = pa.table(
                {
                    "source": source.of_row,
                    "destination": destination.of_row,
                    "protocol": batch["protocol"],
                    "port": batch[port],
                }
            ).take(pa.array(rows))
            for row in table.group_by(table.column_names).aggregate([]).to_pylist():
                ends_of_row = source.end(row["source"]), destination.end(row["destination"])
                for flow in self._flows(*ends_of_row, row["protocol"], row["port"]):
                    self._look(flow)

    def unused(self) -> Iterator[UnusedRule]:
        """In the order of the policies; a policy without rules admits nothing to be needed."""
        for policy in self._snapshot.policies:
            left = [rule for rule in policy.rules if _key(rule.origin) not in self._used]
            if left and len(left) == len(policy.rules):
                yield UnusedRule(policy.origin.policy, "", policy.origin.place())
            else:
                yield from map(_named, left)

    def _flows(
        self, source: LoggedEnd, destination: LoggedEnd, protocol: int | None, port: int | None
    ) -> Iterator[Flow]:
        """All that a record may be."""
        port = port if protocol in WITH_PORTS else None
        service = protocol if protocol is not None else -1, port
        if source.pod or destination.pod:
            with suppress(ValueError):  # a reply of which the log has no port
                yield from unplaced_flows(self._program).flows(
                    source.meant, destination.meant, *service
                )
            return
        for start, end in product(source.addresses, destination.addresses):
            with suppress(ValueError):  # the same, or ends of two families
                yield Flow(start, end, *service)

    def _look(self, flow: Flow) -> None:
        key = (
            self._place(flow.source, flow.source_pod),
            self._place(flow.destination, flow.destination_pod),
            flow.protocol,
            flow.port,
        )
        if key in self._seen:
            return
        verdict = evaluate(self._program, flow)
        decisions = [verdict.egress, verdict.ingress]
        if not any(decision.reason in _BY_NATURE for decision in decisions):
            self._seen.add(key)
        peers = key[1][0], key[0][0]
        for decision, peer, address in zip(
            decisions, peers, (flow.destination, flow.source), strict=True
        ):
            for own in (decision, decision.tried):
                if own is not None:
                    self._mark(own, peer, address, flow)
        doubtful = unplaced_flows(self._program).doubtful(flow) if flow.destination_pod else ()
        self._used.update(_key(rule.origin) for rule in doubtful)

    def _mark(self, decision: Decision, peer: int | None, address: int, flow: Flow) -> None:
        for step in decision.steps:
            if step.peer_matched and step.port_matched:
                self._used.add(_key(step.rule.origin))
        for run in decision.tier.runs if decision.tier is not None and decision.rule else ():
            if decision.rule in run.rules:
                self._used.update(
                    _key(rule.origin)
                    for rule in run.rules
                    if rule.match.has_peer(peer, address)
                    and rule.match.has_port(flow.protocol, flow.port)
                )

    def _place(self, address: int, name: str) -> _Place:
        """What rules see of an end: whose it is, and between which edges of blocks it lies."""
        pod = pod_at(self._program, address, name)
        identity = self._program.identity_of[pod.key] if pod is not None else None
        return identity, bisect_right(self._edges, address)


def _key(origin: Origin) -> _Key:
    return (*origin.key, origin.field)


def _named(rule: Rule) -> UnusedRule:
    return UnusedRule(rule.origin.policy, rule.origin.rule, rule.origin.place())
