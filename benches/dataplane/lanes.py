"""Lanes: one router a ruleset between a common source and a common sink, timed in turns.

In: for each lane a name and what loads its ruleset; connections and what becomes of them (open
lanes let everything pass). Out: CPU
nanoseconds a packet, by lane and round. Refused (`LabError`): a lane that lets through another
number of packets than it should, a socket that does not take them.

source (veth) -> router of the lane, which routes everything onward -> sink (veth). The frames that
leave a router carry a hardware address that is not the sink's, so the sink counts them and drops
them at once. Every lane tracks connections, the empty one too, and forgets them after each round.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from benches.built import library
from benches.dataplane.frames import Connection
from tests.helpers.lab import LabError, Namespace, Router, one_cpu, veth
from tests.helpers.lab.closing import Closes

Load = Callable[[Router], None]
Times = dict[str, list[float]]
"""Nanoseconds a packet, by lane, one a round."""

_SOURCE_MAC, _ROUTER_MAC, _NOBODY = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:ff"
_LINK = bytes.fromhex((_ROUTER_MAC + _SOURCE_MAC).replace(":", ""))
_DEVICES = "/proc/thread-self/net/dev"
ARRIVAL_SECONDS = 1.0
ATTEMPTS = 8
ATTEMPT_SECONDS = 0.25
"""Waited after a wrong round, times the wrong ones in a row: seven seconds in all."""


@cache
def _sender() -> Any:
    sender = library(Path(__file__).with_name("sender.c"))
    sender.burst.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t]
    sender.burst.restype = ctypes.c_longlong
    return sender


class _Lane:
    """A router, and the socket that reaches it."""

    def __init__(
        self, name: str, number: int, source: Namespace, sink: Namespace, bridge: str
    ) -> None:
        self.name, self.link = name, f"in{number}"
        self.router = Router()
        try:
            veth(
                source, f"out{number}", self.router, "source", addresses=(_SOURCE_MAC, _ROUTER_MAC)
            )
            veth(self.router, "sink", sink, self.link)
            out = bridge or "sink"
            if bridge:  # it floods what is for nobody to its one port
                self.router.ip(
                    f"link add {bridge} type bridge",
                    f"link set {bridge} up",
                    f"link set sink master {bridge}",
                )
            self.router.ip(
                f"neigh add 169.254.255.254 lladdr {_NOBODY} nud permanent dev {out}",
                f"neigh add fe80::ffff lladdr {_NOBODY} nud permanent dev {out}",
                f"route add default via 169.254.255.254 dev {out} onlink",
                f"route add default via fe80::ffff dev {out}",
            )
            self.socket = source.call(lambda: _packet_socket(f"out{number}"))
        except BaseException:
            self.router.close()
            raise

    def close(self) -> None:
        """Close the socket and let the router vanish."""
        self.socket.close()
        self.router.close()

    def send(self, frames: Sequence[bytes]) -> int:
        """Send frames of one length; CPU nanoseconds of all."""
        taken: int = _sender().burst(
            self.socket.fileno(), b"".join(frames), len(frames[0]), len(frames)
        )
        if taken < 0:
            raise LabError(f"{self.name}: the socket says {os.strerror(-taken)}")
        return taken


def _packet_socket(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.bind((interface, 0))
    return opened


class Lanes(Closes):
    """All lanes of one comparison; a context manager."""

    def __init__(
        self, loads: Mapping[str, Load], open_lanes: Collection[str], bridge: str = ""
    ) -> None:
        self._open = open_lanes
        with ExitStack() as stack:
            self._source = stack.enter_context(Namespace())
            self._sink = stack.enter_context(Namespace())
            self._sink.sysctl({"net/ipv6/conf/default/disable_ipv6": 1})
            self._lanes: list[_Lane] = []
            for number, (name, load) in enumerate(loads.items()):
                lane = _Lane(name, number, self._source, self._sink, bridge)
                stack.callback(lane.close)
                load(lane.router)
                self._lanes.append(lane)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Let every namespace vanish."""
        self._stack.close()

    def opening(self, connections: Sequence[Connection], rounds: int, *, allowed: bool) -> Times:
        """Nanoseconds a packet where each packet opens a connection of its own."""
        frames = [connection.syn(_LINK) for connection in connections]
        with one_cpu():
            return self._rounds(frames, rounds, allowed=allowed, forget=True)

    def established(self, connections: Sequence[Connection], rounds: int) -> Times:
        """Nanoseconds a packet of connections that both ends have agreed on before."""
        with one_cpu():
            for lane in self._lanes:
                for segment in (Connection.syn, Connection.syn_ack):
                    lane.send([segment(connection, _LINK) for connection in connections])
            frames = [connection.ack(_LINK) for connection in connections]
            times = self._rounds(frames, rounds, allowed=True, forget=False)
        for lane in self._lanes:
            lane.router.forget_connections()
        return times

    def _rounds(
        self, frames: Sequence[bytes], rounds: int, *, allowed: bool, forget: bool
    ) -> Times:
        """Every lane once a round, each round beginning with the next lane.

        The first round finds memory and fills caches: it is discarded. So is one in which another
        number of packets arrived, as a router reports its multicast groups in the seconds after
        its links came up. Such a round is repeated, later each time, and `ATTEMPTS` of them in a
        row are a ruleset that judges wrongly.
        """
        times: Times = {lane.name: [] for lane in self._lanes}
        expected = {
            lane.link: len(frames) if allowed or lane.name in self._open else 0
            for lane in self._lanes
        }
        done = failed = 0
        while done <= rounds:
            before = self._arrivals()
            start = done % len(self._lanes)
            turn = (*self._lanes[start:], *self._lanes[:start])
            taken = {lane.name: lane.send(frames) / len(frames) for lane in turn}
            if wrong := self._wrong_arrivals(before, expected):
                failed += 1
                if failed == ATTEMPTS:
                    raise LabError(f"arrived of {len(frames)}: {', '.join(wrong)}")
                sleep(failed * ATTEMPT_SECONDS)
            else:
                failed = 0
                for name, time in taken.items() if done else ():
                    times[name].append(time)
                done += 1
            if forget:
                for lane in self._lanes:
                    lane.router.forget_connections()
        return times

    def _wrong_arrivals(self, before: dict[str, int], expected: dict[str, int]) -> list[str]:
        """The lanes that another number of packets came through, after waiting for late ones."""
        deadline = monotonic() + ARRIVAL_SECONDS
        while True:
            now = self._arrivals()
            surplus = {link: now[link] - before[link] - count for link, count in expected.items()}
            if min(surplus.values()) >= 0 or monotonic() > deadline:
                return [
                    f"{lane.name}: {expected[lane.link] + surplus[lane.link]}"
                    for lane in self._lanes
                    if surplus[lane.link]
                ]
            sleep(0.01)

    def _arrivals(self) -> dict[str, int]:
        """Packets that reached the sink, by link."""
        rows = (line.partition(":") for line in self._sink.read(_DEVICES).splitlines())
        return {name.strip(): int(counts.split()[1]) for name, colon, counts in rows if colon}
