"""What a bridge carries between pods by addresses that no pod is known to have.

In: a node whose bridge cni0 has two pods, with br_netfilter; a policy that closes one of them. Out:
which connections and groups get through, by whatever address.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

import netpolc
from netpolc.analysis.explain.bridged import on_a_bridge
from tests.helpers.lab import LabError, Namespace, Router, unavailable, veth
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

SIX, FOUR = socket.AF_INET6, socket.AF_INET
PODS = {"db": "20", "client": "30"}
PORT, GROUP = 5432, "224.0.0.251"


@contextmanager
def bridged(bridge: str = "cni0") -> Iterator[tuple[Router, dict[str, Namespace]]]:
    """A node and its pods: 10.64.0.N and fd00:64::N, link-local fe80::N, one more 10.99.0.N."""
    with ExitStack() as stack:
        router = stack.enter_context(Router())
        router.ip(f"link add {bridge} type bridge", f"link set {bridge} up")
        router.ip(f"addr add 10.64.0.1/24 dev {bridge}")
        try:
            router.sysctl({f"net/bridge/bridge-nf-call-{own}tables": 1 for own in ("ip", "ip6")})
        except (LabError, OSError) as error:
            pytest.skip(f"the kernel has no br_netfilter: {error}")
        made = {}
        for name, number in PODS.items():
            made[name] = own = stack.enter_context(Namespace())
            veth(router, f"to-{name}", own, "eth0")
            router.ip(f"link set to-{name} master {bridge}")
            six = (f"{net}::{number}/64" for net in ("fe80", "fd00:64"))
            own.ip(*(f"addr add {address} dev eth0 nodad" for address in six))
            own.ip(*(f"addr add 10.{net}.0.{number}/24 dev eth0" for net in (64, 99)))
        yield router, made


def snapshot(*policies: Manifest) -> netpolc.Program:
    pods = [pod(name, f"10.64.0.{at}", f"fd00:64::{at}") for name, at in PODS.items()]
    cluster = [namespace("default"), node("node-a", "192.0.2.10"), *pods]
    return netpolc.compile(netpolc.load_objects([*cluster, *policies]))


DB = {"matchLabels": {"name": "db"}}
CLOSED = policy("closed", podSelector=DB, policyTypes=["Ingress", "Egress"])


def listening(own: Namespace, kind: socket.SocketKind, port: int) -> socket.socket:
    def opened() -> socket.socket:
        bound = socket.socket(SIX, kind)
        bound.bind(("::", port))
        if kind is socket.SOCK_STREAM:
            bound.listen(8)
        else:
            member = socket.inet_aton(GROUP) + struct.pack("@Ii", 0, socket.if_nametoindex("eth0"))
            bound.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            bound.settimeout(0.5)
        return bound

    return own.call(opened)


def reaches(own: Namespace, address: str) -> bool:
    def tried() -> bool:
        version = SIX if ":" in address else FOUR
        with socket.socket(version, socket.SOCK_STREAM) as opened:
            opened.settimeout(0.7)
            if address.startswith("10.99."):  # from the other unknown address
                opened.bind(("10.99.0." + {"20": "30", "30": "20"}[address[-2:]], 0))
            where = (address, PORT) if version is FOUR else (address, PORT, 0, scope())
            return opened.connect_ex(where) == 0

    def scope() -> int:
        return socket.if_nametoindex("eth0") if address.startswith("fe80") else 0

    return own.call(tried)


def hears_group(pods: dict[str, Namespace], sender: str, hearer: str) -> bool:
    def sent() -> None:
        with socket.socket(FOUR, socket.SOCK_DGRAM) as opened:
            index = struct.pack("@4s4si", bytes(4), bytes(4), socket.if_nametoindex("eth0"))
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, index)
            opened.sendto(b"hello", (GROUP, 5353))

    with listening(pods[hearer], socket.SOCK_DGRAM, 5353) as heard:
        pods[sender].call(sent)
        try:
            return heard.recv(16) == b"hello"
        except TimeoutError:
            return False


def by_address(pods: dict[str, Namespace]) -> dict[str, bool]:
    """Whether each pod reaches the other, by each of its addresses, and by a group."""
    found = {}
    with ExitStack() as stack:
        for own in pods.values():
            stack.enter_context(listening(own, socket.SOCK_STREAM, PORT))
        for source, target in ("client", "db"), ("db", "client"):
            for net in ("10.64.0.", "10.99.0.", "fd00:64::", "fe80::"):
                address = f"{net}{PODS[target]}"
                found[f"{source} {address}"] = reaches(pods[source], address)
            found[f"{source} {GROUP}"] = hears_group(pods, source, target)
    return found


def all_pass(pods: dict[str, Namespace]) -> bool:
    """Whether everything passes, in one of a few attempts: a busy machine is slow."""
    return any(all(by_address(pods).values()) for _ in range(4))


@pytest.mark.parametrize(
    "options",
    [
        netpolc.Options(),
        netpolc.Options(hook="postrouting"),
        netpolc.Options(deny="reject"),
        netpolc.Options(established="recheck"),
        netpolc.Options(hook="postrouting", established="recheck", log="1/hour"),
    ],
    ids=netpolc.Options.describe,
)
def test_a_closed_pod_is_closed_by_every_address(options: netpolc.Options) -> None:
    with bridged() as (router, pods):
        assert all_pass(pods)
        router.load(snapshot(CLOSED).ruleset("node-a", options).text())
        assert set(by_address(pods).values()) == {False}
        router.load(snapshot(CLOSED).ruleset("node-a", netpolc.Options(audit=True)).text())
        assert all_pass(pods)


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_what_every_isolated_pod_admits_from_anybody_passes(hook: str) -> None:
    """Neighbour discovery too, without which nothing passes by IPv6; a rule that names pods is no
    rule for what could be any pod."""
    multicast = {"ports": [{"protocol": "UDP", "port": 5353}]}
    named = {"from": [{"podSelector": {}}], "ports": [{"port": PORT}]}
    admits = policy("mdns", podSelector=DB, ingress=[multicast, named])
    with bridged() as (router, pods):
        router.load(snapshot(admits).ruleset("node-a", netpolc.Options(hook=hook)).text())
        found = by_address(pods)
    passing = {own for own, passes in found.items() if passes}
    assert passing == {
        "client 10.64.0.20",
        "client fd00:64::20",
        f"client {GROUP}",
        "db 10.64.0.30",
        "db fd00:64::30",
        f"db {GROUP}",
    }


@pytest.mark.parametrize("closed", [True, False])
def test_what_is_said_of_link_local_addresses_is_what_the_kernel_does(closed: bool) -> None:
    admits = policy("open", podSelector=DB, ingress=[{"ports": [{"port": PORT}]}])
    program = snapshot(CLOSED if closed else admits)
    with bridged() as (router, pods), listening(pods["db"], socket.SOCK_STREAM, PORT):
        for name, number in PODS.items():
            pods[name].ip(f"addr add 169.254.0.{number}/16 dev eth0")
        router.load(program.ruleset("node-a").text())
        for net in ("fe80::", "169.254.0."):
            flow = netpolc.Flow(f"{net}{PODS['client']}", f"{net}{PODS['db']}", "TCP", PORT)
            assert netpolc.evaluate(program, flow).allowed  # no pod is known to be there
            said = on_a_bridge(program, flow)
            assert (said is not None) is closed
            tries = (reaches(pods["client"], f"{net}{PODS['db']}") for _ in range(4))
            assert any(tries) is not closed


def test_other_bridges_keep_what_is_not_surely_a_pods() -> None:
    """Machines on a bridge that nobody named have addresses that no pod has, too."""
    with bridged("br0") as (router, pods):
        router.load(snapshot(CLOSED).ruleset("node-a").text())
        found = by_address(pods)
        assert {own for own, passes in found.items() if passes} == {
            "client 10.99.0.20",
            "db 10.99.0.30",
        }
        router.load(
            snapshot(CLOSED).ruleset("node-a", netpolc.Options(pod_bridges=("br0",))).text()
        )
        assert set(by_address(pods).values()) == {False}


def hears_tagged(pods: dict[str, Namespace]) -> bool:
    """Whether db takes an IPv4 datagram of client in a frame with the tag of VLAN 0."""
    target, source = (
        bytes.fromhex(re.search("link/ether (\\S+)", found)[1].replace(":", ""))  # type: ignore[index]
        for found in (pods[own].run("ip", "link", "show", "eth0") for own in ("db", "client"))
    )
    ends = socket.inet_aton("10.64.0.30") + socket.inet_aton("10.64.0.20")
    head = struct.pack(">BBHHHBBH", 0x45, 0, 33, 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    total = sum(struct.unpack(">10H", head))
    head = head[:10] + struct.pack(">H", ~(total % 0xFFFF) & 0xFFFF) + ends
    frame = target + source + struct.pack(">HHH", 0x8100, 0, 0x0800) + head
    frame += struct.pack(">HHHH", 5353, 5353, 13, 0) + b"hello"

    def sent() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            raw.send(frame)

    with listening(pods["db"], socket.SOCK_DGRAM, 5353) as heard:
        pods["client"].call(sent)
        try:
            return heard.recv(16) == b"hello"
        except TimeoutError:
            return False


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_tagged_frames_are_judged_where_the_bridge_shows_them(hook: str) -> None:
    with bridged() as (router, pods):
        router.sysctl({"net/bridge/bridge-nf-filter-vlan-tagged": 1})
        assert hears_tagged(pods)
        router.load(snapshot(CLOSED).ruleset("node-a", netpolc.Options(hook=hook)).text())
        assert not hears_tagged(pods)
