"""Ends of flows by the names that people use: pods, workloads, Services, nodes, addresses.

Comes in: a Program and two names. Goes out: the flows between them, one for each that policies may
judge differently. Refused (`UsageError`): unknown names, with those that are like it; names that
several kinds have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from itertools import islice, product

from netpolc.core.cluster import Cluster, Pod, Service, ServicePort
from netpolc.core.errors import UsageError, listing
from netpolc.core.ir import ANY
from netpolc.core.nets import (
    Family,
    family,
    format_address,
    free_addresses,
    parse_address,
)
from netpolc.core.program import Program
from netpolc.core.semantics import Flow

SERVICE = "Service"
_KINDS = {
    "Pod": ("po",),
    "Deployment": ("deploy",),
    "ReplicaSet": ("rs",),
    "ReplicationController": ("rc",),
    "StatefulSet": ("sts",),
    "DaemonSet": ("ds",),
    "Job": (),
    "CronJob": ("cj",),
    SERVICE: ("svc",),
}
"""Kinds with the short names that kubectl has for them."""
_WORDS = {
    word: kind
    for kind, short in _KINDS.items()
    for word in (*short, kind.lower(), f"{kind.lower()}s")
}


@dataclass(frozen=True, slots=True)
class Meant:
    """Whoever an end of flows may be: pods, which a `service` leads to, or addresses of others."""

    pods: tuple[Pod, ...] = ()
    addresses: tuple[int, ...] = ()
    service: Service | None = None


@dataclass(frozen=True, slots=True)
class _Point:
    """One end: an address, and the pod whose address that stands for, if it has none."""

    address: int
    pod: Pod | None = None

    @property
    def unplaced(self) -> str:
        """The name of a pod without address."""
        return "" if self.pod is None or self.pod.addresses else self.pod.key


def flows_between(
    program: Program,
    source: str,
    destination: str,
    protocol: str | int,
    port: int | str | None,
    *,
    namespace: str = "",
    hints: bool = True,
) -> tuple[Flow, ...]:
    """The flows between two ends, one for each family and for each kind of pods that policies tell
    apart.

    An end is `namespace/name` of a pod or of a workload, with the kind where several have the name
    (`shop/web[Deployment]`, as `list` writes it, or `deployment/web` with `namespace`), `node:NAME`
    or an address. The destination may be a Service, `svc/api` or `shop/api[Service]`: then `port`
    is one of its ports, by number or name, and the flows go to the pods behind it. A pod that has
    no address yet has one of each family that other pods have.

    `UsageError` when an end is unknown (`hints`: with the name that is most like it), means several
    kinds, or the two have no address family in common; `ValueError` for a protocol or port that is
    none.
    """
    cluster = program.cluster
    hint = did_you_mean if hints else _no_hint
    starts, ends = (find_ends(cluster, own, namespace, hint) for own in (source, destination))
    if starts.service is not None:
        raise UsageError(f"{starts.service.key} opens no connections: name the pods that do")
    if ends.service is None and isinstance(port, str):
        raise UsageError(f"port {port!r}: only ports of a Service are asked for by name")
    flows = dict.fromkeys(
        Flow(
            format_address(start.address),
            format_address(end.address),
            *service,
            start.unplaced,
            end.unplaced,
        )
        for start, end in _pairing(program).pairs(starts, ends)
        for service in _services(ends, end.pod, protocol, port)
    )
    if not flows:
        raise UsageError(f"{source} and {destination} have no address family in common")
    return tuple(flows)


def _services(
    ends: Meant, pod: Pod | None, protocol: str | int, port: int | str | None
) -> Iterator[tuple[str | int, int | None]]:
    """Protocol and port at one of the pods, of a Service those that its port leads to."""
    if ends.service is None or pod is None:
        yield protocol, None if port is None else int(port)
        return
    found = service_port(ends.service, protocol, port)
    numbers = found.on(pod)
    if not numbers:
        raise UsageError(
            f"{ends.service.key} leads port {found} to a port named {found.target!r}, which "
            f"{pod.key} has not"
        )
    yield from ((int(found.protocol), number) for number in numbers)


def service_port(service: Service, protocol: str | int, wanted: int | str | None) -> ServicePort:
    """The port of a Service that is asked for; `UsageError` when it has no such port."""
    asked = str(protocol).upper()
    own = [p for p in service.ports if asked in (p.protocol.name, str(int(p.protocol)))]
    if isinstance(wanted, str):
        own = list(service.ports)
    if wanted is None and len(own) == 1:
        return own[0]
    for found in own:
        if wanted is not None and wanted in (found.number, found.name):
            return found
    has = listing(f"{p}{f' ({p.name})' if p.name else ''} to {p.target}" for p in service.ports)
    which = "say which port" if wanted is None else f"no port {wanted}"
    raise UsageError(f"{service.key}: {which}: it has {has or 'none'}")


def _no_hint(cluster: Cluster, name: str) -> str:
    return ""


@lru_cache(maxsize=1)
def _pairing(program: Program) -> _Pairing:
    """That of the program that was asked last: a log asks of one many times."""
    return _Pairing(program)


class _Pairing:
    """Finds pairs of addresses for the ends of flows in one program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        networks = [own.networks for own in program.matches if own.networks is not ANY]
        self._networks = list({id(own): own for own in networks if own}.values())

    @cached_property
    def _stand_ins(self) -> dict[Family, tuple[int, ...]]:
        """Of each family one for a source and one for a destination without address."""
        owned = self._program.cluster.owned_addresses()
        return {
            version: tuple(islice(free_addresses(self._networks, owned, version), 2))
            for version in Family
        }

    @cached_property
    def _inside(self) -> set[Family]:
        """The families that pods have addresses of; both where none has any yet."""
        return {family(own) for own in self._program.pods_by_address} or set(Family)

    def pairs(self, starts: Meant, ends: Meant) -> Iterator[tuple[_Point, _Point]]:
        """One for each family and kind of ends, replicas of a workload with one another."""
        outside = {*starts.addresses, *ends.addresses}
        mine, others = (list(self._kinds(own.pods, outside)) for own in (starts, ends))
        for one, other in product(mine, others):
            another = next((pod for pod in other if pod is not one[0]), other[0])
            yield from self._joined(one[0], another)
        for one in mine:
            yield from self._with(one[0], ends.addresses)
        for other in others:
            for point, start in self._with(other[0], starts.addresses):
                yield start, point
        for address, far in product(starts.addresses, ends.addresses):
            if family(address) is family(far):
                yield _Point(address), _Point(far)

    def _joined(self, start: Pod, end: Pod) -> Iterator[tuple[_Point, _Point]]:
        for version in self._families(start, end):
            for source in self._points(start, version, 0):
                for destination in self._points(end, version, 1):
                    yield source, destination

    def _with(self, pod: Pod, addresses: Iterable[int]) -> Iterator[tuple[_Point, _Point]]:
        for address in addresses:
            for own in self._points(pod, family(address), 0):
                yield own, _Point(address)

    def _families(self, *pods: Pod) -> list[Family]:
        """The families that pods may share: one without an address has those of the others."""
        known = [{family(own) for own in pod.addresses} for pod in pods if pod.addresses]
        shared = set.intersection(*known) if known else self._inside
        return [version for version in Family if version in shared]

    def _points(self, pod: Pod, version: Family, side: int) -> list[_Point]:
        """The addresses of a pod, or what stands in for them on its side of a flow."""
        if not pod.addresses:
            return [_Point(self._stand_ins[version][side], pod)]
        return [_Point(own, pod) for own in pod.addresses if family(own) is version]

    def _kinds(self, pods: Sequence[Pod], outside: set[int]) -> Iterator[list[Pod]]:
        """Pods that policies tell apart, and that have their node among others."""
        if len(pods) == 1:
            yield [*pods]
            return
        found: dict[object, list[Pod]] = {}
        for pod in pods:
            seen = frozenset(
                (family(address), tuple(address in own for own in self._networks))
                for address in pod.addresses
            )
            near = bool(outside) and not outside.isdisjoint(
                self._program.cluster.node_addresses(pod)
            )
            key = self._program.identity_of[pod.key], seen, near
            found.setdefault(key, []).append(pod)
        yield from found.values()


def find_ends(
    cluster: Cluster, text: str, namespace: str, hint: Callable[[Cluster, str], str]
) -> Meant:
    """Whoever is named; `namespace` is of names that say none, and lets `KIND/NAME` be said. `hint`
    ends what is said of an unknown name.
    """
    if text.startswith("node:"):
        return _node(cluster, text.removeprefix("node:"))
    if "/" not in text and "[" not in text:
        try:
            address = parse_address(text)
        except ValueError as error:
            if not namespace:
                raise UsageError(
                    f"{text!r} is no namespace/name and no address: {error}{hint(cluster, text)}"
                ) from None
        else:
            return Meant((), (address,))
    space, kind, name = _parts(cluster, text, namespace)
    if kind == SERVICE:
        return _service(cluster, text, (space, name))
    found = _named(cluster, space, kind, name)
    if len(found) > 1:
        kinds = ", ".join(f"{space}/{name}[{own}]" for own in sorted(found))
        raise UsageError(f"{text} may be {kinds}: say which")
    if not found:
        also = f"{space}/{name}[{SERVICE}]" if (space, name) in cluster.services else ""
        said = f": did you mean {also}?" if also else hint(cluster, f"{space}/{name}")
        raise UsageError(f"unknown pod or workload {text!r}{said}")
    (pods,) = found.values()
    return _of_pods(text, pods)


def _node(cluster: Cluster, name: str) -> Meant:
    node = cluster.nodes.get(name)
    if node is None:
        close = get_close_matches(name, cluster.nodes, 1)
        hint = f": did you mean node:{close[0]}?" if close else ""
        raise UsageError(f"unknown node {name!r}{hint}")
    return Meant((), tuple(sorted(node.addresses)))


def _of_pods(text: str, pods: Sequence[Pod], service: Service | None = None) -> Meant:
    """Pods as ends; those on their node's network are its addresses."""
    judged = tuple(pod for pod in pods if not pod.host_network)
    hosts = {address for pod in pods if pod.host_network for address in pod.addresses}
    if not judged and not hosts:
        raise UsageError(f"{text} is on the network of its node: name that, as node:NAME")
    return Meant(judged, () if judged else tuple(sorted(hosts)), service)


def _service(cluster: Cluster, text: str, key: tuple[str, str]) -> Meant:
    service = cluster.services.get(key)
    if service is None:
        names = [f"{space}/{name}" for space, name in cluster.services]
        close = get_close_matches("/".join(key), names, 1)
        hint = f": did you mean {close[0]}[{SERVICE}]?" if close else ""
        raise UsageError(f"unknown Service {text!r}{hint}")
    pods = cluster.behind(service)
    if service.external:
        raise UsageError(f"{service.key} is a name of DNS (ExternalName): name an address")
    if not pods:
        why = "selects no pod" if service.selector is not None else "has no selector"
        raise UsageError(f"{service.key} {why}: name the pods or addresses behind it")
    return _of_pods(service.key, pods, service)


def _parts(cluster: Cluster, text: str, namespace: str) -> tuple[str, str, str]:
    """Namespace, kind (empty if none is said) and name."""
    whole = text.partition("{")[0]  # of a workload whose pods are told apart
    whole, _, kind = whole.removesuffix("]").partition("[")
    parts = whole.split("/")
    if len(parts) == 2 and not kind:
        meant = kind_called(cluster, parts[0])
        if meant and (namespace or parts[0] not in cluster.namespaces):
            return namespace or "default", meant, parts[1]
    if len(parts) == 3 and not kind:
        kind = kind_called(cluster, parts.pop(1))
        if not kind:
            raise UsageError(f"{text!r}: {text.split('/')[1]} is no kind of workload")
    if len(parts) == 1:
        parts.insert(0, namespace or "default")
    if len(parts) != 2:
        raise UsageError(f"{text!r} is not like namespace/name, kind/name or an address")
    return parts[0], kind_called(cluster, kind) or kind, parts[1]


def kind_called(cluster: Cluster, word: str) -> str:
    """The kind that a word means, as kubectl takes it: `deploy`, `deployments`, `Deployment`."""
    lower = word.lower()
    return _WORDS.get(lower) or _names(cluster).kinds.get(lower, "")


class _Names:
    """Pods by the names of their workloads and their own, and the kinds of workloads by words."""

    def __init__(self, cluster: Cluster) -> None:
        self.pods: dict[tuple[str, str], dict[str, list[Pod]]] = {}
        self.kinds: dict[str, str] = {}
        for pod in cluster.pods:
            stem, _, kind = cluster.workload(pod).partition("/")[2][:-1].rpartition("[")
            for own in {(kind, stem), pod.owner or ("Pod", pod.name), ("Pod", pod.name)}:
                self._add(pod, *own)

    def _add(self, pod: Pod, kind: str, name: str) -> None:
        self.pods.setdefault((pod.namespace, name), {}).setdefault(kind, []).append(pod)
        for word in (kind.lower(), f"{kind.lower()}s"):
            self.kinds.setdefault(word, kind)


@lru_cache(maxsize=1)
def _names(cluster: Cluster) -> _Names:
    return _Names(cluster)


def _named(cluster: Cluster, space: str, kind: str, name: str) -> dict[str, list[Pod]]:
    """The pods of workloads (and of themselves) that have a name, by their kinds."""
    found = _names(cluster).pods.get((space, name), {})
    return {own: pods for own, pods in found.items() if kind in ("", own)}


def did_you_mean(cluster: Cluster, name: str) -> str:
    """`: did you mean shop/web[Deployment]?` of the workload that a name is most like, if any."""
    names = {}
    for pod in cluster.pods:
        whole = cluster.workload(pod)
        stem = whole.partition("[")[0]
        names.update({stem: whole, stem.partition("/")[2]: whole, pod.key: pod.key})
    close = get_close_matches(name, names, 1) or get_close_matches(name.partition("/")[2], names, 1)
    return f": did you mean {names[close[0]]}?" if close else ""
