"""What else a pod leaves in connection tracking: ICMP, and what helpers expect of its address.

In: a pod whose address goes to a closed one; echo requests of one identifier, and connections that
the kernel expects of that address, made by a rule as helpers make them, and over netlink. Out:
which packets still come through, as the next pod sends and hears them.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

import netpolc
from netpolc.backends.nft.netlink.attributes import nested
from netpolc.backends.nft.netlink.attributes import packed as attribute
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.rollout.rollout import Plan, roll_out
from netpolc.core.nets import IPV6
from tests.helpers.lab import PodLab, RulesetError
from tests.helpers.lab.pods import NODE_ADDRESSES
from tests.helpers.manifests import namespace, node, pod, policy

pytestmark = pytest.mark.kernel
OLD, OTHER = ("10.9.0.1", "fd00:9::1"), ("10.9.0.2", "fd00:9::2")
EXPECTING = """
table inet expecting {
  ct expectation data { protocol udp; dport 9876; timeout 60s; size 8; l3proto ip; }
  chain prerouting {
    type filter hook prerouting priority 0;
    udp dport 7000 ct state new ct expectation set "data"
  }
}
"""
"""The server of port 7000 is expected to open a flow to its client's port 9876."""
HELPED = """
table inet helped {
  ct helper tftp { type "tftp" protocol udp; }
  chain prerouting {
    type filter hook prerouting priority 0;
    ip daddr 192.0.2.1 udp dport 7000 ct helper set "tftp"
  }
}
"""
"""Only a flow with a helper takes what is expected over netlink."""
CLOSED = policy("vault", podSelector={"matchLabels": {"name": "vault"}},
                policyTypes=["Ingress", "Egress"])  # fmt: skip
NEW_EXPECTED = 2 << 8  # NFNL_SUBSYS_CTNETLINK_EXP << 8 | IPCTNL_MSG_EXP_NEW
IDENTIFIER = 0x4E50
CREATE = 0x405  # NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE


@pytest.fixture(scope="module")
def shared_lab() -> Iterator[PodLab]:
    with PodLab({"old": OLD, "other": OTHER}) as lab:
        lab.serve("old", "UDP", 7000)
        lab.serve("node", "UDP", 7000)
        yield lab


@pytest.fixture(params=["listed", "flushed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How flows of IPv4 are forgotten: the agent has the kernel look for them."""
    listed = conntrack.forget_addresses

    def flushed(addresses: Sequence[int]) -> int:
        if not conntrack.FlowFlusher().flush([own for own in addresses if own < IPV6]):
            pytest.skip("the kernel cannot flush by an address")
        return listed([own for own in addresses if own >= IPV6])

    if request.param == "flushed":
        monkeypatch.setattr(conntrack, "forget_addresses", flushed)
    return str(request.param)


def apply(lab: PodLab, name: str, uid: str) -> None:
    """The pod of the address OLD is now this one; `vault` is closed."""
    owner = pod("default/own", *OLD, name=name)
    owner["metadata"]["uid"] = uid
    objects = [namespace("default"), node("node-a", "192.0.2.1"), pod("default/other", *OTHER)]
    ruleset = netpolc.compile(netpolc.load_objects([*objects, owner, CLOSED])).ruleset("node-a")
    lab.node.call(lambda: roll_out(Kernel(), ruleset, Plan()))


@contextmanager
def pinging(lab: PodLab, name: str) -> Iterator[list[socket.socket]]:
    """Raw sockets of a pod for both families."""
    kinds = ((socket.AF_INET, socket.IPPROTO_ICMP), (socket.AF_INET6, socket.IPPROTO_ICMPV6))
    with ExitStack() as stack:
        yield lab.namespace(name).call(
            lambda: [
                stack.enter_context(socket.socket(family, socket.SOCK_RAW, protocol))
                for family, protocol in kinds
            ]
        )


def echoes(opened: socket.socket, address: str, timeout: float = 0.5) -> bool:
    """Whether an echo request (RFC 792, RFC 4443) of the one identifier is answered."""
    six = opened.family == socket.AF_INET6
    message = bytearray(struct.pack("!BBHHH", 128 if six else 8, 0, 0, IDENTIFIER, 1))
    if not six:  # the kernel sums those of ICMPv6
        total = sum(struct.unpack("!4H", message))
        struct.pack_into("!H", message, 2, ~(total + (total >> 16)) & 0xFFFF)
    opened.sendto(message, (address, 0))
    until = time.monotonic() + timeout
    answer = struct.pack("!BBxxH", 129 if six else 0, 0, IDENTIFIER)
    while (left := until - time.monotonic()) > 0:
        opened.settimeout(left)
        try:
            heard = opened.recv(256)[0 if six else 20 :]
        except TimeoutError:
            return False
        if heard[:2] + heard[4:6] == answer[:2] + answer[4:6]:
            return True
    return False


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("uid", ["1", "2"], ids=["same", "next"])
@pytest.mark.parametrize("number", [0, 1], ids=["IPv4", "IPv6"])
def test_echoes_reach_the_pod_they_were_for_and_no_other(
    lab: PodLab, number: int, uid: str
) -> None:
    apply(lab, "open", "1")
    with pinging(lab, "other") as sockets:
        assert any(echoes(sockets[number], OLD[number]) for _ in range(3))
        apply(lab, "vault", uid)
        if uid == "1":  # the pod got labels that close it: what was open stays open
            assert any(echoes(sockets[number], OLD[number]) for _ in range(3))
        else:
            assert not echoes(sockets[number], OLD[number])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("uid", ["1", "2"], ids=["same", "next"])
def test_what_was_expected_of_a_pod_is_not_the_next_ones_to_do(lab: PodLab, uid: str) -> None:
    """A flow that is expected is `related`, and passes no policy."""
    lab.node.load(EXPECTING)
    apply(lab, "open", "1")
    with lab.connection("other", OLD[0], "UDP", 7000) as flow:
        assert flow.echo(b"begun")
        apply(lab, "vault", uid)
        assert arrives(lab, 9876) is (uid == "1")
        assert not arrives(lab, 9875)  # which nobody expects


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("uid", ["1", "2"], ids=["same", "next"])
def test_what_a_flow_of_others_expects_of_a_pod_goes_with_it(lab: PodLab, uid: str) -> None:
    """As where a server announces another: the flow that expects it goes on."""
    try:
        lab.node.load(HELPED)
    except RulesetError as error:
        pytest.skip(f"the kernel has no helper for TFTP: {error}")
    apply(lab, "open", "1")
    with lab.connection("other", NODE_ADDRESSES[0], "UDP", 7000) as flow:
        expect(lab, flow.port)
        apply(lab, "vault", uid)
        assert arrives(lab, 9877) is (uid == "1")
        assert flow.echo(b"of others")


def arrives(lab: PodLab, port: int) -> bool:
    """Whether what the pod at OLD sends reaches the other one."""

    def receiver() -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((OTHER[0], port))
        opened.settimeout(0.5)
        return opened

    def sent() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.sendto(b"data", (OTHER[0], port))

    with lab.namespace("other").call(receiver) as heard:
        for _ in range(2):
            lab.namespace("old").call(sent)
            try:
                return heard.recv(16) == b"data"
            except TimeoutError:
                pass
    return False


def expect(lab: PodLab, client: int) -> None:
    """Let the flow between the other pod's port and the node expect one from OLD to port 9877."""

    def ends(source: str, destination: str, *ports: int) -> bytes:
        packed = (socket.inet_aton(own) for own in (source, destination))
        addresses = b"".join(attribute(at, own) for at, own in enumerate(packed, 1))
        numbers = b"".join(attribute(at, own.to_bytes(2, "big")) for at, own in enumerate(ports, 2))
        service = attribute(1, bytes([socket.IPPROTO_UDP])) + numbers
        return nested(1, addresses) + nested(2, service)

    master = ends(OTHER[0], NODE_ADDRESSES[0], client, 7000)
    expected = ends(OLD[0], OTHER[0], 0, 9877)
    mask = ends("255.255.255.255", "255.255.255.255", 0, 0xFFFF)
    parts = (master, expected, mask)
    body = struct.pack("=BBH", socket.AF_INET, 0, 0)
    body += b"".join(nested(at, own) for at, own in enumerate(parts, 1))
    body += attribute(4, (60).to_bytes(4, "big"))
    head = struct.pack("=IHHII", 16 + len(body), NEW_EXPECTED, CREATE, 1, 0)

    def ask() -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:
            netlink.settimeout(5)
            netlink.send(head + body)
            (error,) = struct.unpack_from("=i", netlink.recv(4096), 16)
            assert error == 0, os.strerror(-error)

    lab.node.call(ask)
