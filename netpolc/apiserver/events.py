"""What a reflector tells: the whole of a kind, then one change after another.

Events of one kind come in order, from one thread. Nothing is said about the order of two kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

WireObject: TypeAlias = dict[str, Any]
"""An object as JSON has it: apiVersion, kind, metadata, spec, status; never managedFields."""


class Listed(msgspec.Struct, frozen=True, gc=False):
    """The whole of a kind, after a list or a finished WatchList: what is not in it is gone."""

    kind: str
    documents: Sequence[WireObject]
    """Decoded each time they are asked for, where there are many."""
    resource_version: str
    """As the server gave it: opaque, and no number."""


class Changed(msgspec.Struct, frozen=True, gc=False):
    """An object that was added or modified; the same object may come again unchanged."""

    kind: str
    document: WireObject


class Gone(msgspec.Struct, frozen=True, gc=False):
    """An object that was deleted; `namespace` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str


class Absent(msgspec.Struct, frozen=True, gc=False):
    """An optional kind that the server lacks.

    It counts as empty until a `Listed` of it comes: the server is asked again for ever.
    """

    kind: str
    reason: str


class Trouble(msgspec.Struct, frozen=True, gc=False):
    """A request failed; it is tried again. What was told before still stands."""

    kind: str
    message: str


class Ended(msgspec.Struct, frozen=True, gc=False):
    """Nobody follows a kind any more, by a fault of netpolc: what was told of it grows old."""

    kind: str


Event: TypeAlias = Listed | Changed | Gone | Absent | Trouble | Ended
