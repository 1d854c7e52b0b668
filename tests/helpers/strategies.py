"""Hypothesis strategies for clusters, policies and flows, as parsed manifests.

Out: lists of plain dicts that an API server would accept (no host bits in a CIDR, every except a
strict subset of its block, names unique), and ``Flow`` tuples between two addresses of one family.
Nothing is refused. Of the compiler, nothing is imported.

Alphabets are tiny, so that selectors, ports and blocks meet pods often; every choice has its
plainest form first, so that a failure shrinks to a readable one. Flows use only private and
documentation addresses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.helpers.cluster_strategies import (
    GHOST,
    KEYS,
    NAMESPACES,
    PORT_NAMES,
    VALUES,
    clusters,
    lists_of,
    set_field,
)
from tests.helpers.reference import ANNOTATION, METADATA_NAME
from tests.helpers.traffic import (
    PORT_NUMBERS,
    Flow,
    candidates,
    flow_of,
    interesting_flows,
    is_v6,
    served_by,
    services,
)

__all__ = [
    "Flow",
    "clusters",
    "flows",
    "interesting_flows",
    "legacy_snapshots",
    "policies",
    "snapshots",
    "snapshots_with_flows",
]

Manifest = dict[str, Any]

PEER_KINDS = ["pods", "namespaces", "block", "both"]
PORT_KINDS = ["number", "name", "range", "none"]
OPERATORS = ["In", "NotIn", "Exists", "DoesNotExist"]

# Blocks grow around these: the pods' own space, the nodes', and some of the outside.
BASES_V4 = ["10.0.0.1", "10.0.0.4", "10.0.0.9", "10.0.1.1", "192.0.2.130", "172.16.0.1"]
BASES_V6 = ["fd00::1", "fd00::4", "fd00::9", "fd00:1::1", "2001:db8::82"]
PREFIXES_V4 = [32, 31, 30, 29, 28, 24, 23, 8, 1, 0]
PREFIXES_V6 = [128, 127, 126, 125, 124, 64, 16, 8, 3, 0]

ISOLATING = json.dumps({"ingress": {"isolation": "DefaultDeny"}})
NOT_ISOLATING = [
    "{}",
    '{"ingress": null}',
    '{"ingress": {}}',
    '{"ingress": {"isolation": "Open"}}',
    '{"ingress": {"isolation": "DefaultDeny"}',
    '{"ingress": "DefaultDeny"}',
    '"DefaultDeny"',
    "[]",
    "",
]


# Policies


def policies(
    cluster: Sequence[Manifest],
    *,
    min_size: int = 0,
    max_size: int = 6,
    peers: Sequence[str] = PEER_KINDS,
    ports: Sequence[str] = PORT_KINDS,
) -> st.SearchStrategy[list[Manifest]]:
    """Policies of ``networking.k8s.io/v1`` in the cluster's namespaces and one more.

    ``peers`` and ``ports`` narrow the kinds, for a property that is about some of them.
    """
    names = _namespaces_of(cluster)
    themes = st.builds(_Theme, st.just(names), _some(peers), _some(ports))
    return themes.flatmap(
        lambda theme: st.lists(
            st.tuples(st.sampled_from([*names, *names, "elsewhere"]), _specs(theme)),
            min_size=min_size,
            max_size=max_size,
        ).map(_named_policies)
    )


class _Theme(NamedTuple):
    """The kinds of peers and ports that one snapshot's policies use.

    With all kinds in every snapshot, two rare ones hardly ever meet in one rule.
    """

    namespaces: list[str]
    peers: list[str]
    ports: list[str]


def _some(kinds: Sequence[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(kinds), min_size=1, max_size=len(kinds), unique=True)


def _namespaces_of(cluster: Sequence[Manifest]) -> list[str]:
    pods = (item for item in cluster if item["kind"] == "Pod")
    return sorted({pod["metadata"].get("namespace", "default") for pod in pods})


def _named_policies(
    bodies: Sequence[tuple[str, Manifest]], api_version: str = "networking.k8s.io/v1"
) -> list[Manifest]:
    found = []
    for index, (namespace, spec) in enumerate(bodies):
        metadata = {"name": f"np-{index}", "namespace": namespace}
        if namespace == "default" and index % 2:
            del metadata["namespace"]
        found.append(
            {
                "apiVersion": api_version,
                "kind": "NetworkPolicy",
                "metadata": metadata,
                "spec": spec,
            }
        )
    return found


@st.composite
def _specs(draw: st.DrawFn, theme: _Theme) -> Manifest:
    spec: Manifest = {}
    set_field(
        spec,
        "podSelector",
        draw(st.one_of(st.sampled_from([{}, ..., None]), st.just({}), _selectors())),
    )
    both = ["Ingress", "Egress"]
    chosen = [both, both[:1], both[1:], both[::-1], ["Ingress", "Ingress"], ..., None, []]
    set_field(spec, "policyTypes", draw(st.sampled_from(chosen)))
    set_field(spec, "ingress", draw(lists_of(_rules("from", theme), 3)))
    set_field(spec, "egress", draw(lists_of(_rules("to", theme), 3)))
    return spec


@st.composite
def _rules(draw: st.DrawFn, far_end: str, theme: _Theme) -> Manifest:
    rule: Manifest = {}
    set_field(rule, far_end, draw(lists_of(_peers(theme), 3)))
    set_field(rule, "ports", draw(lists_of(_policy_ports(theme), 3)))
    return rule


@st.composite
def _selectors(draw: st.DrawFn, keys: tuple[str, ...] = (*KEYS, *KEYS, GHOST)) -> Manifest:
    pairs = st.dictionaries(st.sampled_from(keys), st.sampled_from(VALUES), min_size=1, max_size=2)
    selector: Manifest = {}
    set_field(selector, "matchLabels", draw(st.one_of(st.sampled_from([...]), pairs, _EMPTY_MAP)))
    set_field(selector, "matchExpressions", draw(lists_of(_requirements(keys), 2)))
    return selector


_EMPTY_MAP: st.SearchStrategy[Any] = st.sampled_from([None, {}])


@st.composite
def _requirements(draw: st.DrawFn, keys: tuple[str, ...]) -> Manifest:
    key = draw(st.sampled_from(keys))
    operator = draw(st.sampled_from(OPERATORS))
    requirement: Manifest = {"key": key, "operator": operator}
    if operator in ("In", "NotIn"):
        values = NAMESPACES if key == METADATA_NAME else VALUES
        drawn = st.lists(st.sampled_from(values), min_size=1, max_size=2)
        requirement["values"] = draw(drawn)
    else:
        set_field(requirement, "values", draw(st.sampled_from([..., None, []])))
    return requirement


def _namespace_selectors(names: Sequence[str]) -> st.SearchStrategy[Any]:
    by_name = st.sampled_from(names).map(lambda n: {"matchLabels": {METADATA_NAME: n}})
    return st.one_of(st.just({}), by_name, _selectors((*KEYS, GHOST, METADATA_NAME)))


def _pod_selectors() -> st.SearchStrategy[Any]:
    return st.one_of(st.just({}), _selectors())


@st.composite
def _peers(draw: st.DrawFn, theme: _Theme) -> Manifest:
    match draw(st.sampled_from(theme.peers)):
        case "pods":
            peer = {"podSelector": draw(_pod_selectors())}
            set_field(peer, "namespaceSelector", draw(st.sampled_from([..., None])))
        case "namespaces":
            peer = {"namespaceSelector": draw(_namespace_selectors(theme.namespaces))}
            set_field(peer, "podSelector", draw(st.sampled_from([..., None])))
        case "both":
            peer = {
                "namespaceSelector": draw(_namespace_selectors(theme.namespaces)),
                "podSelector": draw(_pod_selectors()),
            }
        case _:
            peer = {"ipBlock": draw(_blocks())}
    return peer


@st.composite
def _blocks(draw: st.DrawFn) -> Manifest:
    """A block around an address of interest, with excepts inside it that may overlap."""
    bases = draw(st.sampled_from([BASES_V4, BASES_V6]))
    lengths = PREFIXES_V4 if bases is BASES_V4 else PREFIXES_V6
    cidr = _around(draw(st.sampled_from(bases)), draw(st.sampled_from(lengths)))
    block: Manifest = {"cidr": _spelling(cidr, draw(st.integers(0, 9)))}
    inside = [
        str(inner)
        for length in lengths
        if length > cidr.prefixlen
        for base in bases
        if (inner := _around(base, length)).network_address in cidr
    ]
    if inside:
        # The first are narrow: they leave more of the block over.
        excepts = _one_of_each([inside[: 3 * len(bases)], inside])
        set_field(block, "except", draw(lists_of(excepts, 3)))
    else:
        set_field(block, "except", draw(st.sampled_from([..., None, []])))
    return block


def _around(base: str, length: int) -> IPv4Network | IPv6Network:
    return ip_network(f"{base}/{length}", strict=False)


def _spelling(cidr: IPv4Network | IPv6Network, form: int) -> str:
    """Rarely an IPv6 block in a valid but unusual spelling, which a server only warns of."""
    if form == 9 and cidr.version == 6:
        return cidr.exploded.upper()
    return str(cidr)


@st.composite
def _policy_ports(draw: st.DrawFn, theme: _Theme) -> Manifest:
    port: Manifest = {}
    set_field(port, "protocol", draw(st.sampled_from([..., "TCP", "UDP", "SCTP", None])))
    match draw(st.sampled_from(theme.ports)):
        case "number":
            port["port"] = draw(st.sampled_from(PORT_NUMBERS))
        case "range":
            ends = st.tuples(st.sampled_from(PORT_NUMBERS), st.sampled_from(PORT_NUMBERS))
            port["port"], port["endPort"] = sorted(draw(ends))
        case "name":
            port["port"] = draw(st.sampled_from([*PORT_NAMES, *PORT_NAMES, "nowhere"]))
        case _:
            set_field(port, "port", draw(st.sampled_from([..., None])))
    return port


# Whole snapshots


@st.composite
def snapshots(
    draw: st.DrawFn, *, peers: Sequence[str] = PEER_KINDS, ports: Sequence[str] = PORT_KINDS
) -> list[Manifest]:
    """A cluster and its policies, in any order; the kinds as in ``policies``."""
    cluster = draw(clusters())
    least = draw(st.integers(0, 4))
    objects = cluster + draw(policies(cluster, min_size=least, peers=peers, ports=ports))
    return draw(st.permutations(objects)) if draw(st.booleans()) else objects


@st.composite
def legacy_snapshots(draw: st.DrawFn, *, lower_case: bool = True) -> list[Manifest]:
    """A cluster of 1.3 to 1.6: annotated namespaces, ``extensions/v1beta1`` policies.

    ``lower_case`` also draws protocols as the documentation of 1.6 spells them, which only the
    semantics of 1.6 accept.
    """
    cluster = draw(clusters())
    for item in cluster:
        if item["kind"] == "Namespace":
            set_field(item["metadata"], "annotations", draw(_annotations()))
    names = [*_namespaces_of(cluster), "elsewhere"]
    bodies = st.tuples(st.sampled_from(names), _legacy_specs(names, lower_case))
    drawn = draw(st.lists(bodies, min_size=draw(st.integers(0, 4)), max_size=6))
    return cluster + _named_policies(drawn, "extensions/v1beta1")


def _annotations() -> st.SearchStrategy[Any]:
    misspelt = {"net.beta.kubernetes.io/networkpolicy": ISOLATING}
    isolating = {ANNOTATION: ISOLATING}
    others = st.sampled_from(NOT_ISOLATING).map(lambda text: {ANNOTATION: text})
    return st.one_of(
        st.just(isolating), st.just(isolating), st.sampled_from([..., None, {}, misspelt]), others
    )


@st.composite
def _legacy_specs(draw: st.DrawFn, names: Sequence[str], lower_case: bool) -> Manifest:
    spec: Manifest = {"podSelector": draw(_pod_selectors())}
    set_field(spec, "ingress", draw(lists_of(_legacy_rules(names, lower_case), 3)))
    return spec


@st.composite
def _legacy_rules(draw: st.DrawFn, names: Sequence[str], lower_case: bool) -> Manifest:
    rule: Manifest = {}
    peers = st.one_of(
        _pod_selectors().map(lambda s: {"podSelector": s}),
        _namespace_selectors(names).map(lambda s: {"namespaceSelector": s}),
    )
    set_field(rule, "from", draw(lists_of(peers, 3)))
    set_field(rule, "ports", draw(lists_of(_legacy_ports(lower_case), 3)))
    return rule


@st.composite
def _legacy_ports(draw: st.DrawFn, lower_case: bool) -> Manifest:
    spellings = [..., "TCP", "UDP", None, *(("tcp", "udp") if lower_case else ())]
    port: Manifest = {}
    set_field(port, "protocol", draw(st.sampled_from(spellings)))
    set_field(port, "port", draw(st.sampled_from([*PORT_NUMBERS, *PORT_NAMES, ..., None])))
    return port


# Flows


def flows(objects: Sequence[Manifest]) -> st.SearchStrategy[Flow]:
    """A flow between addresses that matter to the objects, at ports and protocols that do."""
    return _flows(objects)


@st.composite
def _flows(draw: st.DrawFn, objects: Sequence[Manifest]) -> Flow:
    v6 = draw(st.booleans())
    groups = [[a for a in group if is_v6(a) == v6] for group in candidates(objects)]
    ends = _one_of_each([groups[0], *groups])
    source, destination = draw(ends), draw(ends)
    served = served_by(objects, destination)
    return flow_of(source, destination, draw(_one_of_each([*services(objects), served])))


def _one_of_each(groups: Sequence[Sequence[Any]]) -> st.SearchStrategy[Any]:
    """An element of any group, each group as likely as the other; empty ones are left out."""
    return st.one_of([st.sampled_from(group) for group in groups if group])


@st.composite
def snapshots_with_flows(
    draw: st.DrawFn, objects: st.SearchStrategy[list[Manifest]] | None = None
) -> tuple[list[Manifest], list[Flow]]:
    """A snapshot (``snapshots()`` unless told) and 5 to 20 flows of it."""
    drawn = draw(snapshots() if objects is None else objects)
    return drawn, draw(st.lists(flows(drawn), min_size=5, max_size=20))


def patient(examples: int) -> settings:
    """Settings for snapshots: they are large by nature, and drawing one takes most of the time."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, suppress_health_check=slow)
