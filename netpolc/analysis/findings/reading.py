"""What reading the manifests found, as findings.

Comes in: diagnostics, and the waivers of all objects. Goes out: findings, and remarks on waivers
that name no code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from netpolc.analysis.findings.model import (
    MANIFEST_ERROR,
    MANIFEST_WARNING,
    NOTHING_ISOLATED,
    UNKNOWN_WAIVER,
    Code,
    Finding,
    Level,
    Remark,
)
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import DOUBTED, MENDED, Diagnostic, Severity, listing
from netpolc.core.ir import WAIVER, Origin, Waived

_PLACED = "NP015"
_UNLISTED = "NP016"
_FEW = 3
"""So many of the others are named."""
CODES = (
    Code(
        MANIFEST_ERROR,
        Level.ERROR,
        "a manifest is not valid",
        "The API server would refuse it, or it cannot be read. Nothing else is checked until it "
        "is right.",
        "spec:\n  podSelector: {}\n  ingres: []",
        "spec:\n  podSelector: {}\n  ingress: []",
    ),
    Code(
        MANIFEST_WARNING,
        Level.WARNING,
        "a field is passed over",
        "With --no-strict unknown and duplicate fields are passed over. What they say has no "
        "effect.",
        "spec:\n  podSelector: {}\n  ingres: []   # read with --no-strict",
        "spec:\n  podSelector: {}\n  ingress: []",
    ),
    Code(
        "NP003",
        Level.WARNING,
        "a policy of another API is not read",
        "netpolc does not know what it means and leaves it out of every check.",
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy",
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy",
    ),
    Code(
        NOTHING_ISOLATED,
        Level.INFO,
        "the snapshot isolates nothing",
        "There is no policy: most likely the path is wrong. Commands that a node's ruleset comes "
        "from also say it where no pod has an address; here templates of workloads are as good.",
        "netpolc check policies/",
        "netpolc check policies/ cluster/",
    ),
    Code(
        UNKNOWN_WAIVER,
        Level.WARNING,
        "a waiver names no code",
        f"The annotation {WAIVER} takes codes, separated by commas.",
        f'metadata:\n  annotations:\n    {WAIVER}: "NP99"',
        f'metadata:\n  annotations:\n    {WAIVER}: "NP501, NP502"',
    ),
    Code(
        MENDED,
        Level.WARNING,
        "an odd object is enforced in the strict direction",
        "With --odd-objects isolate an object that would be refused stops no other. A policy then "
        "admits nothing, a pod is closed, a Namespace has unknown labels; host bits of a CIDR are "
        "masked.",
        "ipBlock: {cidr: 010.0.0.0/8}   # read with --odd-objects isolate",
        "ipBlock: {cidr: 10.0.0.0/8}",
    ),
    Code(
        "NP007",
        Level.WARNING,
        "an address is at two pods, or at a pod and a node",
        "Normal for seconds. The address belongs to the newest pod that can start containers, else "
        "to the newest; the others are judged without it. If nothing tells which that is, all "
        "pods that show it are closed.",
        "kind: Pod   # two of them\nstatus: {podIPs: [{ip: 10.64.0.20}]}",
        "kind: Pod   # one of them\nstatus: {podIPs: [{ip: 10.64.0.21}]}",
    ),
    Code(
        "NP008",
        Level.WARNING,
        "an address of a pod or a Node is none",
        "API servers do not look at these fields. It is passed over; one with leading zeros, "
        "or of IPv4 mapped to IPv6, is read as API servers read it.",
        "status:\n  addresses: [{type: ExternalIP, address: node-a.example.net}]",
        "status:\n  addresses: [{type: ExternalDNS, address: node-a.example.net}]",
    ),
    Code(
        "NP009",
        Level.WARNING,
        "a pod has an address and no node",
        "The ruleset of every node judges it, as nobody knows which of them should.",
        "kind: Pod\nstatus: {podIPs: [{ip: 10.64.0.20}]}",
        "kind: Pod\nspec: {nodeName: node-a}\nstatus: {podIPs: [{ip: 10.64.0.20}]}",
    ),
    Code(
        DOUBTED,
        Level.WARNING,
        "a cluster-scoped policy is not enforced as it is written",
        "API servers look into no selector of these kinds, and store host bits and domainNames in "
        "any rule. As the API asks, a rule that nobody can understand matches nothing if it "
        "accepts, and denies everything if it denies or passes.",
        "action: Deny\nfrom:\n- namespaces: {matchExpressions: [{key: team, operator: Not}]}",
        "action: Deny\nfrom:\n- namespaces: {matchExpressions: "
        "[{key: team, operator: DoesNotExist}]}",
    ),
    Code(
        "NP011",
        Level.WARNING,
        "a rule admits by names of domains",
        "netpolc looks up no names, so nobody is admitted by them: what the rule was to open stays "
        "as it is without the rule.",
        "action: Accept\nto:\n- domainNames: [registry.example.com]",
        "action: Accept\nto:\n- networks: [192.0.2.0/24]",
    ),
    Code(
        "NP012",
        Level.WARNING,
        "a rule denies nodes, and pods still reach their own",
        "Traffic between a pod and the node it runs on is not forwarded, and no policy keeps one "
        "from the other. Other nodes are denied.",
        "action: Deny\nto:\n- nodes: {}",
        "metadata:\n  annotations:\n    netpolc.dev/ignore: NP012\nspec:\n  egress:\n"
        "  - {action: Deny, to: [{nodes: {}}]}",
    ),
    Code(
        "NP013",
        Level.INFO,
        "pods that another object makes are not in the snapshot",
        "An operator makes the pods of such an object, out of fields that are no template of pods: "
        "nobody knows their labels and ports, so what policies say of them cannot be judged. "
        "Objects with containers at spec.template.spec are workloads, of whatever kind.",
        "apiVersion: monitoring.coreos.com/v1\nkind: Prometheus",
        "apiVersion: v1\nkind: Pod   # beside it, as the operator makes it\n"
        "metadata: {name: prometheus-main-0, labels: {app.kubernetes.io/name: prometheus}}",
    ),
    Code(
        "NP014",
        Level.WARNING,
        "labels are asked for of a namespace without an object",
        "Without the Namespace nothing is known of it but its name: what denies by another label "
        "does not deny its pods. Have `kubectl get` print namespaces, too.",
        "kind: Pod\nmetadata: {name: web, namespace: shop}",
        "kind: Namespace\nmetadata: {name: shop, labels: {env: prod}}\n---\n"
        "kind: Pod\nmetadata: {name: web, namespace: shop}",
    ),
    Code(
        _PLACED,
        Level.INFO,
        "an object names no namespace",
        "It is taken to be in default, as kubectl has it where nobody says otherwise. Whoever "
        "applies it with -n, or an Argo CD Application, puts it elsewhere: then say so, with "
        "--default-namespace. Told once for all of them.",
        "kind: NetworkPolicy\nmetadata: {name: web}",
        "kind: NetworkPolicy\nmetadata: {name: web, namespace: shop}",
    ),
    Code(
        _UNLISTED,
        Level.WARNING,
        "a kind of the live cluster cannot be listed",
        "RBAC forbids it to who asks, most likely. All else is said as if there were no such "
        "object: without nodes their addresses are anybody's, without policies all pods are open.",
        "netpolc check --context prod   # as a user who may list pods and policies alone",
        'kind: ClusterRole\nrules:\n- apiGroups: [""]\n  resources: [namespaces, nodes, pods]\n'
        "  verbs: [list]",
    ),
)


def found(diagnostic: Diagnostic, catalogue: Mapping[str, Code]) -> Finding:
    """A diagnostic as a finding: validation errors have one code in common."""
    is_error = diagnostic.severity is Severity.ERROR
    code = diagnostic.code or (MANIFEST_ERROR if is_error else MANIFEST_WARNING)
    place, field = diagnostic.place, diagnostic.path
    return Finding(code, catalogue[code].level, place, "", field, diagnostic.message)


def unlisted(cluster: str, plural: str, why: str) -> Finding:
    """That a kind of a live cluster cannot be listed."""
    message = f"{plural} are not known, and judged as if there were none: {why}"
    return Finding(_UNLISTED, Level.WARNING, f"{cluster}:{plural}", "", "", message)


def is_of_nodes(diagnostic: Diagnostic, snapshot: Snapshot) -> bool:
    """Whether it matters only where a node enforces the policies: that no pod has an address."""
    return diagnostic.code == NOTHING_ISOLATED and bool(snapshot.policies)


def waivers(snapshot: Snapshot, known: Collection[str]) -> Iterator[Remark]:
    """Waivers that waive nothing, because there is no such code."""
    for origin, waived in _waivers(snapshot):
        unknown = waived.difference(known)
        if unknown:
            at = ("metadata", "annotations", WAIVER)
            place = Origin(origin.kind, origin.namespace, origin.name, at, origin.source)
            text = f"no such code: {listing(unknown)}"
            yield Remark(UNKNOWN_WAIVER, place, text)


def without_namespace(snapshot: Snapshot) -> Iterator[Remark]:
    """Objects that are in the default namespace because they name none, told once."""
    waived = {own.key for own, codes in _waivers(snapshot) if _PLACED in codes}
    origins = [own for own in snapshot.placed if own.key not in waived]
    if origins:
        first, *others = origins
        more = f"; so do {len(others)} more of the objects" if len(others) > 1 else ""
        more = "; so does 1 more of the objects" if len(others) == 1 else more
        text = f"names no namespace and is taken to be in default{more}"
        yield Remark(_PLACED, first, text, others=tuple(others[:_FEW]))


def _waivers(snapshot: Snapshot) -> Iterable[tuple[Origin, Waived]]:
    for policy in snapshot.policies:
        if policy.waived:
            yield policy.origin, policy.waived
    for space in snapshot.cluster.namespaces.values():
        if space.waived and space.origin is not None:
            yield space.origin, space.waived
    for pod in snapshot.cluster.pods:
        if pod.waived:
            yield pod.origin, pod.waived
