"""Selectors and peers that select nothing, or what nobody meant.

Comes in: a `View`. Goes out: remarks on subjects and on peers. In a snapshot without any pod
nothing is said: there is nothing to select.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.findings.model import Code, Level, Remark, peer_origin, subject_origin
from netpolc.analysis.findings.view import Scope, View, may_be_unknown, numbered_peers
from netpolc.core.cluster import Pod
from netpolc.core.errors import listing
from netpolc.core.ir import ANY, SELECT_ALL, Action, Peer, PodPeer, Policy, Rule, Selector

CODES = (
    Code(
        "NP101",
        Level.WARNING,
        "a policy selects no pod",
        "The policy has no effect: its podSelector matches no pod of its namespace. Most often a "
        "label is misspelt, or metadata.namespace is missing. In a repository, to which pods may "
        "come from elsewhere, it is a note.",
        "podSelector:\n  matchLabels: {ap: web}   # the pods carry app: web",
        "podSelector:\n  matchLabels: {app: web}",
    ),
    Code(
        "NP102",
        Level.WARNING,
        "a peer matches no pod",
        "The rule admits nobody through this peer. A podSelector alone looks only in the "
        "namespace of the policy. A peer outside the snapshot looks the same, so in a repository "
        "it is a note.",
        "from:\n  - podSelector:\n      matchLabels: {app: fronted}",
        "from:\n  - podSelector:\n      matchLabels: {app: frontend}",
    ),
    Code(
        "NP103",
        Level.WARNING,
        "a namespaceSelector matches no namespace",
        "Labels of namespaces are meant, not their names; every namespace carries its name in the "
        "label kubernetes.io/metadata.name. In a repository it is a note.",
        "from:\n  - namespaceSelector:\n      matchLabels: {name: monitoring}",
        "from:\n  - namespaceSelector:\n"
        "      matchLabels: {kubernetes.io/metadata.name: monitoring}",
    ),
    Code(
        "NP104",
        Level.WARNING,
        "hostNetwork pods are selected",
        "A hostNetwork pod has its node's address: no policy isolates it, and no selector of a "
        "peer admits it. Only an ipBlock with the addresses of nodes does.",
        "podSelector: {}   # the namespace also holds pods with hostNetwork: true",
        "podSelector:\n  matchExpressions:\n"
        "    - {key: app, operator: NotIn, values: [node-exporter]}",
    ),
    Code(
        "NP105",
        Level.WARNING,
        "selectors are two list items where one was likely meant",
        "Two items admit every pod of the namespaces, and besides pods of the policy's own "
        "namespace. One item with both selectors admits the pods that match both. Remarked on "
        "where the podSelector alone matches nothing and both together match a pod.",
        "from:\n  - namespaceSelector:\n      matchLabels: {team: billing}\n"
        "  - podSelector:\n      matchLabels: {app: api}",
        "from:\n  - namespaceSelector:\n      matchLabels: {team: billing}\n"
        "    podSelector:\n      matchLabels: {app: api}",
    ),
)


def check(view: View) -> Iterator[Remark]:
    """What subjects and peers select."""
    if view.is_empty:
        return
    for policy in view.policies:
        yield from _subject(view, policy)
        for rule in policy.rules:
            split = _split(view, policy, rule)
            yield from split
            said = {remark.origin.field for remark in split}
            yield from (r for r in _peers(view, policy, rule) if r.origin.field not in said)


def _subject(view: View, policy: Policy) -> Iterator[Remark]:
    origin = subject_origin(policy)
    hosts = view.selected.host_pods(policy.subject)
    selected = view.selected.members(policy.subject)
    if hosts:
        also = "" if selected else ", and no other pod"
        text = f"selects hostNetwork pods{also}; no policy isolates them: {_names(hosts)}"
        yield Remark("NP104", origin, text, policy.waived)
    elif not selected and not may_be_unknown(view, policy.subject):
        spaces = policy.subject.namespaces
        where = f" of namespace {spaces}" if isinstance(spaces, str) else ""
        text = f"selects no pod{where}: the policy has no effect"
        if view.scope is Scope.REPO:
            text = f"selects no pod{where} that is here"
        yield Remark("NP101", origin, text, policy.waived, level=_level(view))


def _level(view: View) -> Level | None:
    """A note where pods and namespaces may come from elsewhere."""
    return Level.INFO if view.scope is Scope.REPO else None


def _here(view: View) -> str:
    return " that is here" if view.scope is Scope.REPO else ""


def _names(pods: list[Pod]) -> str:
    return listing(pod.key for pod in pods)


def _peers(view: View, policy: Policy, rule: Rule) -> Iterator[Remark]:
    does = "admits" if rule.action is Action.ACCEPT else "means"
    for number, peer in numbered_peers(rule):
        if view.selected.members(peer):
            continue
        origin = peer_origin(policy, rule, number)
        spaces = peer.namespaces
        hosts = view.selected.host_pods(peer)
        if isinstance(spaces, Selector) and not view.selected.namespaces(spaces):
            origin = peer_origin(policy, rule, number, "namespaceSelector")
            text = f"matches no namespace{_here(view)}"
            yield Remark("NP103", origin, text, policy.waived, level=_level(view))
        elif hosts:
            text = f"matches hostNetwork pods only, which no selector {does}: {_names(hosts)}"
            yield Remark("NP104", origin, text, policy.waived)
        elif not may_be_unknown(view, peer):
            where = f"of namespace {spaces}" if isinstance(spaces, str) else "of those namespaces"
            text = f"matches no pod {where}{_here(view)}"
            yield Remark("NP102", origin, text, policy.waived, level=_level(view))


def _split(view: View, policy: Policy, rule: Rule) -> list[Remark]:
    """Two neighbours in the list of which the podSelector matches nothing by itself, and some pod
    together with the namespaceSelector.

    Where it matches pods of its own namespace too, two items are as likely meant (the example in
    the API's documentation is of that kind).
    """
    found = []
    peers = () if rule.peers is ANY else rule.peers
    neighbours = [(n, n + 1) for n in range(len(peers) - 1)]
    for spaces, pods in (order for pair in neighbours for order in (pair, pair[::-1])):
        halves = _halves(policy, peers[spaces], peers[pods])
        if halves is None or view.selected.members(PodPeer(policy.origin.namespace, halves[1])):
            continue
        pod = view.selected.both_match(*halves)
        if pod is not None:
            text = (
                f"matches no pod of namespace {policy.origin.namespace}; as one item with the "
                f"namespaceSelector beside it this would match {pod.key}"
            )
            origin = peer_origin(policy, rule, pods)
            found.append(Remark("NP105", origin, text, policy.waived))
    return found


def _halves(policy: Policy, spaces: Peer, pods: Peer) -> tuple[Selector, Selector] | None:
    """The selectors of a peer that names whole namespaces and of one that names own pods."""
    if not (isinstance(spaces, PodPeer) and isinstance(pods, PodPeer)):
        return None
    if not isinstance(spaces.namespaces, Selector) or spaces.pods != SELECT_ALL:
        return None
    own = pods.namespaces == policy.origin.namespace and pods.pods != SELECT_ALL
    return (spaces.namespaces, pods.pods) if own and spaces.namespaces != SELECT_ALL else None
