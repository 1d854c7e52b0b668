"""`python -m benches.live`: what an event costs a `Live`, against compiling the same cluster.

In: sizes of clusters. Out: rows for BENCHMARKS.md on standard output. Pods that are no replicas of
each other come and go, of other nodes and of the node itself; compilations and events take turns.
The clock is the process's CPU time. With `--soak` so many events instead, each decoded from JSON,
and the resident memory after a tenth of them and after all. Refused: a cluster whose node is
compiled again by pods of other nodes, which would time something else.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

import click
import msgspec

import netpolc
from benches.agent import resident
from benches.measure import machine
from benches.pods import node_name
from benches.steps import forget_memos
from benches.timing import HEADER, Ratio, gc_off, timed
from benches.workloads import SIZES, Size, cached
from netpolc.apiserver.reducing import Reducer
from netpolc.frontends import Semantics
from netpolc.live import KINDS, Live
from netpolc.live.store import Event, Store

Manifest = dict[str, Any]
NODE = node_name(0)
PODS = 250
"""So many come and go in a round."""


@dataclass(slots=True)
class Spent:
    """CPU seconds of one event of each kind, and of what they are compared with."""

    compile: float
    event: float = 0.0
    with_ruleset: float = 0.0
    with_reading: float = 0.0
    local: float = 0.0
    again: float = 0.0


class Cluster:
    """A cluster with its node as it is followed."""

    def __init__(self, size: Size) -> None:
        objects: list[Manifest] = json.loads(cached(size).read_bytes())["items"]
        forget_memos()
        self.first, self.live = timed(lambda: _filled(objects))
        forget_memos()
        self.afresh, self.snapshot = timed(lambda: _afresh(objects))
        running = [own for own in objects if _runs(own)]
        Random(1).shuffle(running)
        self.far = [own for own in running if own["spec"]["nodeName"] != NODE][:PODS]
        self.near = [own for own in running if own["spec"]["nodeName"] == NODE][:PODS]

    def round(self) -> Spent:
        """Every kind of event once, after a compilation."""
        forget_memos()
        found = Spent(timed(lambda: netpolc.compile(self.snapshot))[0])
        compiled = self.live.work.compiled.copy()
        found.event = _each(_events(self.far), self.live._apply)
        found.with_ruleset = _each(_events(self.far), self._apply_and_ask)
        found.with_reading = _each(self.far, self._read_and_apply) / 2
        if compiled != self.live.work.compiled:
            raise ValueError(f"pods of other nodes compile: {self.live.work.compiled}")
        found.local = self._local()
        found.again = timed(self._again)[0] / 2
        return found

    def _apply_and_ask(self, event: Event) -> None:
        self.live._apply(event)
        self.live.ruleset()

    def _read_and_apply(self, pod: Manifest) -> None:
        self.live.remove("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        self.live.change(pod)

    def _local(self) -> float:
        """The mean of those events of the node's own pods that compile nothing."""
        spent = []
        for event in _events(self.near):
            before = sum(self.live.work.compiled.values())
            seconds = _each([event], self._apply_and_ask)
            if sum(self.live.work.compiled.values()) == before:
                spent.append(seconds)
        return sum(spent) / len(spent)

    def _again(self) -> None:
        """A policy that selects every pod of a namespace comes and goes."""
        namespace = self.near[0]["metadata"]["namespace"]
        metadata = {"namespace": namespace, "name": f"more-{self.live.work.events}"}
        kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        self.live.change({**kind, "metadata": metadata, "spec": {"podSelector": {}}})
        self.live.ruleset()
        self.live.remove("NetworkPolicy", namespace, metadata["name"])
        self.live.ruleset()


def _filled(objects: Sequence[Manifest]) -> Live:
    live = Live(NODE)
    for kind in KINDS:
        live.replace(kind, [own for own in objects if own["kind"] == kind])
    live.ruleset()
    return live


def _afresh(objects: Sequence[Manifest]) -> netpolc.Snapshot:
    snapshot = netpolc.load_objects(objects)
    netpolc.compile(snapshot).ruleset(NODE)
    return snapshot


def _runs(item: Manifest) -> bool:
    status = item.get("status", {})
    lives = item["kind"] == "Pod" and status.get("phase") == "Running" and "podIP" in status
    return lives and not item["spec"].get("hostNetwork")


def _events(pods: Sequence[Manifest]) -> Iterator[Event]:
    """Each pod goes and comes, read beforehand."""
    store = Store(Semantics.CURRENT)
    for pod in pods:
        key, _, own = store.put(pod)
        yield Event(key, own, None)
        yield Event(key, None, own)


def _each(several: Any, act: Callable[[Any], None]) -> float:
    """CPU seconds of each."""
    given = list(several)
    with gc_off():
        start = time.process_time()
        for own in given:
            act(own)
        return (time.process_time() - start) / len(given)


def rows(sizes: Sequence[str], rounds: int) -> Iterator[str]:
    """The table's rows."""
    events: list[list[float]] = []
    for size in sizes:
        cluster = Cluster(SIZES[size])
        spent = [cluster.round() for _ in range(rounds)]
        events.append([own.event for own in spent])
        for what, measured, target in (
            ("a pod elsewhere comes or goes", [s.event for s in spent], "<= 0.001"),
            ("the same, and the ruleset", [s.with_ruleset for s in spent], ""),
            ("the same, with its object read", [s.with_reading for s in spent], ""),
            ("a pod of the node, and the ruleset", [s.local for s in spent], ""),
            ("a policy of the node, and the ruleset", [s.again for s in spent], ""),
        ):
            anchors = [own.compile for own in spent]
            pairs = tuple(zip(measured, anchors, strict=True))
            yield Ratio(f"{size}: {what}", "compile", pairs, target).row()
        first = ((cluster.first, cluster.afresh),)
        yield Ratio(f"{size}: all objects, and the ruleset", "the same afresh", first).row()
    for (size, few), (larger, many) in zip(
        zip(sizes, events, strict=True), zip(sizes[1:], events[1:], strict=True), strict=False
    ):
        grown = tuple(zip(many, few, strict=True))
        yield Ratio(f"{larger}: a pod elsewhere", f"the same of {size}", grown, "<= 2").row()


def soak(size: Size, events: int) -> Iterator[str]:
    """Memory after a tenth of the events and after all; every hundredth makes a ruleset."""
    objects: list[Manifest] = json.loads(cached(size).read_bytes())["items"]
    live = _filled(objects)
    reducer = Reducer("v1", "Pod")
    pods = [reducer.reduced(json.dumps(own).encode()) for own in objects if _runs(own)]
    del objects
    gc.collect()
    early, started = 0.0, time.process_time()
    for number, own in zip(range(1, events + 1), _turns(pods), strict=False):
        live.change(own)
        if number % 100 == 0:
            _ = live.ruleset().digest
        if number == events // 10:
            early = resident()
    spent = (time.process_time() - started) * 1000 / events
    late = resident()
    yield f"{events} events: {early:.0f} MiB after a tenth, {late:.0f} MiB at the end"
    yield f"ratio {late / early:.3f}, target <= 1.1; {spent:.3f} ms of CPU time an event"


def _turns(pods: Sequence[bytes]) -> Iterator[Manifest]:
    """Each pod with another label in turn, which no policy asks for."""
    for number in count():
        own: Manifest = msgspec.json.decode(pods[number % len(pods)])
        own["metadata"].setdefault("labels", {})["turn"] = str(number // len(pods) % 7)
        yield own


@click.command()
@click.option("--sizes", default="M,L", show_default=True, help="Of S, M and L.")
@click.option("--rounds", default=5, show_default=True, help="Rounds of every row.")
@click.option(
    "--soak", "events", default=0, help="So many events instead, and the memory they take."
)
def main(sizes: str, rounds: int, events: int) -> None:
    """Print what events cost as a Markdown table."""
    if events:
        for line in soak(SIZES[sizes.split(",")[0]], events):
            print(line)
        return
    print(f"{machine()}\n\n{HEADER}")
    for row in rows(sizes.split(","), rounds):
        print(row, flush=True)


if __name__ == "__main__":
    main()
