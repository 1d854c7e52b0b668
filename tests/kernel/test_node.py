"""Real sockets around a node: what no single injected packet can show."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from socket import AF_INET6, inet_pton
from typing import Literal

import pytest

import netpolc
from netpolc.backends.nft.rollout.kernel import Kernel
from tests.helpers.lab import Namespace, PodLab, Router, veth
from tests.helpers.lab.packets import neighbour_solicitation
from tests.helpers.manifests import Manifest, namespace, pod, policy

pytestmark = pytest.mark.kernel
PODS = {
    "a": ("10.9.0.1", "fd00:9::1"),
    "b": ("10.9.0.2", "fd00:9::2"),
}
OUTSIDE = {"outside": ("203.0.113.7", "2001:db8::7")}
EVERYTHING: list[Manifest] = [{}]
OPEN = policy("open", podSelector={}, ingress=EVERYTHING, egress=EVERYTHING)
CLOSED = policy("closed", podSelector={}, policyTypes=["Ingress", "Egress"])


def ruleset(*policies: Manifest, hook: str = "forward", deny: str = "drop") -> netpolc.Ruleset:
    pods = [pod(f"default/{name}", *addresses) for name, addresses in PODS.items()]
    program = netpolc.compile(netpolc.load_objects([namespace("default"), *pods, *policies]))
    return program.ruleset(options=netpolc.Options(hook=hook, deny=deny))


def load(lab: PodLab, wanted: netpolc.Ruleset) -> None:
    lab.node.call(lambda: Kernel().load(wanted))


@pytest.fixture
def lab() -> Iterator[PodLab]:
    with PodLab(PODS, OUTSIDE) as lab:
        for host in ("a", "b", "outside", "node"):
            lab.serve(host, "TCP", 80)
            lab.serve(host, "UDP", 53)
        yield lab


def test_in_audit_mode_only_what_opens_a_connection_is_counted(lab: PodLab) -> None:
    """What was let pass is a known connection: neither its replies nor what follows are judged."""
    pods = [pod(f"default/{name}", *addresses) for name, addresses in PODS.items()]
    program = netpolc.compile(netpolc.load_objects([namespace("default"), *pods, CLOSED]))
    load(lab, program.ruleset(options=netpolc.Options(audit=True)))
    with lab.connection("a", "10.9.0.2", "TCP", 80) as tcp:
        for word in (b"one", b"two", b"three"):
            assert tcp.echo(word)
    loaded = lab.node.call(lambda: Kernel().facts.loaded("netpolc"))
    assert loaded is not None
    counted = {own.chain[:3]: (own.packets, own.audited) for own in loaded.drops if own.packets}
    assert {name[0]: own for name, own in counted.items()} == {"e": (1, True), "i": (1, True)}


def test_established_connections_survive_a_replace(lab: PodLab) -> None:
    load(lab, ruleset(OPEN))
    with (
        lab.connection("a", "10.9.0.2", "TCP", 80) as tcp,
        lab.connection("outside", "fd00:9::2", "TCP", 80) as tcp6,
        lab.connection("a", "10.9.0.2", "UDP", 53) as udp,
    ):
        load(lab, ruleset(CLOSED))
        assert not lab.connect("a", "10.9.0.2", "TCP", 80)
        assert not lab.connect("a", "10.9.0.2", "UDP", 53)
        assert tcp.echo(b"still here")
        assert tcp6.echo(b"still here")
        assert udp.echo(b"still here")
        load(lab, ruleset(OPEN))
        assert lab.connect("a", "10.9.0.2", "TCP", 80)


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_the_node_reaches_its_own_pods_and_they_it(lab: PodLab, hook: str) -> None:
    load(lab, ruleset(CLOSED, hook=hook))
    servers: tuple[tuple[Literal["TCP", "UDP"], int], ...] = (("TCP", 80), ("UDP", 53))
    for address in PODS["b"]:
        for protocol, port in servers:
            assert lab.connect_from_node(address, protocol, port), (hook, address, protocol)
            assert not lab.connect("a", address, protocol, port)
            assert not lab.connect("outside", address, protocol, port)
    for address in lab.addresses["node"]:
        assert lab.connect("a", address, "TCP", 80), (hook, address)


def test_postrouting_exempts_the_node_only_by_its_rule(lab: PodLab) -> None:
    """Without `fib saddr type local` the node would be denied: the rule is what lets it pass."""
    text = ruleset(CLOSED, hook="postrouting").text()
    assert text.count("fib saddr type local") == 1
    without = "\n".join(line for line in text.splitlines() if "fib saddr" not in line) + "\n"
    lab.node.load(without)
    assert not lab.connect_from_node(PODS["b"][0], "TCP", 80)


def test_reject_answers_and_drop_does_not(lab: PodLab) -> None:
    def outcome(address: str, kind: socket.SocketKind) -> int | None:
        version = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(version, kind) as opened:
            opened.settimeout(0.5)
            try:
                opened.connect((address, 80))
                opened.send(b"x")
                opened.recv(1)
            except TimeoutError:
                return None
            except OSError as error:
                return error.errno
        return 0

    def outcomes() -> list[int | None]:
        return [
            lab.namespace("a").call(lambda a=address, k=kind: outcome(a, k))  # type: ignore[misc]
            for address in PODS["b"]
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        ]

    load(lab, ruleset(CLOSED, deny="reject"))
    refused, prohibited = errno.ECONNREFUSED, {errno.EHOSTUNREACH, errno.EACCES}
    tcp4, udp4, tcp6, udp6 = outcomes()
    assert (tcp4, tcp6) == (refused, refused)
    assert {udp4, udp6} <= prohibited
    load(lab, ruleset(CLOSED, deny="drop"))
    assert outcomes() == [None] * 4


def test_denies_are_counted_for_each_combination(lab: PodLab) -> None:
    load(lab, ruleset(policy("only-b", podSelector={"matchLabels": {"name": "b"}})))
    for _ in range(3):
        assert not lab.connect("outside", PODS["b"][0], "UDP", 53, timeout=0.05)
    assert lab.connect("outside", PODS["a"][0], "UDP", 53)
    loaded = lab.node.call(lambda: Kernel().facts.loaded("netpolc"))
    assert loaded is not None
    counted = [(drop.packets, drop.policies) for drop in loaded.drops]
    assert counted == [(3, "default/only-b"), (0, "addresses of no pod")]


def test_neighbour_discovery_passes_a_bridge_that_filters() -> None:
    """With br_netfilter the bridge hands pods' frames to the hook, neighbour discovery too."""
    with Router() as node, Namespace() as a, Namespace() as b:
        node.ip("link add bridge0 type bridge", "link set bridge0 up")
        macs = {}
        for index, (name, host) in enumerate({"a": a, "b": b}.items()):
            macs[name] = f"02:00:00:00:09:0{index + 1}"
            port = f"port{index}"
            veth(node, port, host, "eth0", addresses=(f"02:00:00:00:0a:0{index}", macs[name]))
            node.ip(f"link set {port} master bridge0")
            host.ip(f"addr add {PODS[name][1]}/64 dev eth0 nodad")
        try:
            node.sysctl({"net/bridge/bridge-nf-call-ip6tables": 1})
        except OSError:
            pytest.skip("this kernel has no br_netfilter")
        closed = ruleset(CLOSED)
        node.call(lambda: Kernel().load(closed))
        ends = (inet_pton(AF_INET6, PODS[name][1]) for name in PODS)
        frame = neighbour_solicitation(bytes.fromhex(macs["a"].replace(":", "")), *ends)
        assert _arrives(a, b, frame)
        text = "\n".join(x for x in closed.text().splitlines() if "icmpv6 type" not in x) + "\n"
        node.load(text)
        assert not _arrives(a, b, frame), "the exemption is what lets it pass"


def _arrives(sender: Namespace, receiver: Namespace, frame: bytes) -> bool:
    def opened() -> socket.socket:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
        raw.bind(("eth0", 0x86DD))
        raw.settimeout(0.3)
        return raw

    with sender.call(opened) as outgoing, receiver.call(opened) as incoming:
        outgoing.send(frame)
        try:
            while True:
                if incoming.recv(2048)[14:] == frame[14:]:
                    return True
        except TimeoutError:
            return False
