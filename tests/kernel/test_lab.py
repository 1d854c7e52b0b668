"""The laboratory judged by itself: what arrives, what is missing, and what is left behind."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.helpers.lab import (
    Flow,
    Injector,
    LabError,
    Namespace,
    PodLab,
    Probe,
    RulesetError,
)
from tests.helpers.lab.injector import ROUTER_LINK_LOCAL, SOURCE_PORTS
from tests.helpers.lab.packets import build, crc32c, neighbour_solicitation, read_tag

pytestmark = pytest.mark.kernel

TCP, UDP, SCTP, ICMP, ICMPV6, GRE = 6, 17, 132, 1, 58, 47

NEW_ONLY = """
table inet t {
  chain c {
    type filter hook forward priority filter; policy accept;
    ct state != new drop
  }
}
"""

SOME = """
table inet t {
  chain c {
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    tcp dport 80-20000 reject with tcp reset
    ip saddr 10.0.0.0/28 drop
    ip6 daddr 2001:db8::/124 udp dport 1-30000 reject
    sctp dport 30000-65535 drop
    meta l4proto 47 drop
    icmp type echo-request ip daddr 10.0.0.64/26 drop
    icmpv6 type echo-request ip6 saddr 2001:db8::80/121 drop
  }
}
"""

FORWARD_DROP = """
table inet t
delete table inet t
table inet t {
  chain c {
    type filter hook forward priority filter; policy drop;
    ct state established accept
  }
}
"""

PODS = {f"pod{n}": (f"10.1.0.{n}", f"2001:db8:1::{n}") for n in range(1, 7)}
OUTSIDE = {"outside": ("203.0.113.5", "2001:db8:2::5")}


def _among(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network)


def _passes_some(flow: Flow) -> bool:
    """The ruleset SOME, by hand."""
    source, destination, protocol, port = flow
    number = port or 0
    return not (
        (protocol == TCP and 80 <= number <= 20000)
        or _among(source, "10.0.0.0/28")
        or (protocol == UDP and _among(destination, "2001:db8::/124") and number <= 30000)
        or (protocol == SCTP and number >= 30000)
        or protocol == GRE
        or (protocol == ICMP and _among(destination, "10.0.0.64/26"))
        or (protocol == ICMPV6 and _among(source, "2001:db8::80/121"))
    )


def _flows(count: int, seed: int) -> list[Flow]:
    chosen = random.Random(seed)
    flows: list[Flow] = []
    for _ in range(count):
        if chosen.random() < 0.5:
            ends = [f"10.0.0.{chosen.randrange(256)}" for _ in range(2)]
            protocol = chosen.choice((TCP, UDP, SCTP, ICMP, GRE, 99))
        else:
            ends = [f"2001:db8::{chosen.randrange(256):x}" for _ in range(2)]
            protocol = chosen.choice((TCP, UDP, SCTP, ICMPV6, GRE, 99))
        port = chosen.randrange(1, 65536) if protocol in (TCP, UDP, SCTP) else None
        flows.append((ends[0], ends[1], protocol, port))
    return flows


@pytest.fixture
def empty(injector: Injector) -> Iterator[Injector]:
    """The session's injector, without rules before and after."""
    injector.flush()
    yield injector
    injector.flush()


def test_without_rules_everything_arrives(empty: Injector) -> None:
    assert all(empty.judge(_flows(5000, 1)))


def test_exactly_the_dropped_flows_are_missing(empty: Injector) -> None:
    flows = _flows(5000, 2)
    expected = [_passes_some(flow) for flow in flows]
    assert 1000 < sum(expected) < 4000
    empty.load(SOME)
    assert empty.judge(flows) == expected


def test_every_packet_is_new_to_connection_tracking(empty: Injector) -> None:
    """Wrong checksums, replies and repeated ports would be dropped as not new."""
    both_ways: list[Flow] = [
        (source, destination, TCP, port)
        for port in range(32768, 60999, 9)
        for source, destination in (("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1"))
    ]
    portless: list[Flow] = [
        (f"10.0.{a}.1", f"10.0.{b}.1", GRE, None) for a in range(12) for b in range(12)
    ]
    empty.load(NEW_ONLY)
    assert all(empty.judge(both_ways + portless + _flows(20000, 3)))


def test_source_port_never_answers_an_earlier_flow() -> None:
    """Taken in turn, the last flow's source port would make it a reply to the first."""
    first, distance = SOURCE_PORTS.start, 100
    flows: list[Flow] = [("10.0.0.1", "10.0.0.2", TCP, first + distance)]
    flows += [("10.0.0.3", "10.0.0.4", TCP, 80)] * (distance - 1)
    flows += [("10.0.0.2", "10.0.0.1", TCP, first)]
    with Injector() as fresh:
        fresh.load(NEW_ONLY)
        assert all(fresh.judge(flows))


def test_same_flow_again_and_again(empty: Injector) -> None:
    """More often than there are source ports, so that the router has to forget in between."""
    empty.load(NEW_ONLY)
    assert all(empty.judge([("10.0.0.1", "10.0.0.1", TCP, 53)] * 2 * len(SOURCE_PORTS)))
    assert empty.judge([]) == []


@pytest.mark.parametrize(
    "flow",
    [
        ("127.0.0.1", "10.0.0.1", TCP, 80),
        ("10.0.0.1", "224.0.0.1", UDP, 80),
        ("0.0.0.0", "10.0.0.1", TCP, 80),
        ("169.254.255.1", "10.0.0.1", TCP, 80),
        ("fe80::1", "2001:db8::1", TCP, 80),
        ("2001:db8::1", "ff02::1", UDP, 80),
        ("10.0.0.1", "2001:db8::1", TCP, 80),
        ("10.0.0.1", "10.0.0.2", TCP, None),
        ("10.0.0.1", "10.0.0.2", GRE, 80),
        ("10.0.0.1", "10.0.0.2", TCP, 65536),
        ("10.0.0.1", "10.0.0.2", 256, None),
        ("2001:db8::1", "2001:db8::2", 44, None),
        ("10.0.0.300", "10.0.0.2", TCP, 80),
    ],
)
def test_unjudgeable_flows_are_refused(empty: Injector, flow: Flow) -> None:
    with pytest.raises(ValueError, match=f"{flow[2]}"):
        empty.judge([flow])


def test_refused_ruleset_says_why(empty: Injector) -> None:
    with pytest.raises(RulesetError, match="No such file or directory"):
        empty.load("delete table inet absent")


def test_lost_marker_is_an_error(empty: Injector) -> None:
    empty.load(FORWARD_DROP)
    with pytest.raises(LabError, match="marker"):
        empty.judge([("10.0.0.1", "10.0.0.2", TCP, 80)])
    empty.flush()
    assert empty.judge([("10.0.0.1", "10.0.0.2", TCP, 80)]) == [True]


def test_packet_that_arrives_twice_is_an_error(empty: Injector) -> None:
    empty.load(
        """
table netdev t {
  chain c {
    type filter hook ingress device source priority 0; policy accept;
    udp dport 7 dup to sink
  }
}
"""
    )
    with pytest.raises(LabError, match="twice"):
        empty.judge([("10.0.0.1", "10.0.0.2", UDP, 7)])


def test_router_answers_solicitations_while_it_forwards_nothing(empty: Injector) -> None:
    empty.load(FORWARD_DROP)
    asking, target = ip_address("fe80::99").packed, ip_address(ROUTER_LINK_LOCAL).packed

    def advertised() -> bool:
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        with packets:
            packets.bind(("out", 3))
            packets.settimeout(1)
            packets.send(neighbour_solicitation(b"\x02\0\0\0\0\x01", asking, target))
            while True:
                frame = packets.recv(256)
                if frame[54:55] == b"\x88":
                    return frame[62:78] == target

    assert empty.source.call(advertised)


def test_checksum_of_sctp() -> None:
    """The check value of CRC-32C for the digits 1 to 9."""
    assert crc32c(b"123456789") == (0xE3069283).to_bytes(4, "little")


@pytest.mark.parametrize("protocol", [TCP, UDP, SCTP, ICMP, GRE])
def test_tag_of_a_frame(protocol: int) -> None:
    port = 80 if protocol in (TCP, UDP, SCTP) else None
    frame = build(bytes(12), b"\x0a\0\0\1", b"\x0a\0\0\2", protocol, port, source_port=9, tag=77)
    assert read_tag(frame) == 77
    assert read_tag(frame[:30]) is None
    assert read_tag(bytes(12) + b"\x08\x06" + frame[14:]) is None


@pytest.mark.parametrize("static_neighbours", [True, False])
def test_pods_reach_each_other(static_neighbours: bool) -> None:
    with PodLab(PODS, OUTSIDE, static_neighbours=static_neighbours) as lab:
        for name in lab.addresses:
            lab.serve(name, "TCP", 80)
            lab.serve(name, "UDP", 53)
        probes = [
            probe
            for source in lab.addresses
            for addresses in lab.addresses.values()
            for address in addresses
            for probe in (Probe(source, address, "TCP", 80), Probe(source, address, "UDP", 53))
        ]
        assert all(lab.connect_all(probes, timeout=5))
        assert not lab.connect("pod1", "10.1.0.2", "TCP", 81)
        lab.node.load(FORWARD_DROP)
        local = [
            "node" in (probe.source, probe.destination)
            or probe.destination in (*lab.addresses["node"], *lab.addresses[probe.source])
            for probe in probes
        ]
        assert lab.connect_all(probes) == local
        assert lab.connect_from_node("2001:db8:1::1", "UDP", 53)


def test_established_connections_survive_a_replaced_table() -> None:
    with PodLab(PODS, OUTSIDE) as lab:
        lab.serve("pod1", "TCP", 80)
        lab.serve("pod1", "UDP", 53)
        with (
            lab.connection("pod2", "10.1.0.1", "TCP", 80) as stream,
            lab.connection("outside", "2001:db8:1::1", "UDP", 53) as datagrams,
        ):
            for _ in range(3):
                lab.node.load(FORWARD_DROP)
                assert stream.echo(b"still here")
                assert datagrams.echo(b"still here")
                assert not lab.connect("pod2", "10.1.0.1", "TCP", 80, timeout=0.1)
            lab.node.load(FORWARD_DROP.replace("ct state established accept", ""))
            assert not stream.echo(b"gone")
            assert not datagrams.echo(b"gone")
            lab.node.flush()
            assert stream.echo(b"back", timeout=3)
        with pytest.raises(LabError, match="not established"):
            lab.connection("pod2", "10.1.0.1", "TCP", 81)


def test_rejected_connections_are_refused_at_once() -> None:
    with PodLab(PODS) as lab:
        lab.serve("pod1", "TCP", 80)
        lab.node.load(FORWARD_DROP.replace("ct state established accept", "reject"))
        began = monotonic()
        assert not lab.connect("pod2", "10.1.0.1", "TCP", 80, timeout=30)
        assert not lab.connect("pod2", "2001:db8:1::1", "UDP", 80, timeout=30)
        assert monotonic() - began < 30, "waited for an answer that was there"


def test_pod_lab_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="node"):
        PodLab({"node": ("10.0.0.1",)})
    with PodLab({"a": ("10.0.0.1",)}) as lab:
        with pytest.raises(ValueError, match="no host is called 'b'"):
            lab.connect("b", "10.0.0.1", "TCP", 80)
        with pytest.raises(ValueError, match="a has no address"):
            lab.connect("a", "2001:db8::1", "TCP", 80)
        with pytest.raises(ValueError, match="only TCP and UDP"):
            lab.serve("a", "SCTP", 80)  # type: ignore[arg-type]
        lab.serve("a", "TCP", 80)
        with pytest.raises(OSError, match="in use"):
            lab.serve("a", "TCP", 80)


def _traces() -> tuple[set[str], set[str], set[str]]:
    """Interfaces of this namespace, named namespaces, and namespaces held by this process."""
    named = Path("/var/run/netns")
    held = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue  # The descriptor that lists the folder.
        if target.startswith("net:["):
            held.add(target)
    return (
        {name for _, name in socket.if_nameindex()},
        {path.name for path in named.iterdir()} if named.is_dir() else set(),
        held,
    )


def test_nothing_is_left_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _traces()

    def failing() -> None:
        with Injector() as injector, PodLab(PODS) as lab:
            injector.judge([("10.0.0.1", "10.0.0.2", TCP, 80)])
            lab.serve("pod1", "TCP", 80)
            assert _traces()[2] > before[2]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert _traces() == before

    def broken(self: PodLab, number: int, name: str) -> None:
        raise ZeroDivisionError(name)

    monkeypatch.setattr(PodLab, "_attach", broken)
    with pytest.raises(ZeroDivisionError):
        PodLab(PODS)
    assert _traces() == before


def test_nothing_is_left_after_a_kill() -> None:
    """A link into the victim's namespace lives exactly as long as that namespace."""
    program = (
        "from tests.helpers.lab import Namespace as N; n = N(); print(n.path, flush=True); input()"
    )
    with Namespace() as witness:
        victim = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with victim:
            assert victim.stdout is not None
            path = victim.stdout.readline().strip()
            witness.ip(f"link add near type veth peer name far netns {path}")
            victim.kill()
        deadline = monotonic() + 10
        while "near" in witness.run("ip", "-brief", "link"):
            assert monotonic() < deadline
            sleep(0.05)
