"""One watch, from its request to its end: lines of JSON -> events.

Versions move with every event and bookmark; a WatchList gives all objects first, up to its marker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count

import msgspec

from netpolc.apiserver.client import Client, Status
from netpolc.apiserver.errors import NO_JSON, ApiRefusal, Unreachable
from netpolc.apiserver.events import Changed, Event, Gone, Listed
from netpolc.apiserver.listing import Lister
from netpolc.apiserver.reducing import Documents
from netpolc.apiserver.streaming import lines

INITIAL_END = "k8s.io/initial-events-end"
"""The annotation of the bookmark after the last object of a WatchList."""


class _Line(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""
    annotations: dict[str, str] | None = None


class _Object(msgspec.Struct, gc=False):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class Watching:
    """A watch; `version` is how far it has come, `count` how many events it told."""

    def __init__(
        self,
        client: Client,
        lister: Lister,
        version: str,
        seconds: float,
        grace: float,
        begun: Callable[[], None],
    ) -> None:
        self._client, self._lister, self._begun = client, lister, begun
        self._seconds, self._grace = max(1, round(seconds)), grace
        self.version, self.count, self.is_synced = version, 0, False
        self._kind = lister.resource.kind
        self._line = msgspec.json.Decoder(_Line)
        self._object = msgspec.json.Decoder(_Object)

    def events(self, query: Mapping[str, str]) -> Iterator[Event | None]:
        """What happens, None for a bookmark; ends when the server ends it.

        `ApiRefusal` for an ERROR event, `Silent` if it neither says anything nor ends.
        """
        yield from self._heard(self._told(query, self._seconds + self._grace))

    def initial(self, query: Mapping[str, str], patience: float) -> Iterator[Event | None]:
        """The same of a WatchList: `Listed` first. Until then `patience` seconds of silence are
        `Silent`. Of objects without a name none takes the place of another.
        """
        texts: dict[tuple[str, str, int], bytes] = {}
        numbers = count(1)
        reducer = self._lister.reducer
        told = self._told(query, patience)
        for kind, content in told:
            metadata = self._metadata(content)
            if kind == "BOOKMARK":
                if INITIAL_END in (metadata.annotations or ()):
                    self.is_synced, self.version = True, metadata.resourceVersion
                    break
            elif kind == "DELETED":
                texts.pop((metadata.namespace, metadata.name, 0), None)
            else:
                number = 0 if metadata.name else next(numbers)
                texts[metadata.namespace, metadata.name, number] = reducer.reduced(content)
        if not self.is_synced:
            raise ApiRefusal(400, "NoMarker", "a WatchList ended before all objects were told")
        documents = Documents(list(texts.values()))
        texts.clear()
        yield Listed(self._kind, documents, self.version)
        self._client.wait_at_most(self._seconds + self._grace)
        yield from self._heard(told)

    def _heard(self, told: Iterator[tuple[str, msgspec.Raw]]) -> Iterator[Event | None]:
        reducer = self._lister.reducer
        for kind, content in told:
            metadata = self._metadata(content)
            self.version = metadata.resourceVersion or self.version
            if kind == "BOOKMARK":
                yield None
                continue
            self.count += 1
            if kind == "DELETED":
                yield Gone(self._kind, metadata.namespace, metadata.name)
            else:
                yield Changed(self._kind, msgspec.json.decode(reducer.reduced(content)))

    def _told(self, query: Mapping[str, str], seconds: float) -> Iterator[tuple[str, msgspec.Raw]]:
        """Kinds of events and their objects."""
        whole = {**query, "timeoutSeconds": str(self._seconds)}
        pieces = self._client.get(self._lister.path, whole, seconds)
        self._begun()
        for text in lines(pieces):
            try:
                line = self._line.decode(text)
            except NO_JSON as error:
                self._client.close()
                raise Unreachable(f"a line of a watch that is no event: {error}") from None
            if line.type == "ERROR":
                self._client.close()
                raise _refused(line.object)
            yield line.type, line.object

    def _metadata(self, content: msgspec.Raw) -> _Metadata:
        try:
            return self._object.decode(content).metadata
        except NO_JSON as error:
            self._client.close()
            raise Unreachable(f"an event of a watch without metadata: {error}") from None


def _refused(content: msgspec.Raw) -> ApiRefusal | Unreachable:
    """What an ERROR event says."""
    try:
        return msgspec.json.decode(content, type=Status).refused()
    except NO_JSON as error:
        return Unreachable(f"an ERROR event of a watch without a Status: {error}")
