"""Manifests of a planned cluster, one text at a time: Namespaces, Nodes and Pods.

In: a `World`. Out: an iterator of compact JSON objects as the API server lists them, about 3 KB a
pod. A workload's pod is serialised once and its pods are that text with the name, the addresses
and a few identifiers filled in, so that 100,000 pods take seconds and no memory. Refused: a node
that runs out of addresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from benches.world import ADDRESSES_PER_NODE, Tenant, Workload, World

Json = dict[str, Any]

# Text that stands in a workload's template for what differs between its pods.
_SLOTS = ("name", "uid", "version", "node", "host", "address", "container", "started")
_ADDRESSES = '"<addresses>"'


def dumps(value: object) -> str:
    """Compact JSON, in the order the keys were written."""
    return json.dumps(value, separators=(",", ":"))


def uid(rng: Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def node_name(node: int) -> str:
    return f"node-{node:04d}"


def node_addresses(node: int) -> tuple[str, str]:
    """The node's InternalIPs, IPv4 and IPv6."""
    return f"172.20.{node >> 8}.{node & 255}", f"fd00:172:20::{node + 1:x}"


def pod_addresses(node: int, number: int) -> tuple[str, str]:
    """The addresses of a node's pod from its /24 of 10.64.0.0/12 and its /64 of fd00:10:64::/48."""
    if number >= ADDRESSES_PER_NODE:
        raise ValueError(f"{node_name(node)} has no address left for pod {number}")
    v4 = f"10.{64 + (node >> 8)}.{node & 255}.{number + 2}"
    return v4, f"fd00:10:64:{node:x}::{number + 2:x}"


def namespaces(world: World) -> Iterator[str]:
    rng = Random(f"namespaces {world.seed}")
    for tenant in world.namespaces():
        yield dumps(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": tenant.name,
                    "uid": uid(rng),
                    "creationTimestamp": "2024-03-01T08:00:00Z",
                    "labels": tenant.labels,
                },
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            }
        )


def nodes(world: World) -> Iterator[str]:
    rng = Random(f"nodes {world.seed}")
    for node in range(world.nodes):
        name, (v4, v6) = node_name(node), node_addresses(node)
        cidr = f"10.{64 + (node >> 8)}.{node & 255}.0/24"
        yield dumps(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": name,
                    "uid": uid(rng),
                    "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
                },
                "spec": {"podCIDR": cidr, "podCIDRs": [cidr, f"fd00:10:64:{node:x}::/64"]},
                "status": {
                    "addresses": [
                        {"type": "InternalIP", "address": v4},
                        {"type": "InternalIP", "address": v6},
                        {"type": "Hostname", "address": name},
                    ],
                    "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                },
            }
        )


def pods(world: World) -> Iterator[str]:
    rng = Random(f"pods {world.seed}")
    used = [0] * world.nodes
    for tenant in world.namespaces():
        for workload in tenant.workloads:
            yield from _pods_of(world, tenant, workload, used, rng)


def _pods_of(
    world: World, tenant: Tenant, workload: Workload, used: list[int], rng: Random
) -> Iterator[str]:
    revision = f"{rng.getrandbits(36):09x}"
    template = _template(tenant, workload, revision)
    for number, node in enumerate(_placed(world, workload, rng)):
        host = node_addresses(node)
        address = host if workload.host_network else pod_addresses(node, used[node])
        # The address of a finished pod is free again: the node's next pod gets the same one.
        used[node] += not (workload.host_network or workload.finished)
        digits = f"{rng.getrandbits(256):064x}"
        yield template % {
            "name": f"{workload.name}-{revision}-{digits[:3]}{number:02x}",
            "uid": f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}",
            "version": rng.randrange(10**6, 10**9),
            "node": node_name(node),
            "host": host[0],
            "address": address[0],
            "addresses": dumps([{"ip": ip} for ip in address[: 1 + tenant.dual_stack]]),
            "container": digits,
            "started": f"2025-{1 + number % 12:02d}-{1 + node % 28:02d}T10:{number % 60:02d}:07Z",
        }


def _placed(world: World, workload: Workload, rng: Random) -> Iterator[int]:
    """The node of every pod of a workload: the pinned ones first, then any that is not reserved."""
    yield from workload.nodes[: workload.replicas]
    for _ in range(workload.replicas - len(workload.nodes)):
        node = rng.randrange(world.nodes)
        while node == world.reserved_node:
            node = rng.randrange(world.nodes)
        yield node


def _template(tenant: Tenant, workload: Workload, revision: str) -> str:
    text = dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": _metadata(tenant, workload, revision),
            "spec": _spec(workload),
            "status": _status(workload),
        }
    ).replace("%", "%%")
    for slot in _SLOTS:
        text = text.replace(f"<{slot}>", f"%({slot})s")
    return text.replace(_ADDRESSES, "%(addresses)s")


def labels(workload: Workload) -> dict[str, str]:
    """The labels of a workload's pods that a selector may name."""
    return {
        "app": workload.app,
        "component": workload.component,
        "tier": workload.tier,
        "version": workload.version,
        "app.kubernetes.io/managed-by": "Helm",
    }


def _metadata(tenant: Tenant, workload: Workload, revision: str) -> Json:
    managed = {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}, "f:component": {}, "f:tier": {}}},
        "f:spec": {"f:containers": {f'k:{{"name":"{workload.component}"}}': {"f:image": {}}}},
    }
    return {
        "name": "<name>",
        "generateName": f"{workload.name}-{revision}-",
        "namespace": tenant.name,
        "uid": "<uid>",
        "resourceVersion": "<version>",
        "creationTimestamp": "<started>",
        "labels": {**labels(workload), "pod-template-hash": revision},
        "annotations": {
            "checksum/config": revision * 7,
            "prometheus.io/scrape": "true",
            "kubectl.kubernetes.io/restartedAt": "2025-01-01T00:00:00Z",
        },
        "ownerReferences": [
            {
                "apiVersion": "batch/v1" if workload.kind == "Job" else "apps/v1",
                "kind": workload.kind,
                "name": f"{workload.name}-{revision}",
                "uid": f"0a0a0a0a-0000-4000-8000-{revision:0>12}",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
        "managedFields": [
            {
                "manager": "kube-controller-manager",
                "operation": "Update",
                "apiVersion": "v1",
                "time": "<started>",
                "fieldsType": "FieldsV1",
                "fieldsV1": managed,
            }
        ],
    }


def _spec(workload: Workload) -> Json:
    token = "kube-api-access-x7k2p"
    spec: Json = {
        "volumes": [
            {"name": "config", "configMap": {"name": f"{workload.name}-config"}},
            {
                "name": token,
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
                    ],
                    "defaultMode": 420,
                },
            },
        ],
        "containers": [_container(workload, token)],
        "restartPolicy": "Never" if workload.finished else "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": workload.app,
        "nodeName": "<node>",
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
            for key in ("not-ready", "unreachable")
        ],
        "priority": 0,
        "enableServiceLinks": True,
    }
    if workload.host_network:
        spec["hostNetwork"] = True
    return spec


def _container(workload: Workload, token: str) -> Json:
    return {
        "name": workload.component,
        "image": f"registry.example.com/{workload.app}/{workload.component}:{workload.version}",
        "ports": [
            {"name": port.name, "containerPort": port.number, "protocol": port.protocol}
            for port in workload.ports
        ],
        "env": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "DATABASE_URL", "value": f"postgres://{workload.app}-db:5432/{workload.app}"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "resources": {
            "limits": {"cpu": "500m", "memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "128Mi"},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/config"},
            {
                "name": token,
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            },
        ],
        "imagePullPolicy": "IfNotPresent",
    }


def _status(workload: Workload) -> Json:
    state = {"terminated": {"exitCode": 0}} if workload.finished else {
        "running": {"startedAt": "<started>"}
    }  # fmt: skip
    return {
        "phase": "Succeeded" if workload.finished else "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": "<started>"}
            for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
        ],
        "hostIP": "<host>",
        "podIP": "<address>",
        "podIPs": "<addresses>",
        "startTime": "<started>",
        "containerStatuses": [
            {
                "name": workload.component,
                "state": state,
                "ready": not workload.finished,
                "restartCount": 0,
                "containerID": "containerd://<container>",
                "started": not workload.finished,
            }
        ],
        "qosClass": "Burstable",
    }
