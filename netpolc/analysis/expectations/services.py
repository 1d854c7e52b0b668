"""Services as ends of expectations: the pods behind them, and the ports that theirs lead to.

Comes in: ends that name Services, and the ports that an expectation is about. Goes out: for each
pod the protocols and ports to ask for. Refused (`UsageError`): Services that nobody knows, that
lead to no pod, or whose ports the expectation leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

from netpolc.core.cluster import Cluster, Pod, Service
from netpolc.core.ends import SERVICE
from netpolc.core.errors import UsageError, listing
from netpolc.core.expectation import End, Named
from netpolc.core.nets import Ranges
from netpolc.core.patterns import like

Numbers = tuple[tuple[int, int | None], ...]
"""Protocols and ports; None for a protocol without ports."""


def is_service(end: End) -> TypeGuard[Named]:
    """Whether an end names Services."""
    return isinstance(end, Named) and end.kind == SERVICE


def served_pods(cluster: Cluster, end: Named, where: str) -> list[tuple[Service, tuple[Pod, ...]]]:
    """The Services that an end names, with the pods that they lead to; `where` begins what is said
    when there are none.
    """
    space, name = like(end.namespace), like(end.name)
    found = [
        (service, cluster.behind(service))
        for service in cluster.services.values()
        if space.fullmatch(service.namespace) and name.fullmatch(service.name)
    ]
    if not found:
        raise UsageError(f"{where}: {end} matches no Service")
    if not any(pods for _, pods in found):
        raise UsageError(f"{where}: {end} leads to no pod: name the pods or addresses behind it")
    return found


def ports_behind(
    cluster: Cluster, ends: Iterable[Named], wanted: Ranges, where: str
) -> dict[str, Numbers]:
    """By pod the ports that those of the Services lead to there; `wanted` are ports of Services."""
    found: dict[str, set[tuple[int, int]]] = {}
    for end in ends:
        services = served_pods(cluster, end, where)
        asked = False
        for service, pods in services:
            for port in service.ports:
                if int(port.protocol) << 16 | port.number not in wanted:
                    continue
                for pod in pods:
                    numbers = {(int(port.protocol), own) for own in port.on(pod)}
                    asked |= bool(numbers)
                    found.setdefault(pod.key, set()).update(numbers)
        if not asked:
            has = listing(f"{port} to {port.target}" for own, _ in services for port in own.ports)
            raise UsageError(f"{where}: {end} has no such port: it has {has or 'none'}")
    return {pod: tuple(sorted(numbers)) for pod, numbers in found.items()}
