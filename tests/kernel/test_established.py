"""Open flows when policies change: kept, judged again, or forgotten.

In: real TCP connections and UDP flows between pods, policies that change under them, as `netpolc
apply` loads them. Out: whether data still comes through, in either direction.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

import netpolc
from netpolc import Options
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.write.delta import Delta
from netpolc.core.nets import parse_address
from netpolc.core.semantics import Flow
from tests.helpers.lab import Connection, PodLab
from tests.helpers.lab.packets import checksum
from tests.helpers.lab.pods import NODE, NODE_ADDRESSES
from tests.helpers.manifests import Manifest, namespace, node, pod, policy
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
ADDRESSES = {name: (f"10.9.0.{at}", f"fd00:9::{at}") for at, name in enumerate("abs", start=1)}
"""Two clients and a server."""
SERVER = ADDRESSES["s"]
TCP: tuple[str, Literal["TCP"], int] = (SERVER[0], "TCP", 8080)
KEEP, RECHECK = Options(), Options(established="recheck")
DELAYED_ACK = 0.1
"""Seconds after which nothing is left to acknowledge: else the server, whose last words were lost,
says them again, and that may begin a forgotten flow from its side (docs/established.md)."""
SERVICE = "10.96.0.1"
SERVICES = f"""
table ip service {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} udp dport 80 dnat to {SERVER[0]}:7000
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip daddr {SERVER[0]} ct original ip daddr {SERVICE} masquerade
  }}
}}
"""
MARKS_OF_OTHERS = """
table inet others {
  chain first {
    type filter hook forward priority -200;
    ct state new ct mark set ct mark or 0x4001
  }
}
"""


def serving() -> Iterator[PodLab]:
    with PodLab(ADDRESSES) as lab:
        lab.serve("s", "TCP", 8080)
        lab.serve("s", "UDP", 5353)
        yield lab


shared_lab = pytest.fixture(scope="module", name="shared_lab")(serving)
fresh_lab = pytest.fixture(name="fresh_lab")(serving)
"""For tests that look at every flow: elsewhere the last words of earlier ones may still come."""


def snapshot(admitted: str) -> list[Manifest]:
    """Manifests with a policy that admits some of the clients to the server."""
    peers = [{"podSelector": {"matchLabels": {"name": name}}} for name in admitted]
    chosen = {"matchLabels": {"name": "s"}}
    return [
        namespace("default"),
        node("node-a", *NODE_ADDRESSES[:1]),
        *(pod(name, *addresses) for name, addresses in ADDRESSES.items()),
        policy("in", podSelector=chosen, ingress=[{"from": peers}] if peers else []),
    ]


def apply(lab: PodLab, admitted: str, options: Options = KEEP, *, flush: bool = False) -> int:
    """Load the policy; gives how many flows were forgotten."""
    program = netpolc.compile(netpolc.load_objects(snapshot(admitted)))
    ruleset = program.ruleset("node-a", options)
    lab.node.call(lambda: Kernel().load(ruleset))
    return lab.node.call(lambda: conntrack.forget_denied(program, "node-a")) if flush else 0


def run(lab: PodLab, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "netpolc", *arguments]
    return lab.node.call(
        lambda: subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    )


def connections(lab: PodLab, client: str) -> list[Connection]:
    """A TCP connection and a UDP flow to the server, in both families."""
    return [
        opened
        for address in SERVER
        for opened in (
            lab.connection(client, address, "TCP", 8080),
            lab.connection(client, address, "UDP", 5353),
        )
    ]


def left(lab: PodLab, options: Options = KEEP, *, flush: bool = False) -> list[bool]:
    """Which connections of `a`, then of `b`, are left when only `a` is admitted any more."""
    apply(lab, "ab", options)
    with ExitStack() as stack:
        opened = [stack.enter_context(own) for name in "ab" for own in connections(lab, name)]
        assert all(own.echo(b"before") for own in opened)
        time.sleep(DELAYED_ACK)
        apply(lab, "a", options, flush=flush)
        assert not lab.connect("b", SERVER[0], "TCP", 8080)
        return [own.echo(b"after") for own in opened]


def test_open_flows_are_kept_unless_told(lab: PodLab) -> None:
    assert left(lab) == [True] * 8


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_a_recheck_ends_what_is_denied_now_and_nothing_else(lab: PodLab, hook: str) -> None:
    assert left(lab, Options(hook=hook, established="recheck")) == [True] * 4 + [False] * 4


def test_a_flush_forgets_what_is_denied_now_and_nothing_else(lab: PodLab) -> None:
    assert left(lab, flush=True) == [True] * 4 + [False] * 4


def test_a_flush_counts_and_leaves_the_flows_of_others(fresh_lab: PodLab) -> None:
    lab = fresh_lab
    lab.serve("b", "TCP", 9)
    with ExitStack() as stack:
        strangers = stack.enter_context(lab.connection("a", ADDRESSES["b"][0], "TCP", 9))
        mine = [stack.enter_context(own) for own in connections(lab, "a")]
        time.sleep(DELAYED_ACK)
        assert apply(lab, "b", flush=True) == 4
        found = [entry.flow for entry in lab.node.call(lambda: list(conntrack.open_flows()))]
        assert found == [Flow(ADDRESSES["a"][0], ADDRESSES["b"][0], "TCP", 9)]
        assert strangers.echo(b"x")
        assert not any(own.echo(b"x") for own in mine)
        assert apply(lab, "b", flush=True) == 0


@pytest.mark.parametrize("option", [("--established", "recheck"), ("--flush-conntrack",)])
def test_the_command_does_it_and_verify_and_status_agree(
    fresh_lab: PodLab, tmp_path: Path, option: tuple[str, ...]
) -> None:
    lab = fresh_lab

    def written(admitted: str) -> str:
        path = tmp_path / f"{admitted}.json"
        path.write_text(json.dumps({"kind": "List", "items": snapshot(admitted)}))
        return str(path)

    assert run(lab, "apply", written("ab"), "--node", "node-a", *option).returncode == 0
    with lab.connection("a", *TCP) as kept, lab.connection("b", *TCP) as ended:
        time.sleep(DELAYED_ACK)
        done = run(lab, "apply", written("a"), "--node", "node-a", *option)
        assert (done.returncode, done.stderr) == (0, "")
        forgot = "forgot 1 open flow that is denied now\n"
        assert done.stdout.endswith(forgot) is ("--flush-conntrack" in option)
        assert not ended.echo(b"x")
        assert kept.echo(b"x")
    verified = run(lab, "verify", written("a"), "--node", "node-a")
    assert (verified.returncode, verified.stderr) == (0, "")
    status = run(lab, "status", written("a"), "--node", "node-a")
    assert (status.returncode, status.stderr) == (0, "")
    assert ("established=recheck mark=0xfff00000" in status.stdout) is ("recheck" in option)


class Exchange:
    """A UDP flow whose server speaks when it is told to."""

    def __init__(self, lab: PodLab, client: str, target: tuple[str, int]) -> None:
        def bound(name: str, port: int) -> socket.socket:
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.bind((ADDRESSES[name][0], port))
            opened.settimeout(0.3)
            return opened

        self.client = lab.namespace(client).call(lambda: bound(client, 0))
        self.server = lab.namespace("s").call(lambda: bound("s", 7000))
        self.client.connect(target)
        self.client.send(b"request")
        self._peer = self.server.recvfrom(64)[1]

    def pushed(self) -> bool:
        """Whether what the server says of its own accord arrives."""
        self.server.sendto(b"news", self._peer)
        try:
            return self.client.recv(64) == b"news"
        except TimeoutError:
            return False

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.mark.parametrize("translated", [False, True])
@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_a_reply_is_judged_as_the_flow_it_answers(lab: PodLab, hook: str, translated: bool) -> None:
    """The client says nothing after the change: replies alone decide, also through a Service."""
    options = Options(hook=hook, established="recheck")
    lab.node.load(SERVICES)
    apply(lab, "a", options)
    with closing(Exchange(lab, "a", (SERVICE, 80) if translated else (SERVER[0], 7000))) as flow:
        for admitted in ("a", "ab", "b", "a"):
            apply(lab, admitted, options)
            assert flow.pushed() is ("a" in admitted)


@pytest.mark.parametrize("audit", [False, True])
def test_a_denied_reply_counts_for_the_pod_of_its_flow(lab: PodLab, audit: bool) -> None:
    """The flow is denied where it enters the server, so its replies are, too: for ingress, of the
    server. With audit they pass, and their flow is judged once.
    """
    apply(lab, "a", RECHECK)
    kernel = lab.node.call(Kernel)
    with closing(Exchange(lab, "a", (SERVER[0], 7000))) as flow:
        apply(lab, "b", Options(established="recheck", audit=audit))
        assert [flow.pushed() for _ in range(3)] == [audit] * 3
        counted = kernel.counts.addresses("netpolc")
        packets = {(own.direction, own.address): own.packets for own in counted}
    wanted = 1 if audit else 3
    assert packets == {
        ("ingress", parse_address(SERVER[0])): wanted,
        ("ingress", parse_address(SERVER[1])): 0,
    }
    loaded = kernel.facts.loaded("netpolc")
    assert loaded is not None
    known, unknown = loaded.drops
    assert (known.packets, known.audited, unknown.packets) == (wanted, audit, 0)


@pytest.mark.parametrize("remembered", [True, False])
def test_an_update_judges_again_and_an_empty_one_does_not(lab: PodLab, remembered: bool) -> None:
    def update(admitted: str) -> Delta | None:
        program = netpolc.compile(netpolc.load_objects(snapshot(admitted)))
        own = kernel if remembered else lab.node.call(Kernel)
        return own.update(program.ruleset("node-a", RECHECK)).delta

    kernel = lab.node.call(Kernel)
    apply(lab, "ab", RECHECK)
    with lab.connection("a", *TCP) as kept, lab.connection("b", *TCP) as ended:
        before = lab.node.ruleset()
        assert update("ab") is not None
        assert lab.node.ruleset() == before
        assert kept.echo(b"x")
        assert ended.echo(b"x")
        assert update("a")
        assert kept.echo(b"x")
        assert not ended.echo(b"x")


def test_what_is_restored_judges_flows_as_if_it_had_never_gone(lab: PodLab) -> None:
    """Flows that it admitted go on, those that only its successor admitted do not."""
    kernel = lab.node.call(Kernel)
    apply(lab, "a", RECHECK)
    with closing(Exchange(lab, "a", (SERVER[0], 7000))) as first:
        before = kernel.saved("netpolc")
        apply(lab, "b", RECHECK)
        assert not first.pushed()
        with lab.connection("b", *TCP) as second:
            kernel.restore(before)
            assert first.pushed()
            assert not second.echo(b"x")
    loaded = kernel.facts.loaded("netpolc")
    assert loaded is not None
    assert kernel.tables.content("netpolc") == loaded.digest


def test_flows_older_than_the_recheck_are_judged_too(lab: PodLab) -> None:
    apply(lab, "ab")
    with lab.connection("a", *TCP) as kept, lab.connection("b", *TCP) as ended:
        apply(lab, "a", RECHECK)
        assert kept.echo(b"x")
        assert not ended.echo(b"x")


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_a_node_and_its_pods_keep_talking(lab: PodLab, hook: str) -> None:
    options = Options(hook=hook, established="recheck")
    lab.serve(NODE, "TCP", 10250 if hook == "forward" else 10251)
    apply(lab, "a", options)
    port = 10250 if hook == "forward" else 10251
    with (
        lab.connection("s", NODE_ADDRESSES[0], "TCP", port) as to_node,
        lab.connection(NODE, *TCP) as from_node,
    ):
        apply(lab, "", options)
        assert to_node.echo(b"x")
        assert from_node.echo(b"x")


def test_the_bits_of_others_are_left_alone(fresh_lab: PodLab) -> None:
    lab = fresh_lab
    lab.node.load(MARKS_OF_OTHERS)
    options = Options(established="recheck", mark_mask=0xFF0000)
    apply(lab, "a", options)
    generations = []
    with lab.connection("a", *TCP) as flow:
        for _ in range(3):
            apply(lab, "a", options)
            assert flow.echo(b"x")
            (mark,) = lab.node.call(_marks)
            assert mark & ~0xFF0000 == 0x4001
            generations.append(mark & 0xFF0000)
    assert all(generations)
    assert all(before != after for before, after in pairwise(generations))


def test_a_mark_without_a_free_value_is_refused(
    lab: PodLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever was taken, an open flow would count as judged."""
    options = Options(established="recheck", mark_mask=0xFF)
    values = [1, 2, 3]
    monkeypatch.setattr(netpolc.Ruleset, "generations", lambda _: iter(values))
    apply(lab, "ab", options)
    before = lab.node.ruleset()
    assert "ct mark set ct mark & 0xffffff01 | 0x00000001" in before
    lab.node.call(lambda: _flows_of_marks(values[1:]))
    with pytest.raises(netpolc.SystemRefusal, match="open flows carry every value"):
        apply(lab, "a", options)
    assert lab.node.ruleset() == before


def _marks() -> list[int]:
    with NFCTSocket(nfgen_family=socket.AF_INET) as conntrack:
        return [entry.get_attr("CTA_MARK") for entry in conntrack.dump()]


def _flows_of_marks(values: Sequence[int]) -> None:
    with NFCTSocket() as conntrack:
        for mark in values:
            ends = {"family": socket.AF_INET, "proto": socket.IPPROTO_UDP}
            there = NFCTAttrTuple(saddr="10.9.1.1", daddr="10.9.1.2", sport=9, dport=mark, **ends)
            back = NFCTAttrTuple(saddr="10.9.1.2", daddr="10.9.1.1", sport=mark, dport=9, **ends)
            conntrack.entry("add", tuple_orig=there, tuple_reply=back, timeout=60, mark=mark)


@pytest.mark.parametrize("harmless", [True, False])
def test_an_icmp_error_says_nothing_of_its_flow(lab: PodLab, harmless: bool) -> None:
    """An admitted pod reports an error about a flow that is denied now. Were the flow marked by
    that, as the rule without its condition does, it would be open again.
    """
    apply(lab, "ab", RECHECK)
    program = netpolc.compile(netpolc.load_objects(snapshot("a")))
    ruleset = program.ruleset("node-a", RECHECK)
    values = ruleset.generations()
    text = ruleset.marked(next(own for own in values if own != ruleset.generation)).text()
    condition = "ct state established,new ct mark set"
    assert condition in text
    with lab.connection("b", SERVER[0], "UDP", 5353) as flow:
        lab.node.load(text if harmless else text.replace(condition, "ct mark set"))
        lab.namespace("a").call(lambda: _report_error(flow.port))
        assert flow.echo(b"x") is not harmless


def _report_error(port: int) -> None:
    """From `a` to the server: its answer to `b` did not arrive (RFC 792, host unreachable)."""
    ends = socket.inet_aton(SERVER[0]) + socket.inet_aton(ADDRESSES["b"][0])
    lost = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    lost = lost[:10] + checksum(lost) + lost[12:] + struct.pack("!HHHH", 5353, port, 8, 0)
    message = struct.pack("!BBHI", 3, 1, 0, 0) + lost
    message = message[:2] + checksum(message) + message[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.sendto(message, (SERVER[0], 0))
