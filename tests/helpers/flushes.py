"""`apply --watch` under traffic, while the ruleset is flushed at random moments.

In: how many applies, how many flushes, a seed. Out: when each flush began, when the table was back,
and each packet that passed although both snapshots deny it. Two snapshots take turns; a sender asks
for a port that neither admits, each packet from another port, so that each is judged by itself.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from threading import Event, Thread

from netpolc.backends.nft.rollout.netfilter.monitor import Monitor
from tests.helpers.lab import Injector, LabError
from tests.helpers.lab.injector import ETH_P_ALL, ROUTER_MAC, SOURCE_MAC, SOURCE_PORTS
from tests.helpers.lab.packets import UDP, build, read_tag
from tests.helpers.scenarios import ROOT

PAUSE = 0.002
"""Seconds between two packets."""
PATIENCE = 60.0
"""Seconds after which the laboratory gives up: nothing comes back any more."""
CLIENT, WEB = bytes([10, 64, 0, 30]), bytes([10, 64, 0, 20])
SNAPSHOT = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {nodeName: node-a, containers: [{name: c}]}
status: {phase: Running, podIPs: [{ip: 10.64.0.20}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-a}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec:
  podSelector: {}
  ingress: [{ports: [{port: PORT}]}]
"""


def write(folder: Path, number: int) -> None:
    """The snapshot of this number, renamed into place; none of them admits port 80."""
    (folder / ".new").write_text(SNAPSHOT.replace("PORT", str(8080 + number % 2)))
    (folder / ".new").replace(folder / "snapshot.yaml")


@dataclass(slots=True)
class Window:
    """From just before a flush, over its end, until the table was heard to be back."""

    began: float
    flushed: float
    back: float = 0.0

    @property
    def reaction(self) -> float:
        """Seconds from the end of the flush until the table was back."""
        return self.back - self.flushed


@dataclass(slots=True)
class Found:
    """What was seen; `admitted` holds, for each packet that passed, when it was sent and came."""

    sent: int = 0
    windows: list[Window] = field(default_factory=list)
    admitted: list[tuple[float, float]] = field(default_factory=list)

    def outside(self) -> list[tuple[float, float]]:
        """Packets that passed while the table was there: none of them may."""
        return [
            (sent, came)
            for sent, came in self.admitted
            if not any(own.began <= came and sent <= own.back for own in self.windows)
        ]


class _Traffic:
    """Sends without end, and notes what arrives, in two threads."""

    def __init__(self, lab: Injector, found: Found) -> None:
        self._found, self._ended = found, Event()
        self._out = lab.source.call(lambda: _packets("out", 0))
        self._in = lab.sink.call(lambda: _packets("in", ETH_P_ALL))
        self._sent: dict[int, float] = {}
        self._threads = [Thread(target=self._send), Thread(target=self._receive)]

    def __enter__(self) -> _Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._out.close()
        self._in.close()

    def _send(self) -> None:
        link = bytes.fromhex((ROUTER_MAC + SOURCE_MAC).replace(":", ""))
        for tag in count(1):
            port = SOURCE_PORTS[tag % len(SOURCE_PORTS)]
            frame = build(link, CLIENT, WEB, UDP, 80, source_port=port, tag=tag)
            self._sent[tag] = time.monotonic()
            self._out.send(frame)
            self._found.sent = tag
            if self._ended.wait(PAUSE):
                return

    def _receive(self) -> None:
        while not self._ended.is_set():
            if select.select([self._in], [], [], 0.1)[0]:
                tag, now = read_tag(self._in.recv(256)), time.monotonic()
                if tag is not None:
                    self._found.admitted.append((self._sent[tag], now))


def _packets(interface: str, protocol: int) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.bind((interface, protocol))
    return opened


def _await_table(monitor: Monitor) -> float:
    """When the table was heard to be there again."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if select.select([monitor], [], [], 1)[0]:
            changes = monitor.changes()
            if changes and not changes[-1].deleted:
                return time.monotonic()
    raise LabError("the table did not come back")


def run(
    applies: int, flushes: int, seed: int, folder: Path, between: Callable[[], object] = bool
) -> Found:
    """Apply that often, flush at random moments around some of them; `between` is called after
    each of those.
    """
    random, found = Random(seed), Found()
    chosen = set(random.sample(range(1, applies + 1), flushes))
    write(folder, 0)
    command = [sys.executable, "-m", "netpolc", "apply", "--watch", str(folder)]
    with ExitStack() as stack:
        lab = stack.enter_context(Injector())
        monitor = lab.router.call(lambda: Monitor("netpolc"))
        stack.callback(monitor.close)
        watching = lab.router.call(
            lambda: subprocess.Popen(
                [*command, "--node", "node-a"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=ROOT,
            )
        )
        assert watching.stdout is not None
        stack.callback(watching.stdout.close)
        stack.callback(watching.wait)
        stack.callback(watching.terminate)
        assert watching.stdout.readline().startswith("loaded")
        stack.enter_context(_Traffic(lab, found))
        for number in range(1, applies + 1):
            write(folder, number)
            if number in chosen:
                time.sleep(random.uniform(0, 1))
                monitor.changes()
                window = Window(time.monotonic(), 0.0)
                lab.router.flush()
                window.flushed = time.monotonic()
                window.back = _await_table(monitor)
                found.windows.append(window)
            if not watching.stdout.readline():
                raise LabError("the watch ended")
            if number in chosen:
                between()
    return found
