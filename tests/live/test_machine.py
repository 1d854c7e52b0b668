"""Any objects in any order: a machine draws clusters, and hands over one object at a time."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import netpolc
from netpolc.live import KINDS, Live
from tests.helpers.events import Key
from tests.helpers.layouts import prefer_maps
from tests.helpers.manifests import Manifest, node
from tests.helpers.ordered_strategies import ordered_snapshots
from tests.helpers.strategies import snapshots

NODE = "node-1"
SETTINGS = settings(
    max_examples=10,
    stateful_step_count=20,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CLUSTERS = st.one_of(snapshots(), ordered_snapshots(by_name=True))


def key_of(document: Manifest) -> Key:
    """Kind, namespace and name, as netpolc knows an object."""
    metadata, kind = document["metadata"], document["kind"]
    scoped = kind in ("Namespace", "Node") or kind.endswith(("ClusterNetworkPolicy",))
    scoped = scoped or "AdminNetworkPolicy" in kind
    return kind, "" if scoped else metadata.get("namespace") or "default", metadata["name"]


class Machine(RuleBasedStateMachine):
    """A `Live`, and the objects that it was told of."""

    def __init__(self) -> None:
        super().__init__()
        self.live = Live(NODE)
        self.objects: dict[Key, Manifest] = {}
        self.other: list[Manifest] = []
        self.put(node(NODE, "198.51.100.200"))

    def put(self, document: Manifest) -> None:
        self.objects[key_of(document)] = document
        self.live.change(document)

    @initialize(cluster=CLUSTERS, other=CLUSTERS)
    def begin(self, cluster: list[Manifest], other: list[Manifest]) -> None:
        self.other = [own for own in other if own["kind"] in KINDS]
        for document in cluster:
            if document["kind"] in KINDS:
                self.put(document)

    @rule(data=st.data())
    def one_of_another_cluster(self, data: st.DataObject) -> None:
        if self.other:
            self.put(data.draw(st.sampled_from(self.other)))

    @rule(data=st.data())
    def one_goes(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(sorted(self.objects)))
        if gone != ("Node", "", NODE):
            del self.objects[gone]
            self.live.remove(*gone)

    @rule(data=st.data())
    def a_list(self, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(KINDS))
        if kind == "Node":
            return
        drawn = {key_of(own): own for own in self.other if own["kind"] == kind}
        kept = {key: own for key, own in self.objects.items() if key[0] != kind}
        self.objects = {**kept, **drawn}
        self.live.replace(kind, list(drawn.values()))

    @rule(cluster=CLUSTERS)
    def another_cluster(self, cluster: list[Manifest]) -> None:
        self.other = [own for own in cluster if own["kind"] in KINDS]

    @invariant()
    def the_same_as_afresh(self) -> None:
        documents = list(self.objects.values())
        snapshot = netpolc.load_objects(documents, odd_objects="isolate")
        afresh, own = netpolc.compile(snapshot).ruleset(NODE), self.live.ruleset()
        assert own.text() == afresh.text()
        assert own.owners.notes == afresh.owners.notes


def test_any_objects_in_any_order() -> None:
    run_state_machine_as_test(Machine, settings=SETTINGS)


def test_any_objects_where_all_pods_that_can_be_are_in_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefer_maps(monkeypatch)
    run_state_machine_as_test(Machine, settings=SETTINGS)
