"""All objects of a resource: one list, in pages, reduced as they come.

The first version of the resource that the server has is read. A page that expires is followed by
the list as a whole, as client-go's pager does it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from netpolc.apiserver.client import Client
from netpolc.apiserver.errors import ApiRefusal, Unreachable
from netpolc.apiserver.reducing import Documents, Reducer
from netpolc.apiserver.resources import Resource
from netpolc.apiserver.streaming import ListStream, decoded_answer

PAGE = 500
"""Objects of a page (client-go has the same)."""


class _Named(msgspec.Struct, frozen=True, gc=False):
    name: str = ""


class _Served(msgspec.Struct, frozen=True, gc=False):
    """An APIResourceList (`meta/v1`)."""

    resources: list[_Named] = []


_SERVED = msgspec.json.Decoder(_Served)


class Lister:
    """Lists one resource, in all namespaces or in one."""

    def __init__(self, client: Client, resource: Resource, namespace: str = "") -> None:
        self._client, self._namespace = client, namespace
        self.resource = resource
        self._version = resource.versions[0]

    @property
    def path(self) -> str:
        """Of the version that the server had last."""
        return self.resource.path(self._version, self._namespace)

    @property
    def reducer(self) -> Reducer:
        """For objects of that version."""
        return Reducer(self.resource.api_version(self._version), self.resource.kind)

    def versions(self) -> Iterator[str]:
        """All, beginning with the last one that was there; each is in `path` while it is tried."""
        for own in sorted(self.resource.versions, key=lambda own: own != self._version):
            self._version = own
            yield own

    def is_served(self) -> bool:
        """Whether the server has the resource in any version, whoever may read it."""
        for own in self.resource.versions:
            try:
                found = decoded_answer(_SERVED, self._client.whole(self.resource.root(own)))
            except ApiRefusal as error:
                if error.code != 404:
                    raise
                continue
            if any(one.name == self.resource.plural for one in found.resources):
                return True
        return False

    def listed(self, version: str = "", limit: int = PAGE) -> tuple[Documents, str]:
        """The objects and the version of the list, not older than `version` (`resourceVersion`).

        `ApiRefusal` if the server has no version of the resource, or for another reason.
        """
        missing: ApiRefusal | None = None
        for _ in self.versions():
            try:
                return self._pages(version, limit)
            except ApiRefusal as error:
                if error.code != 404:
                    raise
                missing = missing or error
        assert missing is not None
        raise missing

    def _pages(self, version: str, limit: int) -> tuple[Documents, str]:
        texts: list[bytes] = []
        at, rest = self._page(texts, version, limit, "")
        asked = set[str]()
        while rest:
            asked.add(rest)
            try:
                at, rest = self._page(texts, "", limit, rest)
            except ApiRefusal as error:
                if not error.is_expired:
                    raise
                texts.clear()
                at, rest = self._page(texts, version, 0, "")
            if rest in asked:  # it would never end
                where = f"{self._client.access.server}{self.path}"
                raise Unreachable(f"{where}: a page that was read already follows")
        return Documents(texts), at

    def _page(self, texts: list[bytes], version: str, limit: int, rest: str) -> tuple[str, str]:
        """Its version, and the token of the next one."""
        query = {"limit": str(limit)} if limit else {}
        if rest:
            query["continue"] = rest
        elif version:
            query["resourceVersion"] = version
        stream = ListStream(self._client.get(self.path, query))
        reducer = self.reducer
        texts.extend(reducer.reduced(item) for item in stream)
        return stream.metadata.resourceVersion, stream.metadata.rest
