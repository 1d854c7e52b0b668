"""Three namespaces in a row, and packets that show what the ruleset in the middle lets through.

In: ruleset text for the router; flows (source, destination, protocol number, port or None). Out:
for each flow whether its packet reached the far end. Refused: `ValueError` for a flow that no
router would forward whatever its rules say (loopback, multicast, ...) or that makes no packet;
`LabError` when the laboratory cannot vouch for its own answer.

source (veth) -> router, which routes everything onward -> sink (veth). A packet that does not
arrive counts as denied only if no queue on the way dropped anything: the drop counters of both
links and of the receiving socket are compared before and after.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from ipaddress import ip_address, ip_network
from itertools import cycle
from time import sleep

from tests.helpers.lab.closing import Closes
from tests.helpers.lab.namespaces import LabError, Namespace, Router, veth
from tests.helpers.lab.packets import UDP, WITH_PORTS, build, read_tag

Flow = tuple[str, str, int, int | None]
Packed = tuple[bytes, bytes, int, int | None]

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_STATISTICS = 263, 6

# A CPU queues at most net.core.netdev_max_backlog packets for veth, 1000 unless it was changed.
CHUNK = 256
# Below the number of source ports, so that none repeats while the router remembers it.
EPOCH = 20_000
SOURCE_PORTS = range(32768, 60999)
ATTEMPTS = 3
MARKER_SECONDS = 2
FIRST_MARKER_TAG = 1 << 31

SOURCE_MAC, ROUTER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
ONWARD_MAC, SINK_MAC = "02:00:00:00:00:03", "02:00:00:00:00:04"
ROUTER_LINK_LOCAL = "fe80::1"

MARKER = (bytes([169, 254, 255, 1]), bytes([169, 254, 255, 2]), UDP, 9)
REFUSED_NETWORKS = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/32",
        "127.0.0.0/8",
        "169.254.255.0/30",  # the marker's
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/127",
        "fe80::/10",
        "ff00::/8",
    )
)


@lru_cache(maxsize=1 << 17)
def _packed(address: str) -> bytes:
    parsed = ip_address(address)
    for network in REFUSED_NETWORKS:
        if parsed in network:
            raise ValueError(f"{address} is in {network}, which is never forwarded here")
    return parsed.packed


@contextmanager
def one_cpu() -> Iterator[None]:
    """Packets keep their order only in the queue of one CPU, and a thread its caches."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _packet_socket(namespace: Namespace, interface: str, protocol: int) -> socket.socket:
    def opened() -> socket.socket:
        # Bound before anything can be queued: protocol 0 receives nothing.
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        packets.bind((interface, protocol))
        return packets

    return namespace.call(opened)


class Injector(Closes):
    """Judges flows by sending one packet each; a context manager."""

    def __init__(self) -> None:
        self._tags = 0
        self._marker_tags = FIRST_MARKER_TAG
        self._ports = cycle(SOURCE_PORTS)
        self._remembered: set[tuple[bytes, bytes, int, int, int]] = set()
        with ExitStack() as stack:
            self.source = stack.enter_context(Namespace())
            self.router = stack.enter_context(Router())
            self.sink = stack.enter_context(Namespace())
            self._connect()
            self.sender = stack.enter_context(_packet_socket(self.source, "out", 0))
            self.receiver = stack.enter_context(_packet_socket(self.sink, "in", ETH_P_ALL))
            self.receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            self.receiver.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", MARKER_SECONDS, 0)
            )
            self._stack = stack.pop_all()
        self._link = bytes.fromhex((ROUTER_MAC + SOURCE_MAC).replace(":", ""))
        self._dropped_by_socket = 0

    def _connect(self) -> None:
        self.sink.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})
        veth(self.source, "out", self.router, "source", addresses=(SOURCE_MAC, ROUTER_MAC))
        veth(self.router, "sink", self.sink, "in", addresses=(ONWARD_MAC, SINK_MAC))
        self.router.ip(
            f"neigh add 169.254.255.254 lladdr {SINK_MAC} nud permanent dev sink",
            f"neigh add fe80::ffff lladdr {SINK_MAC} nud permanent dev sink",
            "route add default via 169.254.255.254 dev sink onlink",
            "route add default via fe80::ffff dev sink",
            f"addr add {ROUTER_LINK_LOCAL}/64 dev source nodad",
        )

    def close(self) -> None:
        """Close the sockets and let the namespaces vanish."""
        self._stack.close()

    def load(self, text: str) -> None:
        """Load a ruleset into the router; `RulesetError` when it is refused."""
        self.router.load(text)

    def flush(self) -> None:
        """Remove every table from the router and forget every connection."""
        self.router.flush()
        self._forget()

    def judge(self, flows: Sequence[Flow]) -> list[bool]:
        """Whether one packet of each flow (source, destination, protocol, port) arrives.

        Every packet is the first of its connection: never a reply to an earlier one, nor its twin.
        Connection tracking calls it new, except ICMP in IPv6 and ICMPv6 in IPv4, which it calls
        invalid.
        """
        packed = [self._checked(flow) for flow in flows]
        for _ in range(ATTEMPTS):
            before = self._losses()
            try:
                arrived = self._injected(packed)
            except BaseException:
                # Left in the socket, the rest would look like late packets to the next call.
                self._drain()
                raise
            if self._losses() == before:
                if arrived is None:
                    raise LabError("a marker was lost: the ruleset drops what no policy selects")
                return arrived
            self._drain()
        raise LabError(f"queues between the namespaces overflowed {ATTEMPTS} times")

    def _checked(self, flow: Flow) -> Packed:
        source, destination, protocol, port = flow
        try:
            packed = (_packed(source), _packed(destination), protocol, port)
            if not 0 <= protocol <= 255 or not 0 <= (port or 0) <= 65535:
                raise ValueError("a number is out of range")
            # What cannot be built is refused before the first packet leaves.
            build(self._link, *packed, source_port=1, tag=1)
        except ValueError as error:
            raise ValueError(f"{flow}: {error}") from error
        return packed

    def _losses(self) -> tuple[int, int, int]:
        """Packets dropped by queues: toward the router, toward the sink, at the socket."""
        counts = self.receiver.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        # Reading the socket's statistics resets them.
        self._dropped_by_socket += struct.unpack("II", counts)[1]
        return (
            _transmit_drops(self.source, "out"),
            _transmit_drops(self.router, "sink"),
            self._dropped_by_socket,
        )

    def _injected(self, flows: Sequence[Packed]) -> list[bool] | None:
        """Arrived or not for each flow; None when a marker was lost."""
        arrived = [False] * len(flows)
        awaited: dict[int, int] = {}
        pending = deque(range(len(flows)))
        with one_cpu():
            while pending:
                frames = self._chunk(flows, pending, awaited)
                for frame in frames:
                    self.sender.send(frame)
                if not self._collect(awaited, arrived):
                    return None
            self._check_quiet()
        return arrived

    def _chunk(
        self, flows: Sequence[Packed], pending: deque[int], awaited: dict[int, int]
    ) -> list[bytes]:
        """Frames for the next flows; one that would look like a reply goes back in the queue."""
        if len(self._remembered) > EPOCH - CHUNK:
            self._forget()
        frames: list[bytes] = []
        put_back: list[int] = []
        for _ in range(min(CHUNK, len(pending))):
            index = pending.popleft()
            source_port = self._source_port(flows[index])
            if source_port is None:
                put_back.append(index)
                continue
            self._tags += 1
            awaited[self._tags] = index
            frames.append(build(self._link, *flows[index], source_port=source_port, tag=self._tags))
        pending.extend(put_back)
        if not frames:
            self._forget()
        return frames

    def _source_port(self, flow: Packed) -> int | None:
        """A port that makes the packet new; None if only forgetting would.

        Connection tracking knows a protocol without ports, GRE included, by its two addresses.
        Echo requests are told by their type: one is never the reply to another.
        """
        source, destination, protocol, port = flow
        if protocol not in WITH_PORTS:
            if (destination, source, protocol, 0, 0) in self._remembered:
                return None
            self._remembered.add((source, destination, protocol, 0, 0))
            return next(self._ports)
        while True:
            chosen = next(self._ports)
            reply = (destination, source, protocol, port or 0, chosen)
            if chosen != port and reply not in self._remembered:
                self._remembered.add((source, destination, protocol, chosen, port or 0))
                return chosen

    def _collect(self, awaited: dict[int, int], arrived: list[bool]) -> bool:
        """Send a marker and note every arrival up to it; False if it never comes."""
        self._marker_tags += 1
        marker = self._marker_tags
        self.sender.send(build(self._link, *MARKER, source_port=9, tag=marker))
        while True:
            try:
                tag = read_tag(self.receiver.recv(256))
            except BlockingIOError:
                return False
            if tag == marker:
                return True
            if tag is None:
                continue
            index = awaited.pop(tag, None)
            if index is None:
                raise LabError(f"packet {tag} arrived twice, or late")
            arrived[index] = True

    def _drain(self) -> None:
        """Discard what an attempt that lost packets left behind."""
        sleep(0.01)
        while True:
            try:
                self.receiver.recv(256, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return

    def _check_quiet(self) -> None:
        sleep(0.001)
        while True:
            try:
                tag = read_tag(self.receiver.recv(256, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return
            if tag is not None:
                raise LabError(f"packet {tag} arrived after the last marker")

    def _forget(self) -> None:
        self.router.forget_connections()
        self._remembered.clear()


def _transmit_drops(namespace: Namespace, interface: str) -> int:
    for line in namespace.read("/proc/thread-self/net/dev").splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == interface:
            return int(counters.split()[11])
    raise LabError(f"interface {interface} is gone")
