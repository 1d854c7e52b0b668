"""One connection of the fake API server: who asks, for what, and the answer on the wire."""

from __future__ import annotations

import gzip
import json
import ssl
import uuid
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tests.helpers.apiserver import refusals, writes
from tests.helpers.apiserver.listing import Query, listed
from tests.helpers.apiserver.refusals import Refusal
from tests.helpers.apiserver.resources import Served, discovery
from tests.helpers.apiserver.watching import Cut, watched

if TYPE_CHECKING:
    from tests.helpers.apiserver.server import ApiServer

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.2",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.27.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}
PIECE = 64 * 1024
"""Bytes of a chunk of a list."""


class Handler(BaseHTTPRequestHandler):
    """Answers requests until the connection ends."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads along."""

    @property
    def api(self) -> ApiServer:
        own: ApiServer = self.server.api
        return own

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._user, self._asked = "", (parts.path, query)
        try:
            self._user = self._authenticated()
            busy = self.api.chaos.refusal()
            if busy is not None:
                headers = {"Retry-After": busy[1]} if busy[1] else {}
                raise Refusal(busy[0], "TooManyRequests", "chaos", headers=headers)
            self._route(parts.path, query, body)
        except Refusal as refusal:
            self._send(refusal.document(), refusal.code, refusal.headers)
        except Cut:
            self.close_connection = True
            self.wfile.write(b'4000\r\n{"type')  # a chunk that never ends
            self.connection.close()

    def _authenticated(self) -> str:
        kind, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if kind == "Bearer" and token in self.api.tokens:
            return self.api.tokens[token]
        certificate = self.connection.getpeercert() if _is_tls(self.connection) else None
        for names in (certificate or {}).get("subject", ()):
            for name, value in names:
                if name == "commonName":
                    return str(value)
        raise Refusal(401, "Unauthorized", "Unauthorized")

    def _route(self, path: str, query: dict[str, str], body: bytes) -> None:
        if path == "/version":
            return self._send(VERSION)
        if path in ("/healthz", "/livez", "/readyz"):
            return self._send_pieces([b"ok"], "text/plain")
        if path == "/openapi/v2":  # of no kind at all: kubectl then checks nothing
            return self._send_pieces([b""], "application/octet-stream")
        has = [own for own in self.api.store.served if own.plural not in self.api.chaos.missing]
        found = discovery(path, has, self.api.url.removeprefix("https://"))
        if found is not None:
            return self._send(found)
        served, namespace, name, below = _place(path, has)
        asked = Query.of(served, namespace, query)
        verb = self._verb(name, asked)
        if self.api.chaos.forbids(self._user, verb, served.group, served.plural):
            raise refusals.forbidden(self._user, verb, served.plural, served.group, namespace)
        if verb == "list":
            head, items, tail = listed(self.api.store, self.api.chaos, asked)
            return self._send_list(head, items, tail)
        if verb == "watch":
            return self._send_watch(asked)
        if verb == "get":
            stored = self.api.store.get(served, namespace, name)
            if stored is None:
                raise refusals.not_found(served.plural, served.group, name)
            return self._send(stored.document)
        where = (self.api.store, served, namespace, name, below)
        content = self.headers.get("Content-Type") or ""
        return self._send(*writes.written(verb, where, content, body))

    def _verb(self, name: str, asked: Query) -> str:
        if self.command == "GET":
            return "get" if name else "watch" if asked.watch else "list"
        verbs = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        return verbs[self.command]

    def _send(self, document: Any, code: int = 200, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(document, indent=2).encode()
        self._head(code, {**(headers or {}), "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _send_pieces(self, pieces: Iterable[bytes], content: str) -> None:
        body = b"".join(pieces)
        self._head(200, {"Content-Length": str(len(body))}, content)
        self.wfile.write(body)

    def _send_list(self, head: bytes, items: list[bytes], tail: bytes) -> None:
        body = head + b",".join(items) + tail
        headers = {"Transfer-Encoding": "chunked"}
        accepts = "gzip" in (self.headers.get("Accept-Encoding") or "")
        if accepts and len(body) >= self.api.chaos.gzip_from:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        cuts = self.api.chaos.cuts_list()
        self._head(200, headers)
        for start in range(0, len(body), PIECE):
            if cuts and start + PIECE >= len(body) // 2:
                self.wfile.write(b"%x\r\n" % PIECE + body[start : start + 20])
                raise Cut
            self._chunk(body[start : start + PIECE])
        self._chunk(b"")

    def _send_watch(self, asked: Query) -> None:
        events: Iterator[bytes] = watched(self.api, asked)
        first = next(events, None)  # refusals come before the head
        self._head(200, {"Transfer-Encoding": "chunked"})
        while first is not None:
            if first:
                self._chunk(first)
            first = next(events, None)
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _head(self, code: int, headers: dict[str, str], content: str = "application/json") -> None:
        from tests.helpers.apiserver.server import Asked

        path, query = self._asked
        self.api.asked.append(Asked(self.command, path, query, code, self._user))
        reasons = {422: "Unprocessable Entity", 429: "Too Many Requests"}
        self.send_response_only(code, reasons.get(code))
        own = {"Audit-Id": str(uuid.uuid4()), "Cache-Control": "no-cache, private"}
        flow = {f"X-Kubernetes-Pf-{name}-Uid": str(uuid.uuid4()) for name in _FLOW}
        date = {"Date": self.date_time_string()}
        for name, value in {**own, "Content-Type": content, **flow, **date, **headers}.items():
            self.send_header(name, value)
        self.end_headers()


_FLOW = ("Flowschema", "Prioritylevel")


def _is_tls(connection: object) -> bool:
    return isinstance(connection, ssl.SSLSocket)


def _place(path: str, has: list[Served]) -> tuple[Served, str, str, str]:
    """Resource, namespace, name and subresource of a path."""
    match path.strip("/").split("/"):
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            raise refusals.no_such_path()
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, below, *_ = [*rest, "", "", ""]
    for own in has:
        if (own.group, own.version, own.plural) == (group, version, plural):
            return own, namespace, name, below
    raise refusals.no_such_path()
