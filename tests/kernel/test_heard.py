"""What is remembered of a table is believed while others change theirs, and not once it is touched.

In: a kernel that listens for its table, and others that change theirs or its. Out: whether the
table is read back.
"""

from __future__ import annotations

from contextlib import closing

import pytest

import netpolc
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.netfilter.monitor import Heard, Monitor
from tests.helpers.lab import Router
from tests.helpers.manifests import namespace, pod, policy

pytestmark = pytest.mark.kernel


def ruleset(clients: int) -> netpolc.Ruleset:
    peers = {"podSelector": {"matchLabels": {"app": "client"}}}
    selected = {"matchLabels": {"app": "server"}}
    objects = [
        namespace("x"),
        pod("x/server", "10.0.0.1", app="server"),
        *(pod(f"x/client-{n}", f"10.0.1.{n}", app="client") for n in range(1, clients + 1)),
        policy("x/server", podSelector=selected, ingress=[{"from": [peers]}]),
    ]
    return netpolc.compile(netpolc.load_objects(objects)).ruleset()


def test_only_changes_of_the_own_table_by_others_are_read_back(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = router.call(Kernel)
    monitor = router.call(lambda: Monitor("netpolc"))
    read: list[str] = []
    before = kernel.tables.objects

    def objects(table: str) -> object:
        read.append(table)
        return before(table)

    monkeypatch.setattr(kernel.tables, "objects", objects)
    with closing(monitor):
        heard = Heard(monitor)
        kernel.hear(heard)
        kernel.update(ruleset(3))
        assert len(read) == 1
        for clients in range(4, 10):  # the sets keep their size
            router.run(
                "nft", "add table inet other; add chain inet other c; delete table inet other"
            )
            found = kernel.update(ruleset(clients)).delta
            assert found is not None
            assert found.added == 2
            router.run("nft", "add table inet other")
        assert len(read) == 1
        assert heard.foreign() == []

        router.run("nft", "delete element inet netpolc local4 { 10.0.1.2 }")
        assert [own.deleted for own in heard.foreign()] == [False]
        found = kernel.update(ruleset(9)).delta
        assert found is not None
        assert (found.added, len(read)) == (1, 2)
        assert heard.foreign() == []
        again = kernel.update(ruleset(9)).delta
        assert again is not None
        assert not again
        assert len(read) == 2


def test_a_change_just_before_the_own_one_is_not_taken_for_it(router: Router) -> None:
    kernel = router.call(Kernel)
    with closing(router.call(lambda: Monitor("netpolc"))) as monitor:
        heard = Heard(monitor)
        kernel.hear(heard)
        kernel.update(ruleset(3))
        before = kernel.generation.read()
        router.run("nft", "add element inet netpolc local4 { 10.9.9.9 }")
        router.run("nft", "delete element inet netpolc local4 { 10.9.9.9 }")
        assert not heard.claim(before, kernel.generation.read())
        assert len(heard.foreign()) == 2
