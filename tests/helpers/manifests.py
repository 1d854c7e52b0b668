"""Short ways to write manifests in tests."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]


def _metadata(key: str, labels: dict[str, str]) -> Manifest:
    space, _, name = key.rpartition("/")
    return {"namespace": space or "default", "name": name, "labels": labels}


def namespace(name: str, **labels: str) -> Manifest:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def node(name: str, *addresses: str) -> Manifest:
    """A Node with InternalIP addresses."""
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    metadata = {"name": name}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "status": {"addresses": listed},
    }


def pod(key: str, *addresses: str, on: str = "node-a", **labels: str) -> Manifest:
    """A running Pod, `namespace/name`; without labels it has `name: NAME`."""
    metadata = _metadata(key, labels or {"name": key.rpartition("/")[2]})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": on, "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]},
    }


def policy(key: str, **spec: object) -> Manifest:
    """A NetworkPolicy, `namespace/name` (or a name in `default`)."""
    metadata = _metadata(key, {})
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return {**kind, "metadata": metadata, "spec": spec}
