"""Lowers Namespaces, Nodes, Pods and workload templates to a `Cluster`.

Comes in: documents of those kinds. Goes out: a `Cluster` of living pods. Refused, with the place:
names and labels the API server would refuse, addresses that are none, the same object twice, one
address on two living pods or on a pod and a node (stale data: whatever was decided would be wrong
for one of them).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from netpolc.cluster import (
    NAME_LABEL,
    Cluster,
    ContainerPorts,
    Namespace,
    Node,
    Owner,
    Pod,
    mentioned,
)
from netpolc.errors import ROOT, ObjectProblems, Path, Problems
from netpolc.frontends.fields import (
    METADATA_FIELDS,
    Fields,
    dns_label_problems,
    invalid,
    label_key_problems,
    label_value_problems,
    subdomain_problems,
    waived,
)
from netpolc.frontends.objects import (
    Metadata,
    NamespaceObject,
    NodeObject,
    PodAddress,
    PodObject,
    PodSpec,
    PodStatus,
    Reference,
    Template,
    WorkloadObject,
    decode,
)
from netpolc.ir import WAIVER, Origin, Waived
from netpolc.manifests import Document
from netpolc.nets import Protocol, format_address, parse_address

GROUPS = {
    "Namespace": ("",),
    "Node": ("",),
    "Pod": ("",),
    "ReplicationController": ("",),
    "Deployment": ("apps", "extensions"),
    "ReplicaSet": ("apps", "extensions"),
    "DaemonSet": ("apps", "extensions"),
    "StatefulSet": ("apps",),
    "Job": ("batch", "extensions"),
    "CronJob": ("batch",),
}
"""The kinds that are read, and the API groups they have been in; the core is empty."""
_LABELS = ROOT / "metadata" / "labels"
_NAME = ROOT / "metadata" / "name"
_NAMESPACE = ROOT / "metadata" / "namespace"
_SPEC = ROOT / "spec"
_FINISHED = ("Succeeded", "Failed")
_NODE_ADDRESS_TYPES = ("InternalIP", "ExternalIP")


class ClusterBuilder:
    """Takes documents in any order and gives the cluster they describe."""

    def __init__(self, problems: Problems, strict: bool) -> None:
        self._problems = problems
        self._strict = strict
        self._namespaces: dict[str, Namespace] = {}
        self.annotations: dict[str, dict[str, str]] = {}
        self._nodes: dict[str, Node] = {}
        self._pods: list[Pod] = []
        self._workloads: list[tuple[str, WorkloadObject, Document]] = []
        self._owners: set[tuple[str, str, str]] = set()
        self._known_owners: dict[Owner, Owner] = {}
        self._known_namespaces: set[str] = set()
        self._known_nodes: set[str] = set()
        self._known_labels: dict[tuple[str, str], tuple[str, str]] = {}
        self._known_ports: dict[object, ContainerPorts] = {(): ()}

    def add(self, document: Document) -> tuple[str, str] | None:
        """Read one object; gives its namespace and name, None when it cannot be read."""
        problems = ObjectProblems(self._problems, document.source.place)
        if document.kind != "Pod" or not document.source.is_json:
            self._check_fields(document, problems)
        if document.kind == "Pod":
            return self._add_pod(document, problems)
        if document.kind == "Namespace":
            return self._add_namespace(document, problems)
        if document.kind == "Node":
            return self._add_node(document, problems)
        workload = decode(document, WorkloadObject, problems)
        if workload is None:
            return None
        namespace, name = self._names(workload.metadata, problems)
        self._workloads.append((document.kind, workload, document))
        return namespace, name

    def _check_fields(self, document: Document, problems: ObjectProblems) -> None:
        """Duplicate fields, and unknown ones of `metadata`; Pods read from JSON are spared.

        Those come from an API server by the thousand; decoding them whole would double the time.
        """
        fields = Fields(problems, self._strict)
        value: Any = document.fields(problems, self._strict)
        path = ROOT
        while isinstance(value, dict):
            metadata = value.get("metadata")
            if isinstance(metadata, dict):
                fields.mapping(metadata, path / "metadata", METADATA_FIELDS)
            spec = value.get("spec")
            if not isinstance(spec, dict):
                break
            below = "jobTemplate" if "jobTemplate" in spec else "template"
            path, value = path / "spec" / below, spec.get(below)

    def _names(
        self, metadata: Metadata | None, problems: ObjectProblems, namespaced: bool = True
    ) -> tuple[str, str]:
        name = (metadata.name if metadata else None) or ""
        if not name:
            problems.error(_NAME, "Required value: name or generateName is required")
        else:
            self._report(subdomain_problems(name), name, _NAME, problems)
        if not namespaced:
            return "", name
        namespace = (metadata.namespace if metadata else None) or "default"
        if namespace not in self._known_namespaces:
            self._report(dns_label_problems(namespace), namespace, _NAMESPACE, problems)
            self._known_namespaces.add(namespace)
        return namespace, name

    def _report(
        self, details: Iterable[str], value: str, path: Path, problems: ObjectProblems
    ) -> None:
        for detail in details:
            problems.error(path, invalid(value, detail))

    def _labels(
        self, labels: Mapping[str, str] | None, path: Path, problems: ObjectProblems
    ) -> dict[str, str]:
        """Checked labels; equal pairs are checked and stored once, replicas share theirs."""
        known = self._known_labels
        for pair in (labels or {}).items():
            if pair not in known:
                self._report(label_key_problems(pair[0]), pair[0], path, problems)
                self._report(label_value_problems(pair[1]), pair[1], path.key(pair[0]), problems)
                known[pair] = pair
        return dict(map(known.__getitem__, (labels or {}).items()))

    def _add_namespace(
        self, document: Document, problems: ObjectProblems
    ) -> tuple[str, str] | None:
        found = decode(document, NamespaceObject, problems)
        if found is None:
            return None
        name = (found.metadata.name if found.metadata else None) or ""
        self._report(dns_label_problems(name), name, _NAME, problems)
        if not name:
            return None
        own = found.metadata.labels if found.metadata else None
        labels = self._labels(own, _LABELS, problems)
        origin = Origin("Namespace", "", name, (), document.source)
        annotations = (found.metadata.annotations if found.metadata else None) or {}
        own_waivers = waived(annotations.get(WAIVER))
        self._namespaces[name] = Namespace(name, {**labels, NAME_LABEL: name}, origin, own_waivers)
        self.annotations[name] = annotations
        return "", name

    def _add_node(self, document: Document, problems: ObjectProblems) -> tuple[str, str] | None:
        found = decode(document, NodeObject, problems)
        if found is None:
            return None
        _, name = self._names(found.metadata, problems, namespaced=False)
        path = ROOT / "status" / "addresses"
        entries = (found.status.addresses if found.status else None) or []
        texts = (
            (entry.address, path / number / "address")
            for number, entry in enumerate(entries)
            if entry.type in _NODE_ADDRESS_TYPES
        )
        addresses = frozenset(_addresses(texts, problems))
        self._nodes[name] = Node(name, addresses, Origin("Node", "", name, (), document.source))
        return "", name

    def _add_pod(self, document: Document, problems: ObjectProblems) -> tuple[str, str] | None:
        found = decode(document, PodObject, problems)
        if found is None:
            return None
        namespace, name = self._names(found.metadata, problems)
        owner = self._owner(namespace, found.metadata)
        status = found.status or PodStatus()
        if status.phase in _FINISHED:
            return namespace, name
        spec = found.spec or PodSpec()
        labels = found.metadata.labels if found.metadata else None
        pod = Pod(
            namespace,
            name,
            self._labels(labels, _LABELS, problems),
            _status_addresses(status.podIPs, status.podIP, "podIP", problems),
            self._node_name(spec.nodeName or "", problems),
            _status_addresses(status.hostIPs, status.hostIP, "hostIP", problems),
            bool(spec.hostNetwork),
            self._ports(spec, _SPEC, problems),
            Origin("Pod", namespace, name, (), document.source),
            _waived(found.metadata),
            owner,
        )
        self._pods.append(pod)
        return namespace, name

    def _owner(self, namespace: str, metadata: Metadata | None) -> Owner | None:
        """The controller of a pod; the node that a mirror pod names is none."""
        references = (metadata.ownerReferences if metadata else None) or ()
        for reference in references:
            self._owners.add((namespace, reference.kind or "", reference.name or ""))
        owner = _controller(references)
        return (
            None
            if owner is None or owner[0] == "Node"
            else self._known_owners.setdefault(owner, owner)
        )

    def _node_name(self, name: str, problems: ObjectProblems) -> str:
        if name and name not in self._known_nodes:
            self._report(subdomain_problems(name), name, _SPEC / "nodeName", problems)
            self._known_nodes.add(name)
        return name

    def _ports(self, spec: PodSpec, path: Path, problems: ObjectProblems) -> ContainerPorts:
        """Named ports of the containers; init containers serve nothing after the start."""
        key = tuple(
            (port.name, port.protocol, port.containerPort)
            for container in spec.containers or ()
            for port in container.ports or ()
            if port.name
        )
        known = self._known_ports.get(key)
        if known is not None:
            return known
        found = set()
        for name, protocol, number in key:
            if (protocol or "TCP") not in Protocol.__members__:
                detail = f'Unsupported value: "{protocol}": supported values: "TCP", "UDP", "SCTP"'
                problems.error(path / "containers", f"port {name}: {detail}")
            elif number is None or not 0 < number < 65536:
                detail = "containerPort must be between 1 and 65535, inclusive"
                problems.error(path / "containers", f"port {name}: {detail}")
            else:
                found.add((name, int(Protocol[protocol or "TCP"]), number))
        return self._known_ports.setdefault(key, tuple(sorted(found)))

    def build(self, namespaces: Iterable[str]) -> Cluster:
        """The cluster; `namespaces` are those that policies mention."""
        self._pods.extend(self._expanded())
        self._pods.sort(key=lambda pod: (pod.namespace, pod.name))
        nodes = self._all_nodes()
        self._check_addresses(nodes)
        names = {*namespaces, *(pod.namespace for pod in self._pods)} - self._namespaces.keys()
        spaces = {**mentioned(names), **self._namespaces}
        return Cluster(
            {name: spaces[name] for name in sorted(spaces)},
            {name: nodes[name] for name in sorted(nodes)},
            tuple(self._pods),
            self._controllers(),
        )

    def _controllers(self) -> dict[tuple[str, str, str], Owner | None]:
        """The owner of every workload that is here."""
        found = {}
        for kind, workload, _ in self._workloads:
            metadata = workload.metadata or Metadata()
            key = metadata.namespace or "default", kind, metadata.name or ""
            found[key] = _controller(metadata.ownerReferences or ())
        return found

    def _all_nodes(self) -> dict[str, Node]:
        """Nodes with every address that is known of them, also from their pods."""
        more: dict[str, set[int]] = {}
        for pod in self._pods:
            if pod.node:
                own = more.setdefault(pod.node, set())
                own.update(pod.host_addresses)
                if pod.host_network:
                    own.update(pod.addresses)
        nodes = dict(self._nodes)
        for name, addresses in more.items():
            node = nodes.get(name, Node(name, frozenset()))
            nodes[name] = Node(name, node.addresses | addresses, node.origin)
        return nodes

    def _check_addresses(self, nodes: Mapping[str, Node]) -> None:
        """Addresses of pods must be theirs alone; hostNetwork pods share those of their node."""
        owner = {
            address: f"hostNetwork pod {pod.key}"
            for pod in self._pods
            if pod.host_network
            for address in pod.addresses
        }
        for node in nodes.values():
            owner.update(dict.fromkeys(node.addresses, f"node {node.name}"))
        pods: dict[int, Pod] = {}
        for pod in self._pods:
            if pod.host_network:
                continue
            for address in pod.addresses:
                other = pods.setdefault(address, pod)
                if other is not pod:
                    whose = f"{other.key} ({other.origin.place()})"
                elif address in owner:
                    whose = owner[address]
                else:
                    continue
                message = f"{pod.key} has address {format_address(address)} of {whose}"
                self._problems.add(pod.origin.place(), "status.podIPs", message)

    def _expanded(self) -> Iterator[Pod]:
        """A pod without address for each workload that has none in the snapshot."""
        owned = self._owning_workloads()
        for kind, workload, document in self._workloads:
            metadata = workload.metadata or Metadata()
            namespace, name = metadata.namespace or "default", metadata.name or ""
            if metadata.ownerReferences or (namespace, kind, name) in owned:
                continue
            template, path = _template(workload)
            if template is None:
                continue
            problems = ObjectProblems(self._problems, document.source.place)
            labels = template.metadata.labels if template.metadata else None
            spec = template.spec or PodSpec()
            yield Pod(
                namespace,
                f"{name}[{kind}]",
                self._labels(labels, path / "metadata" / "labels", problems),
                (),
                "",
                (),
                bool(spec.hostNetwork),
                self._ports(spec, path / "spec", problems),
                Origin(kind, namespace, name, (), document.source),
                _waived(metadata),
                (kind, name),
            )

    def _owning_workloads(self) -> set[tuple[str, str, str]]:
        """Owners of pods, and the owners of those: a Deployment through its ReplicaSets.

        Where the ReplicaSet or Job between them is not in the snapshot its name tells: both
        controllers name it after their workload plus `-` and a suffix without a hyphen.
        """
        owned = set(self._owners)
        for namespace, kind, name in self._owners:
            above = {"ReplicaSet": "Deployment", "Job": "CronJob"}.get(kind)
            if above is not None and "-" in name:
                owned.add((namespace, above, name.rpartition("-")[0]))
        for kind, workload, _ in self._workloads:
            metadata = workload.metadata or Metadata()
            namespace = metadata.namespace or "default"
            if (namespace, kind, metadata.name or "") in self._owners:
                for owner in metadata.ownerReferences or ():
                    owned.add((namespace, owner.kind or "", owner.name or ""))
        return owned


def _controller(references: Sequence[Reference]) -> Owner | None:
    """Of the owners the one that says it controls, or the first (manifests often omit it)."""
    for reference in references:
        if reference.controller:
            return reference.kind or "", reference.name or ""
    return (references[0].kind or "", references[0].name or "") if references else None


def _waived(metadata: Metadata | None) -> Waived:
    annotations = metadata.annotations if metadata else None
    return waived(annotations.waiver) if annotations else frozenset()


def _template(workload: WorkloadObject) -> tuple[Template | None, Path]:
    spec, path = workload.spec, ROOT / "spec"
    if spec is None:
        return None, path
    if spec.jobTemplate is not None:
        inner = spec.jobTemplate.spec
        return (inner.template if inner else None), path / "jobTemplate" / "spec" / "template"
    return spec.template, path / "template"


def _status_addresses(
    several: list[PodAddress] | None, single: str | None, field: str, problems: ObjectProblems
) -> tuple[int, ...]:
    """`status.podIPs` (or hostIPs), and the older single field where it is all there is."""
    texts = [entry.ip for entry in several] if several else [single] if single else []
    try:
        return tuple(parse_address(text or "") for text in texts)
    except ValueError:  # paths are only made for messages
        path = ROOT / "status" / (f"{field}s" if several else field)
        paths = [path / number / "ip" if several else path for number in range(len(texts))]
        return tuple(_addresses(zip(texts, paths, strict=True), problems))


def _addresses(texts: Iterable[tuple[str | None, Path]], problems: ObjectProblems) -> Iterator[int]:
    for text, path in texts:
        try:
            yield parse_address(text or "")
        except ValueError as error:
            problems.error(path, invalid(text, str(error)))
