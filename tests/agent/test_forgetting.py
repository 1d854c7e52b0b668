"""Whose flows the agent forgets: those of addresses that were given up, and never those of the pods
that have them now.

In: events of pods, flows written into connection tracking. Out: the flows that are left.
"""

from __future__ import annotations

from typing import Any

import pytest

from netpolc.apiserver import Gone
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.core.nets import parse_address
from tests.agent.stage import Stage, client, cluster, staged
from tests.agent.test_loop import Moment, begin, loaded, open_from
from tests.agent.test_loop import router as router
from tests.helpers.lab import Router
from tests.helpers.manifests import Manifest, pod

pytestmark = pytest.mark.kernel


def step(stage: Stage, moment: Moment, seconds: float = 1.0) -> None:
    moment.now += seconds
    stage.router.call(stage.agent.step)


def test_who_took_an_address_meanwhile_keeps_its_flows(router: Router) -> None:
    """A pod that another event tells of, before answers to the last one are looked for."""
    if not router.call(lambda: conntrack.FlowFlusher().flush([parse_address("203.0.113.9")])):
        pytest.skip("the kernel cannot flush by an address")
    moment = Moment()
    with staged(router, clock=moment) as stage:
        stage.list_all(cluster())
        step(stage, moment, 0)
        assert loaded(router)
        begin(router, "10.0.1.1", "10.0.1.2")
        for number in (1, 2):
            stage.inbox.put(Gone("Pod", "x", f"client-{number}"))
        step(stage, moment)
        assert not open_from(router)
        due = stage.agent.due()
        assert due <= moment.now + 0.1
        stage.change(pod("x/next", "10.0.1.1", app="client"))
        begin(router, "10.0.1.1", "10.0.1.2")
        step(stage, moment, due - moment.now)
        assert open_from(router) == {"10.0.1.1"}


def aged(own: Manifest, created: str, **more: Any) -> Manifest:
    own["metadata"].update(creationTimestamp=created, uid=created, **more)
    return own


def test_the_pod_that_has_the_address_of_two_keeps_its_flows(router: Router) -> None:
    moment = Moment()
    with staged(router, clock=moment) as stage:
        stage.list_all([*cluster(), aged(client(7), "2026-01-01T00:00:00Z")])
        step(stage, moment, 0)
        begin(router, "10.0.1.7")
        newer = pod("x/newer", "10.0.1.7", app="client")
        stage.change(aged(newer, "2026-01-02T00:00:00Z"))
        step(stage, moment)
        assert not open_from(router)  # they were of the older one
        begin(router, "10.0.1.7")
        for number in (8, 9):
            stage.change(client(number))
            step(stage, moment)
            assert open_from(router) == {"10.0.1.7"}
        stage.inbox.put(Gone("Pod", "x", "client-7"))
        step(stage, moment)
        assert open_from(router) == {"10.0.1.7"}
        stage.inbox.put(Gone("Pod", "x", "newer"))
        step(stage, moment)
        assert not open_from(router)
