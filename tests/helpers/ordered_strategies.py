"""Hypothesis strategies for clusters under cluster-scoped policies, as parsed manifests.

Out: the clusters of `cluster_strategies`, some nodes with labels, 0 to 4 NetworkPolicies and 1 to 6
cluster-scoped policies of both tiers, with overlapping networks, named ports and equal priorities;
everything as an API server would store it and everybody understand it. Of the compiler, nothing is
imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.helpers import strategies as base
from tests.helpers.cluster_strategies import KEYS, PORT_NAMES, VALUES, clusters, labels, set_field
from tests.helpers.ordered_reference import ORDERED
from tests.helpers.traffic import PORT_NUMBERS, Flow, interesting_flows

Manifest = dict[str, Any]
GROUP = "policy.networking.k8s.io"
ACTIONS = ["Accept", "Deny", "Deny", "Pass"]
SERVICES = ["number", "range", "name", "several"]
PEERS = ["namespaces", "pods", "networks", "nodes", "names"]
NAMES = ["a", "b", "c", "d", "e", "f"]


@st.composite
def ordered_snapshots(draw: st.DrawFn, *, by_name: bool = False) -> list[Manifest]:
    """A cluster, NetworkPolicies and policies of ordered tiers; with `by_name` ports have names."""
    cluster = draw(clusters())
    for item in cluster:
        if item["kind"] == "Node":
            set_field(item["metadata"], "labels", draw(labels()))
    spaces = sorted({own["metadata"].get("namespace") or "default" for own in cluster})
    network = draw(base.policies(cluster, max_size=4))
    count = draw(st.integers(1, 6))
    names = draw(st.permutations(NAMES))[:count]
    made = [draw(_policies(name, spaces, by_name)) for name in names]
    single = [own for own in made if own["kind"] == ORDERED[2]]
    for own in single:
        own["metadata"]["name"] = "default"
    return [*cluster, *network, *(own for own in made if own not in single[1:])]


@st.composite
def _policies(draw: st.DrawFn, name: str, spaces: list[str], by_name: bool) -> Manifest:
    kind = draw(st.sampled_from([ORDERED[0]] * 4 + list(ORDERED[1:])))
    is_new = kind == ORDERED[0]
    spec: Manifest = {"subject": draw(_pods(spaces, is_new))}
    if is_new:
        spec["tier"] = draw(st.sampled_from(["Admin", "Admin", "Baseline"]))
    if kind != ORDERED[2]:
        spec["priority"] = draw(st.sampled_from([5, 5, 0, 1000, 6]))
    actions = ACTIONS if kind != ORDERED[2] else ACTIONS[:-1]
    for direction in ("ingress", "egress"):
        rules = _rules(direction, spaces, actions, is_new, by_name)
        drawn = draw(st.lists(rules, max_size=4))
        set_field(spec, direction, drawn or draw(st.sampled_from([..., None, []])))
    version = draw(st.sampled_from(["v1alpha2", "v1beta1"])) if is_new else "v1alpha1"
    return {
        "apiVersion": f"{GROUP}/{version}",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


@st.composite
def _rules(
    draw: st.DrawFn,
    direction: str,
    spaces: list[str],
    actions: Sequence[str],
    is_new: bool,
    by_name: bool,
) -> Manifest:
    action = draw(st.sampled_from(list(actions)))
    kinds = PEERS[:2] if direction == "ingress" else PEERS[:4]
    services = ["name", *SERVICES] if by_name else SERVICES[:2]
    entries = draw(st.one_of(st.just([]), st.lists(_services(services, is_new), max_size=2)))
    if any(_names_port(entry) for entry in entries):
        kinds = PEERS[:2]  # no server stores names of ports of what has none
    if direction == "egress" and action == "Accept" and is_new and not entries:
        kinds = PEERS
    given = action if is_new else {"Accept": "Allow"}.get(action, action)
    rule: Manifest = {"action": given}
    if draw(st.booleans()):
        rule["name"] = draw(st.sampled_from(["web", 'a "b"\n', "; drop", "ä"]))
    peer_field = "from" if direction == "ingress" else "to"
    peers = _peers(kinds, spaces, is_new)
    rule[peer_field] = draw(st.lists(peers, min_size=1, max_size=3))
    if entries:
        rule["protocols" if is_new else "ports"] = entries
    return rule


def _names_port(entry: Manifest) -> bool:
    return "destinationNamedPort" in entry or "namedPort" in entry


@st.composite
def _peers(draw: st.DrawFn, kinds: Sequence[str], spaces: list[str], is_new: bool) -> Manifest:
    match draw(st.sampled_from(list(kinds))):
        case "networks":
            blocks = st.lists(base._blocks(), min_size=1, max_size=3)
            return {"networks": sorted({own["cidr"] for own in draw(blocks)})}
        case "nodes":
            pairs = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=1)
            return {"nodes": {"matchLabels": draw(pairs)}}
        case "names":
            return {"domainNames": ["example.com"]}
        case _:
            return draw(_pods(spaces, is_new))


@st.composite
def _pods(draw: st.DrawFn, spaces: list[str], is_new: bool) -> Manifest:
    selected = base._namespace_selectors(spaces)
    if draw(st.booleans()):
        return {"namespaces": draw(selected)}
    pods = {"podSelector": draw(base._pod_selectors())}
    if not is_new or draw(st.booleans()):
        pods["namespaceSelector"] = draw(selected)
    return {"pods": pods}


@st.composite
def _services(draw: st.DrawFn, kinds: Sequence[str], is_new: bool) -> Manifest:
    protocol = draw(st.sampled_from(["TCP", "TCP", "UDP", "SCTP"]))
    if draw(st.sampled_from(list(kinds))) == "name":
        name = draw(st.sampled_from([*PORT_NAMES, "nowhere"]))
        return {"destinationNamedPort" if is_new else "namedPort": name}
    ends = st.lists(st.sampled_from(PORT_NUMBERS), min_size=1, max_size=2, unique=True)
    first, *more = sorted(draw(ends))
    if not is_new:
        own = {"protocol": protocol}
        if more:
            return {"portRange": {**own, "start": first, "end": more[0]}}
        return {"portNumber": {**own, "port": first}}
    port: Manifest = {"range": {"start": first, "end": more[0]}} if more else {"number": first}
    return {protocol.lower(): {"destinationPort": port}}


def telling_flows(objects: Sequence[Manifest], limit: int) -> list[Flow]:
    """At most `limit` flows between addresses and at ports that the objects tell apart."""
    return interesting_flows([*objects, *_as_network_policies(objects)], limit)


def _as_network_policies(objects: Sequence[Manifest]) -> Iterator[Manifest]:
    """The blocks and ports of ordered rules, as what `traffic` looks for them in."""
    for policy in objects:
        if policy["kind"] not in ORDERED:
            continue
        for direction in ("ingress", "egress"):
            for rule in policy["spec"].get(direction) or []:
                blocks = [
                    {"ipBlock": {"cidr": cidr}}
                    for peer in rule.get("to") or []
                    for cidr in peer.get("networks") or []
                ]
                ports = list(map(_as_port, rule.get("protocols") or rule.get("ports") or []))
                yield {
                    "kind": "NetworkPolicy",
                    "metadata": {"name": "telling"},
                    "spec": {"egress": [{"to": blocks, "ports": ports}]},
                }


def _as_port(entry: Manifest) -> Manifest:
    for name, own in entry.items():
        if isinstance(own, str):
            return {"port": own}
        port = own.get("destinationPort", own)
        ends = port.get("range") or port
        first = ends.get("start") or ends.get("number") or ends.get("port")
        protocol = own.get("protocol") or name.upper()
        return {"protocol": protocol, "port": first, "endPort": ends.get("end") or first}
    raise ValueError(entry)
