"""Answers whether the agent is alive and ready, and its metrics, over plain HTTP.

Comes in: requests for `/livez`, `/healthz`, `/readyz` and `/metrics`. Goes out: 200, or 503 with
the reason. It takes no input but a path.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from netpolc.core.errors import UsageError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Reporting(Protocol):
    """What is asked; each may be asked from any thread."""

    def ailing(self) -> str:
        """Why the agent should be started again; empty if it should not."""

    def waiting(self) -> str:
        """What it waits for before it is ready; empty if it is ready."""


class Health:
    """A server in a thread of its own, until it is closed."""

    def __init__(self, where: tuple[str, int], report: Reporting, text: Callable[[], str]) -> None:
        self._server = _Server(where, report, text)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()


def listening(text: str) -> tuple[str, int]:
    """Address and port of `127.0.0.1:9841`, `[::1]:9841` or `:9841`; `UsageError` otherwise."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:9841")
    return host.removeprefix("[").removesuffix("]"), int(port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, where: tuple[str, int], report: Reporting, text: Callable[[], str]) -> None:
        self.report, self.text = report, text
        if ":" in where[0]:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(where, _Handler)
        except OSError as error:
            raise UsageError(f"cannot listen at {where[0]}:{where[1]}: {error.strerror}") from error

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves before it has its answer is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10
    server_version, sys_version = "netpolc", ""

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, self.server.text(), METRICS_TYPE)
        elif path in ("/livez", "/healthz"):
            self._tell(self.server.report.ailing())
        elif path == "/readyz":
            self._tell(self.server.report.ailing() or self.server.report.waiting())
        else:
            self._answer(404, "no such path\n")

    def log_message(self, format: str, *args: object) -> None:
        """Probes come every few seconds."""

    def _tell(self, why_not: str) -> None:
        self._answer(503 if why_not else 200, f"{why_not or 'ok'}\n")

    def _answer(self, code: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
