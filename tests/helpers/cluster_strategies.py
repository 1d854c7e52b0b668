"""Hypothesis strategies for clusters: Namespace, Node and Pod manifests that can stand together.

Out: lists of plain dicts, as an API server would hold them: no two live pods share an address,
port names are unique in a container. Nothing is refused. The alphabets here are the policies' too,
so that selectors and named ports meet pods often.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.helpers.reference import METADATA_NAME

Manifest = dict[str, Any]

NAMESPACES = ["default", "x", "y", "z"]
KEYS = ["app", "tier"]
GHOST = "ghost"  # a key that nothing carries
VALUES = ["a", "", "b"]
SERVED = [80, 81, 8080, 65535]
PORT_NAMES = ["http", "web-1"]
LIVE_PHASES = ["Running", None, "Unknown", "Pending"]
FINISHED_PHASES = ["Succeeded", "Failed"]


def set_field(target: Manifest, key: str, value: object) -> None:
    """Store a drawn field; an ``Ellipsis`` stands for a missing one."""
    if value is not ...:
        target[key] = value


def lists_of(elements: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[Any]:
    """A list field in all its forms: with elements, missing, null and empty."""
    absent: st.SearchStrategy[Any] = st.sampled_from([..., None, []])
    given = [st.lists(elements, min_size=1, max_size=size) for size in (1, most, most)]
    return st.one_of(absent, *given)


def labels() -> st.SearchStrategy[Any]:
    """The labels of a pod or a namespace; missing and null are none."""
    given = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2)
    return st.one_of(given, st.sampled_from([..., None]))


def clusters() -> st.SearchStrategy[list[Manifest]]:
    """Namespaces, nodes and pods that can stand together: no two live pods share an address."""
    return _clusters()


@st.composite
def _clusters(draw: st.DrawFn) -> list[Manifest]:
    names = draw(st.lists(st.sampled_from(NAMESPACES), min_size=2, max_size=4, unique=True))
    declared = [name for name in names if draw(st.integers(0, 3)) < 3]
    node_count = draw(st.integers(1, 3))
    hosts = draw(st.lists(st.integers(1, 14), min_size=3, max_size=8, unique=True))
    pods = [draw(_pods(i, host, names, hosts, node_count)) for i, host in enumerate(hosts)]
    nodes = [draw(_nodes(n)) for n in range(1, node_count + 1) if draw(st.integers(0, 4)) < 4]
    return [draw(_namespaces(name)) for name in declared] + nodes + pods


@st.composite
def _namespaces(draw: st.DrawFn, name: str) -> Manifest:
    metadata: Manifest = {"name": name}
    given = draw(labels())
    if isinstance(given, dict) and draw(st.booleans()):
        given = {**given, METADATA_NAME: name}
    set_field(metadata, "labels", given)
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


@st.composite
def _nodes(draw: st.DrawFn, number: int) -> Manifest:
    """A node whose object tells some of its addresses, all of them or none."""
    entries = [
        {"type": "InternalIP", "address": f"10.0.1.{number}"},
        {"type": "InternalIP", "address": f"fd00:1::{number}"},
        {"type": "ExternalIP", "address": f"203.0.113.{number}"},
        {"type": "Hostname", "address": f"node-{number}"},
    ]
    count = draw(st.sampled_from([4, 1, 2, 0]))
    status: Manifest = {}
    set_field(status, "addresses", entries[:count] or draw(st.sampled_from([..., None, []])))
    metadata = {"name": f"node-{number}"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}


@st.composite
def _pods(
    draw: st.DrawFn, index: int, host: int, names: list[str], hosts: list[int], node_count: int
) -> Manifest:
    """A pod of one of the kinds that share a cluster; most are plain and running."""
    kind = draw(st.sampled_from(["plain"] * 5 + ["terminating", "host", "finished", "new"]))
    node = draw(st.sampled_from([*range(1, node_count + 1), None]))
    metadata: Manifest = {"name": f"p{index}", "namespace": draw(st.sampled_from(names))}
    if metadata["namespace"] == "default" and draw(st.booleans()):
        del metadata["namespace"]
    set_field(metadata, "labels", draw(labels()))
    if kind == "terminating" or (kind == "finished" and draw(st.booleans())):
        metadata["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    spec: Manifest = {"containers": draw(_containers())}
    if draw(st.integers(0, 2)) == 2:
        spec["initContainers"] = draw(_containers(init=True))
    if node is not None:
        spec["nodeName"] = f"node-{node}"
    if kind == "host":
        spec["hostNetwork"] = True
    if kind == "finished":
        host = draw(st.sampled_from(hosts))  # often the address of a live pod
    status = draw(_statuses(kind, host, node))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


@st.composite
def _statuses(draw: st.DrawFn, kind: str, host: int, node: int | None) -> Manifest:
    status: Manifest = {}
    if kind == "finished":
        status["phase"] = draw(st.sampled_from(FINISHED_PHASES))
    else:
        set_field(status, "phase", draw(st.sampled_from(LIVE_PHASES)) or ...)
    both = [f"10.0.0.{host}", f"fd00::{host:x}"]
    if kind == "host":
        # The node's own addresses, or ones that only this pod tells of.
        own = draw(st.booleans()) and node is not None
        both = [f"10.0.1.{node}", f"fd00:1::{node}"] if own else [f"10.0.1.{host + 32}"]
    addresses = draw(st.sampled_from([both, both[:1], both[-1:]]))
    if kind == "new":
        addresses = []
    _write_addresses(status, "podIP", "podIPs", addresses, draw(st.integers(0, 2)))
    if node is not None or draw(st.integers(0, 3)) == 3:
        known = [f"10.0.1.{node or 1}", f"fd00:1::{node or 1}"]
        untold = [f"10.0.1.{(node or 1) + 16}"]
        given = draw(st.sampled_from([known, known[:1], untold, []]))
        _write_addresses(status, "hostIP", "hostIPs", given, draw(st.integers(0, 2)))
    return status


def _write_addresses(
    status: Manifest, single: str, plural: str, addresses: list[str], form: int
) -> None:
    """Both fields, the list alone, or (for one address) the single field alone."""
    if not addresses:
        return
    if form != 1:
        status[single] = addresses[0]
    if form != 2 or len(addresses) > 1:
        status[plural] = [{"ip": address} for address in addresses]


@st.composite
def _containers(draw: st.DrawFn, init: bool = False) -> list[Manifest]:
    """Containers whose port names are unique in each, as the API server asks, not across them."""
    prefix = "init" if init else "c"
    containers = []
    for index in range(draw(st.sampled_from([1, 2, 2]))):
        container: Manifest = {"name": f"{prefix}{index}", "image": "example.com/app"}
        if init and draw(st.booleans()):
            container["restartPolicy"] = "Always"
        names = st.sampled_from([*PORT_NAMES, *PORT_NAMES, ...])
        drawn = draw(lists_of(_container_ports(names), 3))
        if isinstance(drawn, list):
            drawn = _unique_names(drawn)
        set_field(container, "ports", drawn)
        containers.append(container)
    return containers


@st.composite
def _container_ports(draw: st.DrawFn, names: st.SearchStrategy[Any]) -> Manifest:
    port: Manifest = {"containerPort": draw(st.sampled_from(SERVED))}
    set_field(port, "name", draw(names))
    set_field(port, "protocol", draw(st.sampled_from(["TCP", ..., "UDP", "SCTP"])))
    return port


def _unique_names(ports: list[Manifest]) -> list[Manifest]:
    seen: set[str] = set()
    kept = []
    for port in ports:
        name = port.get("name")
        if name is None or name not in seen:
            kept.append(port)
            seen.add(name or "")
    return kept
