"""Requests to an API server over one connection that is kept open.

Comes in: paths and queries. Goes out: the bytes of answers as they come, decompressed. An answer
that is no success is `ApiRefusal`, none at all `Unreachable`.
"""

from __future__ import annotations

import contextlib
import socket
import zlib
from collections.abc import Iterator, Mapping
from http.client import HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from urllib.parse import urlencode

import msgspec

from netpolc._version import __version__
from netpolc.apiserver.access.server import CONNECT_SECONDS, Access
from netpolc.apiserver.errors import NO_JSON, ApiRefusal, Silent, Unreachable

PIECE = 1 << 18
"""Bytes that are read at once."""
ANSWER_SECONDS = 60.0
"""Without a byte for so long an answer counts as lost."""


class StatusCause(msgspec.Struct, frozen=True, gc=False):
    """`details.causes[]` of a Status."""

    reason: str = ""


class StatusDetails(msgspec.Struct, frozen=True, gc=False):
    """`details` of a Status."""

    retryAfterSeconds: float = 0.0
    causes: list[StatusCause] = []


class ListMeta(msgspec.Struct, frozen=True, gc=False, rename={"rest": "continue"}):
    """`metadata` of a list or a Status: its version, and the token of what is missing."""

    resourceVersion: str = ""
    rest: str = ""


class Status(msgspec.Struct, frozen=True, gc=False):
    """What the server says of a request that failed (`meta/v1`)."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None
    metadata: ListMeta | None = None

    def refused(self, code: int = 0, retry_after: float = 0.0) -> ApiRefusal:
        """The same as an exception; the header's time is preferred to that in the body."""
        details = self.details or StatusDetails()
        return ApiRefusal(
            code or self.code,
            self.reason,
            self.message or f"the server answered {code or self.code}",
            retry_after or details.retryAfterSeconds,
            tuple(cause.reason for cause in details.causes),
            self.metadata.rest if self.metadata else "",
        )


class Client:
    """Asks one server; for one thread."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._connection: HTTPSConnection | None = None
        self._answering = self._interrupted = False

    def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
        body: bytes | None = None,
    ) -> Iterator[bytes]:
        """The pieces of an answer, each as soon as it is there; `seconds` may pass without any.

        Credentials that are not taken are renewed, once. With a `body` it is created there instead.
        """
        answer = self._asked(path, query or {}, seconds, body)
        if answer.status == 401:
            self.close()
            self.access.credentials.renew()
            answer = self._asked(path, query or {}, seconds, body)
        if answer.status not in (200, 201):
            raise self._refused(answer)
        return self._pieces(answer)

    def whole(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """A whole answer."""
        return b"".join(self.get(path, query))

    def post(self, path: str, body: bytes) -> bytes:
        """Create an object from its JSON; what the server answers, as of `get`."""
        return b"".join(self.get(path, body=body))

    def wait_at_most(self, seconds: float) -> None:
        """So long may pass from now on until the next piece of the answer."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            connection.sock.settimeout(seconds)

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection, self._answering = self._connection, None, False
        if connection is not None:
            connection.close()

    def interrupt(self) -> None:
        """Answer nothing any more: who waits for an answer gets `Unreachable`. From any thread."""
        self._interrupted = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):  # it may be closed already
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def _asked(
        self, path: str, query: Mapping[str, str], seconds: float, body: bytes | None
    ) -> HTTPResponse:
        kept = self._connection is not None and not self._answering
        try:
            return self._ask(path, query, seconds, body)
        except (OSError, HTTPException) as error:
            self.close()
            if not kept:
                raise self._lost(error) from None
        try:  # a kept connection may have ended meanwhile
            return self._ask(path, query, seconds, body)
        except (OSError, HTTPException) as error:
            self.close()
            raise self._lost(error) from None

    def _ask(
        self, path: str, query: Mapping[str, str], seconds: float, body: bytes | None
    ) -> HTTPResponse:
        if self._answering:
            self.close()
        headers = {
            **self.access.authorization(),
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"netpolc/{__version__}",
        }
        target = f"{self.access.root}{path}{'?' if query else ''}{urlencode(query)}"
        if self._connection is None:
            self._connection = self.access.connect()
        connection = self._connection
        if self._interrupted:
            raise Unreachable(f"{self.access.server}: interrupted")
        connection.sock.settimeout(CONNECT_SECONDS)
        if body is None:
            connection.request("GET", target, headers=headers)
        else:
            headers["Content-Type"] = "application/json"
            connection.request("POST", target, body, headers)
        connection.sock.settimeout(seconds)
        self._answering = True
        return connection.getresponse()

    def _pieces(self, answer: HTTPResponse) -> Iterator[bytes]:
        inflate = zlib.decompressobj(31) if answer.headers["Content-Encoding"] == "gzip" else None
        try:
            while piece := answer.read1(PIECE):
                yield inflate.decompress(piece) if inflate else piece
        except (OSError, HTTPException, zlib.error, ValueError) as error:
            self.close()
            raise self._lost(error) from None
        if answer.length:  # what read1 does not tell
            self.close()
            raise Unreachable(f"{self.access.server}: the answer was cut")
        if inflate is not None and not inflate.eof:
            self.close()
            raise Unreachable(f"{self.access.server}: the answer was cut")
        self._answering = False
        will_close = answer.will_close
        answer.close()  # read1 does not where the length is known
        if will_close:
            self.close()

    def _refused(self, answer: HTTPResponse) -> ApiRefusal:
        after = _seconds(answer.headers["Retry-After"])
        body = b"".join(self._pieces(answer))
        try:
            status = msgspec.json.decode(body, type=Status)
        except NO_JSON:
            status = Status(f"{self.access.server} answered {answer.status} {answer.reason}")
        if answer.status == 401:
            told = f"{self.access.server} does not know who asks: {status.message}"
            status = msgspec.structs.replace(status, message=told)
        return status.refused(answer.status, after)

    def _lost(self, error: Exception) -> Unreachable:
        if isinstance(error, Unreachable):
            return error
        if isinstance(error, TimeoutError):
            return Silent(f"{self.access.server}: no answer in time")
        words = "the answer was cut" if isinstance(error, IncompleteRead) else str(error)
        return Unreachable(f"{self.access.server}: {words or type(error).__name__}")


def _seconds(text: str | None) -> float:
    """Of `Retry-After`; API servers give seconds and no dates."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else 0.0
