"""A fake API server for each test, and plain requests to it."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.apiserver import ApiServer


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end."""

    code: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path / "server") as made:
        made.chaos.pace = 0.1
        yield made


def ask(server: ApiServer, path: str, token: str | None = None, **headers: str) -> Answer:
    """What the server says; `token` is one that it takes unless another is given."""
    own = next(iter(server.tokens)) if token is None else token
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(server.ca_file)
    host, port = server.url.removeprefix("https://").split(":")
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {own}", **headers})
        found = connection.getresponse()
        return Answer(found.status, found.reason, dict(found.getheaders()), found.read())
    finally:
        connection.close()


def named(kind: str, name: str, namespace: str = "", **rest: Any) -> dict[str, Any]:
    """A small object of the core or of networking.k8s.io."""
    version = "networking.k8s.io/v1" if kind == "NetworkPolicy" else "v1"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    metadata |= rest.pop("metadata", {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
