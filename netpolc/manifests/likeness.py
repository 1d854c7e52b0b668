"""What looks like a Kubernetes object, though it is none.

Comes in: the value of a document in a folder, beside which lie files of other programs. Goes out:
whether its author most likely meant an object: it is refused then, and not passed over, because a
policy that is passed over is not enforced.
"""

from __future__ import annotations

import re
from typing import Any

_FIELDS = {"apiversion", "kind", "metadata", "spec", "podselector", "policytypes"}
OTHERS = {"kustomization.yaml", "kustomization.yml", "Chart.yaml"}
"""Files of other programs that have some fields of objects, and may lack others."""
_WORDS = re.compile(r"apiVersion|\bkind\b|NetworkPolicy")


_OF_LISTS = {"apiVersion", "kind", "metadata", "items"}


def list_problem(kind: str | None, parts: dict[str, Any]) -> tuple[tuple[str, ...], str] | None:
    """What is wrong with something that has items: the field, and a sentence.

    `parts` are its fields, of the items the first one. A list without a kind is one, as clients of
    the API have it; with a field that is nearly `kind` it is none.
    """
    first = next(iter(parts["items"]), None)
    metadata = parts.get("metadata")
    if kind is None:
        other = next((own for own in parts if own not in _OF_LISTS), None)
        if other is not None and is_like_object(first):
            return (other,), f"{other} is no field of a list, and kind is missing"
    elif not kind.endswith("List"):
        if isinstance(first, dict) and {"apiVersion", "kind"} <= first.keys():
            return ("kind",), f"{kind} is no kind of list, so its items would not be read; List is"
        return None
    if isinstance(metadata, dict) and metadata.get("continue"):
        return ("metadata", "continue"), "a part of a list: more objects follow, and are not here"
    return None


def is_like_object(value: object) -> bool:
    """Whether it has a field of objects in any case, is a list of such, or a text that names one.

    A text is what `kind:NetworkPolicy` is, without a space.
    """
    if isinstance(value, dict):
        if any(str(name).strip().lower() in _FIELDS for name in value):
            return True
        return is_like_object(value.get("items"))
    if isinstance(value, list):
        return any(map(is_like_object, value))
    return isinstance(value, str) and _WORDS.search(value) is not None
