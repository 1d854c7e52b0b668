"""Ends of flows by the names that people use: pods, workloads, Services, nodes, addresses.

Comes in: a Program and two names. Goes out: the flows between them, one for each that policies may
judge differently. Refused (`UsageError`): unknown names, with those that are like it; names that
several kinds have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product

from netpolc.core.cluster import Cluster, Pod, Service, ServicePort
from netpolc.core.errors import UsageError, listing
from netpolc.core.ir import ANY
from netpolc.core.nets import (
    EVERYWHERE,
    Family,
    Ranges,
    Span,
    family,
    format_address,
    parse_address,
    split,
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
_UNUSED = Ranges(
    (
        (parse_address("240.0.0.0"), parse_address("255.255.255.254")),
        (parse_address("100::"), parse_address("100::ffff:ffff:ffff:ffff")),
    )
)
"""Addresses that nobody has: reserved (RFC 1112), and for discarding (RFC 6666)."""


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
) -> tuple[Flow, ...]:
    """The flows between two ends, one for each family and for each kind of pods that policies tell
    apart.

    An end is `namespace/name` of a pod or of a workload, with the kind where several have the name
    (`shop/web[Deployment]`, as `list` writes it, or `deployment/web` with `namespace`), `node:NAME`
    or an address. The destination may be a Service, `svc/api` or `shop/api[Service]`: then `port`
    is one of its ports, by number or name, and the flows go to the pods behind it. A pod that has
    no address yet has one of each family that other pods have.

    `UsageError` when an end is unknown, means several kinds, or the two have no address family in
    common; `ValueError` for a protocol or a port that is none.
    """
    cluster = program.cluster
    starts, ends = (find_ends(cluster, own, namespace) for own in (source, destination))
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
        for start, end in _Pairing(program).pairs(starts, ends)
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


class _Pairing:
    """Finds pairs of addresses for the ends of flows in one program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        owned = program.cluster.owned_addresses()
        networks = [own.networks for own in program.matches if own.networks is not ANY]
        self._networks = list({id(own): own for own in networks if own}.values())
        self._free = {version: free_addresses(self._networks, owned, version) for version in Family}

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
            for source in self._points(start, version):
                for destination in self._points(end, version):
                    yield source, destination

    def _with(self, pod: Pod, addresses: Iterable[int]) -> Iterator[tuple[_Point, _Point]]:
        for address in addresses:
            for own in self._points(pod, family(address)):
                yield own, _Point(address)

    def _families(self, *pods: Pod) -> list[Family]:
        """The families that pods may share: one without an address has those of the others."""
        known = [{family(own) for own in pod.addresses} for pod in pods if pod.addresses]
        inside = {family(own) for own in self._program.pods_by_address}
        shared = set.intersection(*known) if known else inside
        return [version for version in Family if version in shared or not (known or inside)]

    def _points(self, pod: Pod, version: Family) -> list[_Point]:
        own = [address for address in pod.addresses if family(address) is version]
        return [_Point(address, pod) for address in own or self._made(pod, version)]

    def _made(self, pod: Pod, version: Family) -> list[int]:
        return [] if pod.addresses else [next(self._free[version])]

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


def free_addresses(
    networks: Iterable[Ranges], owned: Collection[int], version: Family, least: int = 1 << 16
) -> Iterator[int]:
    """Addresses of a family that nobody owns, in as few of the networks as can be; where there is
    a choice, such as are given to nobody.

    There are at least `least` of them.
    """
    classes: dict[int, list[Span]] = {}
    for span, held in split([EVERYWHERE.of_family(version), *networks]):
        if family(span[0]) is version:
            classes.setdefault(held, []).append(span)
    wanted = len(owned) + least
    found = [(held.bit_count(), Ranges.of(spans)) for held, spans in classes.items()]
    large = [(held, own) for held, own in found if _size(own) >= wanted]
    _, best = min(large or found, key=lambda entry: (entry[0], -_size(entry[1])))
    unused = best & _UNUSED
    if _size(unused) >= wanted:
        best = unused
    for first, last in sorted(best, key=lambda span: span[0] - span[1]):
        middle = (first + last) // 2  # away from the ends, where networks have their own
        yield from (own for own in range(middle, last + 1) if own not in owned)
        yield from (own for own in range(first, middle) if own not in owned)


def _size(addresses: Ranges) -> int:
    return sum(last - first + 1 for first, last in addresses)


def find_ends(cluster: Cluster, text: str, namespace: str = "") -> Meant:
    """Whoever is named; `namespace` is of names that say none, and lets `KIND/NAME` be said."""
    if text.startswith("node:"):
        return _node(cluster, text.removeprefix("node:"))
    if "/" not in text and "[" not in text:
        try:
            address = parse_address(text)
        except ValueError as error:
            if not namespace:
                raise UsageError(
                    f"{text!r} is no namespace/name and no address: {error}"
                    f"{did_you_mean(cluster, text)}"
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
        hint = f": did you mean {also}?" if also else did_you_mean(cluster, f"{space}/{name}")
        raise UsageError(f"unknown pod or workload {text!r}{hint}")
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
    if lower in _WORDS:
        return _WORDS[lower]
    kinds = {pod.owner[0] for pod in cluster.pods if pod.owner is not None}
    return next((kind for kind in sorted(kinds) if lower in (kind.lower(), f"{kind}s".lower())), "")


def _named(cluster: Cluster, space: str, kind: str, name: str) -> dict[str, list[Pod]]:
    """The pods of workloads (and of themselves) that have a name, by their kinds."""
    found: dict[str, list[Pod]] = {}
    for pod in cluster.pods:
        if pod.namespace != space:
            continue
        stem, _, own = cluster.workload(pod).partition("/")[2].removesuffix("]").rpartition("[")
        kinds = {own} if stem == name else set()
        kinds |= {pod.owner[0]} if pod.owner is not None and pod.owner[1] == name else set()
        kinds |= {"Pod"} if pod.name == name else set()
        for each in kinds:
            if kind in ("", each):
                found.setdefault(each, []).append(pod)
    return found


def did_you_mean(cluster: Cluster, name: str) -> str:
    """`: did you mean shop/web[Deployment]?` of the workload that a name is most like, if any."""
    names = {}
    for pod in cluster.pods:
        whole = cluster.workload(pod)
        stem = whole.partition("[")[0]
        names.update({stem: whole, stem.partition("/")[2]: whole, pod.key: pod.key})
    close = get_close_matches(name, names, 1) or get_close_matches(name.partition("/")[2], names, 1)
    return f": did you mean {names[close[0]]}?" if close else ""
