"""Synthetic clusters as `kubectl get namespaces,nodes,pods,networkpolicies -A -o json` lists them.

In: counts and a seed. Out: the bytes of one List, written as a stream (300 MB for the largest size
need no memory); the same arguments give the same bytes on every machine. The JSON is compact, as
the API server sends it. Refused: counts that no cluster has.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from benches import pods as manifests
from benches.policies import policies as drawn
from benches.policies import policies_for
from benches.world import Tenant, Workload, World, plan

_SOURCES = ("workloads.py", "world.py", "pods.py", "policies.py")


@dataclass(frozen=True, slots=True)
class Size:
    """A named cluster; `pods` counts hostNetwork and finished ones too."""

    name: str
    pods: int
    policies: int
    nodes: int


SIZES = {
    size.name: size
    for size in (
        Size("S", 1_000, 100, 10),
        Size("M", 10_000, 1_000, 100),
        Size("L", 100_000, 10_000, 1_000),
    )
}
LOCAL_NODE = manifests.node_name(0)
"""The node of `node_cluster` that every policy is about."""


def snapshot(pods: int, policies: int, nodes: int, seed: int = 1) -> bytes:
    """One List of a cluster's Namespaces, Nodes, Pods and NetworkPolicies."""
    return b"".join(_cluster(pods, policies, nodes, seed))


def cached(size: Size, seed: int = 1) -> Path:
    """The file of a named size, written the first time it is asked for."""
    name = f"{size.name}-{size.pods}-{size.policies}-{size.nodes}-{seed}"
    return _cached(name, lambda: _cluster(size.pods, size.policies, size.nodes, seed))


def node_cluster(
    policies: int,
    *,
    pods: int = 10_000,
    local: int = 100,
    replicas: int = 5,
    seed: int = 1,
    dual_stack: bool = False,
) -> bytes:
    """A cluster whose policies all select pods of one node.

    `LOCAL_NODE` runs `local` pods, `replicas` of each of `local / replicas` workloads in half as
    many namespaces, and one hostNetwork pod; all other pods run elsewhere and are peers only. With
    `dual_stack` every pod has both families, without it those of one namespace in ten.
    """
    world = plan(pods, max(2, pods // 100), seed)
    for tenant in world.tenants:
        tenant.dual_stack |= dual_stack
    subjects = _pin(world, local // replicas, replicas)
    return b"".join(_list(world, policies_for(world, subjects, policies)))


def cached_node_cluster(policies: int, *, dual_stack: bool = False, pods: int = 10_000) -> Path:
    """The file of a `node_cluster`, written the first time it is asked for."""
    name = f"node-{policies}{'-dual' if dual_stack else ''}{f'-{pods}' if pods != 10_000 else ''}"
    made = partial(node_cluster, policies, dual_stack=dual_stack, pods=pods)
    return _cached(name, lambda: iter([made()]))


def _pin(world: World, workloads: int, replicas: int) -> list[tuple[Tenant, list[Workload]]]:
    """Put the first replicas of some workloads on node 0, and nothing else; the workloads moved."""
    world.reserved_node = 0
    subjects = []
    for tenant in world.tenants:
        local: list[Workload] = []
        for position, workload in enumerate(tenant.workloads):
            eligible = not workload.finished and not workload.host_network
            if eligible and workload.replicas >= replicas and workloads and len(local) < 2:
                pinned = replace(workload, nodes=(0,) * replicas)
                tenant.workloads[position] = pinned
                local.append(pinned)
                workloads -= 1
        if local:
            subjects.append((tenant, local))
    if workloads:
        raise ValueError(f"{workloads} workloads of {replicas} replicas are missing: too few pods")
    return subjects


def _cluster(pods: int, policies: int, nodes: int, seed: int) -> Iterator[bytes]:
    world = plan(pods, nodes, seed)
    return _list(world, drawn(world, policies))


def _list(world: World, policies: Iterator[str]) -> Iterator[bytes]:
    objects = chain(
        manifests.namespaces(world), manifests.nodes(world), manifests.pods(world), policies
    )
    yield b'{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":""},"items":[\n'
    yield next(objects).encode()
    for text in objects:
        yield b",\n" + text.encode()
    yield b"\n]}\n"


def _cached(name: str, chunks: Callable[[], Iterator[bytes]]) -> Path:
    folder = Path(tempfile.gettempdir()) / f"netpolc-benches-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{name}-{_generator_digest()}.json"
    if not path.exists():
        for outdated in folder.glob(f"{name}-{'?' * 12}.json"):
            outdated.unlink()
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as stream:
            stream.writelines(chunks())
        # The rename is atomic: a run that was cut short leaves no half a cluster behind.
        os.replace(stream.name, path)
    return path


def _generator_digest() -> str:
    folder = Path(__file__).parent
    sources = b"".join((folder / name).read_bytes() for name in _SOURCES)
    return hashlib.sha256(sources).hexdigest()[:12]
