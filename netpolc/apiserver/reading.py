"""A cluster as it is now, for analysis: one list of each kind, and no watch.

Comes in: an `Access`. Goes out: the objects as files in memory that `netpolc.load` reads, whose
places read `context:namespace/name`; and which kinds cannot be listed, each with the reason.
Refused: a server that does not answer, or does not know who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from netpolc.apiserver.access.server import Access
from netpolc.apiserver.client import Client
from netpolc.apiserver.errors import ApiRefusal
from netpolc.apiserver.listing import Lister
from netpolc.apiserver.reducing import Documents
from netpolc.apiserver.resources import ANALYSED, Resource
from netpolc.manifests import Document, File

Named = tuple[str, str, str]
"""Kind, namespace ("" of what is in none) and name of an object."""


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""


class _Object(msgspec.Struct, gc=False):
    kind: str = ""
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_OBJECT = msgspec.json.Decoder(_Object)


class Unlisted(NamedTuple):
    """A kind that could not be listed, by its plural, and why; nothing can be enforced without one
    that is `required`.
    """

    plural: str
    why: str
    required: bool


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What a cluster had when it was asked; `lists` has the objects by resource."""

    name: str
    lists: dict[Resource, Documents]
    unlisted: tuple[Unlisted, ...] = ()

    def files(self, without: Container[Named] = ()) -> list[File]:
        """A list of objects for each kind; those that are named are left out."""
        made = []
        for own, documents in self.lists.items():
            texts = [text for text in documents.texts if _named(text) not in without]
            if texts:
                data = b'{"apiVersion":"v1","kind":"List","items":[' + b",".join(texts) + b"]}"
                trace = _tracing(self.name, texts)
                made.append(File(f"{self.name}:{own.plural}", data, trace=trace))
        return made


def read_cluster(
    access: Access, namespace: str = "", resources: Iterable[Resource] = ANALYSED
) -> ClusterState:
    """List every resource, in all namespaces or one; kinds that RBAC forbids are `unlisted`.

    `Unreachable` if nobody answers, `ApiRefusal` for any other refusal.
    """
    client = Client(access)
    lists: dict[Resource, Documents] = {}
    unlisted = []
    try:
        for own in resources:
            try:
                lists[own], _ = Lister(client, own, namespace).listed()
            except ApiRefusal as error:
                if error.code == 404 and not own.required:
                    continue
                if error.code not in (403, 404):
                    raise
                unlisted.append(Unlisted(own.plural, str(error), own.required))
    finally:
        client.close()
    return ClusterState(access.name, lists, tuple(unlisted))


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where an object of a cluster is: nowhere in a file."""

    text: str

    def place(self, elements: Sequence[str | int] = (), at_key: bool = False) -> str:
        """The object, whatever field of it is meant."""
        return self.text

    def excerpt(self, elements: Sequence[str | int] = ()) -> tuple[tuple[int, str], ...]:
        """No lines."""
        return ()


_Traced = tuple[_Origin, Sequence[str | int]] | None


def _tracing(
    name: str, texts: Sequence[bytes]
) -> Callable[[File, int, Sequence[str | int], Sequence[str | int]], _Traced]:
    def trace(
        file: File, document: int, at: Sequence[str | int], elements: Sequence[str | int]
    ) -> _Traced:
        number = at[1] if len(at) > 1 else None
        if not isinstance(number, int) or number >= len(texts):
            return None
        _, *names = _named(texts[number])
        return _Origin(f"{name}:{'/'.join(filter(None, names))}"), elements

    return trace


def _named(text: bytes) -> Named:
    try:
        found = _OBJECT.decode(text)
    except msgspec.MsgspecError:  # an odd name: nothing that is given has it
        return "", "", ""
    return found.kind, found.metadata.namespace, found.metadata.name


def names_of(documents: Iterable[Document], default: str) -> Iterator[Named]:
    """Names as they are in a cluster, of objects that may name no namespace.

    Both forms of those are given: only their kind knows whether it has a namespace.
    """
    for document in documents:
        try:
            own = document.typed(_Object).metadata
        except (msgspec.MsgspecError, RecursionError):
            continue  # what is wrong with it is told when it is read
        yield document.kind, own.namespace or default, own.name
        if not own.namespace:
            yield document.kind, "", own.name
