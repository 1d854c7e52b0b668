"""Every layout of a chain in the kernel, packet by packet against the slow semantics.

In: the snapshots of tests/backends/nft/test_layouts.py. Out: the same verdicts,
at and beside every port.
"""

from __future__ import annotations

from itertools import product

import pytest

import netpolc
from netpolc.core.nets import format_address
from tests.backends.nft.test_layouts import LAYOUTS, snapshot
from tests.helpers.lab import Injector

pytestmark = pytest.mark.kernel
PORTS = (69, 70, 80, 90, 91, 100, 200, 300, 389, 390, 400, 410, 411, 443, 800, 1000, 2020, 2021)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_kernel_judges_as_the_policies_say(name: str, injector: Injector) -> None:
    program = netpolc.compile(netpolc.load_objects(snapshot(LAYOUTS[name]())))
    peers = [own for own in program.cluster.pods if own.name != "target"]
    flows, packets = [], []
    for own, (at, target), port in product(
        peers[:: 1 if name == "source_map" else 5], enumerate(("10.10.0.1", "fd00:10::1")), PORTS
    ):
        peer = format_address(own.addresses[at])
        for source, destination in (peer, target), (target, peer):
            flows.append(netpolc.Flow(source, destination, "TCP", port))
            packets.append((source, destination, 6, port))
    wanted = [netpolc.evaluate(program, flow).allowed for flow in flows]
    assert any(wanted)
    assert not all(wanted)
    injector.flush()
    injector.load(program.ruleset().text())
    assert injector.judge(packets) == wanted
