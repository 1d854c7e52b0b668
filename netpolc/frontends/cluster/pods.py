"""Pods: documents of that kind, and what workload templates have in common with them.

Comes in: one document. Goes out: a living `Pod`, None of a finished one. Refused, with the place:
names, labels and ports the API server would refuse. An address that is none is passed over with a
warning: API servers do not look at the status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import structs

from netpolc.core.cluster import ContainerPorts, Owner, Pod
from netpolc.core.errors import ROOT, ObjectProblems, Path, Problems
from netpolc.core.ir import Origin, Waived
from netpolc.core.nets import PORTS, Protocol, parse_address, readable_address
from netpolc.frontends.cluster.addresses import closed
from netpolc.frontends.fields import invalid, waived
from netpolc.frontends.frontend import Frontend, Gathered, Name, Reader, check_fields
from netpolc.frontends.naming import LABELS
from netpolc.frontends.objects import (
    FINISHED,
    Container,
    InitContainer,
    Metadata,
    PodAddress,
    PodObject,
    PodSpec,
    PodStatus,
    Reference,
    decode,
)
from netpolc.manifests import Document

try:
    from netpolc.frontends.cluster._pods import PlainPods
    from netpolc.frontends.cluster._pods import scan as scan
except ImportError:  # not built here: all pods are read as the odd ones are
    PlainPods = scan = None  # type: ignore[assignment, misc]

T = TypeVar("T")
KIND = "Pod"
_SPEC = ROOT / "spec"
_PROTOCOLS = '"TCP", "UDP", "SCTP"'


class Pods(Reader):
    """Reads pods; what many of them have alike is stored once. An odd pod is closed, and so are two
    with one name that differ.
    """

    def __init__(self, gathered: Gathered) -> None:
        super().__init__(gathered)
        self._ports = PortReader()
        self._known_owners: dict[Owner, Owner] = {}
        self._hosts: dict[tuple[str | None, ...], tuple[int, ...]] = {}
        self._plain = None if PlainPods is None else self._plain_pods(PlainPods)

    def _plain_pods(self, reader: type[PlainPods]) -> PlainPods:
        return reader(
            self._gathered,
            self._hosts,
            lambda spec: _if_good(lambda problems: self._ports.read(spec, _SPEC, problems)),
        )

    def plain(self, document: Document) -> Name | None:
        """A living pod from JSON in which nothing is odd, and of which there is no other."""
        return None if self._plain is None else self._plain.read(document)

    def read(self, document: Document, problems: ObjectProblems) -> Name | None:
        """A pod, if it lives.

        Pods read from JSON come from an API server by the thousand: to look for fields that nobody
        knows, decoding them whole, would double the time.
        """
        if not document.source.is_json:
            check_fields(document, problems, self._gathered.strict)
        found = decode(document, PodObject, problems)
        if found is None:
            return None
        names = self._gathered.names
        namespace, name = names.namespaced(found.metadata, problems, document)
        owner = self._owner(namespace, found.metadata)
        status = found.status or PodStatus()
        if status.phase in FINISHED:
            return namespace, name
        spec = found.spec or PodSpec()
        labels = found.metadata.labels if found.metadata else None
        ports, declared = self._ports.read(spec, _SPEC, problems)
        pod = Pod(
            namespace,
            name,
            names.labels(labels, LABELS, problems),
            _status_addresses(status.podIPs, status.podIP, "podIP", problems),
            names.node(spec.nodeName or "", problems),
            self._host_addresses(status, problems),
            bool(spec.hostNetwork),
            ports,
            Origin(KIND, namespace, name, (), document.source),
            own_waivers(found.metadata),
            owner,
            (found.metadata.uid if found.metadata else None) or "",
            declared=declared,
        )
        if not problems.failed:
            self._add(pod, document)
        return namespace, name

    def _host_addresses(self, status: PodStatus, problems: ObjectProblems) -> tuple[int, ...]:
        """`status.hostIPs`; those of the pods of a node are parsed once."""
        several, single = status.hostIPs, status.hostIP
        texts = tuple([entry.ip for entry in several]) if several else (single,)
        if texts == (None,):
            return ()
        known = self._hosts.get(texts)
        if known is not None:
            return known
        try:
            return self._hosts.setdefault(texts, tuple([parse_address(own or "") for own in texts]))
        except ValueError:
            return _status_addresses(several, single, "hostIP", problems)

    def stand_in(
        self, document: Document, kind: str, report: ObjectProblems
    ) -> tuple[Name | None, str | None]:
        """A closed pod, unless it is finished or on the host's network."""
        odd = self._gathered.odd
        pod = odd.pod(document)
        if pod is None:
            return odd.named(document, kind), "it is left out"
        self._add(pod, document)
        return odd.named(document, kind), "the pod is closed"

    def twice(self, name: Name) -> str:
        """`_add` has closed them, unless they are the same."""
        return "unless they say the same, the pod is closed"

    def _add(self, pod: Pod, document: Document) -> None:
        name, known = (pod.namespace, pod.name), self._gathered.pods
        other = known.setdefault(name, pod)
        self._gathered.documents[name] = document
        if other is not pod and _seen(other) != _seen(pod):
            every = tuple(dict.fromkeys((*other.addresses, *pod.addresses)))
            known[name] = structs.replace(closed(other), addresses=every, host_network=False)

    def _owner(self, namespace: str, metadata: Metadata | None) -> Owner | None:
        """The controller of a pod; the node that a mirror pod names is none."""
        references = (metadata.ownerReferences if metadata else None) or ()
        for reference in references:
            self._gathered.owners.add((namespace, reference.kind or "", reference.name or ""))
        owner = controller(references)
        return (
            None
            if owner is None or owner[0] == "Node"
            else self._known_owners.setdefault(owner, owner)
        )


def _seen(pod: Pod) -> tuple[object, ...]:
    """What policies and rulesets see of a pod."""
    return (
        dict(pod.labels),
        frozenset(pod.addresses),
        pod.node,
        frozenset(pod.host_addresses),
        pod.host_network,
        pod.ports,
        pod.closed,
    )


Declared = frozenset[tuple[int, int]] | None
_Entry = tuple[str | None, str | None, int | float | None]
_Entries = tuple[tuple[_Entry, ...], ...]
"""Name, protocol and number of each port, container by container."""


class PortReader:
    """Reads the ports of pods; those of replicas are stored once."""

    def __init__(self) -> None:
        self.known: dict[tuple[_Entries, _Entries], tuple[ContainerPorts, Declared]] = {}

    def read(
        self, spec: PodSpec, path: Path, problems: ObjectProblems
    ) -> tuple[ContainerPorts, Declared]:
        """Named ports of the containers and sidecars, and all that these declare (`Pod.declared`);
        other init containers end at the start.
        """
        sidecars = [own for own in spec.initContainers or () if own.restartPolicy == "Always"]
        key = _entries(spec.containers or ()), _entries(sidecars)
        known = self.known.get(key)
        if known is not None:
            return known
        found = set()
        good = True
        for field, containers in zip(("containers", "initContainers"), key, strict=True):
            for name, protocol, number in (port for own in containers for port in own if port[0]):
                if (protocol or "TCP") not in Protocol.__members__:
                    detail = f'Unsupported value: "{protocol}": supported values: {_PROTOCOLS}'
                elif number is None or not 0 < number < PORTS or number != int(number):
                    detail = "containerPort must be between 1 and 65535, inclusive"
                else:
                    found.add((name or "", int(Protocol[protocol or "TCP"]), int(number)))
                    continue
                problems.error(path / field, f"port {name}: {detail}")
                good = False
        ports = tuple(sorted(found)), _declared((*key[0], *key[1]))
        return self.known.setdefault(key, ports) if good else ports


def _if_good(read: Callable[[ObjectProblems], T]) -> T | None:
    """What is read, if nothing is wrong with it."""
    aside = ObjectProblems(Problems(), lambda *_: "")
    found = read(aside)
    return None if aside.failed or aside.warned else found


def _entries(containers: Sequence[Container | InitContainer]) -> _Entries:
    return tuple(
        [
            tuple([(port.name, port.protocol, port.containerPort) for port in own.ports or ()])
            for own in containers
        ]
    )


def _declared(containers: _Entries) -> Declared:
    """All ports, as protocol and number; None where a container declares none, which may then
    listen anywhere.
    """
    if not all(containers):
        return None
    found = frozenset(
        (int(Protocol[protocol or "TCP"]), int(number))
        for own in containers
        for _, protocol, number in own
        if number is not None and 0 < number < PORTS and (protocol or "TCP") in Protocol.__members__
    )
    return found or None


def controller(references: Sequence[Reference]) -> Owner | None:
    """Of the owners the one that says it controls, or the first (manifests often omit it); one
    without a kind or a name is none.
    """
    owners = [own for own in references if own.kind and own.name]
    found = next((own for own in owners if own.controller), owners[0] if owners else None)
    return (found.kind or "", found.name or "") if found is not None else None


def own_waivers(metadata: Metadata | None) -> Waived:
    """The findings that an object waives."""
    annotations = metadata.annotations if metadata else None
    return waived(annotations.waiver) if annotations else frozenset()


def _status_addresses(
    several: list[PodAddress] | None, single: str | None, field: str, problems: ObjectProblems
) -> tuple[int, ...]:
    """`status.podIPs` (or hostIPs), and the older single field where it is all there is."""
    texts = [entry.ip for entry in several] if several else [single] if single else []
    try:
        return tuple([parse_address(text or "") for text in texts])
    except ValueError:  # paths are only made for messages
        path = ROOT / "status" / (f"{field}s" if several else field)
        paths = [path / number / "ip" if several else path for number in range(len(texts))]
        return tuple(usable_addresses(zip(texts, paths, strict=True), problems))


def usable_addresses(
    texts: Iterable[tuple[str | None, Path]], problems: ObjectProblems
) -> Iterator[int]:
    """The addresses that are one; of the others a warning each.

    What API servers take although others read it differently (leading zeros, an IPv4-mapped
    address) is read as they do: to pass it over would leave that pod open.
    """
    for text, path in texts:
        try:
            yield parse_address(text or "")
        except ValueError as error:
            address = readable_address(text or "")
            what = "it is passed over" if address is None else "it is read as API servers do"
            problems.warning(path, f"{invalid(text, str(error))}; {what}", code="NP008")
            if address is not None:
                yield address


FRONTEND = Frontend({KIND: ("",)}, Pods)
