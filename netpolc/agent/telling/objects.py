"""Events of Kubernetes on objects that are not enforced as they are written.

Comes in: an object's kind, namespace and name, and what is done about it. Goes out: an Event of the
core group, type `Warning`, beside the object (in `default` for what is in no namespace). All agents
of a cluster give one Event the same name, so the server has it once. Written by a thread of its
own, at most `BURST` at once and then one in `SECONDS`: the agent never waits. What is not written
is counted and told, and not tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from queue import SimpleQueue
from typing import Any

import msgspec

from netpolc.agent.telling.report import AGAIN, MOMENT, Report
from netpolc.apiserver.access.server import Access
from netpolc.apiserver.client import Client
from netpolc.apiserver.errors import NO_JSON, ApiRefusal
from netpolc.apiserver.resources import RESOURCES, Resource
from netpolc.core.errors import NetpolcError
from netpolc.core.ir import Key

BURST, SECONDS = 25, 10.0
"""So many Events at once, and then one in so many seconds."""
REMEMBERED = 4096
"""Objects of which it is known what was told last."""
REASON = "NotEnforcedAsWritten"
_LONGEST = 1024
"""Characters of `message` (core/v1 Event validation)."""
_LONGEST_NAME = 253 - 17
_PATH = "/api/v1/namespaces/{}/events"
_METRIC = "netpolc_object_events_total"


class _Metadata(msgspec.Struct, gc=False):
    uid: str = ""


class _Object(msgspec.Struct, gc=False):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class ObjectEvents:
    """Writes the Events of one agent; `tell` may be called at any time, and returns at once."""

    def __init__(
        self, access: Access, report: Report, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._report, self._clock = Client(access), report, clock
        self._waiting: SimpleQueue[tuple[Key, str] | None] = SimpleQueue()
        self._told: dict[Key, str] = {}
        self._left, self._since = float(BURST), clock()
        self._said = "", float("-inf")
        self._thread = threading.Thread(target=self._run, name="object events", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, seconds: float = 1.0) -> None:
        """Write no more; waits so long at most."""
        self._waiting.put(None)
        self._client.interrupt()
        self._thread.join(seconds)

    def tell(self, key: Key, why: str) -> None:
        """Say what is done about an object, unless that was said last, or too much is said."""
        if self._told.get(key) == why:
            return
        if not self._may():
            self._count("dropped")
            return
        if len(self._told) >= REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[key] = why
        self._waiting.put((key, why))

    def _may(self) -> bool:
        now = self._clock()
        self._left = min(BURST, self._left + (now - self._since) / SECONDS)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _run(self) -> None:
        while (own := self._waiting.get()) is not None:
            try:
                self._count("written" if self._write(*own) else "known")
            except ApiRefusal as error:
                self._failed("gone" if error.code == 404 else "failed", error)
            except NetpolcError as error:
                self._failed("failed", error)
        self._client.close()

    def _failed(self, result: str, error: NetpolcError) -> None:
        self._count(result)
        message, (said, moment), now = str(error), self._said, self._clock()
        if result == "failed" and (message != said or now - moment > AGAIN):
            self._said = message, now
            self._report.log.warning(f"an Event was not written: {message}")

    def _count(self, result: str) -> None:
        self._report.metrics.add(_METRIC, result=result)

    def _write(self, key: Key, why: str) -> bool:
        """Whether the Event is new; `ApiRefusal` of 404 if there is no such object."""
        resource = next(own for own in RESOURCES if own.kind == key[0])
        version, uid = self._found(resource, key)
        space = key[1] or "default"
        body = event(key, resource.api_version(version), uid, why, self._report.node)
        try:
            self._client.post(_PATH.format(space), msgspec.json.encode(body))
        except ApiRefusal as error:
            if error.code != 409:
                raise
            return False  # another agent was first
        return True

    def _found(self, resource: Resource, key: Key) -> tuple[str, str]:
        """The version of the API that has an object, and its UID."""
        missing: ApiRefusal | None = None
        for version in resource.versions:
            try:
                text = self._client.whole(f"{resource.path(version, key[1])}/{key[2]}")
                return version, msgspec.json.decode(text, type=_Object).metadata.uid
            except ApiRefusal as error:
                if error.code != 404:
                    raise
                missing = error
            except NO_JSON:
                return version, ""
        assert missing is not None
        raise missing


def event(key: Key, api_version: str, uid: str, why: str, node: str) -> dict[str, Any]:
    """The Event (core/v1) that says what is done about an object."""
    kind, namespace, name = key
    now = datetime.now(UTC).strftime(MOMENT)
    about = sha256("\0".join((*key, uid, why)).encode()).hexdigest()[:16]
    message = why if len(why) <= _LONGEST else f"{why[: _LONGEST - 1]}…"
    involved = {"apiVersion": api_version, "kind": kind, "name": name}
    involved |= {"namespace": namespace} if namespace else {}
    involved |= {"uid": uid} if uid else {}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{name[:_LONGEST_NAME]}.{about}",
            "namespace": namespace or "default",
        },
        "involvedObject": involved,
        "type": "Warning",
        "reason": REASON,
        "message": message,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": "netpolc", "host": node},
        "reportingComponent": "netpolc",
        "reportingInstance": node,
    }
