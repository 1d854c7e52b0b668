"""An echo server for sockets that live in other namespaces.

In: bound TCP listeners and UDP sockets, non-blocking. Out: everything they receive, sent back to
where it came from. Refused: nothing; a peer that disappears is forgotten.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector, SelectorKey
from threading import Thread

from tests.helpers.lab.closing import Closes


class EchoServer(Closes):
    """One thread that serves every socket it is given, until it is closed."""

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, EVENT_READ)
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def add(self, bound: socket.socket) -> None:
        """Serve a socket from now on, and close it in the end."""
        self._selector.register(bound, EVENT_READ)

    def close(self) -> None:
        """Stop, and close every socket."""
        self._wake.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            _socket(key).close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                ready = _socket(key)
                if ready is self._woken:
                    return
                self._answer(ready)

    def _answer(self, ready: socket.socket) -> None:
        if ready.type is socket.SOCK_DGRAM:
            # An error here is one that the ruleset under test sent back for an earlier echo.
            with suppress(OSError):
                data, peer = ready.recvfrom(65536)
                ready.sendto(data, peer)
        elif ready.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            # The client may have given up between the wake-up and this call.
            with suppress(OSError):
                accepted, _ = ready.accept()
                accepted.setblocking(False)
                self._selector.register(accepted, EVENT_READ)
        else:
            self._answer_stream(ready)

    def _answer_stream(self, ready: socket.socket) -> None:
        try:
            data = ready.recv(65536)
            if data:
                ready.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(ready)
            ready.close()


def _socket(key: SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj
