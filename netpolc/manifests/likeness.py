"""What looks like a Kubernetes object, though it is none.

Comes in: the value of a document in a folder, beside which lie files of other programs. Goes out:
whether its author most likely meant an object: it is refused then, and not passed over, because a
policy that is passed over is not enforced.
"""

from __future__ import annotations

import re

_FIELDS = {"apiversion", "kind", "metadata", "spec", "podselector", "policytypes"}
OTHERS = {"kustomization.yaml", "kustomization.yml", "Chart.yaml"}
"""Files of other programs that have some fields of objects, and may lack others."""
_WORDS = re.compile(r"apiVersion|\bkind\b|NetworkPolicy")


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
