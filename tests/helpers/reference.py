"""An independent reading of the NetworkPolicy API: one flow, straight from the manifests.

In: parsed manifests (Namespace, Pod, Node, NetworkPolicy; other kinds are passed over) and a flow
between two addresses. Out: whether it is allowed. Refused: nothing but unparsable addresses; the
manifests must be valid, which other tests see to.

It shares no code, no intermediate form and no data type with the compiler: nothing is resolved or
merged ahead, every question is asked anew of the manifests. It is the truth of the property tests,
so it must stay too simple to be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Literal, NamedTuple

Manifest = Mapping[str, Any]
Address = IPv4Address | IPv6Address
Direction = Literal["Ingress", "Egress"]

ANNOTATION = "net.beta.kubernetes.io/network-policy"
METADATA_NAME = "kubernetes.io/metadata.name"
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}


class _Packet(NamedTuple):
    """A flow's first packet, with the pods that own its addresses."""

    source: Address
    destination: Address
    sender: Manifest | None
    receiver: Manifest | None
    protocol: int
    port: int | None


def allowed(
    objects: Sequence[Manifest],
    source: str,
    destination: str,
    protocol: int | str,
    port: int | None,
    semantics: str = "current",
) -> bool:
    """Whether the policies in ``objects`` let a new flow through, both directions asked.

    ``protocol`` is ``"TCP"``, ``"UDP"``, ``"SCTP"`` or an IP protocol number; ``semantics`` is
    ``"current"`` or ``"v1.6"`` (isolation by the namespace annotation).
    """
    src, dst = _address(source), _address(destination)
    number = PROTOCOLS[protocol] if isinstance(protocol, str) else protocol
    sender, receiver = _pod_at(objects, src), _pod_at(objects, dst)
    packet = _Packet(src, dst, sender, receiver, number, port)
    if sender is not None and sender is receiver:
        return True
    if _is_closed(objects, sender) or _is_closed(objects, receiver):
        return False
    if sender is not None and dst in _own_node(objects, sender):
        return True
    if receiver is not None and src in _own_node(objects, receiver):
        return True
    match semantics:
        case "current":
            return _leaves(objects, packet) and _enters(objects, packet)
        case "v1.6":
            return _enters_legacy(objects, packet)
        case _:
            raise ValueError(f"unknown semantics: {semantics}")


# Whose address is it?


def _pod_at(objects: Sequence[Manifest], address: Address) -> Manifest | None:
    """The pod that has an address; of several that show it the one that ``_newest`` names."""
    pods = [
        pod
        for pod in _of_kind(objects, "Pod")
        if not _is_gone(pod) and not _on_host_network(pod) and address in _pod_addresses(pod)
    ]
    return _newest(pods) or pods[0] if pods else None


def _newest(pods: Sequence[Manifest]) -> Manifest | None:
    """The newest pod that is ready to start containers, else the newest; None if nothing tells."""
    able = [pod for pod in pods if _can_start(pod)] or pods
    moments = [pod["metadata"].get("creationTimestamp") for pod in able]
    if len(able) == 1:
        return able[0]
    if None in moments or moments.count(max(moments)) > 1:
        return None
    return able[moments.index(max(moments))]


def _can_start(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    wanted = {"type": "PodReadyToStartContainers", "status": "True"}
    return any(wanted.items() <= condition.items() for condition in conditions)


def _is_closed(objects: Sequence[Manifest], pod: Manifest | None) -> bool:
    """Whether nobody knows if one of a pod's addresses is its own: then it is shut, and no peer."""
    if pod is None or _on_host_network(pod):
        return False
    for address in _pod_addresses(pod):
        others = [
            other
            for other in _of_kind(objects, "Pod")
            if not _is_gone(other)
            and not _on_host_network(other)
            and address in _pod_addresses(other)
        ]
        if _newest(others) is None:
            return True
    return False


def _is_gone(pod: Manifest) -> bool:
    """Finished: another pod may own the address by now. A terminating pod still runs."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _on_host_network(pod: Manifest) -> bool:
    return bool(_spec(pod).get("hostNetwork"))


def _pod_addresses(pod: Manifest) -> set[Address]:
    return _status_addresses(pod, "podIP", "podIPs")


def _status_addresses(pod: Manifest, single: str, plural: str) -> set[Address]:
    status = pod.get("status") or {}
    texts = [status.get(single), *(entry["ip"] for entry in status.get(plural) or [])]
    return {_address(text) for text in texts if text}


def _own_node(objects: Sequence[Manifest], pod: Manifest) -> set[Address]:
    """Every address known of the node that runs the pod."""
    addresses = _status_addresses(pod, "hostIP", "hostIPs")
    node_name = _spec(pod).get("nodeName")
    if not node_name:
        return addresses
    for node in _of_kind(objects, "Node"):
        if node["metadata"]["name"] == node_name:
            addresses |= _node_addresses(node)
    for other in _of_kind(objects, "Pod"):
        if _is_gone(other) or _spec(other).get("nodeName") != node_name:
            continue
        addresses |= _status_addresses(other, "hostIP", "hostIPs")
        if _on_host_network(other):
            addresses |= _pod_addresses(other)
    return addresses


def _node_addresses(node: Manifest) -> set[Address]:
    entries = (node.get("status") or {}).get("addresses") or []
    return {_address(e["address"]) for e in entries if e["type"] in ("InternalIP", "ExternalIP")}


# Today's semantics


def _enters(objects: Sequence[Manifest], packet: _Packet) -> bool:
    """Whether the receiver's ingress lets the packet in."""
    if packet.receiver is None:
        return True
    isolating = list(_isolating(objects, packet.receiver, "Ingress"))
    return not isolating or any(
        _lists(objects, policy, rule.get("from") or None, packet.source, packet.sender)
        and _names_port(rule.get("ports") or None, packet)
        for policy in isolating
        for rule in _spec(policy).get("ingress") or []
    )


def _leaves(objects: Sequence[Manifest], packet: _Packet) -> bool:
    """Whether the sender's egress lets the packet out."""
    if packet.sender is None:
        return True
    isolating = list(_isolating(objects, packet.sender, "Egress"))
    return not isolating or any(
        _lists(objects, policy, rule.get("to") or None, packet.destination, packet.receiver)
        and _names_port(rule.get("ports") or None, packet)
        for policy in isolating
        for rule in _spec(policy).get("egress") or []
    )


def _isolating(
    objects: Sequence[Manifest], pod: Manifest, direction: Direction
) -> Iterator[Manifest]:
    """The policies that select the pod and speak of the direction."""
    for policy in _of_kind(objects, "NetworkPolicy"):
        if direction in _types(_spec(policy)) and _selects_subject(policy, pod):
            yield policy


def _types(spec: Manifest) -> Sequence[str]:
    """The API server's default: Ingress, and Egress only where an egress rule stands."""
    given: Sequence[str] = spec.get("policyTypes") or []
    return given or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _selects_subject(policy: Manifest, pod: Manifest) -> bool:
    selector = _spec(policy).get("podSelector") or {}
    return _namespace(policy) == _namespace(pod) and _selects(selector, _labels(pod))


# The semantics of Kubernetes 1.3 to 1.6


def _enters_legacy(objects: Sequence[Manifest], packet: _Packet) -> bool:
    """Whether the receiver's namespace is open, or one of its policies admits the packet."""
    pod = packet.receiver
    if pod is None or not _default_deny(objects, _namespace(pod)):
        return True
    return any(
        _lists(objects, policy, rule.get("from"), packet.source, packet.sender)
        and _names_port(rule.get("ports"), packet)
        for policy in _of_kind(objects, "NetworkPolicy")
        if _selects_subject(policy, pod)
        for rule in _spec(policy).get("ingress") or []
    )


def _default_deny(objects: Sequence[Manifest], namespace: str) -> bool:
    for found in _of_kind(objects, "Namespace"):
        if found["metadata"]["name"] == namespace:
            annotations = found["metadata"].get("annotations") or {}
            return _says_default_deny(annotations.get(ANNOTATION))
    return False


def _says_default_deny(annotation: str | None) -> bool:
    """Anything but the one documented document is no isolation, malformed JSON included."""
    try:
        document = json.loads(annotation or "null")
    except json.JSONDecodeError:
        return False
    ingress = document.get("ingress") if isinstance(document, dict) else None
    return isinstance(ingress, dict) and ingress.get("isolation") == "DefaultDeny"


# Peers and ports


def _lists(
    objects: Sequence[Manifest],
    policy: Manifest,
    peers: Sequence[Manifest] | None,
    address: Address,
    pod: Manifest | None,
) -> bool:
    """Whether one of the peers is the far end; ``None`` is every far end, ``[]`` none."""
    return peers is None or any(_is_peer(objects, policy, p, address, pod) for p in peers)


def _is_peer(
    objects: Sequence[Manifest],
    policy: Manifest,
    peer: Manifest,
    address: Address,
    pod: Manifest | None,
) -> bool:
    block = peer.get("ipBlock")
    if block is not None:
        excepts = block.get("except") or []
        return _within(address, block["cidr"]) and not any(_within(address, e) for e in excepts)
    if pod is None:
        return False
    pods, namespaces = peer.get("podSelector"), peer.get("namespaceSelector")
    if namespaces is None:
        right_namespace = _namespace(pod) == _namespace(policy)
    else:
        right_namespace = _selects(namespaces, _namespace_labels(objects, _namespace(pod)))
    return right_namespace and _selects(pods or {}, _labels(pod))


def _names_port(ports: Sequence[Manifest] | None, packet: _Packet) -> bool:
    """Whether one of the ports is the packet's; ``None`` is any protocol too, ``[]`` nothing."""
    return ports is None or any(_is_port(port, packet) for port in ports)


def _is_port(entry: Manifest, packet: _Packet) -> bool:
    # Kubernetes 1.6 documents the protocols in lower case; later servers refuse that.
    if PROTOCOLS[(entry.get("protocol") or "TCP").upper()] != packet.protocol:
        return False
    port = entry.get("port")
    if port is None:
        return True
    if packet.port is None:
        return False
    if isinstance(port, str):
        return packet.port in _named(packet.receiver, port, packet.protocol)
    last: int = entry.get("endPort") or port
    return int(port) <= packet.port <= last


def _named(pod: Manifest | None, name: str, protocol: int) -> set[int]:
    """The numbers a pod gives to a name; of its init containers only sidecars still serve."""
    if pod is None:
        return set()
    inits = _spec(pod).get("initContainers") or []
    serving = [*(_spec(pod).get("containers") or []), *filter(_is_sidecar, inits)]
    return {
        port["containerPort"]
        for container in serving
        for port in container.get("ports") or []
        if port.get("name") == name and PROTOCOLS[port.get("protocol") or "TCP"] == protocol
    }


def _is_sidecar(init_container: Manifest) -> bool:
    return init_container.get("restartPolicy") == "Always"


# Labels, namespaces, addresses


def _selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _meets(requirement, labels) for requirement in selector.get("matchExpressions") or []
    )


def _meets(requirement: Manifest, labels: Mapping[str, str]) -> bool:
    key, values = requirement["key"], requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case unknown:
            raise ValueError(f"unknown operator: {unknown}")


def _of_kind(objects: Sequence[Manifest], kind: str) -> Iterator[Manifest]:
    return (item for item in objects if item["kind"] == kind)


def _spec(item: Manifest) -> Manifest:
    """The spec, which the API server fills with nothing where it is missing."""
    return item.get("spec") or {}


def _namespace(item: Manifest) -> str:
    return item["metadata"].get("namespace") or "default"


def _labels(item: Manifest) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}


def _namespace_labels(objects: Sequence[Manifest], name: str) -> Mapping[str, str]:
    for namespace in _of_kind(objects, "Namespace"):
        if namespace["metadata"]["name"] == name:
            return {**_labels(namespace), METADATA_NAME: name}
    return {METADATA_NAME: name}


@lru_cache(maxsize=4096)
def _address(text: str) -> Address:
    return ip_address(text)


@lru_cache(maxsize=4096)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)


def _within(address: Address, cidr: str) -> bool:
    """Containment; a network of the other family holds nothing."""
    return address in _network(cidr)
