"""The fake API server says what a real one (1.36) said: transcripts, compared whole.

Left out of both are headers and values that differ each time: dates, identifiers of requests,
lengths.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.conftest import Answer, ask, named
from tests.helpers.apiserver import ApiServer

FOLDER = Path(__file__).parent / "transcripts"
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))


@dataclass(frozen=True)
class Transcript:
    """A request and its answer."""

    path: str
    status: str
    headers: dict[str, str]
    body: str

    @classmethod
    def of(cls, name: str) -> Transcript:
        head, _, body = (FOLDER / f"{name}.txt").read_text().partition("\n\n")
        request, status, *headers = head.splitlines()
        fields = dict(line.split(": ", 1) for line in headers)
        return cls(request.removeprefix("### GET "), status, fields, body)

    @property
    def documents(self) -> list[Any]:
        lines = self.body.splitlines() if "watch=1" in self.path else [self.body]
        return [json.loads(own) for own in lines if own.strip()]


def arrange(server: ApiServer, name: str, documents: list[Any]) -> None:
    """Make what the real server had when it was asked."""
    store = server.store
    if name == "watchlist":
        for event in documents:
            if event["type"] == "ADDED":
                store.apply(event["object"], keep_version=True)
    if name == "watch-bookmark":
        store.version = 11535
        server.apply(named("NetworkPolicy", "other", "ns1"))
    if name == "list":
        for pod in ("p1", "p2"):
            server.apply(named("Pod", pod, "ns1", spec={"nodeName": "node1"}))
    store.version = 12366 if name == "watch-410" else 12350
    if name == "watch-410":
        store.forget()
    if name == "continue-410":
        server.apply(named("Pod", "p0", "ns0"))
        store.compact()


@pytest.mark.parametrize("name", NAMES)
def test_transcript(server: ApiServer, name: str) -> None:
    expected = Transcript.of(name)
    arrange(server, name, expected.documents)
    answer = ask(server, expected.path, "wrong" if name == "401" else None)
    assert f"HTTP/1.1 {answer.code} {answer.reason}" == expected.status
    assert {key: answer.headers.get(key) for key in expected.headers} == expected.headers
    assert told(answer, name) == expected.documents


def told(answer: Answer, name: str) -> list[Any]:
    documents = answer.lines if name.startswith("watch") else [answer.json]
    if name == "list":  # the items are other objects here
        assert [own["metadata"]["name"] for own in documents[0].pop("items")] == ["p1"]
    return documents


def test_every_transcript_of_an_answer_is_here() -> None:
    assert len(NAMES) == 9
    assert all(re.match(r"HTTP/1.1 \d{3} \w", Transcript.of(name).status) for name in NAMES)
