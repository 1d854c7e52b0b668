"""An independent reading of the cluster-scoped policies: one flow, straight from the manifests.

In: parsed manifests (those of `reference`, and ClusterNetworkPolicy, AdminNetworkPolicy and
BaselineAdminNetworkPolicy) and a flow between two addresses. Out: whether it is allowed. Refused:
nothing; the manifests must be ones that a server stores and everybody understands.

Like `reference` it shares nothing with the compiler, and asks every question anew. Which pod has an
address, what a NetworkPolicy means and what selectors select is answered there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tests.helpers import reference
from tests.helpers.reference import PROTOCOLS, Address, Manifest

ORDERED = ("ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy")
Tier = Literal["Admin", "Baseline"]
Direction = Literal["ingress", "egress"]


class _Asked(NamedTuple):
    """One direction of a flow: whose policies are asked, about whom, and what it leads to."""

    objects: Sequence[Manifest]
    direction: Direction
    subject: Manifest
    peer: Manifest | None
    address: Address
    receiver: Manifest | None
    protocol: int
    port: int | None


def allowed(
    objects: Sequence[Manifest],
    source: str,
    destination: str,
    protocol: int | str,
    port: int | None,
    *,
    hairpin: bool = False,
) -> bool:
    """Whether both ends let a new flow through; `hairpin`: a Service led a pod back to itself."""
    src, dst = reference._address(source), reference._address(destination)
    number = PROTOCOLS[protocol] if isinstance(protocol, str) else protocol
    sender, receiver = reference._pod_at(objects, src), reference._pod_at(objects, dst)
    is_self = sender is not None and sender is receiver
    if is_self and not hairpin:
        return True
    packet = reference._Packet(src, dst, sender, receiver, number, port)
    verdict = True
    if sender is not None and dst not in reference._own_node(objects, sender):
        isolated = bool(list(reference._isolating(objects, sender, "Egress")))
        admitted = is_self or reference._leaves(objects, packet)
        asked = _Asked(objects, "egress", sender, receiver, dst, receiver, number, port)
        verdict = _judged(asked, isolated, admitted)
    if receiver is not None and src not in reference._own_node(objects, receiver):
        isolated = bool(list(reference._isolating(objects, receiver, "Ingress")))
        admitted = is_self or reference._enters(objects, packet)
        asked = _Asked(objects, "ingress", receiver, sender, src, receiver, number, port)
        verdict = _judged(asked, isolated, admitted) and verdict
    return verdict


def _judged(asked: _Asked, isolated: bool, admitted: bool) -> bool:
    """Admin, then NetworkPolicy if one isolates, else Baseline, else yes."""
    first = _tier(asked, "Admin")
    if first != "Pass":
        return first == "Accept"
    if isolated:
        return admitted
    return _tier(asked, "Baseline") != "Deny"


def _tier(asked: _Asked, tier: Tier) -> str:
    """What the first rule of a tier that matches does; Pass if none does."""
    for policy in sorted(_of_tier(asked.objects, tier), key=_rank):
        if not _is_pods(asked.objects, policy["spec"]["subject"], asked.subject):
            continue
        for rule in policy["spec"].get(asked.direction) or []:
            found = _says(asked, rule)
            if found is not None:
                return found
    return "Pass"


def _of_tier(objects: Sequence[Manifest], tier: Tier) -> Iterator[Manifest]:
    tiers = {"AdminNetworkPolicy": "Admin", "BaselineAdminNetworkPolicy": "Baseline"}
    for item in objects:
        if item["kind"] in ORDERED and (tiers.get(item["kind"]) or item["spec"]["tier"]) == tier:
            yield item


def _rank(policy: Manifest) -> tuple[int, str, str]:
    priority: int = policy["spec"].get("priority", 1000)
    return priority, policy["metadata"]["name"], policy["kind"]


def _says(asked: _Asked, rule: Mapping[str, Any]) -> str | None:
    """What a rule does with the flow, None if it does not match."""
    action: str = {"Allow": "Accept"}.get(rule["action"], rule["action"])
    entries = rule.get("protocols") or rule.get("ports")
    if entries and not any(_is_service(asked, entry) for entry in entries):
        return None
    peers = rule["from"] if asked.direction == "ingress" else rule["to"]
    if any(_is_peer(asked, peer, action) for peer in peers):
        return action
    if action == "Pass" and any(_may_be_node(asked, peer) for peer in peers):
        return "Deny"
    return None


def _is_peer(asked: _Asked, peer: Mapping[str, Any], action: str) -> bool:
    if "networks" in peer:
        return any(reference._within(asked.address, cidr) for cidr in peer["networks"])
    if "domainNames" in peer:
        return False
    if "nodes" in peer:
        surely = any(
            asked.address in addresses and _selects_node(peer["nodes"], labels)
            for addresses, labels in _nodes(asked.objects)
        )
        return surely or (action == "Deny" and _may_be_node(asked, peer))
    return asked.peer is not None and _is_pods(asked.objects, peer, asked.peer)


def _is_pods(objects: Sequence[Manifest], selection: Mapping[str, Any], pod: Manifest) -> bool:
    """What `namespaces` and `pods` select."""
    space = reference._namespace_labels(objects, reference._namespace(pod))
    if "namespaces" in selection:
        return reference._selects(selection["namespaces"], space)
    pods = selection["pods"]
    return reference._selects(pods.get("namespaceSelector") or {}, space) and reference._selects(
        pods["podSelector"], reference._labels(pod)
    )


def _nodes(
    objects: Sequence[Manifest],
) -> Iterator[tuple[set[Address], Mapping[str, str] | None]]:
    """The addresses of each node, and its labels; None of one that has no object."""
    pods = [own for own in objects if own["kind"] == "Pod" and not reference._is_gone(own)]
    declared = {own["metadata"]["name"]: own for own in objects if own["kind"] == "Node"}
    mentioned = {name for pod in pods if (name := reference._spec(pod).get("nodeName"))}
    for name in {*declared, *mentioned}:
        addresses = set[Address]()
        for pod in pods:
            if reference._spec(pod).get("nodeName") == name:
                addresses |= reference._own_node(objects, pod)
        node = declared.get(name)
        if node is not None:
            addresses |= reference._node_addresses(node)
        yield addresses, None if node is None else reference._labels(node)


def _selects_node(selector: Manifest, labels: Mapping[str, str] | None) -> bool:
    """Surely: a node of which no label is known is meant by a selector of all nodes alone."""
    if labels is None:
        return not (selector.get("matchLabels") or selector.get("matchExpressions"))
    return reference._selects(selector, labels)


def _may_be_node(asked: _Asked, peer: Mapping[str, Any]) -> bool:
    """Whether the address is that of a node that may have any labels."""
    return "nodes" in peer and any(
        labels is None and asked.address in addresses for addresses, labels in _nodes(asked.objects)
    )


def _is_service(asked: _Asked, entry: Mapping[str, Any]) -> bool:
    """Whether an entry of `protocols` or of `ports` is the flow's protocol and port."""
    if asked.port is None:
        return False
    name = entry.get("destinationNamedPort") or entry.get("namedPort")
    if name is not None:
        return asked.port in reference._named(asked.receiver, name, asked.protocol)
    for protocol, number in PROTOCOLS.items():
        own = entry.get(protocol.lower())
        if own is not None:
            port = own["destinationPort"]
            ends = port.get("range") or {"start": port.get("number"), "end": port.get("number")}
            return number == asked.protocol and ends["start"] <= asked.port <= ends["end"]
    single, several = entry.get("portNumber"), entry.get("portRange")
    own = single or several or {}
    if PROTOCOLS[own.get("protocol") or "TCP"] != asked.protocol:
        return False
    if single is not None:
        return bool(single["port"] == asked.port)
    return bool(own["start"] <= asked.port <= own["end"])
