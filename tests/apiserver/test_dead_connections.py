"""A server whose packets vanish: no FIN, no RST, no ICMP, as where a machine loses its power.

In: a reflector in one network namespace, the server in another, and a rule that drops everything
between them. Out: the connection counts as lost long before the watch is over, and what happened
meanwhile is heard once packets pass again.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from netpolc.apiserver import Changed, Event, Listed, Trouble
from netpolc.apiserver.access import server as access_module
from netpolc.apiserver.client import Client
from netpolc.apiserver.errors import Silent, Unreachable
from netpolc.apiserver.follow.backoff import Gate
from netpolc.apiserver.follow.reflector import Reflector
from tests.apiserver.conftest import named
from tests.apiserver.following import POD, access
from tests.helpers.apiserver import ApiServer
from tests.helpers.lab import Namespace, Router, veth

pytestmark = pytest.mark.kernel
HOST = "192.0.2.1"
NOTHING_PASSES = """
table inet cut {
  chain out { type filter hook output priority 0; policy drop; }
  chain in { type filter hook input priority 0; policy drop; }
}
"""
PATIENCE = 120.0
"""Seconds until the test gives up; a watch that is not cut lasts ten minutes."""


class Wire:
    """A namespace for whoever asks, and the server in another, which can be cut off."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.client = stack.enter_context(Namespace())
        self._host = stack.enter_context(Router())
        veth(self._host, "eth0", self.client, "eth0")
        self._host.ip(f"addr add {HOST}/24 dev eth0")
        self.client.ip("addr add 192.0.2.2/24 dev eth0")
        self.server = ApiServer(folder, host=HOST)
        self.server.chaos.pace = 0.1
        self._host.call(self.server.start)
        stack.callback(self.server.stop)

    def cut(self) -> None:
        """From now on no packet comes through."""
        self._host.load(NOTHING_PASSES)

    def mend(self) -> None:
        """They do again."""
        self._host.flush()


@pytest.fixture
def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """With times that are a tenth of the real ones."""
    short = (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 2))
    monkeypatch.setattr(access_module, "_KEEPALIVE", short)
    monkeypatch.setattr(access_module, "_UNACKNOWLEDGED", 3_000)
    with ExitStack() as stack:
        yield Wire(tmp_path / "server", stack)


def until(holds: Callable[[], object], told: list[Event]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, told
        time.sleep(0.02)


def test_a_watch_whose_server_is_gone_is_begun_again(wire: Wire) -> None:
    told: list[Event] = []
    clock = time.monotonic
    gate = Gate(clock, lambda: 0.0)
    own = Reflector(Client(access(wire.server)), POD, gate, told.append, clock=clock)
    wire.server.apply(named("Pod", "before", "shop"))
    thread = threading.Thread(target=lambda: wire.client.call(own.run), daemon=True)
    thread.start()
    try:
        until(lambda: any(isinstance(one, Listed) for one in told), told)
        wire.cut()
        wire.server.apply(named("Pod", "meanwhile", "shop"))
        until(lambda: any(isinstance(one, Trouble) for one in told), told)
        wire.mend()
        until(lambda: "meanwhile" in names(told), told)
        assert sum(isinstance(one, Listed) for one in told) == 1  # the watch went on where it was
    finally:
        wire.mend()
        own.stop()
        thread.join(PATIENCE)


def names(told: list[Event]) -> set[Any]:
    return {one.document["metadata"]["name"] for one in told if isinstance(one, Changed)}


def test_an_answer_of_a_server_that_is_gone_ends(wire: Wire) -> None:
    """A request is sent that nobody acknowledges, with all the time in the world for an answer."""

    def asked() -> str:
        client = Client(access(wire.server))
        client.whole("/api/v1/pods")
        wire.cut()
        try:
            with pytest.raises((Unreachable, Silent)):
                b"".join(client.get("/api/v1/pods", seconds=10 * PATIENCE))
        finally:
            client.close()
        return "ended"

    ended: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(wire.client.call(asked)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert ended == ["ended"]


def test_a_silent_server_is_asked_after_half_a_minute(server: ApiServer) -> None:
    """As client-go does, which sends an HTTP/2 ping after 30 s."""
    connection = access(server).connect()
    try:
        sock = connection.sock
        options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        idle, every, count, unacknowledged = (
            sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, own)) for own in options
        )
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert idle + every * count <= 30
        assert unacknowledged == 30_000
    finally:
        connection.close()
