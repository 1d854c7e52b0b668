"""Whose an address is that several claim: two pods, or a pod and a node.

Comes in: the pods and nodes of a snapshot. Goes out: the same with every address at one of them.
Two live pods show one address for seconds wherever a node starts again, a virtual machine moves or
a node is lost: it belongs to the newest pod that is ready to start containers, else to the newest
by creation. If no order can be told the address is closed: all pods that show it are, and the first
of them keeps it. What a Node's object calls its own and a pod shows is the pod's, which has
policies. Each is told (NP007).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec
from msgspec import structs

from netpolc.core.cluster import Node, Pod
from netpolc.core.errors import ROOT, ObjectProblems, Problems
from netpolc.core.nets import format_address
from netpolc.frontends.objects import Life
from netpolc.manifests import Document

CODE = "NP007"
_AT = ROOT / "status" / "podIPs"
_READY = "PodReadyToStartContainers"


@dataclass(slots=True)
class _Decisions:
    """What changes: addresses that pods lose, pods that are closed, addresses nodes lose."""

    lost: dict[Pod, set[int]]
    closed: dict[Pod, None]
    of_pods: set[int]


def settle(
    pods: Sequence[Pod],
    nodes: Mapping[str, Node],
    documents: Mapping[tuple[str, str], Document],
    problems: Problems,
) -> tuple[tuple[Pod, ...], dict[str, Node]]:
    """The pods and nodes without any address that another has."""
    first: dict[int, Pod] = {}
    claims: dict[int, list[Pod]] = {}
    for pod in pods:
        if not pod.host_network:
            for address in pod.addresses:
                other = first.setdefault(address, pod)
                if other is not pod:
                    claims.setdefault(address, [other]).append(pod)
    of_nodes = {address: node for node in nodes.values() for address in node.addresses}
    decided = _Decisions({}, {}, set())
    settler = _Settler(documents, problems, decided, _hosts(pods))
    for address in of_nodes.keys() & first.keys():
        claims.setdefault(address, [first[address]])
    for address in sorted(claims):
        settler.decide(address, claims[address], of_nodes.get(address))
    if not decided.lost and not decided.closed and not decided.of_pods:
        return tuple(pods), dict(nodes)
    own = tuple(_settled(pod, decided) for pod in pods)
    less = decided.of_pods
    left = {name: replace(node, addresses=node.addresses - less) for name, node in nodes.items()}
    return own, left


def _hosts(pods: Sequence[Pod]) -> dict[int, list[Pod]]:
    found: dict[int, list[Pod]] = {}
    for pod in pods:
        if pod.host_network:
            for address in pod.addresses:
                found.setdefault(address, []).append(pod)
    return found


def _settled(pod: Pod, decided: _Decisions) -> Pod:
    lost = decided.lost.get(pod, set())
    if pod in decided.closed:
        kept = tuple(address for address in pod.addresses if address not in lost)
        return closed(structs.replace(pod, addresses=kept))
    if lost or not decided.of_pods.isdisjoint(pod.host_addresses):
        hosts = tuple(own for own in pod.host_addresses if own not in decided.of_pods)
        kept = tuple(address for address in pod.addresses if address not in lost)
        return structs.replace(pod, addresses=kept, host_addresses=hosts)
    return pod


def closed(pod: Pod) -> Pod:
    """The pod as one that nothing is admitted to or from, on whatever node it is."""
    return structs.replace(pod, node="", host_addresses=(), ports=(), closed=True)


class _Settler:
    def __init__(
        self,
        documents: Mapping[tuple[str, str], Document],
        problems: Problems,
        decided: _Decisions,
        hosts: Mapping[int, list[Pod]],
    ) -> None:
        self._documents, self._problems, self._decided = documents, problems, decided
        self._hosts = hosts
        self._lives: dict[Pod, Life] = {}

    def decide(self, address: int, pods: list[Pod], node: Node | None) -> None:
        """Give an address to one of the pods that show it, or to the node."""
        hosts = self._hosts.get(address, [])
        if node is not None and all(pod.closed or not self._whole(pod) for pod in pods):
            for pod in pods:  # half an object says less than the node does
                self._lose(pod, address, f"which is of node {node.name}")
            return
        newest = self._newest([*pods, *hosts])
        if newest and all(pod.host_network for pod in newest):
            for pod in pods:
                self._lose(pod, address, f"as has hostNetwork pod {newest[0].key}, which is newer")
            return
        if node is not None:
            self._decided.of_pods.add(address)
        if len(newest) == 1:
            (owner,) = newest
            for pod in pods:
                if pod is not owner:
                    text = f"as has {owner.key} ({owner.origin.place()}), which is newer"
                    self._lose(pod, address, text)
            if node is not None:
                text = f"as has node {node.name}: it is judged as the pod's alone"
                self._warn(owner, address, text)
            return
        for pod in pods:
            others = ", ".join(own.key for own in [*pods, *hosts] if own is not pod)
            text = f"as has {others}, and nothing tells which is newer: it is closed"
            self._warn(pod, address, text)
            self._decided.closed[pod] = None
            if pod is not pods[0]:
                self._decided.lost.setdefault(pod, set()).add(address)

    def _lose(self, pod: Pod, address: int, why: str) -> None:
        self._decided.lost.setdefault(pod, set()).add(address)
        self._warn(pod, address, f"{why}: the pod is judged without it")

    def _warn(self, pod: Pod, address: int, text: str) -> None:
        report = ObjectProblems(self._problems, pod.origin.source.place, pod.waived)
        message = f"{pod.key} has address {format_address(address)}, {text}"
        report.warning(_AT, message, code=CODE)

    def _newest(self, pods: Sequence[Pod]) -> list[Pod]:
        """The newest of the pods that can start containers, else of all; all if no order is told.

        Several are as new as each other.
        """
        if len(pods) == 1:
            return list(pods)
        able = [pod for pod in pods if self._ready(pod)] or list(pods)
        if len(able) == 1 and not any(pod.closed for pod in pods):
            return able
        moments = {pod: self._created(pod) for pod in able}
        known = [moment for moment in moments.values() if moment is not None]
        if len(known) < len(able) or any(pod.closed for pod in pods):
            return able if all(pod.host_network for pod in able) else list(pods)
        return [pod for pod, moment in moments.items() if moment == max(known)]

    def _life(self, pod: Pod) -> Life:
        known = self._lives.get(pod)
        if known is None:
            try:
                known = self._documents[pod.namespace, pod.name].typed(Life)
            except (msgspec.MsgspecError, KeyError, RecursionError):
                known = Life()  # an order that cannot be read is none
            self._lives[pod] = known
        return known

    def _whole(self, pod: Pod) -> bool:
        """Whether the object has a spec, which says if it is on the host's network."""
        return self._life(pod).spec is not None

    def _ready(self, pod: Pod) -> bool:
        status = self._life(pod).status
        conditions = (status.conditions if status else None) or ()
        return any(own.type == _READY and own.status == "True" for own in conditions)

    def _created(self, pod: Pod) -> datetime | None:
        metadata = self._life(pod).metadata
        try:
            moment = datetime.fromisoformat((metadata.creationTimestamp if metadata else "") or "")
        except ValueError:
            return None
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
