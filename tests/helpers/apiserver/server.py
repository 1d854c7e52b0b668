"""The fake API server itself: a listener with TLS, who may ask, and what it is told to do."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.helpers.apiserver.certificates import Authority, Certificate
from tests.helpers.apiserver.chaos import Chaos
from tests.helpers.apiserver.handler import Handler
from tests.helpers.apiserver.store import Document, Store

USER = "system:serviceaccount:kube-system:netpolc"
TOKEN = "first-token"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was answered."""

    method: str
    path: str
    query: dict[str, str]
    code: int
    user: str
    """Who asked, empty if nobody knows."""

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") in ("1", "true")


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, where: tuple[str, int], api: ApiServer) -> None:
        self.api = api
        self.open: set[socket.socket] = set()
        super().__init__(where, Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        own, address = super().get_request()
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made = self.api.context.wrap_socket(own, server_side=True, do_handshake_on_connect=False)
        self.open.add(made)
        return made, address

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave, or trust no certificate, are no news."""


class ApiServer:
    """A server on a port of its own; a context manager that starts and stops it.

    It survives `stop` and `start`: the port, the objects and their versions stay.
    """

    def __init__(
        self, folder: Path, store: Store | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.store = store or Store()
        self.chaos = Chaos()
        self.tokens = {TOKEN: USER}
        self.asked: list[Asked] = []
        self.epoch = 0
        """Grows when all watches are to be cut."""
        self.bookmark_epoch = 0
        """Grows when all watches are to get a bookmark."""
        self._folder, self._host, self._port = folder, host, port
        self._listener: _Listener | None = None
        self.authority = Authority(folder, "cluster")
        self.context = _context(self.authority, self._host)

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"https://{self._host}:{self._port}"

    @property
    def ca_file(self) -> Path:
        return self.authority.own.certificate

    def start(self) -> None:
        """Listen; on the port of before, if there was one."""
        self._listener = _Listener((self._host, self._port), self)
        self._port = self._listener.server_address[1]
        serve = {"poll_interval": 0.02}
        threading.Thread(target=self._listener.serve_forever, kwargs=serve, daemon=True).start()

    def stop(self) -> None:
        """Die: nobody listens, connections are cut wherever they are."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.shutdown()
        listener.server_close()
        self.cut_watches()
        for own in list(listener.open):
            _sever(own)

    def cut_watches(self) -> None:
        """End all watches in the middle of a chunk."""
        with self.store.changed:
            self.epoch += 1
            self.store.changed.notify_all()

    def bookmark(self) -> None:
        """Send a bookmark to all watches that take them."""
        with self.store.changed:
            self.bookmark_epoch += 1
            self.store.changed.notify_all()

    def rotate_token(self, token: str) -> None:
        """Only this token is taken from now on."""
        self.tokens = {token: USER}

    def rotate_authority(self) -> None:
        """A new authority with a new certificate of the server; connections are cut."""
        self.authority = Authority(self._folder, f"cluster-{self.epoch}-new")
        self.context = _context(self.authority, self._host)
        self.cut_watches()
        for own in list(self._listener.open) if self._listener else ():
            _sever(own)

    def client(self, user: str) -> Certificate:
        """A certificate for a user."""
        return self.authority.client(user)

    def kubeconfig(self, name: str = "config", context: str = "fake", **user: Any) -> Path:
        """A kubeconfig with one context; `user` as its `users[].user`, by default a token."""
        ca = base64.b64encode(self.ca_file.read_bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": ca}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": cluster}],
            "users": [{"name": context, "user": user or {"token": next(iter(self.tokens))}}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "current-context": context,
        }
        path = self._folder / name
        path.write_text(json.dumps(content, indent=1))
        return path

    def requests(self, plural: str, watch: bool | None = None) -> list[Asked]:
        """What was asked of a resource: lists, watches, or both."""
        found: Iterable[Asked] = [own for own in self.asked if own.path.endswith(f"/{plural}")]
        return [own for own in found if watch is None or own.is_watch is watch]

    def apply(self, *documents: Document) -> None:
        """Create or replace objects."""
        self.store.apply_all(documents)


def _context(authority: Authority, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = authority.server(host, "127.0.0.1", "localhost")
    context.load_cert_chain(own.certificate, own.key)
    context.load_verify_locations(authority.own.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _sever(own: socket.socket) -> None:
    try:
        socket.socket.shutdown(own, socket.SHUT_RDWR)  # that of TLS would go on without TLS
    except OSError:
        own.close()  # it was closed by the other end
