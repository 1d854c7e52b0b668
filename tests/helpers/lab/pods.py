"""A node, its pods and hosts beyond, as namespaces with real sockets between them.

In: names and addresses of pods and of external hosts; ports to serve; connections to try. Out:
whether a real TCP handshake or UDP exchange, with an echo, came through the node's forward hook.
Refused: SCTP (a kernel may lack its sockets), unknown names, and a destination of a family that
the source has no address of (`ValueError`).

Every host but the node has one interface, its addresses as /32 or /128, and the node as its
on-link gateway, as pods have in clusters without an overlay.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from time import monotonic
from typing import Literal

from tests.helpers.lab.closing import Closes
from tests.helpers.lab.echo import EchoServer
from tests.helpers.lab.namespaces import LabError, Namespace, Router, veth

Protocol = Literal["TCP", "UDP"]

NODE = "node"
NODE_ADDRESSES = ("192.0.2.1", "2001:db8:ffff::1")
GATEWAYS = {4: "169.254.1.1", 6: "fe80::1"}
# The kernel tracks connections only while a rule asks for it; on a real node kube-proxy's do.
TRACKING = """
table inet lab_tracking {
  chain prerouting {
    type filter hook prerouting priority raw + 10; policy accept;
    ct state new accept
  }
}
"""
SOCKET_KINDS: Mapping[Protocol, socket.SocketKind] = {
    "TCP": socket.SOCK_STREAM,
    "UDP": socket.SOCK_DGRAM,
}


@dataclass(frozen=True, slots=True)
class Probe:
    """A connection to try: from a host's first address of the destination's family."""

    source: str
    destination: str
    protocol: Protocol
    port: int


@dataclass(slots=True)
class _Attempt:
    socket: socket.socket
    nonce: bytes = field(default_factory=lambda: os.urandom(8))
    answer: bytes = b""
    result: bool | None = None

    def advance(self, events: int, selector: DefaultSelector) -> None:
        """Take the next step: the handshake's outcome, the nonce, its echo."""
        try:
            if events & EVENT_WRITE:
                self.socket.send(self.nonce)
                selector.modify(self.socket, EVENT_READ, self)
                return
            received = self.socket.recv(64)
        except OSError:
            # Refused, unreachable or, for what the node itself sends, dropped by its own hook:
            # every way a ruleset can say no, other than silence.
            self.result = False
        else:
            self.answer += received
            if not received or len(self.answer) >= len(self.nonce):
                self.result = self.answer == self.nonce
        if self.result is not None:
            selector.unregister(self.socket)


class Connection(Closes):
    """A live connection to an echo server; a context manager."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._sent = 0
        self._received = b""

    @property
    def port(self) -> int:
        """The port of the end that opened it."""
        return int(self._socket.getsockname()[1])

    def echo(self, data: bytes, timeout: float = 0.3) -> bool:
        """Whether the data comes back in time; echoes that come late are not taken for it."""
        self._sent += 1
        message = self._sent.to_bytes(8, "big") + data
        deadline = monotonic() + timeout
        try:
            self._socket.send(message)
            while not self._received.endswith(message):
                self._socket.settimeout(max(deadline - monotonic(), 0.001))
                received = self._socket.recv(65536)
                if not received:
                    return False
                self._received += received
        except OSError:
            # Timed out, reset or unreachable: the ruleset's ways of breaking a connection.
            return False
        self._received = b""
        return True

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class PodLab(Closes):
    """Pods and external hosts around one node, whose ruleset is `node.load(text)`.

    `static_neighbours=False` lets ARP and neighbour discovery run, as they do on a real node;
    `tracking=False` leaves connections untracked until a ruleset asks for their state.
    """

    def __init__(
        self,
        pods: Mapping[str, Sequence[str]],
        external: Mapping[str, Sequence[str]] | None = None,
        *,
        node: Sequence[str] = NODE_ADDRESSES,
        static_neighbours: bool = True,
        tracking: bool = True,
    ) -> None:
        hosts = {**pods, **(external or {})}
        if len(hosts) < len(pods) + len(external or {}) or NODE in hosts:
            raise ValueError(f"two hosts have one name, or one is called {NODE!r}")
        self.addresses = {NODE: tuple(node)} | {name: tuple(hosts[name]) for name in hosts}
        self._static_neighbours = static_neighbours
        with ExitStack() as stack:
            self.node = stack.enter_context(Router())
            self.node.ip(*(f"addr add {address} dev lo" for address in node))
            if tracking:
                self.node.load(TRACKING)
            self._namespaces: dict[str, Namespace] = {NODE: self.node}
            for number, name in enumerate(hosts):
                self._namespaces[name] = stack.enter_context(Namespace())
                self._attach(number, name)
            self._server = stack.enter_context(EchoServer())
            self._stack = stack.pop_all()

    def _attach(self, number: int, name: str) -> None:
        near = f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}"
        far = f"02:00:00:02:{number >> 8:02x}:{number & 255:02x}"
        host, link = self._namespaces[name], f"pod{number}"
        veth(self.node, link, host, "eth0", addresses=(near, far))
        families = {ip_address(address).version for address in self.addresses[name]}
        on_node, on_host = [], []
        for family in sorted(families):
            gateway = GATEWAYS[family]
            on_node.append(f"addr add {gateway}/{32 if family == 4 else 64} dev {link}")
            if self._static_neighbours:
                on_host.append(f"neigh add {gateway} lladdr {near} nud permanent dev eth0")
        for address in self.addresses[name]:
            # IPv6 addresses are tentative until a queue is served, also without detection.
            nodad = " nodad" if ":" in address else ""
            on_host.append(f"addr add {address} dev eth0{nodad}")
            on_node.append(f"route add {address} dev {link}")
            if self._static_neighbours:
                on_node.append(f"neigh add {address} lladdr {far} nud permanent dev {link}")
        on_host += [
            f"route add default via {GATEWAYS[family]} dev eth0 onlink" for family in families
        ]
        self.node.ip(*on_node)
        host.ip(*on_host)

    def close(self) -> None:
        """Stop serving and let the namespaces vanish."""
        self._stack.close()

    def namespace(self, name: str) -> Namespace:
        """The namespace of a pod, an external host or the node."""
        if name not in self._namespaces:
            raise ValueError(f"no host is called {name!r}")
        return self._namespaces[name]

    def serve(self, name: str, protocol: Protocol, port: int) -> None:
        """Echo whatever arrives at this port, on every address of the host."""
        kind = _kind(protocol)

        def listening() -> list[socket.socket]:
            with ExitStack() as stack:
                sockets = [
                    stack.enter_context(_bound(address, kind, port))
                    for address in self.addresses[name]
                ]
                if kind is socket.SOCK_STREAM:
                    for listener in sockets:
                        listener.listen(256)
                stack.pop_all()
                return sockets

        for opened in self.namespace(name).call(listening):
            self._server.add(opened)

    def connect(
        self, source: str, destination: str, protocol: Protocol, port: int, timeout: float = 0.3
    ) -> bool:
        """Whether a host reaches a server: handshake and echo within `timeout` seconds."""
        return self.connect_all([Probe(source, destination, protocol, port)], timeout)[0]

    def connect_from_node(
        self, destination: str, protocol: Protocol, port: int, timeout: float = 0.3
    ) -> bool:
        """Whether the node itself reaches a server; its packets never pass the forward hook."""
        return self.connect(NODE, destination, protocol, port, timeout)

    def connect_all(self, probes: Sequence[Probe], timeout: float = 0.3) -> list[bool]:
        """Try every connection at once; the answers in order."""
        with ExitStack() as stack:
            attempts = self._attempts(probes, timeout, stack)
            return [attempt.result is True for attempt in attempts]

    def connection(
        self, source: str, destination: str, protocol: Protocol, port: int, timeout: float = 30.0
    ) -> Connection:
        """An established connection, to be tried again later; `LabError` if there is none."""
        probe = Probe(source, destination, protocol, port)
        with ExitStack() as stack:
            attempt = self._attempts([probe], timeout, stack)[0]
            if attempt.result is not True:
                raise LabError(f"{probe} was not established")
            stack.pop_all()
        attempt.socket.setblocking(True)
        return Connection(attempt.socket)

    def _attempts(
        self, probes: Sequence[Probe], timeout: float, stack: ExitStack
    ) -> list[_Attempt]:
        """Every probe, brought to its end; `stack` owns the sockets."""
        attempts = self._opened(probes, stack)
        selector = stack.enter_context(DefaultSelector())
        open_ones = [attempt for attempt in attempts if attempt.result is None]
        for attempt in open_ones:
            selector.register(attempt.socket, EVENT_WRITE, attempt)
        deadline = monotonic() + timeout
        while selector.get_map() and (left := deadline - monotonic()) > 0:
            for key, events in selector.select(left):
                key.data.advance(events, selector)
        return attempts

    def _opened(self, probes: Sequence[Probe], stack: ExitStack) -> list[_Attempt]:
        attempts: dict[int, _Attempt] = {}
        for name in dict.fromkeys(probe.source for probe in probes):
            mine = [index for index, probe in enumerate(probes) if probe.source == name]
            targets = [(self._source_address(probes[index]), probes[index]) for index in mine]

            def begun(targets: Iterable[tuple[str, Probe]] = targets) -> list[_Attempt]:
                return [_begun(address, probe, stack) for address, probe in targets]

            attempts |= zip(mine, self.namespace(name).call(begun), strict=True)
        return [attempts[index] for index in range(len(probes))]

    def _source_address(self, probe: Probe) -> str:
        family = ip_address(probe.destination).version
        self.namespace(probe.source)
        for address in self.addresses[probe.source]:
            if ip_address(address).version == family:
                return address
        raise ValueError(f"{probe.source} has no address to reach {probe.destination} from")


def _kind(protocol: Protocol) -> socket.SocketKind:
    if protocol not in SOCKET_KINDS:
        raise ValueError(f"no sockets for {protocol}: only TCP and UDP")
    return SOCKET_KINDS[protocol]


def _bound(address: str, kind: socket.SocketKind, port: int) -> socket.socket:
    family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
    opened = socket.socket(family, kind)
    try:
        opened.setblocking(False)
        if kind is socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
    except BaseException:
        opened.close()
        raise
    return opened


def _begun(address: str, probe: Probe, stack: ExitStack) -> _Attempt:
    attempt = _Attempt(stack.enter_context(_bound(address, _kind(probe.protocol), 0)))
    try:
        attempt.socket.connect((probe.destination, probe.port))
    except BlockingIOError:
        pass
    except OSError:
        # The node's own hooks may refuse at once what the node itself sends.
        attempt.result = False
    return attempt
