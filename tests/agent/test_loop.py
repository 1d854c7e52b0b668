"""The loop, on a real kernel, with events that the test makes.

In: lists and changes, other programs that touch the table. Out: what is in the kernel, how many
transactions it took, what the agent says of itself.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

import netpolc
from netpolc.agent.running import running, waiting
from netpolc.apiserver import Absent, Changed, Ended, Gone, Trouble
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.write.owners import Noted
from netpolc.core.errors import SystemRefusal
from netpolc.core.nets import format_address, parse_address
from netpolc.live import KINDS
from tests.agent.stage import NODE, SERVER, client, cluster, staged
from tests.cli.invocation import invoke
from tests.helpers.lab import Router
from tests.helpers.manifests import Manifest, pod

pytestmark = pytest.mark.kernel


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as made:
        yield made


def compiled(objects: list[Manifest]) -> str:
    """The digest of what `netpolc compile --node` makes of these objects."""
    return netpolc.compile(netpolc.load_objects(objects)).ruleset(NODE).digest


def loaded(router: Router) -> str:
    found = router.call(lambda: Kernel().facts.loaded("netpolc"))
    return found.digest if found is not None else ""


class Moment:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def begin(router: Router, *clients: str) -> None:
    """Open a flow of each client to the server."""
    for own in clients:
        write_flow(router, (own, 9), ("10.0.0.1", 80))


def write_flow(router: Router, source: tuple[str, int], destination: tuple[str, int]) -> None:
    """Write a flow into the table of connections."""

    def write() -> None:
        ends = {"family": socket.AF_INET, "proto": socket.IPPROTO_UDP}
        (here, port), (there, other) = source, destination
        way = NFCTAttrTuple(saddr=here, daddr=there, sport=port, dport=other, **ends)
        back = NFCTAttrTuple(saddr=there, daddr=here, sport=other, dport=port, **ends)
        with NFCTSocket() as table:
            table.entry("add", tuple_orig=way, tuple_reply=back, timeout=60)

    router.call(write)


def open_from(router: Router) -> set[str]:
    """The clients of all open flows."""
    flows = (own.flow for own in router.call(lambda: list(conntrack.open_flows())))
    ends = {end for own in flows for end in (own.source, own.destination)}
    return {format_address(own) for own in ends} - {"10.0.0.1"}


def test_nothing_is_loaded_before_every_kind_is_known(router: Router) -> None:
    with staged(router) as stage:
        stage.list_all(cluster(), but=["NetworkPolicy", "AdminNetworkPolicy"])
        for _ in range(5):
            router.call(stage.agent.step)
        assert loaded(router) == ""
        assert "waits for AdminNetworkPolicy, NetworkPolicy" in stage.report.waiting()
        stage.inbox.put(Trouble("NetworkPolicy", "forbidden"))
        stage.inbox.put(Absent("AdminNetworkPolicy", "no such kind"))
        router.call(stage.agent.step)
        assert loaded(router) == ""
        assert "NetworkPolicy: forbidden" in stage.report.waiting()
        stage.list_all([SERVER], but=["Pod", "Node", "Namespace", "AdminNetworkPolicy"])
        stage.until(lambda: loaded(router))
        assert loaded(router) == compiled(cluster())
        assert stage.report.waiting() == ""


def test_events_are_in_the_kernel_as_a_fresh_compile_would_have_them(router: Router) -> None:
    with staged(router) as stage:
        stage.list_all(cluster(3))
        stage.until(lambda: loaded(router) == compiled(cluster(3)))
        stage.change(client(4))
        stage.until(lambda: loaded(router) == compiled(cluster(4)))
        stage.inbox.put(Gone("Pod", "x", "client-4"))
        stage.until(lambda: loaded(router) == compiled(cluster(3)))
        stage.inbox.put(Gone("NetworkPolicy", "x", "server"))
        stage.until(lambda: loaded(router) == compiled(cluster(3)[:-1]))


def test_a_burst_is_few_transactions(router: Router) -> None:
    with staged(router) as stage:
        stage.list_all(cluster(0))
        stage.until(lambda: loaded(router))
        before = stage.enforcer.kernel.generation.read()
        for number in range(1, 251):
            stage.change(client(number))
            router.call(stage.agent.step)
        stage.until(lambda: loaded(router) == compiled(cluster(250)))
        assert stage.enforcer.kernel.generation.read() - before <= 25


def test_a_pod_does_not_list_whom_all_addresses_belong_to(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are as many notes as pods; only those that change are gone through."""
    with staged(router) as stage:
        stage.list_all(cluster(40))
        stage.until(lambda: loaded(router))

        def everything(noted: Noted) -> None:
            raise AssertionError("all notes were listed")

        monkeypatch.setattr(Noted, "entries", property(everything))
        stage.change(client(41))
        stage.inbox.put(Gone("Pod", "x", "client-7"))
        stage.until(lambda: loaded(router) == compiled([*cluster(41)[:9], *cluster(41)[10:]]))
        noted = stage.elements("meta_pods4")
        assert "10.0.1.41 comment" in noted
        assert "10.0.1.7 comment" not in noted


def test_what_others_do_to_the_table_is_undone_and_told(router: Router) -> None:
    with staged(router) as stage:
        stage.list_all(cluster())
        stage.until(lambda: loaded(router))
        wanted = loaded(router)
        for harm in ("delete table inet netpolc", "flush chain inet netpolc forward"):
            router.run("nft", harm)
            stage.until(lambda: router.call(lambda: stage.enforcer.content() == wanted))
            assert any("restored the table" in line for line in stage.lines)
            stage.lines.clear()
        router.run("nft", "add table inet other { chain c { }; }")
        stage.change(client(9))
        stage.until(lambda: loaded(router) != wanted)
        assert not any("restored" in line for line in stage.lines)


def test_what_is_refused_leaves_the_table_and_is_tried_again(router: Router) -> None:
    with staged(router, options=netpolc.Options(pending="deny")) as stage:
        stage.list_all(cluster())
        stage.until(lambda: loaded(router))
        before = loaded(router)
        stage.inbox.put(Gone("Node", "", NODE))
        stage.until(lambda: stage.report.waiting())
        assert "lists no spec.podCIDRs" in stage.report.waiting()
        assert loaded(router) == before
        stage.change(cluster()[1], client(7))
        stage.until(lambda: not stage.report.waiting())
        assert loaded(router) != before


@pytest.mark.parametrize("kind", KINDS)
def test_events_without_a_name_are_refused_alone(router: Router, kind: str) -> None:
    """Nobody can tell whom they are about; what comes before and after them counts."""
    moment = Moment()
    with staged(router, clock=moment) as stage:
        stage.list_all(cluster())
        router.call(stage.agent.step)
        stage.change(client(8))
        nameless: list[Manifest] = [{}, {"metadata": {}}, {"metadata": {"name": ""}}]
        nameless += [{"metadata": {"name": 7}}, {"metadata": None}, {"metadata": {"name": None}}]
        for own in nameless:
            stage.inbox.put(Changed(kind, {"apiVersion": "v1", "kind": kind, **own}))
        stage.inbox.put(Gone(kind, "", ""))
        stage.inbox.put(Gone(kind, "x", ""))
        stage.change(client(9))
        moment.now += 1
        router.call(stage.agent.step)
        assert loaded(router) == compiled([*cluster(), client(8), client(9)])
        assert any(kind in line and "passed over" in line for line in stage.lines)


@pytest.mark.parametrize("can_flush", [True, False], ids=["flushed", "listed"])
def test_flows_end_with_the_peer_they_were_of(
    router: Router, monkeypatch: pytest.MonkeyPatch, can_flush: bool
) -> None:
    """Also what an answer on its way to it began anew, a moment later; those of others stay."""
    if not can_flush:
        monkeypatch.setattr(conntrack.FlowFlusher, "flush", lambda *_: False)
    flushes = router.call(lambda: conntrack.FlowFlusher().flush([parse_address("203.0.113.9")]))
    moment = Moment()
    with staged(router, clock=moment) as stage:
        stage.list_all(cluster())
        router.call(stage.agent.step)
        assert loaded(router)
        begin(router, "10.0.1.1", "10.0.1.2")
        stage.inbox.put(Gone("Pod", "x", "client-1"))
        moment.now += 1
        router.call(stage.agent.step)
        assert open_from(router) == {"10.0.1.2"}
        assert (stage.agent.due() <= moment.now + 0.1) is flushes
        if flushes:
            write_flow(router, ("10.0.0.1", 80), ("10.0.1.1", 9))
            moment.now = stage.agent.due()
            router.call(stage.agent.step)
        assert open_from(router) == {"10.0.1.2"}


def test_an_address_that_another_pod_took_is_not_flushed_again(router: Router) -> None:
    moment = Moment()
    with staged(router, clock=moment) as stage:
        stage.list_all(cluster())
        router.call(stage.agent.step)
        begin(router, "10.0.1.1")
        stage.inbox.put(Gone("Pod", "x", "client-1"))
        stage.change(pod("x/next", "10.0.1.1", app="client"))
        moment.now += 1
        router.call(stage.agent.step)
        assert not open_from(router)
        assert stage.agent.due() > moment.now + 0.1


def test_an_odd_object_stops_no_other(router: Router) -> None:
    broken = json.loads(json.dumps(SERVER))
    broken["metadata"]["name"] = "broken"
    broken["spec"]["ingress"] = [{"ports": [{"port": 99_999_999}]}]
    with staged(router) as stage:
        stage.list_all(cluster())
        stage.until(lambda: loaded(router))
        before = loaded(router)
        stage.change(broken, client(8))
        stage.until(lambda: loaded(router) != before)
        assert any("NetworkPolicy x/broken" in line for line in stage.lines)
        assert 'netpolc_objects_refused{kind="NetworkPolicy"} 1' in stage.report.metrics.text()
        assert "10.0.1.8" in router.run("nft", "list", "table", "inet", "netpolc")
        stage.inbox.put(Gone("NetworkPolicy", "x", "broken"))
        stage.until(lambda: "netpolc_objects_refused{" not in stage.report.metrics.text())


def test_a_second_agent_stands_by_and_takes_over(router: Router) -> None:
    with staged(router, duty="netpolc") as second:
        with staged(router, duty="netpolc") as first:
            first.list_all(cluster())
            first.until(lambda: loaded(router))
            first.until(lambda: router.call(lambda: running("netpolc")))
            state = router.call(lambda: running("netpolc"))
            assert state is not None
            assert (state.node, state.ready, state.digest) == (NODE, True, loaded(router))
            second.list_all([*cluster(), pod("x/newer", "10.0.0.77", app="client")])
            before = loaded(router)
            for _ in range(5):
                router.call(second.agent.step)
            assert loaded(router) == before
            assert second.report.waiting() == ""
        second.until(lambda: loaded(router) != before)
        assert "10.0.0.77" in router.run("nft", "list", "table", "inet", "netpolc")
    assert router.call(lambda: running("netpolc")) is None


def test_status_and_top_tell_of_an_agent_that_does_not_enforce_yet(router: Router) -> None:
    def status() -> str:
        return router.call(lambda: invoke("status")).stdout

    with staged(router, duty="netpolc") as second:
        with staged(router, duty="netpolc") as first:
            first.list_all(cluster(), but=["Pod"])
            first.inbox.put(Trouble("Pod", "forbidden"))
            first.until(lambda: "first sync: waits for Pod; Pod: forbidden" in status())
            assert status().startswith("waiting ")
            top = router.call(lambda: invoke("top", "--once"))
            assert "is not ready: first sync: waits for Pod" in top.stderr
            first.list_all(cluster())
            first.until(lambda: status().startswith("agent "))
            second.until(lambda: "first sync: waits for" in status())
            second.list_all(cluster())
            second.until(lambda: "for node node-a, stands by\n" in status())
            told = json.loads(router.call(lambda: invoke("status", "-o", "json")).stdout)
            assert (told["agent"]["phase"], told["agent"]["ready"]) == ("enforces", True)
            assert [(own["phase"], own["ready"]) for own in told["waiting"]] == [
                ("stands by", True)
            ]
            with staged(router, duty="netpolc") as third:
                third.until(lambda: "waits for" in status())
                both = [line for line in status().splitlines() if line.startswith("waiting ")]
                assert [line.endswith("stands by") for line in both] == [True, False]
            assert status().count("waiting ") == 1
        second.until(lambda: router.call(lambda: running("netpolc")))
        assert router.call(lambda: waiting("netpolc")) == []
        assert "waiting" not in status()
    assert not status().startswith(("agent", "waiting"))


def test_the_table_stays_and_a_restart_sends_nothing(router: Router) -> None:
    with staged(router) as stage:
        stage.list_all(cluster())
        stage.until(lambda: loaded(router))
    before = loaded(router)
    with staged(router) as stage:
        generation = stage.enforcer.kernel.generation.read()
        stage.list_all(cluster())
        stage.until(lambda: not stage.report.waiting())
        assert stage.enforcer.kernel.generation.read() == generation
        assert loaded(router) == before


def test_the_self_check_sees_what_is_wrong_and_mends_it(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    with staged(router) as stage:
        stage.list_all(cluster())
        stage.until(lambda: loaded(router))

        def results() -> dict[str, int]:
            lines = stage.report.metrics.text().splitlines()
            found = (own for own in lines if own.startswith("netpolc_selfcheck_total{"))
            return {own.split('"')[1]: int(own.split()[-1]) for own in found}

        stage.agent.check_soon()
        stage.until(lambda: results() == {"same": 1})
        monkeypatch.setattr(stage.enforcer, "foreign", list)  # as if nobody was heard
        wanted = loaded(router)
        router.run("nft", "delete element inet netpolc local4 { 10.0.1.1 }")
        stage.agent.check_soon()
        stage.until(lambda: results() == {"same": 1, "modified": 1})
        stage.until(lambda: router.call(stage.enforcer.content) == wanted)


def test_the_ruleset_for_the_next_boot_is_kept(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netpolc.agent.upkeep.SAVE_QUIET", 0.0)
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o700)
    with staged(router, folder) as stage:
        stage.list_all(cluster())
        stage.until((folder / "netpolc.nft").exists)
    wanted = loaded(router)
    router.flush()
    router.run("nft", "-f", str(folder / "netpolc.nft"))
    assert loaded(router) == wanted
    with staged(router) as stage:
        stage.list_all(cluster(4))
        stage.until(lambda: loaded(router) == compiled(cluster(4)))
        assert 'netpolc_transactions_total{what="changed"} 1' in stage.report.metrics.text()


def test_pending_pods_are_denied_until_the_event(router: Router) -> None:
    options = netpolc.Options(pending="deny")
    with staged(router, options=options) as stage:
        stage.list_all(cluster(1))
        stage.until(lambda: loaded(router))
        assert "10.0.1.2" not in stage.elements("known4")
        stage.change(client(2))
        stage.until(lambda: "10.0.1.2" in stage.elements("known4"))


def test_a_kind_that_nobody_follows_any_more_ends_the_agent(router: Router) -> None:
    """Whoever starts it again has it list everything; the table stays meanwhile."""
    with staged(router) as stage:
        stage.list_all(cluster())
        stage.until(lambda: loaded(router))
        stage.inbox.put(Ended("Pod"))
        with pytest.raises(SystemRefusal, match="nobody follows Pod any more"):
            router.call(stage.agent.step)
        assert loaded(router) == compiled(cluster())


def test_what_cannot_be_kept_for_the_next_boot_is_tried_again(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is right meanwhile, and the agent ready."""
    monkeypatch.setattr("netpolc.agent.upkeep.SAVE_QUIET", 0.0)
    monkeypatch.setattr("netpolc.agent.upkeep.SAVE_AGAIN", 0.1)
    folder = tmp_path / "boot"
    folder.write_text("no folder")
    with staged(router, folder) as stage:
        stage.list_all(cluster())
        stage.until(lambda: "not kept for the next boot" in "".join(stage.lines))
        assert stage.report.waiting() == ""
        folder.unlink()
        folder.mkdir(mode=0o700)
        stage.until((folder / "netpolc.nft").exists)
