"""Objects as the server sends them -> the same with only the fields that netpolc reads.

Comes in: the JSON of one object. Goes out: JSON again, a fifth of it for a pod. Values keep their
types, right or wrong: what is odd is for the frontends to judge. What is not of the usual shape
only loses `metadata.managedFields`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import msgspec

from netpolc.apiserver.errors import NO_JSON, Unreachable
from netpolc.apiserver.events import WireObject
from netpolc.core.ir import WAIVER

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""An annotation that repeats the object."""


class _Part(msgspec.Struct, omit_defaults=True, gc=False):
    """A part of an object; what it lacks is passed over unread."""


class _Port(_Part):
    name: Any = None
    containerPort: Any = None
    protocol: Any = None
    hostPort: Any = None


class _Container(_Part):
    ports: list[_Port] | None = None
    restartPolicy: Any = None


class _PodSpec(_Part):
    nodeName: Any = None
    hostNetwork: Any = None
    containers: list[_Container] | None = None
    initContainers: list[_Container] | None = None


class _Condition(_Part):
    type: Any = None
    status: Any = None


class _PodStatus(_Part):
    phase: Any = None
    conditions: list[_Condition] | None = None
    podIP: Any = None
    podIPs: Any = None
    hostIP: Any = None
    hostIPs: Any = None


class _Owner(_Part):
    kind: Any = None
    name: Any = None
    controller: Any = None


class _PodAnnotations(_Part, rename={"waiver": WAIVER}):
    waiver: Any = None


class _PodMetadata(_Part):
    name: Any = None
    namespace: Any = None
    uid: Any = None
    resourceVersion: Any = None
    creationTimestamp: Any = None
    deletionTimestamp: Any = None
    labels: Any = None
    annotations: _PodAnnotations | None = None
    ownerReferences: list[_Owner] | None = None


class _Pod(_Part):
    apiVersion: str = ""
    kind: str = ""
    metadata: _PodMetadata | None = None
    spec: _PodSpec | None = None
    status: _PodStatus | None = None


class _NodeSpec(_Part):
    podCIDR: Any = None
    podCIDRs: Any = None


class _NodeStatus(_Part):
    addresses: Any = None


class _Node(_Part):
    apiVersion: str = ""
    kind: str = ""
    metadata: dict[str, Any] | None = None
    spec: _NodeSpec | None = None
    status: _NodeStatus | None = None


class _Policy(_Part):
    """Of any other kind; the status is of no use but to Ingresses, which say no more in theirs."""

    apiVersion: str = ""
    kind: str = ""
    metadata: dict[str, Any] | None = None
    spec: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_MODELS: dict[str, type[_Pod] | type[_Node]] = {"Pod": _Pod, "Node": _Node}


class Reducer:
    """Reduces the objects of one kind; items of lists get the kind and version that they lack."""

    def __init__(self, api_version: str, kind: str) -> None:
        self._version, self._kind = api_version, kind
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_MODELS.get(kind, _Policy))
        self._encoder = msgspec.json.Encoder()

    def reduced(self, text: bytes | memoryview | msgspec.Raw) -> bytes:
        """The JSON of an object, reduced; `Unreachable` for what is no JSON."""
        try:
            return self._usual(text)
        except NO_JSON as error:
            raise Unreachable(f"an object of {self._kind} that is no JSON: {error}") from None

    def _usual(self, text: bytes | memoryview | msgspec.Raw) -> bytes:
        try:
            found = self._decoder.decode(text)
        except msgspec.ValidationError:
            return self._plainly(text)
        found.apiVersion, found.kind = found.apiVersion or self._version, found.kind or self._kind
        if isinstance(found.metadata, dict):
            _lighten(found.metadata)
        return self._encoder.encode(found)

    def _plainly(self, text: bytes | memoryview | msgspec.Raw) -> bytes:
        found = msgspec.json.decode(text)
        if not isinstance(found, dict):
            return self._encoder.encode({"apiVersion": self._version, "kind": self._kind})
        if isinstance(found.get("metadata"), dict):
            _lighten(found["metadata"])
        return self._encoder.encode({"apiVersion": self._version, "kind": self._kind, **found})


def _lighten(metadata: dict[str, Any]) -> None:
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict):
        annotations.pop(LAST_APPLIED, None)


class Documents(Sequence[WireObject]):
    """Objects that are kept as JSON and decoded when they are asked for: a sixth of the memory."""

    def __init__(self, texts: Sequence[bytes] = ()) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[WireObject]:
        return map(msgspec.json.decode, self.texts)

    @overload
    def __getitem__(self, index: int) -> WireObject: ...

    @overload
    def __getitem__(self, index: slice) -> Documents: ...

    def __getitem__(self, index: int | slice) -> WireObject | Documents:
        if isinstance(index, slice):
            return Documents(self.texts[index])
        found: WireObject = msgspec.json.decode(self.texts[index])
        return found

    def __repr__(self) -> str:
        return f"<{len(self)} documents>"
