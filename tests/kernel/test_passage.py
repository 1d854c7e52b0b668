"""No packet passes while a table changes that may pass neither before nor after.

A denied flow is sent as fast as one processor can, while the other changes the table. On a machine
with one processor no packet is under way during a commit, and the tests hold of themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from unittest.mock import Mock

import pytest

import netpolc
from netpolc.backends.nft.netlink.wire import Wire
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from netpolc.backends.nft.rollout.passage import TableBefore
from netpolc.backends.nft.rollout.state.reading import LoadedTables
from netpolc.backends.nft.write.ruleset import Ruleset
from tests.helpers.lab import Injector, Router
from tests.helpers.lab.flood import flooding
from tests.helpers.manifests import Manifest, namespace, pod, policy
from tests.property.test_ordered import force

pytestmark = pytest.mark.kernel
SECONDS = 3.0
Change = Callable[[Kernel, list[Ruleset]], None]
DENIED = ("10.0.0.2", "10.0.0.1", 6, 81)
SERVER, CLIENT = ({"podSelector": {"matchLabels": {"app": own}}} for own in ("server", "client"))


def ruleset(*policies: Manifest, servers: int = 1) -> Ruleset:
    """A stranger, a server at 10.0.0.1, and others like it."""
    objects = [
        namespace("x"),
        pod("x/stranger", "10.0.0.2", app="stranger"),
        pod("x/client", "10.0.0.3", app="client"),
        pod("x/server", "10.0.0.1", app="server"),
        *(pod(f"x/server-{n}", f"10.0.1.{n}", app="server") for n in range(1, servers)),
        *policies,
    ]
    return netpolc.compile(netpolc.load_objects(objects)).ruleset()


def on_port(port: int) -> Manifest:
    """Servers admit clients on a port."""
    return policy("x/server", **SERVER, ingress=[{"from": [CLIENT], "ports": [{"port": port}]}])


def against(app: str, name: str) -> Manifest:
    """A policy of the Admin tier that denies pods everything."""
    selected = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": app}}}
    everywhere: Manifest = {"namespaceSelector": {}, "podSelector": {}}
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "tier": "Admin",
            "priority": 10,
            "subject": {"pods": everywhere},
            "ingress": [{"action": "Deny", "from": [{"pods": selected}]}],
        },
    }


def relabelled(app: str, monkeypatch: pytest.MonkeyPatch) -> Ruleset:
    """The stranger is one of twenty kinds of pods, each of which some policy denies everything: all
    are asked one after the other.
    """
    force(monkeypatch, linear=True)
    objects = [
        namespace("x"),
        pod("x/server", "10.0.0.1", app="server"),
        pod("x/stranger", "10.0.0.2", app=app),
        *(pod(f"x/{at}", f"10.0.2.{at + 1}", app=f"kind-{at % 20}") for at in range(60)),
    ]
    for at in range(20):
        own = against(f"kind-{at}", f"guard-{at}")
        own["spec"]["priority"] = at
        objects.append(own)
    return netpolc.compile(netpolc.load_objects(objects)).ruleset()


def update(kernel: Kernel, several: list[Ruleset]) -> None:
    for own in several:
        assert not kernel.update(own).replaced


def load(kernel: Kernel, several: list[Ruleset]) -> None:
    for own in several:
        kernel.load(own)


def restore(kernel: Kernel, several: list[Ruleset]) -> None:
    table = several[0].options.table
    with kernel.locked(table):
        kernel.restore(kernel.saved(table))


STRANGER = against("stranger", "guard")
WAYS: dict[str, tuple[Change, list[list[Manifest]], list[int]]] = {
    "a policy is edited": (update, [[on_port(80)], [on_port(443)]], [1, 1]),
    "a map of pods gets another size": (update, [[on_port(80)], [on_port(80)]], [1, 40]),
    "the table is replaced": (load, [[on_port(80)]], [1]),
    "the table is brought back": (restore, [[on_port(80)]], [1]),
    "a tier has a policy more": (
        update,
        [[STRANGER], [STRANGER, against("client", "another")]],
        [1, 1],
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_denied_packet_passes_while_the_table_changes(
    way: str, injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, linear=False)
    change, policies, servers = WAYS[way]
    several = [ruleset(*own, servers=count) for own, count in zip(policies, servers, strict=True)]
    none_passes(several, change, injector)


def test_no_denied_packet_passes_while_its_pod_gets_other_labels(
    injector: Injector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an element of one set before, and of another after, that is asked before that."""
    several = [relabelled(app, monkeypatch) for app in ("kind-0", "kind-19")]
    none_passes(several, update, injector)


def test_copies_are_made_again_once_the_kernel_answers_again(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends to a kernel that is silent for a while goes on without a copy, that once."""
    own = ruleset()

    def copies() -> list[bool]:
        Kernel().update(own)
        before, found = TableBefore(LoadedTables(Generation())), []
        for silent in (False, True, False):
            with monkeypatch.context() as patched:
                if silent:
                    patched.setattr(Wire, "commit", Mock(side_effect=TimeoutError))
                with before.stays(own.options.table) as copied:
                    found.append(copied)
        return found

    assert router.call(copies) == [True, False, True]


def none_passes(several: list[Ruleset], change: Change, injector: Injector) -> None:
    injector.flush()
    kernel = injector.router.call(Kernel)
    kernel.update(several[0])
    assert injector.judge([DENIED]) == [False]
    changed, allowed = 0, os.sched_getaffinity(0)
    with flooding(injector, DENIED, SECONDS) as flood:
        os.sched_setaffinity(0, {min(allowed)})
        try:
            until = monotonic() + SECONDS
            while monotonic() < until:
                change(kernel, several)
                changed += len(several)
        finally:
            os.sched_setaffinity(0, allowed)
    injector.flush()
    assert changed > 10
    assert flood.sent > 10_000
    assert flood.arrived == 0
