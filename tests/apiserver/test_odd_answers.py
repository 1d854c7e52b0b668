"""Servers and kubeconfigs that say what nobody expects: told in a line, and followed further."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from netpolc.apiserver import (
    Access,
    Changed,
    Ended,
    Followed,
    Gone,
    Listed,
    Trouble,
    from_kubeconfig,
)
from netpolc.apiserver.access.credentials import Token, TokenFile
from netpolc.apiserver.client import Client
from netpolc.apiserver.errors import ApiRefusal, Unreachable
from netpolc.apiserver.listing import Lister
from netpolc.apiserver.reducing import Reducer
from netpolc.core.errors import UsageError
from tests.apiserver.following import POD, Stepped, access
from tests.helpers.apiserver import ApiServer
from tests.helpers.apiserver.handler import Handler


@pytest.mark.parametrize("token", ["to\nken", "tök", "to\x00ken"])
def test_tokens_that_no_header_can_say(server: ApiServer, tmp_path: Path, token: str) -> None:
    """The message does not tell the token."""
    (tmp_path / "token").write_text(token)
    for own in Token(token), TokenFile(str(tmp_path / "token")):
        asking = Access(server.url, own, authority_file=str(server.ca_file))
        with pytest.raises(Unreachable, match="the token is no line of ASCII") as refused:
            Client(asking).whole("/version")
        assert token not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("server", "https://[::1", "no https:// URL"),
        ("server", "https://127.0.0.1:99999", "no https:// URL"),
        ("server", "https://127.0.0.1:port", "no https:// URL"),
        ("certificate-authority-data", "ä", "no base64"),
    ],
)
def test_kubeconfigs(server: ApiServer, field: str, value: str, told: str) -> None:
    path = server.kubeconfig()
    content = json.loads(path.read_text())
    content["clusters"][0]["cluster"][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=told):
        from_kubeconfig(str(path))


def test_an_authority_that_is_none(server: ApiServer) -> None:
    path = server.kubeconfig()
    content = json.loads(path.read_text())
    content["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(
        b"-----BEGIN \xff"
    ).decode()
    path.write_text(json.dumps(content))
    with pytest.raises(Unreachable):
        Client(from_kubeconfig(str(path))).whole("/version")


@pytest.mark.parametrize(
    "text",
    [b'{"metadata":{"name":"a\xff"}}', b'{"metadata":{"name":1e999}}', b'{"a":' + b"[" * 5000],
)
@pytest.mark.parametrize("kind", ["Pod", "NetworkPolicy"])
def test_objects_that_are_no_json(kind: str, text: bytes) -> None:
    with pytest.raises(Unreachable, match=f"an object of {kind} that is no JSON"):
        Reducer("v1", kind).reduced(text)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_by_itself_says_so(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the agent would go on with the objects of that moment, and say that it is ready."""

    def broken(*_: Any, **__: Any) -> Any:
        raise AttributeError("a fault of netpolc's own")

    monkeypatch.setattr(Client, "get", broken)
    followed = Followed(access(server), [POD])
    followed.start()
    assert followed.events.get(timeout=30) == Ended("Pod")
    followed.stop()


def test_objects_without_a_name_are_all_told(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a WatchList, in the events after it, and beside those that have one."""
    names: list[dict[str, Any]] = [{}, {"name": ""}, {"name": "a"}, {"namespace": "x"}]
    lines = [{"type": "ADDED", "object": {"metadata": own}} for own in ({"name": "z"}, *names)]
    lines.insert(2, {"type": "DELETED", "object": {"metadata": {"name": "z"}}})
    end = {"annotations": {"k8s.io/initial-events-end": "true"}, "resourceVersion": "7"}
    lines.append({"type": "BOOKMARK", "object": {"metadata": end}})
    later = [{}, {"name": "b"}]
    lines += [{"type": "MODIFIED", "object": {"metadata": own}} for own in later]
    lines.append({"type": "DELETED", "object": {"metadata": {}}})
    lines.append({"type": "DELETED", "object": {"metadata": {"name": "a"}}})
    text = b"".join(json.dumps(own).encode() + b"\n" for own in lines)
    own = Stepped(server)
    monkeypatch.setattr(Client, "get", lambda *_: iter([text]))
    own.step()
    listed, *events = own.told
    assert isinstance(listed, Listed)
    assert [one["metadata"].get("name") for one in listed.documents] == [None, "", "a", None]
    changed = [one.document["metadata"] for one in events if isinstance(one, Changed)]
    assert changed == later
    assert Gone("Pod", "", "a") in events
    own.close()


def test_error_events_without_a_status(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Stepped(server)
    own.step()
    monkeypatch.setattr(Client, "get", lambda *_: iter([b'{"type":"ERROR","object":[]}\n']))
    own.step()
    (told,) = [event for event in own.told if isinstance(event, Trouble)]
    assert "an ERROR event of a watch without a Status" in told.message
    own.close()


def test_a_token_that_is_not_taken(server: ApiServer) -> None:
    asking = Access(server.url, Token("another"), authority_file=str(server.ca_file))
    with closing(Client(asking)) as client, pytest.raises(ApiRefusal) as refused:
        client.whole("/version")
    assert str(refused.value) == f"{server.url} does not know who asks: Unauthorized"


def test_answers_without_a_status_name_the_server(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked where a redirect points to: a token would go with it."""
    monkeypatch.setattr(Handler, "do_GET", lambda own: own.send_error(302))
    with closing(Client(access(server))) as client, pytest.raises(ApiRefusal) as refused:
        client.whole("/version")
    assert str(refused.value) == f"{server.url} answered 302 Found"


@pytest.mark.parametrize("tokens", ["a", "ab"])
def test_pages_without_an_end(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, tokens: str
) -> None:
    """Else a list would be read for ever, and fill the memory."""
    following = cycle(tokens)

    def page(*_: Any) -> Any:
        metadata = {"resourceVersion": "1", "continue": next(following)}
        return iter([json.dumps({"metadata": metadata, "items": []}).encode()])

    monkeypatch.setattr(Client, "get", page)
    with closing(Client(access(server))) as client, pytest.raises(Unreachable) as refused:
        Lister(client, POD).listed()
    told = f"{server.url}/api/v1/pods: a page that was read already follows"
    assert str(refused.value) == told
