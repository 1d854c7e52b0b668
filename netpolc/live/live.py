"""The ruleset of one node while the objects of its cluster change.

Comes in: lists of objects and events. Goes out: the ruleset of the node, the same bytes as
`netpolc compile --node` gives for these objects. `UsageError` for a node that nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from netpolc.backends.nft import Options, Ruleset
from netpolc.compiler import compile, within_bounds
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import Key
from netpolc.frontends import Semantics, Treatment
from netpolc.frontends.single import together
from netpolc.live.store import KINDS as KINDS
from netpolc.live.store import Event, Store


class Live:
    """The objects of a cluster, and what one node makes of them.

    `options` are those of the ruleset, `addresses` more addresses of the node than its object lists
    (on the address line), as `--node-address` gives them.
    """

    def __init__(
        self,
        node: str,
        options: Options | None = None,
        *,
        semantics: Semantics = Semantics.CURRENT,
        addresses: Iterable[int] = (),
    ) -> None:
        self.node, self.options = node, options or Options()
        self._semantics, self._addresses = semantics, frozenset(addresses)
        self._store = Store(semantics)
        self._ruleset: Ruleset | None = None

    def replace(self, kind: str, documents: Iterable[Mapping[str, Any]]) -> None:
        """All objects of a kind, after a list: what is not among them is gone.

        `InputError` for what is no object of such a kind.
        """
        for change in self._store.replace(kind, documents):
            self._apply(change)

    def change(self, document: Mapping[str, Any]) -> None:
        """An object that was added or modified; `InputError` as of `replace`."""
        self._apply(self._store.put(document))

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """An object that is gone; `namespace` is empty for what is in none."""
        self._apply(self._store.drop((kind, namespace, name)))

    @property
    def refused(self) -> Mapping[Key, str]:
        """What is done about each odd object, and why, by kind, namespace and name."""
        return self._store.refused

    def snapshot(self) -> Snapshot:
        """All objects there are, as they count."""
        found = within_bounds(together(self._store.all(), self._semantics), Treatment.ISOLATE)
        if self._addresses and self.node in found.cluster.nodes:
            known = found.cluster.knowing(self.node, self._addresses)
            found = replace(found, cluster=known)
        return found

    def ruleset(self) -> Ruleset:
        """The ruleset of the node now; `UsageError` while no object says that there is such a
        node.
        """
        if self._ruleset is None:
            self._ruleset = compile(self.snapshot()).ruleset(self.node, self.options)
        return self._ruleset

    def _apply(self, change: Event) -> None:
        if change.before is not change.after:
            self._ruleset = None
