"""What addresses are called in a plan: workloads, pods of them, ranges.

Comes in: the Program of the new table; addresses. Goes out: names. Nothing is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property

from netpolc.analysis.connectivity.parties import name_of, some_of
from netpolc.analysis.connectivity.planned.enforced import each
from netpolc.core.nets import EVERYWHERE, Family, Ranges, family, format_span
from netpolc.core.program import Program

_NAMED = 4
"""Ranges that are told one by one."""


class Naming:
    """The names of a Program for addresses."""

    def __init__(self, program: Program) -> None:
        self._pods, self._cluster = program.pods_by_address, program.cluster
        self._known: dict[Ranges, list[tuple[str, Ranges]]] = {}

    def named(self, peers: Ranges) -> list[tuple[str, Ranges]]:
        """Peers by the workload they are of; with an empty name the others, or a whole family."""
        if any(peers == EVERYWHERE.of_family(version) for version in Family):
            return [("", peers)]
        if peers not in self._known:
            pods: dict[str, list[int]] = {}
            for address in self._pods:
                if address in peers:
                    pods.setdefault(self.name(address), []).append(address)
            found = [(name, each(own)) for name, own in pods.items()]
            outside = peers - Ranges.union(own for _, own in found)
            self._known[peers] = [*found, *([("", outside)] if outside else ())]
        return self._known[peers]

    def name(self, address: int) -> str:
        """The workload of an address; empty if it is no pod's."""
        pod = self._pods.get(address)
        return "" if pod is None else self._workload[pod.key]

    def title(self, workload: str, addresses: Ranges) -> str:
        """A workload, with its pods where these are not all; ranges of addresses, shortened."""
        if not workload:
            parts = (addresses.of_family(version) for version in Family)
            return "; ".join(_short(part) for part in parts if part)
        own = {self._pods[first].key: self._pods[first] for first in _singles(addresses)}
        pods = list(own.values())
        if len(pods) == self._replicas[workload]:
            return workload
        return workload + some_of(pods, True)

    def own(self, address: int) -> Ranges:
        """All addresses of the pod that has one, or it alone."""
        pod = self._pods.get(address)
        return each([address] if pod is None else pod.addresses)

    @cached_property
    def _workload(self) -> dict[str, str]:
        """The workload of each pod that has an address."""
        workload = self._cluster.workload
        return {pod.key: workload(pod) for pod in self._pods.values()}

    @cached_property
    def _replicas(self) -> Counter[str]:
        """How many pods of each workload have an address."""
        return Counter(self._workload.values())


def _singles(addresses: Ranges) -> Iterator[int]:
    return (address for first, last in addresses for address in range(first, last + 1))


def _short(addresses: Ranges) -> str:
    """A few ranges by name; of many the first, and how many more there are."""
    spans = addresses.spans
    if len(spans) <= _NAMED:
        return name_of(addresses)
    every = EVERYWHERE.of_family(family(spans[0][0]))
    holes = (every - addresses).spans
    if len(holes) < len(spans):
        return f"{name_of(every)} except {len(holes)} ranges"
    return f"{format_span(spans[0])} and {len(spans) - 1} more ranges"
