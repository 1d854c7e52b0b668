"""A small cluster: two nodes and pods in namespaces, a fake API server, an agent a node.

In: pods to start, objects to apply. Out: namespaces with real interfaces, the agents as programs of
their own, and who reaches whom. All of it is gone at the end, also after a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers.apiserver import ApiServer
from tests.helpers.lab import LabError, Namespace, Router, veth
from tests.helpers.manifests import Manifest, namespace, node, pod

API = "192.0.2.1"
PORT = 8080
PROBES = "127.0.0.1:9841"
RECEIVE_BUFFER_FORCE = 33  # SO_RCVBUFFORCE


@dataclass
class Pod:
    """A namespace with one address; its object is `manifest`, which the API server may not have."""

    name: str
    address: str
    inside: Namespace
    manifest: Manifest
    socket: socket.socket = field(init=False)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        def bound() -> socket.socket:
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            own.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCE, 16 << 20)
            own.bind(("0.0.0.0", PORT))
            own.setblocking(False)
            return own

        self.socket = self.inside.call(bound)

    def received(self) -> set[str]:
        """What datagrams have come until now."""
        with suppress(BlockingIOError):
            while True:
                self.seen.add(self.socket.recv(200).decode())
        return self.seen

    def send(self, other: Pod, *words: str) -> None:
        """Send datagrams to another pod, each as a flow of its own."""

        def sent() -> None:
            for word in words:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                    own.sendto(word.encode(), (other.address, PORT))

        self.inside.call(sent)

    def reaches(self, other: Pod) -> bool:
        """Whether a datagram gets there."""
        word = f"{self.name} {time.monotonic_ns()}"
        self.send(other, word)
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            if word in other.received():
                return True
            time.sleep(0.005)
        return False


class Node:
    """A router with a block of pods, and the agent that runs there."""

    def __init__(self, name: str, number: int, cluster: Cluster) -> None:
        self.name, self.number, self._cluster = name, number, cluster
        self.router = Router()
        self.agent: subprocess.Popen[str] | None = None
        veth(cluster.fabric, f"to-{number}", self.router, "eth0")
        cluster.fabric.ip(f"link set to-{number} master br0")
        self.router.ip(f"addr add 192.0.2.{10 + number}/24 dev eth0")
        self.router.sysctl({"net/ipv4/ip_forward": 1})
        self.manifest = node(name, f"192.0.2.{10 + number}")
        self.manifest["spec"] = {"podCIDRs": [f"10.64.{number}.0/24"]}
        self.log = cluster.folder / f"{name}.log"

    def start(self, *words: str) -> None:
        """Start the agent."""
        config = str(self._cluster.config)
        boot = str(self._cluster.folder / f"boot-{self.name}")
        Path(boot).mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-m", "netpolc", "agent", "--node", self.name]
        command += ["--kubeconfig", config, "--boot-folder", boot, "--listen", PROBES, *words]

        def started() -> subprocess.Popen[str]:
            with self.log.open("a") as log:
                return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, text=True)

        self.agent = self.router.call(started)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the agent; how it ended."""
        agent, self.agent = self.agent, None
        if agent is None:
            return 0
        agent.send_signal(number)
        return agent.wait(30)

    def asked(self, path: str) -> tuple[int, str]:
        """What the agent answers; 0 if it does not."""

        def answer() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://{PROBES}{path}", timeout=5) as found:
                    return found.status, found.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()
            except OSError:
                return 0, ""

        return self.router.call(answer)

    def ready(self) -> bool:
        """Whether the agent says that it is ready."""
        return self.asked("/readyz")[0] == 200

    def table(self) -> str:
        """The table as nft lists it; empty if there is none."""
        with suppress(LabError):
            return self.router.run("nft", "list", "table", "inet", "netpolc")
        return ""

    def close(self) -> None:
        """End the agent, let go of the namespace."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self.stop(signal.SIGKILL)
        self.router.close()


class Cluster:
    """The nodes, the API server, and the pods that were started."""

    def __init__(self, folder: Path, stack: ExitStack, nodes: int = 2) -> None:
        self.folder, self._stack = folder, stack
        self.fabric = stack.enter_context(Namespace())
        self.fabric.ip("link add br0 type bridge", "link set br0 up", f"addr add {API}/24 dev br0")
        self.api = ApiServer(folder, host=API)
        self.fabric.call(self.api.start)
        stack.callback(self.api.stop)
        self.config = self.api.kubeconfig()
        self.nodes = []
        for number in range(nodes):
            made = Node(f"node-{'ab'[number]}", number, self)
            stack.callback(made.close)
            self.nodes.append(made)
        for one in self.nodes:
            others = (own for own in self.nodes if own is not one)
            one.router.ip(
                *(
                    f"route add 10.64.{own.number}.0/24 via 192.0.2.{10 + own.number}"
                    for own in others
                )
            )
        self.api.apply(namespace("default"), namespace("kube-system"))
        self.api.apply(*(own.manifest for own in self.nodes))
        self._given = [10] * nodes

    def pod(self, name: str, at: int, *, told: bool = True, **labels: str) -> Pod:
        """Start a pod on a node; unless `told` the API server does not know of it."""
        own, number = self.nodes[at], self._given[at]
        self._given[at] += 1
        inside = self._stack.enter_context(Namespace())
        link = f"p{number}"
        veth(own.router, link, inside, "eth0")
        address = f"10.64.{at}.{number}"
        own.router.ip(f"addr add 169.254.0.1/32 dev {link}", f"route add {address}/32 dev {link}")
        inside.ip(
            f"addr add {address}/32 dev eth0",
            "route add 169.254.0.1 dev eth0",
            "route add default via 169.254.0.1",
        )
        manifest = pod(name, address, on=own.name, **labels)
        manifest["metadata"]["uid"] = f"{name}-{address}"
        made = Pod(name, address, inside, manifest)
        self._stack.callback(made.socket.close)
        if told:
            self.api.apply(manifest)
        return made

    def gone(self, own: Pod) -> None:
        """A pod ends, and the API server says so."""
        self.api.store.delete("Pod", "default", own.name)

    def until(self, holds: Callable[[], Any], seconds: float = 30.0) -> None:
        """Wait for something; the agents' logs if it does not come."""
        until = time.monotonic() + seconds
        while not holds():
            said = "\n".join(own.log.read_text() for own in self.nodes if own.log.exists())
            assert time.monotonic() < until, said
            time.sleep(0.02)

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """Run kubectl where it reaches the API server."""
        program = shutil.which("kubectl")
        assert program is not None
        return self.fabric.run(program, "--kubeconfig", str(self.config), *words, text=text)


@contextmanager
def small_cluster(folder: Path, nodes: int = 2) -> Iterator[Cluster]:
    """Two nodes without pods; agents are to be started."""
    os.chmod(folder, 0o700)
    with ExitStack() as stack:
        yield Cluster(folder, stack, nodes)


class Traffic:
    """Datagrams from one pod to another, one flow each, until it ends; the first has been sent."""

    def __init__(self, one: Pod, other: Pod, pause: float = 0.004) -> None:
        self.one, self.other, self._pause = one, other, pause
        self.sent: list[str] = []
        self._begun, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: one.inside.call(self._send))
        self._thread.start()
        assert self._begun.wait(60)

    def end(self) -> tuple[set[str], set[str]]:
        """What was sent, and what of it came."""
        self._over.set()
        self._thread.join()
        time.sleep(0.1)
        return {*self.sent}, {*self.sent} & self.other.received()

    def _send(self) -> None:
        while not self._over.wait(self._pause):
            word = f"{self.one.name} no {len(self.sent)}"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                own.sendto(word.encode(), (self.other.address, PORT))
            self.sent.append(word)
            self._begun.set()


def policy_text(name: str, app: str, admitted: str) -> str:
    """A policy that lets pods of one app be reached by those of another, as JSON for kubectl."""
    spec = {
        "podSelector": {"matchLabels": {"app": app}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": admitted}}}]}],
    }
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return json.dumps({**kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec})
