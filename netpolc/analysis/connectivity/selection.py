"""Which connections somebody asked for: by workload, namespace, direction and port.

Comes in: patterns as people write them, parties, connections. Goes out: the parties meant, and the
connections in which one of them takes part. Refused (`UsageError`): a pattern that matches nothing,
which is a slip more often than a wish.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from netpolc.analysis.connectivity.parties import Party
from netpolc.analysis.connectivity.table import Connection
from netpolc.core.cluster import Cluster, Pod, Service
from netpolc.core.ends import did_you_mean
from netpolc.core.errors import UsageError
from netpolc.core.ir import Direction
from netpolc.core.nets import Protocol, Ranges, ports
from netpolc.core.patterns import like


def _service_named(pattern: str) -> str | None:
    """`namespace/name` or `name` of a Service that is meant: `svc/api`, `shop/api[Service]`."""
    word, slash, name = pattern.partition("/")
    if slash and word in ("svc", "service", "services"):
        return name
    return pattern.removesuffix("[Service]") if pattern.endswith("[Service]") else None


def _services(pattern: str, cluster: Cluster) -> Iterator[Service]:
    space, slash, name = pattern.rpartition("/")
    spaces, names = like(space if slash else "*"), like(name)
    for (own, called), service in cluster.services.items():
        if spaces.fullmatch(own) and names.fullmatch(called):
            yield service


def parties_of(
    parties: Iterable[Party],
    cluster: Cluster,
    workloads: Collection[str],
    namespaces: Iterable[str],
) -> list[Party]:
    """Parties with a pod of one of the workloads and one of the namespaces; none given is any.

    A workload is `name`, `namespace/name` or either with its `[Kind]`; `*` and `?` match anything.
    """
    found = [party for party in parties if party.pods]
    for what, patterns, matching in (
        ("namespace", namespaces, _namespace),
        ("workload", workloads, lambda pattern: _workload(pattern, cluster)),
    ):
        tests = [(pattern, matching(pattern)) for pattern in patterns]
        for pattern, matches in tests:
            if not any(matches(pod) for party in found for pod in party.pods):
                hint = _hint(pattern, found, cluster) if what == "workload" else ""
                raise UsageError(f"no {what} with pods of its own matches {pattern!r}{hint}")
        if tests:
            found = [
                party
                for party in found
                if any(matches(pod) for _, matches in tests for pod in party.pods)
            ]
    return found


def _hint(pattern: str, parties: Iterable[Party], cluster: Cluster) -> str:
    """What was meant; of an owner that is asked for by its name what that belongs to: of a
    ReplicaSet its Deployment.
    """
    glob = like(pattern if "/" in pattern else f"*/{pattern}")
    pods = (pod for party in parties for pod in party.pods if pod.owner is not None)
    for pod in pods:
        kind, name = pod.owner or ("", "")
        whole = f"{pod.namespace}/{name}"
        if glob.fullmatch(whole) or glob.fullmatch(f"{whole}[{kind}]"):
            return f": {kind} {name} is of {cluster.workload(pod)}"
    return did_you_mean(cluster, pattern)


def _namespace(pattern: str) -> Callable[[Pod], bool]:
    glob = like(pattern)
    return lambda pod: glob.fullmatch(pod.namespace) is not None


def _workload(pattern: str, cluster: Cluster) -> Callable[[Pod], bool]:
    service = _service_named(pattern)
    if service is not None:
        behind = {pod.key for own in _services(service, cluster) for pod in cluster.behind(own)}
        return lambda pod: pod.key in behind
    space, slash, name = pattern.partition("/")
    in_namespace = _namespace(space if slash else "*")
    glob = like(name if slash else pattern)

    def matches(pod: Pod) -> bool:
        if not in_namespace(pod):
            return False
        whole = cluster.workload(pod).removeprefix(f"{pod.namespace}/")
        return any(map(glob.fullmatch, (whole, whole.rpartition("[")[0])))

    return matches


def port_ranges(protocol: Protocol | None, number: int) -> Ranges:
    """A port of one protocol or of any, on the port line."""
    protocols = [protocol] if protocol is not None else list(Protocol)
    return Ranges.of(ports(own, number, number) for own in protocols)


def select(
    connections: Iterable[Connection],
    wanted: Iterable[Party],
    direction: Direction | None = None,
    port: Ranges | None = None,
) -> Iterator[Connection]:
    """Connections into (ingress) or out of (egress) wanted parties, that admit some of a port."""
    sides = set(wanted)
    for connection in connections:
        goes_out = direction is not Direction.INGRESS and connection.source in sides
        comes_in = direction is not Direction.EGRESS and connection.destination in sides
        if (goes_out or comes_in) and (port is None or connection.ports & port):
            yield connection
