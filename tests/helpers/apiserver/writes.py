"""What kubectl writes: create, update, patch, delete."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.helpers.apiserver import refusals
from tests.helpers.apiserver.refusals import Refusal
from tests.helpers.apiserver.resources import Served
from tests.helpers.apiserver.store import Document, Store

Where = tuple[Store, Served, str, str, str]
"""Store, resource, namespace, name and subresource."""
PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json")


def written(verb: str, where: Where, content: str, body: bytes) -> tuple[Any, int]:
    """The answer and its code."""
    store, served, namespace, name, below = where
    with store.changed:
        if verb == "create":
            return _created(store, served, namespace, json.loads(body)), 201
        old = store.get(served, namespace, name)
        if old is None:
            raise refusals.not_found(served.plural, served.group, name)
        if verb == "delete":
            store.delete(served, namespace, name)
            details = {"name": name, "kind": served.plural, "uid": old.document["metadata"]["uid"]}
            head = {"kind": "Status", "apiVersion": "v1", "metadata": {}}
            return {**head, "status": "Success", "details": details}, 200
        if verb == "patch":
            if content not in PATCHES:
                raise Refusal(415, "UnsupportedMediaType", f"the body is {content}")
            new = merged(old.document, json.loads(body))
        else:
            new = json.loads(body)
        _check_version(served, name, old.document, new)
        if below == "status":
            new = {**old.document, "status": new.get("status")}
        new["metadata"] = {**new["metadata"], "uid": old.document["metadata"]["uid"]}
        if new == old.document:
            return new, 200
        return store.apply(new), 200


def merged(old: Any, patch: Any) -> Any:
    """A merge patch (RFC 7396). Lists are replaced whole, as those of a NetworkPolicy are in a
    strategic merge, too.
    """
    if not isinstance(patch, dict):
        return patch
    found = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if name.startswith("$"):
            raise Refusal(415, "UnsupportedMediaType", f"a strategic merge patch with {name}")
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def _created(store: Store, served: Served, namespace: str, document: Document) -> Document:
    metadata = dict(document.get("metadata") or {})
    if served.namespaced:
        metadata["namespace"] = namespace
        spaces = store.resource("v1", "Namespace")
        if store.get(spaces, "", namespace) is None:
            raise refusals.not_found("namespaces", "", namespace)
    if "name" not in metadata:
        metadata["name"] = f"{metadata.get('generateName', '')}{uuid.uuid4().hex[:5]}"
    if store.get(served, namespace, metadata["name"]) is not None:
        message = f'{served.plural} "{metadata["name"]}" already exists'
        raise Refusal(409, "AlreadyExists", message)
    head = {"apiVersion": served.api_version, "kind": served.kind}
    return store.apply({**document, **head, "metadata": metadata})


def _check_version(served: Served, name: str, old: Document, new: Document) -> None:
    given = new["metadata"].get("resourceVersion")
    if given not in (None, "", old["metadata"]["resourceVersion"]):
        message = (
            f'Operation cannot be fulfilled on {served.plural} "{name}": the object has been '
            "modified; please apply your changes to the latest version and try again"
        )
        raise Refusal(409, "Conflict", message)
