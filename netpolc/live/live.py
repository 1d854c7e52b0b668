"""The ruleset of one node while the objects of its cluster change.

Comes in: lists of objects and events. Goes out: the ruleset of the node, the same bytes as
`netpolc compile --node` gives for these objects. `UsageError` for a node that nobody knows.

A pod that comes, goes or changes is handed to the node as it is compiled (`compiled.py`). After
what may change more than that, or where that says so itself, the node is compiled again from the
objects as they were read: `work` counts how often, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

from netpolc.backends.nft import Options, Ruleset
from netpolc.compiler import Program, compile, within_bounds
from netpolc.core.cluster import NAME_LABEL, Namespace, Node, Pod, Snapshot
from netpolc.core.ir import Key, Policy
from netpolc.frontends import Semantics, Treatment
from netpolc.frontends.odd import same_meaning
from netpolc.frontends.single import OneObject, together
from netpolc.live.compiled import Surroundings
from netpolc.live.node import LiveNode
from netpolc.live.scope import Labels, Subjects
from netpolc.live.store import KINDS as KINDS
from netpolc.live.store import Event, Store
from netpolc.live.tally import Tally
from netpolc.live.work import Work

_NOTHING = OneObject()


class Live:
    """The objects of a cluster, and what one node makes of them.

    `options` are those of the ruleset, `addresses` more addresses of the node than its object lists
    (on the address line), as `--node-address` gives them. `work` counts what was done.
    """

    def __init__(
        self,
        node: str,
        options: Options | None = None,
        *,
        semantics: Semantics = Semantics.CURRENT,
        addresses: Iterable[int] = (),
    ) -> None:
        self.node, self.options, self.work = node, options or Options(), Work()
        self._semantics, self._addresses = semantics, frozenset(addresses)
        self._store, self._tally = Store(semantics), Tally(self._addresses)
        self._spaces: dict[str, Namespace] = {}
        self._subjects = Subjects(self._labels_of, self.work)
        self._made: LiveNode | None = None
        self.stale = "the first time"
        """Why the node is compiled at the next ruleset; empty where events did not ask for it."""
        self.refused: Mapping[Key, str] = self._store.refused
        """What is done about each odd object, and why, by kind, namespace and name."""

    def replace(self, kind: str, documents: Iterable[Mapping[str, Any]]) -> None:
        """All objects of a kind, after a list: what is not among them is gone.

        `InputError` for what is no object of such a kind.
        """
        for event in self._store.replace(kind, documents):
            self._apply(event)

    def change(self, document: Mapping[str, Any]) -> None:
        """An object that was added or modified; `InputError` as of `replace`."""
        self._apply(self._store.put(document))

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """An object that is gone; `namespace` is empty for what is in none."""
        self._apply(self._store.drop((kind, namespace, name)))

    def take(self, changes: Mapping[Key, OneObject | None]) -> bool:
        """Objects that somebody else read (`ReadFiles`), with nothing odd in them; None for those
        that are gone. Whether a snapshot has nothing to say now if it had nothing before; sometimes
        denied where that is so.
        """
        for key, own in changes.items():
            self._apply(self._store.drop(key) if own is None else self._store.keep(key, own))
        known = not self.stale and self._subjects.any_restricts and self._tally.any_address
        return known and all(_is_silent(*own, self._spaces) for own in changes.items())

    def know(self, addresses: Iterable[int]) -> bool:
        """Take these for the addresses of the node that its object may not list; whether they are
        others than before.
        """
        found = frozenset(addresses)
        if found == self._addresses:
            return False
        self._tally.know(self._addresses, found)
        self._addresses = found
        self.stale = self.stale or "an address of the host"
        return True

    def forget(self) -> None:
        """Believe nothing that was made of the objects: the next ruleset is made from scratch."""
        self.stale = self.stale or "forgotten"

    def snapshot(self) -> Snapshot:
        """All objects there are, as they count."""
        return self.moment()()

    def moment(self) -> Callable[[], Snapshot]:
        """The same of this moment, made once somebody asks for it, whatever changes until then."""
        objects = tuple(self._store.all())
        return cache(partial(_snapshot, objects, self._semantics, self.node, self._addresses))

    def ruleset(self) -> Ruleset:
        """The ruleset of the node now, the same object while nothing of it changes.

        `UsageError` while no object says that there is such a node.
        """
        made = self._made.ruleset() if self._made and not self.stale else None
        if made is not None:
            return made
        reason = self.stale or (self._made.lost if self._made else "")
        self._made, self.stale = None, reason  # as it stays, if that is refused
        # Of old an annotation of the namespace isolates, whatever selects a pod.
        subjects = self._subjects if self._semantics is Semantics.CURRENT else None
        program = partial(_program, self)
        around = Surroundings(self._labels_of, self._tally.pod_at, program, subjects)
        snapshot = self.snapshot()
        self._tally.settle(snapshot.cluster.pods)
        self._made = LiveNode(snapshot, self.node, self.options, around, self.work)
        self.work.compiled[reason] += 1
        self.stale = ""
        return self._made.ruleset() or self.ruleset()

    def _labels_of(self, namespace: str) -> Labels:
        space = self._spaces.get(namespace)
        return {NAME_LABEL: namespace} if space is None else space.labels

    def _apply(self, event: Event) -> None:
        before, after = event.before or _NOTHING, event.after or _NOTHING
        if before is after:
            return
        self.work.events += 1
        if before.odd or after.odd:
            self.stale = self.stale or "an odd object"
        if before.pod or after.pod:
            reason = self._pod(before, after)
        elif before.policy or after.policy:
            reason = self._policy(event.key, before.policy, after.policy)
        elif before.namespace or after.namespace:
            reason = self._namespace(before, after)
        else:
            self._tally.node(before.node, after.node)
            reason = _node(before.node, after.node)
        self.stale = self.stale or reason

    def _pod(self, before: OneObject, after: OneObject) -> str:
        """A pod that comes, goes or changes; why that is more than one pod's matter."""
        old, new, tally = before.pod, after.pod, self._tally
        if old is not None and new is not None and _same(old, new):
            tally.swap(old, new)
            return "an address of two" if tally.is_contested(new) else ""
        reason = ""
        if old is not None and tally.remove(old):
            reason = "an address of two, or of a node"
        if new is not None and tally.add(new):
            reason = "an address of two, or of a node"
        if tally.near_a_bound:
            reason = "a policy near its bound"
        if not reason and not self.stale and self._made is not None:
            for pod, there in (old, False), (new, True):
                if pod is not None and not pod.host_network:
                    self._made.change(pod, there)
        return reason

    def _policy(self, key: Key, old: Policy | None, new: Policy | None) -> str:
        self._tally.policy(key, new)
        self._subjects.put(key, new)
        if old is not None and new is not None and _says_the_same(old, new):
            return ""
        both = [own for own in (old, new) if own is not None]
        if self._tally.near_a_bound:
            return "a policy near its bound"
        if self.stale or self._made is None:
            return ""
        if not any(map(self._made.compiled.concerns, both)):
            return ""
        return "" if self._made.edit(old, new) else "a policy"

    def _namespace(self, before: OneObject, after: OneObject) -> str:
        """A Namespace; one that has and had no pods matters to nobody yet."""
        old, new = before.namespace, after.namespace
        for own in (own for own in (old, new) if own is not None):
            self._spaces.pop(own.name, None)
        if new is not None:
            self._spaces[new.name] = new
        name = (new or old or Namespace("", {})).name
        is_legacy = self._semantics is Semantics.V1_6
        if old is not None and new is not None and old.labels == new.labels and not is_legacy:
            return ""
        if self._made is not None:
            self._made.forget_namespaces()
            if self._made.compiled.local.were_in(name):
                return "a namespace"
        return "a namespace" if self._tally.spaces[name] else ""


def _snapshot(
    objects: Iterable[OneObject], semantics: Semantics, node: str, addresses: frozenset[int]
) -> Snapshot:
    found = within_bounds(together(objects, semantics), Treatment.ISOLATE)
    if addresses and node in found.cluster.nodes:
        found = replace(found, cluster=found.cluster.knowing(node, addresses))
    return found


def _program(live: Live) -> Program:
    """All objects, compiled."""
    return compile(live.snapshot())


def _is_silent(key: Key, own: OneObject | None, spaces: Mapping[str, Namespace]) -> bool:
    """Whether nothing is to be said of an object beside others, wherever that can be seen."""
    if key[0] == "NetworkPolicy" or own is None or own.pod is None:
        return key[0] in ("NetworkPolicy", "Pod")
    pod = own.pod
    is_judged = pod.node or pod.host_network or not pod.addresses
    return bool(is_judged) and pod.namespace in spaces


def _node(old: Node | None, new: Node | None) -> str:
    """Why a Node matters that comes, goes or changes."""
    if old is not None and new is not None:
        same = old.addresses == new.addresses and old.labels == new.labels
        return "" if same and old.pod_cidrs == new.pod_cidrs else "a node"
    return "a node" if old or new else ""


def _says_the_same(old: Policy, new: Policy) -> bool:
    """Whether two versions of a policy mean the same and call their rules the same."""
    named = [[(rule.origin.field, rule.origin.called) for rule in own.rules] for own in (old, new)]
    return same_meaning(old, new) and named[0] == named[1]


def _same(old: Pod, new: Pod) -> bool:
    """Whether nobody who judges or notes could tell two versions of a pod apart."""
    return (
        old.addresses == new.addresses
        and old.labels == new.labels
        and old.ports == new.ports
        and old.node == new.node
        and old.uid == new.uid
        and old.host_network == new.host_network
        and old.host_addresses == new.host_addresses
    )
