"""Deltas leave what a fresh load leaves, and nothing happens to packets on the way.

A machine draws snapshots one after the other. After each step the kernel lists the same table in
the namespace that was updated and in another that was loaded afresh; while a step is made, packets
are sent whose verdict, by the independent reference, is the same before and after it. With recheck
open flows are judged again after every step that sends anything, and after no other.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import netpolc
from netpolc.backends.nft import KEEP, MARK_MASK, RECHECK
from netpolc.backends.nft.kernel import Kernel, Update
from tests import reference, scenarios
from tests.cluster_strategies import labels, set_field
from tests.lab import Injector, Router
from tests.manifests import Manifest, pod, policy
from tests.strategies import interesting_flows, policies, snapshots

pytestmark = pytest.mark.kernel
TABLE = "netpolc"
FLOWS = 40
CROWD = 60
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
    max_examples=15,
    stateful_step_count=12,
    phases=[Phase.reuse, Phase.generate],  # shrinking would load thousands of tables
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
Packet = tuple[str, str, int, int | None]
BALLAST = [
    pod("ballast/only", "10.0.3.1"),
    policy(
        "ballast/blocks",
        podSelector={},
        ingress=[
            {
                "from": [
                    {
                        "ipBlock": {
                            "cidr": "172.20.0.0/16",
                            "except": [f"172.20.{number}.0/25" for number in range(80)],
                        }
                    }
                ]
            }
        ],
    ),
]
"""Makes the table so long that a delta is shorter than a replacement."""


def _uncounted(element: Any) -> str:
    """An element as text, without what it has counted."""
    if isinstance(element, dict) and "counter" in element.get("elem", ()):
        element = {"elem": {**element["elem"], "counter": None}}
    return json.dumps(element)


def generation(kernel: Kernel) -> str | None:
    """The mark of the flows that the loaded table judged; None where it rechecks nothing."""
    entries = json.loads(kernel.listing(TABLE) or '{"nftables": []}')["nftables"]
    counters = (entry["counter"] for entry in entries if "counter" in entry)
    return next((own["comment"] for own in counters if own["name"] == "meta_generation"), None)


def contents(kernel: Kernel) -> dict[str, Any]:
    """What the kernel lists: every object by name, rules in order, elements without one, all of one
    generation.
    """
    found: dict[str, Any] = {}
    listing = kernel.listing(TABLE) or '{"nftables": []}'
    mark = generation(kernel)
    if mark is not None:
        value = int(mark, 16)
        for number in (value, ~MARK_MASK & 0xFFFFFFFF | value):
            listing = re.sub(rf"\b{number}\b", "0", listing)
        listing = listing.replace(mark, "generation")
    for entry in json.loads(listing)["nftables"]:
        ((kind, body),) = entry.items()
        body = {key: body[key] for key in body if key not in ("handle", "packets", "bytes")}
        if kind == "rule":
            found.setdefault(f"rules of {body['chain']}", []).append(body)
        elif body.get("name") == "meta_loaded":
            found["loaded"] = True
        elif kind != "metainfo":
            if "elem" in body:
                body["elem"] = sorted(map(_uncounted, body["elem"]))
            found[f"{kind} {body['name']}"] = body
    return found


class Deltas(RuleBasedStateMachine):
    """Snapshots that differ a little or a lot, loaded one over the other."""

    def __init__(self, injector: Injector, fresh: Router) -> None:
        super().__init__()
        self.injector, self.fresh = injector, fresh
        self.fresh_kernel = fresh.call(Kernel)
        self.options = netpolc.Options()
        self.objects: list[Manifest] = []
        self.crowd: list[Manifest] = []
        self.before: dict[Packet, bool] = {}
        injector.flush()
        self.kernel = injector.router.call(Kernel)

    @initialize(objects=snapshots())
    def first(self, objects: list[Manifest]) -> None:
        self.objects = objects
        self.step()

    @rule(objects=snapshots())
    def another_snapshot(self, objects: list[Manifest]) -> None:
        self.objects, self.crowd = objects, []
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
            self.objects = cluster + data.draw(policies(cluster, min_size=1))
            self.step()

    @rule(count=st.integers(0, CROWD))
    def crowds(self, count: int) -> None:
        """Sets that outgrow their size, and shrink again."""
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
        self.kernel = self.injector.router.call(Kernel)
        assert self.step().delta is not None

    @rule(how=st.sampled_from(MEDDLING))
    def somebody_meddles(self, how: str) -> None:
        self.injector.load(how.format(base=self.options.hook))
        self.before = {}
        self.step()

    def step(self) -> Update:
        """Update while packets pass, compare, and update again."""
        objects = self.objects + self.crowd + BALLAST
        program = netpolc.compile(netpolc.load_objects(objects))
        ruleset = program.ruleset(options=self.options)
        after = dict(_verdicts(program, objects))
        stable = {flow: said for flow, said in after.items() if self.before.get(flow) is said}
        marked = generation(self.kernel)
        done: list[Update] = []
        thread = Thread(target=lambda: done.append(self.kernel.update(ruleset)))
        thread.start()
        while True:
            last = not thread.is_alive()
            assert self.injector.judge(list(stable)) == list(stable.values())
            if last:
                break
        self.fresh_kernel.load(ruleset)
        assert contents(self.kernel) == contents(self.fresh_kernel)
        again = self.kernel.update(ruleset).delta
        assert again is not None
        assert not again.text
        now = generation(self.kernel)
        assert (now is not None) is self.options.recheck
        if now is not None and marked is not None:
            changed = done[0].replaced or bool(done[0].delta)
            assert (now != marked) is changed
        assert self.injector.judge(list(after)) == list(after.values())
        self.before = after
        return done[0]


def _verdicts(program: netpolc.Program, objects: list[Manifest]) -> Iterator[tuple[Packet, bool]]:
    for flow in interesting_flows(objects, FLOWS):
        if scenarios.forwarded(program, netpolc.Flow(*flow)):
            source, destination, protocol, port = flow
            number = PROTOCOLS.get(str(protocol), protocol)
            packet = source, destination, int(number), port
            yield packet, reference.allowed(objects, *flow, "current")


def test_any_sequence_of_snapshots(injector: Injector) -> None:
    with Router() as fresh:

        class Machine(Deltas):
            def __init__(self) -> None:
                super().__init__(injector, fresh)

        run_state_machine_as_test(Machine, settings=SETTINGS)
    injector.flush()
