"""What the agent knows of its own node while it runs: addresses of the host, its Node object.

In: addresses that come and go in a namespace, events of the Node. Out: what the table has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

import netpolc
from netpolc.agent.host import EVERY, HostAddresses
from netpolc.agent.telling.log import LogLines
from netpolc.agent.telling.report import Report
from netpolc.cli.host import read_addresses
from netpolc.core.errors import SystemRefusal
from netpolc.live import Live
from tests.agent.stage import NODE, cluster, staged
from tests.helpers.lab import Injector, Router
from tests.helpers.manifests import node


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as made:
        yield made


def table(router: Router) -> str:
    return router.run("nft", "list", "table", "inet", "netpolc")


@pytest.mark.kernel
def test_addresses_of_the_host_are_followed(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = netpolc.Options(pending="deny")  # its chains know the node's own addresses
    with staged(router, options=options, addresses=read_addresses) as stage:
        stage.list_all(cluster())
        stage.until(lambda: stage.agent.enforced)
        assert "10.0.9.1" not in table(router)
        router.run("ip", "address", "add", "10.0.9.1/32", "dev", "lo")
        stage.change(cluster()[1])  # the Node is as it was: an event all the same
        stage.until(lambda: "10.0.9.1" in table(router))
        monkeypatch.setattr("netpolc.agent.host.EVERY", 0.0)
        stage.change(cluster()[1])
        router.run("ip", "address", "del", "10.0.9.1/32", "dev", "lo")
        stage.until(lambda: "10.0.9.1" not in table(router))
        router.run("ip", "address", "add", "10.0.9.2/32", "dev", "lo")
        stage.until(lambda: "10.0.9.2" in table(router))  # nobody tells of it


@pytest.mark.kernel
def test_the_node_object_is_followed(router: Router) -> None:
    with staged(router, options=netpolc.Options(pending="deny")) as stage:
        stage.list_all(cluster())
        stage.until(lambda: stage.agent.enforced)
        assert "192.0.2.10" in table(router)
        assert "10.0.0.0/23" in table(router)
        own = node(NODE, "192.0.2.77")
        own["spec"] = {"podCIDRs": ["10.0.0.0/22"]}
        stage.change(own)
        stage.until(lambda: "192.0.2.77" in table(router))
        assert "10.0.0.0/22" in table(router)
        assert not any(old in table(router) for old in ("192.0.2.10", "10.0.0.0/23"))


def test_addresses_that_cannot_be_read_stay_as_known() -> None:
    answers: list[set[int] | None] = [{1}, None, None, {1}, {2}]
    lines: list[str] = []
    now = 0.0

    def read() -> set[int]:
        found = answers.pop(0)
        if found is None:
            raise SystemRefusal("no")
        return found

    host = HostAddresses(Live(NODE), Report(NODE, LogLines(lines.append)), read, lambda: now)
    changed = []
    for turn in range(5):
        now = turn * EVERY
        changed.append(host.look())
        assert not host.look()  # not before its time
    assert changed == [True, False, False, False, True]
    assert sum("stay as known: no" in line for line in lines) == 1


@pytest.mark.kernel
@pytest.mark.parametrize("pending", ["allow", "deny"])
def test_the_ruleset_of_the_last_boot_and_pods_with_new_addresses(
    pending: Literal["allow", "deny"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netpolc.agent.upkeep.SAVE_QUIET", 0.0)
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o700)
    with Injector() as lab:
        options = netpolc.Options(pending=pending)
        with staged(lab.router, kept, options=options) as stage:
            stage.list_all(cluster())
            stage.until((kept / "netpolc.nft").exists)
        lab.flush()
        lab.load((kept / "netpolc.nft").read_text())
        as_before, moved, stranger = "10.0.0.1", "10.0.0.200", "203.0.113.7"
        found = lab.judge([(stranger, own, 6, 80) for own in (as_before, moved)])
        assert found == [False, pending == "allow"]
