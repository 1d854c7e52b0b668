"""What objects of several kinds have, decoded at once where nothing of it is odd.

Comes in: JSON. Goes out: structs, and selectors of them. What raises here is read field by field by
whoever has the messages.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec

from netpolc.core.ir import SELECT_ALL, Operator, Requirement, Selector
from netpolc.frontends.fields import label_key_problems, label_value_problems, matching

UNREAD = msgspec.Raw()
"""Of a field that nobody reads."""


class Unusual(Exception):
    """Something that has to be read field by field."""


class Expression(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`LabelSelectorRequirement`."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None


class LabelSelector(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`LabelSelector`."""

    matchLabels: dict[str, str] | None = None
    matchExpressions: list[Expression] | None = None


class ObjectMeta(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """`ObjectMeta`; what API servers and clients add is skipped."""

    name: str
    namespace: str | None = None
    annotations: dict[str, str] | None = None
    labels: msgspec.Raw = UNREAD
    creationTimestamp: msgspec.Raw = UNREAD
    generation: msgspec.Raw = UNREAD
    managedFields: msgspec.Raw = UNREAD
    ownerReferences: msgspec.Raw = UNREAD
    resourceVersion: msgspec.Raw = UNREAD
    uid: msgspec.Raw = UNREAD


def selector_of(own: LabelSelector | None) -> Selector:
    """What it selects: missing and empty everything. Raises `Unusual`."""
    if own is None:
        return SELECT_ALL
    labels = tuple(own.matchLabels.items()) if own.matchLabels else ()
    found = matching(labels)
    if found is None:
        raise Unusual
    if not own.matchExpressions:
        return found
    more = [
        _requirement(each.key, each.operator, tuple(each.values or ()))
        for each in own.matchExpressions
    ]
    return Selector(found.requirements.union(more))


@lru_cache(maxsize=1 << 12)
def _requirement(key: str, name: str, values: tuple[str, ...]) -> Requirement:
    operator = Operator(name)
    if bool(values) is not (operator in (Operator.IN, Operator.NOT_IN)):
        raise Unusual
    if label_key_problems(key) or any(any(label_value_problems(own)) for own in values):
        raise Unusual
    return Requirement(key, operator, frozenset(values))
