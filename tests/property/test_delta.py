"""Deltas leave what a fresh load leaves, and nothing happens to packets on the way.

A machine draws snapshots one after the other. After each step the same table is listed where it was
updated and where it was loaded afresh. In the kernel packets are sent while a step is made, whose
verdict, by the independent reference, is the same before and after it; in memory there are many
more steps. With recheck open flows are judged again after every step that sends anything, and after
no other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import netpolc
from netpolc.backends.nft import KEEP, RECHECK
from netpolc.backends.nft.rollout.kernel import Update
from netpolc.backends.nft.write.owners import Notes
from netpolc.backends.nft.write.ruleset import Ruleset
from tests.helpers import reference, scenarios
from tests.helpers.cluster_strategies import labels, set_field
from tests.helpers.lab import Injector, Router
from tests.helpers.manifests import Manifest, pod, policy
from tests.helpers.places import TABLE, FakePlace, Packet, Place, RealPlace, no_open_flows
from tests.helpers.strategies import interesting_flows, policies, snapshots

POOL = 50
"""How many snapshots are drawn for the tables in memory, of which the smaller ones are used."""
EVENTS = 10_000
"""How many steps are made in memory."""
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
MEDDLING = (
    "insert rule inet netpolc {base} accept",
    "flush chain inet netpolc {base}",
    "add set inet netpolc mine {{ type ipv4_addr; }}",
    "add chain inet netpolc mine; add rule inet netpolc mine accept",
    "add table inet other; delete table inet other",
    "delete table inet netpolc",
    "add table inet netpolc {{ flags dormant; }}",
)
SETTINGS = settings(
    phases=[Phase.reuse, Phase.generate],  # shrinking would load thousands of tables
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
IN_THE_KERNEL = settings(SETTINGS, max_examples=15, stateful_step_count=12)
IN_MEMORY = settings(SETTINGS, max_examples=20, stateful_step_count=100)


def ballast(blocks: int) -> list[Manifest]:
    """Makes the table so long that a delta is shorter than a replacement."""
    out = [f"172.20.{number}.0/25" for number in range(blocks)]
    peers = [{"ipBlock": {"cidr": "172.20.0.0/16", "except": out}}]
    return [
        pod("ballast/only", "10.0.3.1"),
        policy("ballast/blocks", podSelector={}, ingress=[{"from": peers}]),
    ]


class Drawn:
    """Snapshots of any size; how many flows are judged, how often, and how many pods may come."""

    snapshots = snapshots()
    flows, often, crowd = 40, 1, 60
    ballast = ballast(80)

    def policies(self, cluster: list[Manifest]) -> st.SearchStrategy[list[Manifest]]:
        """Those of a cluster; one at least."""
        return policies(cluster, min_size=1)


class Pooled:
    """Some snapshots that were drawn beforehand: to draw one takes longer than to load it."""

    flows, often, crowd = 4, 50, 20
    ballast = ballast(15)

    def __init__(self) -> None:
        found: list[list[Manifest]] = []

        @settings(SETTINGS, max_examples=POOL, derandomize=True)
        @given(snapshots())
        def collect(objects: list[Manifest]) -> None:
            found.append(objects)

        collect()
        self.snapshots = st.sampled_from(sorted(found, key=len)[: POOL // 3])

    def policies(self, cluster: list[Manifest]) -> st.SearchStrategy[list[Manifest]]:
        """Those of another snapshot: namespaces and labels are of one alphabet."""
        return self.snapshots.map(
            lambda objects: [own for own in objects if own["kind"] == "NetworkPolicy"]
        )


class Deltas(RuleBasedStateMachine):
    """Snapshots that differ a little or a lot, loaded one over the other."""

    steps = 0

    def __init__(self, place: Place, source: Drawn | Pooled) -> None:
        super().__init__()
        self.place, self.source = place, source
        self.options = netpolc.Options()
        self.objects: list[Manifest] = []
        self.crowd: list[Manifest] = []
        self.before: dict[Packet, bool] = {}
        place.begin()
        self.kernel = place.kernel()

    @initialize(data=st.data())
    def first(self, data: st.DataObject) -> None:
        self.objects = data.draw(self.source.snapshots)
        self.step()

    @rule(data=st.data())
    def another_snapshot(self, data: st.DataObject) -> None:
        self.objects, self.crowd = data.draw(self.source.snapshots), []
        self.step()

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.objects:
            gone = data.draw(st.sampled_from(range(len(self.objects))))
            self.objects = [own for at, own in enumerate(self.objects) if at != gone]
            self.step()

    @rule(data=st.data(), given=labels())
    def relabel(self, data: st.DataObject, given: object) -> None:
        pods = [at for at, own in enumerate(self.objects) if own["kind"] == "Pod"]
        if pods:
            self.objects = copy.deepcopy(self.objects)
            chosen = self.objects[data.draw(st.sampled_from(pods))]
            chosen["metadata"].pop("labels", None)
            set_field(chosen["metadata"], "labels", given)
            self.step()

    @rule(data=st.data())
    def other_policies(self, data: st.DataObject) -> None:
        cluster = [own for own in self.objects if own["kind"] != "NetworkPolicy"]
        if any(own["kind"] == "Pod" for own in cluster):
            self.objects = cluster + data.draw(self.source.policies(cluster))
            self.step()

    @rule(data=st.data())
    def crowds(self, data: st.DataObject) -> None:
        """Sets that outgrow their size, and shrink again."""
        count = data.draw(st.integers(0, self.source.crowd))
        self.crowd = [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"crowd-{at}", "namespace": "x", "labels": {"app": "a"}},
                "spec": {"nodeName": "node-1"},
                "status": {"podIPs": [{"ip": f"10.0.2.{at}"}, {"ip": f"fd00:2::{at:x}"}]},
            }
            for at in range(1, count + 1)
        ]
        self.step()

    @rule(
        log=st.sampled_from([None, "5/second"]),
        priority=st.sampled_from([None, -7]),
        hook=st.sampled_from(["forward", "forward", "postrouting"]),
        established=st.sampled_from([KEEP, RECHECK]),
    )
    def other_options(
        self, log: str | None, priority: int | None, hook: str, established: str
    ) -> None:
        self.options = netpolc.Options(
            log=log, priority=priority, hook=hook, established=established
        )
        self.step()

    @rule()
    def a_new_process(self) -> None:
        """It knows nothing and reads back what is loaded; nothing has changed."""
        self.kernel = self.place.kernel()
        assert self.step().delta is not None

    @rule(how=st.sampled_from(MEDDLING))
    def somebody_meddles(self, how: str) -> None:
        self.place.load(how.format(base=self.options.hook))
        self.before = {}
        self.step()

    def step(self) -> Update:
        """Update while packets pass, compare, and update again."""
        Deltas.steps += 1
        objects = self.objects + self.crowd + self.source.ballast
        program = netpolc.compile(netpolc.load_objects(objects))
        ruleset = program.ruleset(options=self.options)
        after: dict[Packet, bool] = {}
        if Deltas.steps % self.source.often == 0:
            after.update(_verdicts(program, objects, self.source.flows))
        stable = {flow: said for flow, said in after.items() if self.before.get(flow) is said}
        marked = self.place.mark(self.kernel)
        noted = self.kernel.facts.noted(TABLE) or {}
        done = self.place.update(self.kernel, ruleset, stable)
        self.settle(ruleset, noted, done.moved)
        self.place.fresh.load(ruleset)
        assert self.place.contents(self.kernel) == self.place.contents(self.place.fresh)
        again = self.kernel.update(ruleset).delta
        assert again is not None
        assert not again.text
        now = self.place.mark(self.kernel)
        assert (now is not None) is self.options.recheck
        if now is not None and marked is not None:
            changed = done.replaced or bool(done.delta)
            assert (now != marked) is changed
        assert self.place.judge(list(after)) == list(after.values())
        self.before = after
        return done

    def settle(self, ruleset: Ruleset, before: Notes, moved: tuple[int, ...]) -> None:
        """Until their flows are forgotten the table says whose the addresses were that moved."""
        left = self.kernel.facts.noted(TABLE) or {}
        assert {own: left.get(own) for own in moved} == {own: before[own] for own in moved}
        if moved:
            self.kernel.settle(ruleset)


def _verdicts(
    program: netpolc.Program, objects: list[Manifest], count: int
) -> Iterator[tuple[Packet, bool]]:
    for flow in interesting_flows(objects, count):
        if scenarios.forwarded(program, netpolc.Flow(*flow)):
            source, destination, protocol, port = flow
            number = PROTOCOLS.get(str(protocol), protocol)
            packet = source, destination, int(number), port
            yield packet, reference.allowed(objects, *flow, "current")


def run(place: Place, source: Drawn | Pooled, how: settings) -> None:
    class Machine(Deltas):
        def __init__(self) -> None:
            super().__init__(place, source)

    run_state_machine_as_test(Machine, settings=how)


@pytest.mark.kernel
def test_any_sequence_of_snapshots(injector: Injector) -> None:
    with Router() as fresh:
        run(RealPlace(injector, fresh), Drawn(), IN_THE_KERNEL)
    injector.flush()


def test_many_more_in_memory() -> None:
    Deltas.steps = 0
    place, source = FakePlace(), Pooled()
    with no_open_flows():
        while Deltas.steps < EVENTS:
            run(place, source, IN_MEMORY)
