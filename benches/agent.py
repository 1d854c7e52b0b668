"""The agent from an event to the kernel, against compiling anew: `python -m benches.agent`.

In: the number of policies on the node of `node_cluster`, 10,000 pods. Out: rows of CPU time, user
and system, of this process and of those that work for it. One pod that policies name as a peer
comes and goes. Anchors: compile, lower and `Kernel.update` of the same objects, as they are known
already; and the same event with nobody else changing nf_tables. With `--soak` the resident memory
after a tenth of so many events, and after all of them. Needs what `tests.helpers.lab.unavailable`
asks for.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import click

import netpolc
from benches.timing import HEADER, Ratio, timed_whole
from benches.workloads import LOCAL_NODE, cached_node_cluster
from netpolc.agent.enforcer import Enforcer
from netpolc.agent.inbox import Inbox
from netpolc.agent.loop import Agent
from netpolc.agent.telling.log import LogLines
from netpolc.agent.telling.report import Report
from netpolc.apiserver import Changed, Gone, Listed
from netpolc.backends.nft.model import AddressSet
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.netfilter.conntrack import open_flows
from netpolc.live import KINDS, Live
from tests.helpers.lab import Router

Manifest = dict[str, Any]
AT_ONCE = 0.22
"""Seconds between events that are each applied at once, however many they are."""
FOREIGN = "add table inet other; add chain inet other c; delete table inet other"


class Node:
    """An agent that has loaded a node; events are the test's."""

    def __init__(self, router: Router, objects: list[Manifest]) -> None:
        self.router, self._inbox = router, Inbox()
        self.live = Live(LOCAL_NODE)
        self._enforcer = router.call(lambda: Enforcer("netpolc"))
        report = Report(LOCAL_NODE, LogLines(lambda line: None))
        self.agent = Agent(self.live, self._enforcer, self._inbox, report, kinds=KINDS)
        for kind in KINDS:
            self._inbox.put(Listed(kind, [own for own in objects if own["kind"] == kind], "1"))
        router.call(self.agent.step)
        if self.agent.enforced is None:
            raise ValueError(f"nothing was loaded: {report.waiting()}")
        self.pod = self._peer(objects)

    def _peer(self, objects: list[Manifest]) -> Manifest:
        """A pod of another node that some set holds."""
        ruleset = self.agent.enforced
        assert ruleset is not None
        sets = (own for own in ruleset.table.sets if isinstance(own, AddressSet))
        peers = {at for own in sets if own.name.startswith("s4_") for at in own.elements}
        return next(
            own
            for own in objects
            if own["kind"] == "Pod"
            and own["spec"].get("nodeName") != LOCAL_NODE
            and own.get("status", {}).get("podIP") in peers
        )

    def hear(self, own: Manifest) -> None:
        """A pod changes."""
        self._inbox.put(Changed("Pod", own))

    def event(self, there: bool) -> None:
        """The pod comes or goes."""
        meta = self.pod["metadata"]
        gone = Gone("Pod", meta["namespace"], meta["name"])
        self._inbox.put(Changed("Pod", self.pod) if there else gone)

    def to_kernel(self, foreign: bool = False) -> float:
        """CPU seconds of an event: the mean of a pod that goes and that comes again."""
        seconds = 0.0
        for there in (False, True):
            time.sleep(AT_ONCE)
            if foreign:
                self.router.run("nft", FOREIGN)
            before = self.agent.enforced
            self.event(there)
            seconds += self.router.call(partial(timed_whole, self.agent.step))[0] / 2
            if self.agent.enforced is before:
                raise ValueError("the event changed nothing")
        return seconds


class Anew:
    """The same node in a namespace of its own, compiled whole at each change."""

    def __init__(self, router: Router, live: Live) -> None:
        self._router, self._live = router, live
        self._kernel = router.call(Kernel)
        self._update()

    def seconds(self) -> float:
        """CPU seconds of compile, lower and update."""
        return timed_whole(self._update)[0]

    def _update(self) -> None:
        ruleset = netpolc.compile(self._live.snapshot()).ruleset(LOCAL_NODE)
        self._router.call(lambda: self._kernel.update(ruleset))


@contextmanager
def open_flow(router: Router) -> Iterator[None]:
    """A connection in the namespace, which the loaded table has tracked."""
    server = router.call(lambda: socket.create_server(("127.0.0.1", 0)))
    with server, router.call(lambda: socket.create_connection(server.getsockname())):
        if not router.call(lambda: list(open_flows())):
            raise ValueError("no flow is tracked")
        yield


def rows(policies: int, rounds: int) -> Iterator[str]:
    """An event against compiling anew, and beside others that change nf_tables."""
    objects = json.loads(cached_node_cluster(policies).read_bytes())["items"]
    with Router() as router, Router() as other:
        node = Node(router, objects)
        anew = Anew(other, node.live)
        node.to_kernel()
        measured = [
            (node.to_kernel(), node.to_kernel(foreign=True), anew.seconds()) for _ in range(rounds)
        ]
        with open_flow(router):
            tracking = [(node.to_kernel(), anew.seconds()) for _ in range(rounds)]
    title = f"{policies} policies: one pod, event to kernel"
    own = tuple((event, whole) for event, _, whole in measured)
    yield Ratio(title, "compile, lower, update", own, "<= 0.02").row()
    beside = tuple((foreign, event) for event, foreign, _ in measured)
    yield Ratio(f"{title}, others change tables", "without", beside, "<= 1.2").row()
    yield Ratio(
        f"{title}, with open flows", "compile, lower, update", tuple(tracking), "<= 0.02"
    ).row()


def resident() -> float:
    """Resident memory in MiB."""
    gc.collect()
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def soak(policies: int, events: int) -> Iterator[str]:
    """Memory after a tenth of the events and after all; the loop has a turn at every hundredth."""
    objects = json.loads(cached_node_cluster(policies).read_bytes())["items"]
    with Router() as router:
        node = Node(router, objects)
        pods = [own for own in objects if own["kind"] == "Pod" and "podIP" in own.get("status", {})]
        del objects
        early = 0.0
        for number, own in zip(range(events), _turns(pods), strict=False):
            node.hear(own)
            if number % 100 == 99:
                router.call(node.agent.step)
            if number == events // 10:
                early = resident()
        late = resident()
    yield f"{events} events: {early:.0f} MiB after a tenth, {late:.0f} MiB at the end"
    yield f"ratio {late / early:.3f}, target <= 1.1"


def _turns(pods: list[Manifest]) -> Iterator[Manifest]:
    for number in count():
        own = copy.deepcopy(pods[number % len(pods)])
        own["metadata"]["labels"]["turn"] = str(number % 7)
        yield own


@click.command()
@click.option("--policies", default=820, show_default=True, help="Policies of the node.")
@click.option("--rounds", default=11, show_default=True, help="Rounds of every row.")
@click.option(
    "--soak", "events", default=0, help="So many events instead, and the memory they take."
)
def main(policies: int, rounds: int, events: int) -> None:
    """Print the rows as a Markdown table."""
    if events:
        for line in soak(policies, events):
            print(line)
        return
    print(HEADER)
    for row in rows(policies, rounds):
        print(row, flush=True)


if __name__ == "__main__":
    main()
